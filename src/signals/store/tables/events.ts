import type { Table } from '../ddl.ts';
import { dimensionColumns, lowCardinality, vmtaBefore } from './dimensions.ts';

const columns = {
  ts: "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))",
  event_id: 'String CODEC(ZSTD(1))',
  type: lowCardinality,
  batch_id: lowCardinality,
  sign: 'Int8',
  version: 'UInt8',
  orphan: 'UInt8',
  ...dimensionColumns,
  vmta: `${lowCardinality} DEFAULT ${vmtaBefore('sending_ip')}`,
  message_id: 'String CODEC(ZSTD(1))',
  transmission_id: 'String CODEC(ZSTD(1))',
  rcpt_to: 'String CODEC(ZSTD(1))',
  raw_rcpt_to: 'String CODEC(ZSTD(1))',
  rcpt_hash: 'String CODEC(ZSTD(1))',
  routing_domain: lowCardinality,
  friendly_from: lowCardinality,
  subject: `${lowCardinality} CODEC(ZSTD(1))`,
  ab_test_id: lowCardinality,
  ab_test_version: lowCardinality,
  bounce_class: 'UInt16',
  bounce_category: lowCardinality,
  reason: 'String CODEC(ZSTD(1))',
  raw_reason: 'String CODEC(ZSTD(1))',
  link_name: 'String CODEC(ZSTD(1))',
  num_retries: 'UInt32',
  queue_time: 'UInt64',
  msg_size: 'UInt64',
  prefetched: 'UInt8',
  marks: 'UInt16',
  data: 'String CODEC(ZSTD(3))',
  // Rows of before version 5 tell it from their event.
  outbound_tls: "UInt8 DEFAULT JSONExtractString(data, 'outbound_tls') = '1'",
} as const;

/** All that a recipient may be searched by; the same text makes the index and the conditions that use it. */
export const recipientForms = '[rcpt_to, raw_rcpt_to, rcpt_hash]';

/** A recipient, clear or hashed, as a number: the first 64 bits of the SHA-1 of the address; 0 for nobody. */
export const recipientNumber = `multiIf(
    rcpt_to != '', reinterpretAsUInt64(substring(SHA1(rcpt_to), 1, 8)),
    rcpt_hash != '', reinterpretAsUInt64(unhex(substring(rcpt_hash, 1, 16))),
    toUInt64(0))`;

export type EventColumn = keyof typeof columns;
/** Column of `events` → type and codec. */
export const eventColumnTypes: Readonly<Record<EventColumn, string>> = columns;
/** Columns of `events` in the order in which rows are inserted. */
export const eventColumns = Object.keys(columns) as readonly EventColumn[];

/**
 * One row per event. A late injection enriches engagement that came before it by two more rows of the same
 * `event_id`: a copy of the poor row with sign -1 and the richer one with a higher version. So `sum(sign)` counts
 * events under any filter, and readers take the highest version.
 */
export const eventsTable: Table = {
  name: 'events',
  columns,
  indexes: [
    'INDEX message_id_index message_id TYPE bloom_filter(0.01) GRANULARITY 1',
    'INDEX event_id_index event_id TYPE bloom_filter(0.01) GRANULARITY 1',
    `INDEX recipient_index ${recipientForms} TYPE bloom_filter(0.01) GRANULARITY 1`,
    'INDEX recipient_domain_index recipient_domain TYPE bloom_filter(0.01) GRANULARITY 1',
    'INDEX sign_index sign TYPE minmax GRANULARITY 1',
  ],
  engine: 'MergeTree',
  partitionBy: 'toYYYYMMDD(ts)',
  orderBy: ['ts', 'event_id'],
  ttl: { from: 'toDateTime(ts)', keep: 'events' },
  settings: { ttl_only_drop_parts: 1, fsync_after_insert: 1, fsync_part_directory: 1 },
  deduplicationWindow: 1000,
  // All of a message together: its events find their injection, and its opens count once, without leaving the shard.
  shardingKey: "cityHash64(if(message_id = '', event_id, message_id))",
};
