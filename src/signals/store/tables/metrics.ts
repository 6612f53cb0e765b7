import type { Table, View } from '../ddl.ts';
import { dimensionColumns, dimensions, lowCardinality, sortedBy } from './dimensions.ts';

/** Column of the roll-ups → the amount that one row of `events` adds to it (times its sign). */
export const counters: Readonly<Record<string, string>> = {
  events: '1',
  injected: `type = 'injection'`,
  policy_rejection: `type = 'policy_rejection'`,
  generation_failed: `type = 'generation_failure'`,
  generation_rejection: `type = 'generation_rejection'`,
  delivered_first: `type = 'delivery' AND num_retries = 0`,
  delivered_second: `type = 'delivery' AND num_retries = 1`,
  delivered_subsequent: `type = 'delivery' AND num_retries > 0`,
  delivery_time_first: `if(type = 'delivery' AND num_retries = 0, queue_time, 0)`,
  delivery_time_subsequent: `if(type = 'delivery' AND num_retries > 0, queue_time, 0)`,
  msg_volume: `if(type = 'delivery', msg_size, 0)`,
  inband_bounce: `type = 'bounce' AND bounce_category != 'Admin'`,
  outofband_bounce: `type = 'out_of_band' AND bounce_category != 'Admin'`,
  hard_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Hard'`,
  soft_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Soft'`,
  block_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Block'`,
  undetermined_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Undetermined'`,
  admin_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Admin'`,
  delayed: `type = 'delay'`,
  delayed_first: `type = 'delay' AND num_retries = 0`,
  spam_complaint: `type = 'spam_complaint'`,
  unsubscribe: `type IN ('list_unsubscribe', 'link_unsubscribe')`,
  rendered: `type IN ('open', 'amp_open')`,
  initial_rendered: `type IN ('initial_open', 'amp_initial_open')`,
  clicked: `type IN ('click', 'amp_click')`,
  nonprefetched_rendered: `type IN ('open', 'amp_open') AND NOT prefetched`,
  nonprefetched_initial_rendered: `type IN ('initial_open', 'amp_initial_open') AND NOT prefetched`,
  delivered_tls: `type = 'delivery' AND outbound_tls`,
  list_unsubscribe: `type = 'list_unsubscribe'`,
  link_unsubscribe: `type = 'link_unsubscribe'`,
};

/** What is counted per message, to tell how many messages were opened or clicked. */
const engagementCounters = [
  'rendered',
  'initial_rendered',
  'clicked',
  'nonprefetched_rendered',
  'nonprefetched_initial_rendered',
  'nonprefetched_clicked',
] as const;
/** Of these, what no counter says. */
const nonprefetchedClicked = `type IN ('click', 'amp_click') AND NOT prefetched`;

/** Unique metric → when a message counts, over the sums of its events in one unit of time. */
export const uniques: Readonly<Record<string, string>> = {
  unique_rendered: 'rendered > 0',
  unique_initial_rendered: 'initial_rendered > 0',
  unique_confirmed_opened: 'rendered > 0 OR initial_rendered > 0 OR clicked > 0',
  unique_clicked: 'clicked > 0',
  nonprefetched_unique_rendered: 'nonprefetched_rendered > 0',
  nonprefetched_unique_initial_rendered: 'nonprefetched_initial_rendered > 0',
  nonprefetched_unique_confirmed_opened:
    'nonprefetched_rendered > 0 OR nonprefetched_initial_rendered > 0 OR nonprefetched_clicked > 0',
  nonprefetched_unique_clicked: 'nonprefetched_clicked > 0',
};

/**
 * Delivery times, milliseconds, as counts by size class: the first bits of the number as a 32-bit float, its exponent
 * and six of its fraction. So counts add up over time and groups as sums do, and a quantile of the sum is off by no more
 * than half a class, a 128th of the value; up to 127 ms a class is one number.
 */
export const timesType = 'Map(UInt16, Int64)';
const timeClass = (ms: string) => `toUInt16(bitShiftRight(reinterpretAsUInt32(toFloat32(${ms})), 17))`;
/** The middle of a class, milliseconds, rounded down. */
export const timeOfClass = (sizeClass: string) =>
  `floor(reinterpretAsFloat32(toUInt32(bitShiftLeft(toUInt32(${sizeClass}), 17) + 65536)))`;

/** A table that every insert into another adds to; what is in it follows from `events` alone. */
export interface Rollup {
  readonly table: Table;
  /** The table whose inserts feed it. */
  readonly from: string;
  /** Condition on `events`: the rows that are counted in its `row_count`. */
  readonly which: string;
  /** The column of `from` that says when. */
  readonly time: string;
  /** What it keeps of the rows of `source`, a table like `from`, for which `only` holds. */
  select(source: string, only?: string): string;
}

const kept = {
  engine: 'AggregatingMergeTree',
  partitionBy: 'toYYYYMMDD(t)',
  ttl: { from: 't', keep: 'metrics' },
  settings: { ttl_only_drop_parts: 1, fsync_after_insert: 1, fsync_part_directory: 1 },
  deduplicationWindow: 1000,
} as const;

/** `row_count` counts rows of `events` whatever their sign: the check that a roll-up is complete. */
const rowCount = { row_count: 'SimpleAggregateFunction(sum, UInt64)' };
const sums = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, 'SimpleAggregateFunction(sum, Int64)']));
const time = { t: "DateTime('UTC') CODEC(Delta, ZSTD(1))" };
const minute = "toDateTime(toStartOfMinute(ts), 'UTC') AS t";
const dimensionList = dimensions.join(', ');
const signed = (names: readonly string[]) =>
  names
    .map((name) => `sum(toInt64(sign) * toInt64(${counters[name] ?? nonprefetchedClicked})) AS ${name}`)
    .join(',\n  ');
const times = { delivery_times: `SimpleAggregateFunction(sumMap, ${timesType})` };

const counterNames = Object.keys(counters);
const counterColumns = { ...time, ...dimensionColumns, ...rowCount, ...sums(counterNames), ...times };

const minuteTable: Table = {
  ...kept,
  name: 'metrics_minute',
  columns: counterColumns,
  ...sortedBy(['t']),
  shardingKey: 'cityHash64(t, recipient_domain)',
};

/** Counts may be negative in a row: they take back what a late injection moved elsewhere. */
export const metricsMinute: Rollup = {
  table: minuteTable,
  from: 'events',
  which: '1',
  time: 'ts',
  select: (source, only = '1') => `SELECT ${minute}, ${dimensionList}, count() AS row_count,
  ${signed(counterNames)},
  sumMapIf(map(${timeClass('queue_time')}, toInt64(sign)), type = 'delivery') AS delivery_times
FROM ${source} WHERE ${only}
GROUP BY t, ${dimensionList}`,
};

/** Made from the minutes: an insert has far fewer of these than events. */
export const metricsHour: Rollup = {
  table: { ...minuteTable, name: 'metrics_hour' },
  from: 'metrics_minute',
  which: '1',
  time: 'minutes.t',
  select: (source, only = '1') => `SELECT toDateTime(toStartOfHour(minutes.t), 'UTC') AS t, ${dimensionList},
  sum(minutes.row_count) AS row_count,
  ${counterNames.map((name) => `sum(minutes.${name}) AS ${name}`).join(',\n  ')},
  sumMap(minutes.delivery_times) AS delivery_times
FROM ${source} AS minutes WHERE ${only}
GROUP BY t, ${dimensionList}`,
};

/**
 * Opens and clicks by message. A message is its id within its subaccount, as ids of a sender's own choice may come
 * twice. It counts in a unit of time if the sum of its events there is positive; events of it that stood under other
 * dimensions before its injection was known are taken back by negative ones.
 */
export const engagement: Rollup = {
  table: {
    ...kept,
    name: 'engagement',
    columns: {
      ...time,
      ...dimensionColumns,
      message: 'UInt64',
      link_name: 'String CODEC(ZSTD(1))',
      ...rowCount,
      ...sums(engagementCounters),
    },
    ...sortedBy(['toStartOfHour(t)'], ['message', 't', 'link_name']),
    shardingKey: 'message',
  },
  from: 'events',
  which: `type IN ('open', 'amp_open', 'initial_open', 'amp_initial_open', 'click', 'amp_click') AND message_id != ''`,
  time: 'ts',
  select: (source, only = '1') => `SELECT ${minute}, ${dimensionList},
  cityHash64(message_id, subaccount_id) AS message, link_name, count() AS row_count,
  ${signed(engagementCounters)}
FROM ${source} WHERE ${engagement.which} AND ${only}
GROUP BY t, ${dimensionList}, message, link_name`,
};

/** Bounces, delays and rejections by what the other side, or a rule, said. */
export const reasons: Rollup = {
  table: {
    ...kept,
    name: 'reasons',
    columns: {
      ...time,
      type: lowCardinality,
      ...dimensionColumns,
      bounce_class: 'UInt16',
      bounce_category: lowCardinality,
      reason: 'String CODEC(ZSTD(1))',
      ...rowCount,
      ...sums(['events', 'first']),
    },
    ...sortedBy(['type', 'toStartOfHour(t)'], ['bounce_class', 'bounce_category', 'reason', 't']),
    shardingKey: 'cityHash64(reason)',
  },
  from: 'events',
  which: `type IN ('bounce', 'out_of_band', 'delay', 'policy_rejection', 'generation_rejection', 'generation_failure')`,
  time: 'ts',
  select: (
    source,
    only = '1',
  ) => `SELECT ${minute}, type, ${dimensionList}, bounce_class, bounce_category, reason,
  count() AS row_count, sum(toInt64(sign)) AS events, sumIf(toInt64(sign), num_retries = 0) AS first
FROM ${source} WHERE ${reasons.which} AND ${only}
GROUP BY t, type, ${dimensionList}, bounce_class, bounce_category, reason`,
};

export const rollups: readonly Rollup[] = [metricsMinute, metricsHour, engagement, reasons];

export const rollupViews: readonly View[] = rollups.map(({ table: to, from, select }) => ({
  name: `${to.name}_view`,
  to,
  select: (table) => select(table(from)),
}));
