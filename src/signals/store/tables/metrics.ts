import type { Table, View } from '../ddl.ts';
import { dimensionColumns, dimensions } from './dimensions.ts';

/** Column of the roll-ups → the amount that one row of `events` adds to it (times its sign). */
export const counters: Readonly<Record<string, string>> = {
  events: '1',
  injected: `type = 'injection'`,
  policy_rejection: `type = 'policy_rejection'`,
  generation_failed: `type = 'generation_failure'`,
  generation_rejection: `type = 'generation_rejection'`,
  delivered_first: `type = 'delivery' AND num_retries = 0`,
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
};

/**
 * Column of the roll-ups → which events make a message count there, once per unit of time. Events that have found no
 * message yet are kept apart, in a column `…_orphans` that can be taken back from: message → how many such events.
 */
export const uniques: Readonly<Record<string, string>> = {
  unique_rendered: counters.rendered!,
  unique_initial_rendered: counters.initial_rendered!,
  unique_confirmed_opened: `(${counters.rendered}) OR (${counters.initial_rendered}) OR (${counters.clicked})`,
  unique_clicked: counters.clicked!,
  nonprefetched_unique_rendered: counters.nonprefetched_rendered!,
  nonprefetched_unique_initial_rendered: counters.nonprefetched_initial_rendered!,
  nonprefetched_unique_confirmed_opened: `(${counters.nonprefetched_rendered}) OR (${counters.nonprefetched_initial_rendered}) OR (${counters.clicked})`,
};

export const rollups = ['metrics_minute', 'metrics_hour'] as const;
export type Rollup = (typeof rollups)[number];

/** `row_count` counts rows of `events` whatever their sign: the check that a roll-up is complete. */
const columns: Readonly<Record<string, string>> = {
  t: "DateTime('UTC') CODEC(Delta, ZSTD(1))",
  ...dimensionColumns,
  row_count: 'SimpleAggregateFunction(sum, UInt64)',
  ...Object.fromEntries(Object.keys(counters).map((name) => [name, 'SimpleAggregateFunction(sum, Int64)'])),
  ...Object.fromEntries(
    Object.keys(uniques).flatMap((name) => [
      [name, 'AggregateFunction(uniqExact, UInt64)'],
      [`${name}_orphans`, 'AggregateFunction(sumMap, Array(UInt64), Array(Int64))'],
    ]),
  ),
};

export const rollupTables: readonly Table[] = rollups.map((name) => ({
  name,
  columns,
  engine: 'AggregatingMergeTree',
  partitionBy: 'toYYYYMMDD(t)',
  orderBy: ['t', ...dimensions],
  ttl: { from: 't', keep: 'metrics' },
  settings: { ttl_only_drop_parts: 1, fsync_after_insert: 1, fsync_part_directory: 1 },
  deduplicationWindow: 1000,
  shardingKey: 'cityHash64(t, recipient_domain)',
}));

/**
 * The roll-up of a set of events. A message is its id within its subaccount, as ids of a sender's own choice may come
 * twice. Negative counts can be: they take back what a late injection moved elsewhere. */
export function rollupSelect(rollup: Rollup, events: string, where = ''): string {
  const unit = rollup === 'metrics_minute' ? 'toStartOfMinute' : 'toStartOfHour';
  return `SELECT toDateTime(${unit}(ts), 'UTC') AS t, ${dimensions.join(', ')},
  count() AS row_count,
  ${Object.entries(counters)
    .map(([name, amount]) => `sum(toInt64(sign) * toInt64(${amount})) AS ${name}`)
    .join(',\n  ')},
  ${Object.entries(uniques)
    .map(
      ([name, which]) =>
        `uniqExactStateIf(cityHash64(message_id, subaccount_id), orphan = 0 AND message_id != '' AND (${which})) AS ${name},
  sumMapStateIf([cityHash64(message_id, subaccount_id)], [toInt64(sign)], orphan = 1 AND (${which})) AS ${name}_orphans`,
    )
    .join(',\n  ')}
FROM ${events} ${where}
GROUP BY t, ${dimensions.join(', ')}`;
}

export const rollupViews: readonly View[] = rollupTables.map((to) => ({
  name: `${to.name}_view`,
  to,
  select: (table) => rollupSelect(to.name as Rollup, table('events')),
}));
