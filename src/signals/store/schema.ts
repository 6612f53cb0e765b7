import { type Log, silentLog } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';
import { scoreTables } from '../score/refresh/tables.ts';
import { backfillRollups } from './backfill.ts';
import {
  addColumns,
  addToKey,
  type Cluster,
  changeTtl,
  createTable,
  createView,
  dropPartition,
  keptDays,
  localName,
  onCluster,
  renewView,
  type Table,
  ttlExpression,
  type View,
} from './ddl.ts';
import type { Engine } from './engine.ts';
import type { Retention } from './retention.ts';
import { completenessTables, unresolvedTable } from './tables/completeness.ts';
import { laterDimensions } from './tables/dimensions.ts';
import { eventsTable } from './tables/events.ts';
import { lookupTables, lookupViews, messagesTable } from './tables/lookups.ts';
import { rollups, rollupViews } from './tables/metrics.ts';
import { outcomesTable } from './tables/outcomes.ts';
import { laterSealedTables, sealedTables } from './tables/sealed.ts';

/**
 * Brings tables from one version to the next. Every statement may run twice, and so may `fill`, which comes when the tables
 * are of today's form and the views as well; one that several steps name runs once.
 */
export interface Step {
  readonly version: number;
  statements(retention: Retention, cluster: Cluster): readonly string[];
  fill?(engine: Engine, log: Log): Promise<void>;
}

export interface Schema {
  /** Of `tables` and `views` as they stand here: what an empty store is given. */
  readonly version: number;
  /** The oldest version that `steps` lead on from. */
  readonly oldest: number;
  readonly tables: readonly Table[];
  readonly views: readonly View[];
  /** How older stores get here, ascending. A step that was published is never changed. */
  readonly steps: readonly Step[];
}

/** Version 1 was never published. */
export const schema: Schema = {
  version: 7,
  oldest: 2,
  tables: [
    eventsTable,
    ...lookupTables,
    ...rollups.map((r) => r.table),
    ...sealedTables,
    ...completenessTables,
    outcomesTable,
    ...scoreTables,
  ],
  views: [...lookupViews, ...rollupViews],
  steps: [
    { version: 3, statements: fasterQuestions },
    { version: 4, statements: figuresOfBatches },
    { version: 5, statements: moreCounts, fill: backfillRollups },
    { version: 6, statements: vmtasAndNodes, fill: backfillRollups },
    { version: 7, statements: confirmedByPeople },
  ],
};

/** From where a batch came, when, and how late its events were. */
function figuresOfBatches(_: Retention, cluster: Cluster): string[] {
  const columns = {
    received: "DateTime64(3, 'UTC') DEFAULT ts",
    node: 'LowCardinality(String)',
    lags: 'Array(UInt32)',
    lag_counts: 'Array(UInt32)',
  };
  const add = (table: string, name: string, type: string) =>
    `ALTER TABLE ${table}${onCluster(cluster)} ADD COLUMN IF NOT EXISTS ${name} ${type}`;
  return Object.entries(columns).flatMap(([name, type]) => {
    const local = add(localName('ingest_events', cluster), name, type);
    return cluster === null ? [local] : [local, add('ingest_events', name, type)];
  });
}

/** Deliveries over TLS and their times, unsubscribes by kind, clicks by people, and which mail has no known end. */
function moreCounts(retention: Retention, cluster: Cluster): string[] {
  const counts = ['delivered_tls', 'list_unsubscribe', 'link_unsubscribe'];
  const added = (table: Table) => {
    const names = [...counts, 'nonprefetched_clicked', 'nonprefetched_unique_clicked', 'delivery_times'];
    return addColumns(
      table,
      names.filter((name) => name in table.columns),
      cluster,
    );
  };
  return [
    ...addColumns(eventsTable, ['outbound_tls'], cluster),
    ...[...rollups.map((r) => r.table), ...sealedTables].flatMap(added),
    ...completenessTables.flatMap((table) => createTable(table, retention, cluster)),
  ];
}

/** VMTA and node as dimensions: all days are sealed again, as their sums have no slices by these. */
function vmtasAndNodes(_: Retention, cluster: Cluster): string[] {
  const sorted = [...rollups.map((r) => r.table), ...sealedTables, unresolvedTable].filter(
    (table) => table.primaryKey,
  );
  return [
    `TRUNCATE TABLE IF EXISTS ${localName('sealed_days', cluster)}${onCluster(cluster)}`,
    ...[eventsTable, messagesTable].flatMap((table) => addColumns(table, laterDimensions, cluster)),
    ...sorted.flatMap((table) => addToKey(table, laterDimensions, cluster)),
  ];
}

/**
 * Mail that only machines clicked is none that people opened: all days are sealed again, as the count is stored with
 * them.
 */
function confirmedByPeople(_: Retention, cluster: Cluster): string[] {
  return [`TRUNCATE TABLE IF EXISTS ${localName('sealed_days', cluster)}${onCluster(cluster)}`];
}

/** Search by indexes; sums of sealed days without the subaccount: days are sealed again, from their roll-ups. */
function fasterQuestions(retention: Retention, cluster: Cluster): string[] {
  const on = onCluster(cluster);
  const events = `ALTER TABLE ${localName('events', cluster)}${on}`;
  const subject = 'MODIFY COLUMN subject LowCardinality(String)';
  const indexes = {
    recipient_index: '[rcpt_to, raw_rcpt_to, rcpt_hash] TYPE bloom_filter(0.01)',
    recipient_domain_index: 'recipient_domain TYPE bloom_filter(0.01)',
    sign_index: 'sign TYPE minmax',
  };
  return [
    `${events} ${subject} CODEC(ZSTD(1))`,
    ...(cluster === null ? [] : [`ALTER TABLE events${on} ${subject}`]),
    `${events} DROP INDEX IF EXISTS rcpt_to_index`,
    ...Object.entries(indexes).flatMap(([name, index]) => [
      `${events} ADD INDEX IF NOT EXISTS ${name} ${index} GRANULARITY 1`,
      `${events} MATERIALIZE INDEX ${name}`,
    ]),
    ...laterSealedTables.flatMap((table) => createTable(table, retention, cluster)),
    ...['sealed_days', 'slices_day', 'slices_hour'].map(
      (name) => `TRUNCATE TABLE IF EXISTS ${localName(name, cluster)}${on}`,
    ),
  ];
}

const versionsTable: Table = {
  name: 'schema_versions',
  columns: { version: 'UInt32', at: 'DateTime DEFAULT now()' },
  engine: 'MergeTree',
  orderBy: ['version'],
  deduplicationWindow: 100,
  shardingKey: 'version',
};

/** All statements for an empty store, in order; what `migrate` would run there. */
export function schemaStatements(retention: Retention, cluster: Cluster, of: Schema = schema): string[] {
  return [
    ...[versionsTable, ...of.tables].flatMap((table) => createTable(table, retention, cluster)),
    ...of.views.map((view) => createView(view, cluster)),
  ];
}

/**
 * Brings the tables to the version of this program. Every statement may run twice, so a crash between two of them
 * does no harm. Returns the version. Throws `UserError` if the data is of a version that this program cannot read.
 */
export async function migrate(
  engine: Engine,
  retention: Retention,
  to: Schema = schema,
  log: Log = silentLog,
): Promise<number> {
  const { cluster } = engine;
  for (const statement of createTable(versionsTable, retention, cluster)) await engine.write(statement);
  const [row] = await engine.readForWrite<{ v: number }>(`SELECT max(version) AS v FROM schema_versions`);
  const have = row?.v ?? 0;
  if (have > to.version) {
    throw new UserError(
      `the event store is of version ${have}, this program knows ${to.version}; use the newer program`,
    );
  }
  if (have !== 0 && have < to.oldest) {
    throw new UserError(
      `the event store is of version ${have}, from before the first release, and cannot be brought forward; start with an empty one`,
    );
  }
  if (have === 0) {
    for (const statement of schemaStatements(retention, cluster, to)) await engine.write(statement);
    await noteVersion(engine, to.version);
  }
  const steps = have === 0 ? [] : to.steps.filter((step) => step.version > have);
  if (steps.length > 0) {
    const statements = [
      ...steps.flatMap((step) => step.statements(retention, cluster)),
      ...to.views.flatMap((view) => renewView(view, cluster)),
    ];
    for (const statement of statements) await engine.write(statement);
    for (const fill of new Set(steps.map((step) => step.fill))) await fill?.(engine, log);
    await noteVersion(engine, to.version);
  }
  await applyRetention(engine, retention, to.tables);
  return to.version;
}

async function noteVersion(engine: Engine, version: number): Promise<void> {
  await engine.insert('schema_versions', ['version'], [`[${version}]`], `schema-${version}`);
}

/** Gives each table the time to live that is wanted now. */
async function applyRetention(engine: Engine, retention: Retention, tables: readonly Table[]): Promise<void> {
  for (const table of tables) {
    const ttl = ttlExpression(table, retention);
    if (ttl === null) continue;
    const name = localName(table.name, engine.cluster);
    const [row] = await engine.readForWrite<{ q: string }>(
      `SELECT create_table_query AS q FROM system.tables WHERE database = currentDatabase() AND name = {name:String}`,
      { name },
    );
    if (row && !row.q.includes(`TTL ${ttl}`)) await engine.write(changeTtl(table, retention, engine.cluster));
  }
}

/**
 * Removes partitions that are past their time as a whole. The engine does so by itself for what was written since the
 * time was last changed; a part written before keeps the time that it was written with.
 */
export async function dropExpired(engine: Engine, retention: Retention, of: Schema = schema): Promise<void> {
  for (const table of of.tables) {
    const days = keptDays(table, retention);
    if (days === null || !table.partitionBy) continue;
    const limit = Math.floor(Date.now() / 1000) - days * 86_400;
    const rows = await engine.background.read<{ id: string }>(
      `SELECT _partition_id AS id FROM ${table.name} GROUP BY id
       HAVING max(toUnixTimestamp(toDateTime(${table.ttl!.from}))) < {limit:Int64}`,
      { limit },
    );
    for (const { id } of rows) await engine.background.write(dropPartition(table, id, engine.cluster));
  }
}
