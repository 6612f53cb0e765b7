import type { Table, View } from '../ddl.ts';
import { lowCardinality, vmtaBefore } from './dimensions.ts';

/** Small granules and blocks: these tables are read by scattered keys, a few rows here and there. */
const byKey = {
  index_granularity: 256,
  min_compress_block_size: 4096,
  max_compress_block_size: 16384,
  ttl_only_drop_parts: 1,
};

/** What duplicate removal looks into. A set: rows may stand twice. */
export const eventIdsTable: Table = {
  name: 'event_ids',
  columns: {
    h: 'UInt64',
    event_id: 'String CODEC(ZSTD(1))',
    batch_id: lowCardinality,
    day: 'Date DEFAULT today()',
  },
  engine: 'MergeTree',
  partitionBy: 'day',
  orderBy: ['h'],
  ttl: { from: 'day', keep: 4 },
  settings: byKey,
  deduplicationWindow: 1000,
  shardingKey: 'h',
};

/** What enrichment looks into: injections and deliveries by message. A set: rows may stand twice. */
export const messagesTable: Table = {
  name: 'messages',
  columns: {
    h: 'UInt64',
    message_id: 'String CODEC(ZSTD(1))',
    subaccount_id: 'UInt32',
    injection: 'UInt8',
    ts: "DateTime64(3, 'UTC')",
    vmta: `${lowCardinality} DEFAULT ${vmtaBefore("JSONExtractString(data, 'sending_ip')")}`,
    node: lowCardinality,
    data: 'String CODEC(ZSTD(3))',
  },
  engine: 'MergeTree',
  partitionBy: 'toMonday(ts)',
  orderBy: ['h'],
  ttl: { from: 'toDateTime(ts)', keep: 'messages' },
  settings: byKey,
  deduplicationWindow: 1000,
  shardingKey: 'h',
};

/** Events that found no message, so that a late injection finds them. A set: rows may stand twice. */
export const orphansTable: Table = {
  name: 'orphans',
  columns: {
    h: 'UInt64',
    message_id: 'String CODEC(ZSTD(1))',
    ts: "DateTime64(3, 'UTC')",
    event_id: 'String CODEC(ZSTD(1))',
  },
  engine: 'MergeTree',
  partitionBy: 'toMonday(ts)',
  orderBy: ['h'],
  ttl: { from: 'toDateTime(ts)', keep: 'messages' },
  settings: byKey,
  deduplicationWindow: 1000,
  shardingKey: 'h',
};

/** What each lookup keeps of a set of events; `where` narrows the set. */
export const lookupSelects = {
  event_ids: (events: string, where = '') =>
    `SELECT cityHash64(event_id) AS h, event_id, batch_id, today() AS day FROM ${events}
WHERE version = 1 AND sign = 1${where}`,
  messages: (events: string, where = '') =>
    `SELECT cityHash64(message_id) AS h, message_id, subaccount_id, type = 'injection' AS injection, ts, vmta, node, data
FROM ${events}
WHERE type IN ('injection', 'delivery') AND sign = 1 AND message_id != ''${where}`,
  orphans: (events: string, where = '') =>
    `SELECT cityHash64(message_id) AS h, message_id, ts, event_id FROM ${events}
WHERE orphan = 1 AND sign = 1${where}`,
} as const;

export const lookupTables: readonly Table[] = [eventIdsTable, messagesTable, orphansTable];

export const lookupViews: readonly View[] = lookupTables.map((to) => ({
  name: `${to.name}_view`,
  to,
  select: (table) => lookupSelects[to.name as keyof typeof lookupSelects](table('events')),
}));
