import type { Table } from '../ddl.ts';
import { dimensionColumns, sortedBy } from './dimensions.ts';

const kept = {
  partitionBy: 'toYYYYMMDD(t)',
  ttl: { from: 't', keep: 'metrics' },
  settings: { ttl_only_drop_parts: 1, fsync_after_insert: 1, fsync_part_directory: 1 },
} as const;

/**
 * Injections that are no mail with a known end: `repeated` were told before on the same day of the same message and
 * recipient, `unresolved` have neither delivery nor bounce. They are few, and all others need no row: what is due is the
 * count of injections less the repeated ones.
 */
export const unresolvedTable: Table = {
  ...kept,
  name: 'unresolved',
  columns: {
    t: "DateTime('UTC') CODEC(Delta, ZSTD(1))",
    ...dimensionColumns,
    repeated: 'Int64',
    unresolved: 'Int64',
  },
  engine: 'MergeTree',
  ...sortedBy(['t']),
  shardingKey: 'cityHash64(t, recipient_domain)',
};

/** Up to when the injections of a day were looked at, and when that was; of a day the latest row counts. */
export const resolvedDaysTable: Table = {
  name: 'resolved_days',
  columns: {
    t: "DateTime('UTC')",
    until: "DateTime('UTC')",
    made: "DateTime64(3, 'UTC')",
    at: "DateTime64(6, 'UTC') DEFAULT now64(6)",
  },
  engine: 'ReplacingMergeTree(at)',
  orderBy: ['t'],
  ttl: kept.ttl,
  settings: { fsync_after_insert: 1, fsync_part_directory: 1 },
  shardingKey: 'toUInt32(t)',
};

export const completenessTables: readonly Table[] = [unresolvedTable, resolvedDaysTable];
