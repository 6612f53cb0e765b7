import type { Table } from '../ddl.ts';
import { lowCardinality } from './dimensions.ts';

/** Outcomes of batches; the latest version of a batch counts, so that a batch processed again replaces its own. */
export const outcomesTable: Table = {
  name: 'ingest_events',
  columns: {
    batch_id: 'String',
    event_id: 'String',
    ts: "DateTime64(3, 'UTC')",
    written: "DateTime64(6, 'UTC') DEFAULT now64(6)",
    type: lowCardinality,
    error_type: lowCardinality,
    retryable: 'UInt8',
    subaccount_id: 'UInt32',
    number_succeeded: 'UInt32',
    number_failed: 'UInt32',
    number_duplicates: 'UInt32',
    data: 'String CODEC(ZSTD(1))',
    received: "DateTime64(3, 'UTC') DEFAULT ts",
    node: lowCardinality,
    lags: 'Array(UInt32)',
    lag_counts: 'Array(UInt32)',
  },
  engine: 'ReplacingMergeTree(written)',
  orderBy: ['batch_id'],
  ttl: { from: 'toDateTime(ts)', keep: 'batches', more: 1 },
  deduplicationWindow: 1000,
  shardingKey: 'cityHash64(batch_id)',
};
