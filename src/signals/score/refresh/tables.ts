import type { Table } from '../../store/ddl.ts';
import { refillDay } from '../../store/partitions.ts';
import { lowCardinality } from '../../store/tables/dimensions.ts';
import { facets, sums } from '../sums.ts';
import { type Day, partitionOf } from './days.ts';
import type { Place } from './place.ts';

/**
 * What the scores keep. A recipient is `r`: the first 64 bits of the SHA-1 of the lower-case address, so that clear and
 * hashed addresses agree and no address is kept; 0 is nobody known. A mail is `m`: hash of subaccount and message id.
 * Times are milliseconds since the epoch.
 */
const durable = { fsync_after_insert: 1, fsync_part_directory: 1 };

const byDay = 'toYYYYMMDD(day)';
/** Days are removed when they are closed; this is for those of a service that was given up. */
const openDays = { from: 'day', keep: 'events', more: 60 } as const;
const facetColumns = Object.fromEntries(facets.map((facet) => [facet, lowCardinality]));
const sumColumns = Object.fromEntries(sums.map((name) => [name, 'Int64']));

/** `kind` of a row in `score_touches`. */
export const touchKind = { mail: 0, engagement: 1 } as const;

/** Per day of the open days: each injection, and each engagement of a known recipient; sorted by recipient. */
export const touchesTable: Table = {
  name: 'score_touches',
  columns: {
    day: 'Date',
    r: 'UInt64',
    sid: 'UInt32',
    t: 'Int64 CODEC(ZSTD(1))',
    kind: 'UInt8',
    sign: 'Int8',
    m: 'UInt64',
    ...facetColumns,
    marks: 'UInt16',
  },
  engine: 'MergeTree',
  partitionBy: byDay,
  orderBy: ['r', 'sid', 't'],
  ttl: openDays,
  settings: durable,
  shardingKey: 'r',
};

/** Per day of the open days: what mails drew, whichever day they were injected on; sorted by mail. */
export const actsTable: Table = {
  name: 'score_acts',
  columns: { day: 'Date', m: 'UInt64', r: 'UInt64', t: 'Int64 CODEC(ZSTD(1))', kind: 'UInt8', sign: 'Int8' },
  engine: 'MergeTree',
  partitionBy: byDay,
  orderBy: ['m', 't'],
  ttl: openDays,
  settings: durable,
  shardingKey: 'm',
};

/** What is known of every recipient from the days that are closed. */
export const recipientsTable: Table = {
  name: 'score_recipients',
  columns: {
    r: 'UInt64',
    sid: 'UInt32',
    first_sent: 'SimpleAggregateFunction(min, Int64)',
    last_engaged: 'SimpleAggregateFunction(max, Int64)',
    last_seen: 'SimpleAggregateFunction(max, Date)',
  },
  engine: 'AggregatingMergeTree',
  orderBy: ['r', 'sid'],
  ttl: { from: 'last_seen', keep: 'recipients' },
  settings: durable,
  shardingKey: 'r',
};

/** The daily figures: one row per day, subaccount and set of facets. */
export const factsTable: Table = {
  name: 'score_facts',
  columns: { day: 'Date', sid: 'UInt32', ...facetColumns, ...sumColumns },
  engine: 'MergeTree',
  partitionBy: byDay,
  orderBy: ['sid', ...facets],
  ttl: { from: 'day', keep: 'metrics' },
  settings: durable,
  shardingKey: `cityHash64(sid, ${facets.join(', ')})`,
};

/** Parts of `score_facts` that come from a day's own events. */
export const eventSumsTable: Table = {
  ...factsTable,
  name: 'score_event_sums',
  ttl: openDays,
};

/** What was done, from which the next refresh knows what is left to do; of a kind and day the highest `n` counts. */
export const ledgerTable: Table = {
  name: 'score_ledger',
  columns: { kind: lowCardinality, day: 'Date', n: 'UInt64', inputs: 'String' },
  engine: 'ReplacingMergeTree(n)',
  orderBy: ['kind', 'day'],
  ttl: { from: 'day', keep: 'metrics', more: 30 },
  settings: durable,
  shardingKey: 'day',
};

export const scoreTables: readonly Table[] = [
  touchesTable,
  actsTable,
  recipientsTable,
  factsTable,
  eventSumsTable,
  ledgerTable,
];

/** Made and dropped within one refresh: the mails of a day with the cohort of their recipients; sorted by mail. */
export const mailsTable: Table = {
  name: 'score_mails_now',
  columns: {
    m: 'UInt64',
    r: 'UInt64',
    t: 'Int64',
    sid: 'UInt32',
    ...facetColumns,
    marks: 'UInt16',
    cohort: 'UInt8',
  },
  engine: 'MergeTree',
  orderBy: ['m', 't'],
  shardingKey: 'm',
};

/** Makes a day of a table anew of what `fill` puts into a table of the same form; see `refillDay`. */
export function refillTable(
  { engine }: Place,
  table: Table,
  day: Day,
  fill: (into: string) => Promise<void>,
): Promise<void> {
  return refillDay(engine.background, table, partitionOf(day), `${table.name}_now`, engine.cluster, fill);
}
