import type { Retention } from './retention.ts';

/** A table as data; the statements that make it, alone or in a cluster, follow from this. */
export interface Table {
  readonly name: string;
  /** Column → type with what belongs to it (CODEC, DEFAULT), in order. */
  readonly columns: Readonly<Record<string, string>>;
  readonly indexes?: readonly string[];
  readonly engine: 'MergeTree' | 'AggregatingMergeTree' | `ReplacingMergeTree(${string})`;
  readonly partitionBy?: string;
  readonly orderBy: readonly string[];
  /** The beginning of `orderBy` that the index has; all of it unless given. */
  readonly primaryKey?: readonly string[];
  /** Rows go when `from` (a Date or DateTime) is so many days ago, and `more`; a number is the same everywhere. */
  readonly ttl?: { readonly from: string; readonly keep: keyof Retention | number; readonly more?: number };
  readonly settings?: Readonly<Record<string, number>>;
  /** Inserts of a block that came before are dropped, as far back as this many blocks. */
  readonly deduplicationWindow?: number;
  /** Where a row goes in a cluster. Rows that one insert brings together should stay together. */
  readonly shardingKey: string;
}

/** A materialised view: what an insert into one table adds to another. */
export interface View {
  readonly name: string;
  readonly to: Table;
  /** SELECT; `table` gives the name of a table to read from. */
  select(table: (name: string) => string): string;
}

/** In which cluster of the server the tables are; `null` where there is no cluster. */
export type Cluster = string | null;

/** The table that holds the rows on each node; `name` itself stands for all nodes. */
export function localName(name: string, cluster: Cluster): string {
  return cluster === null ? name : `${name}_local`;
}

/** Runs a statement on every node; empty where there is no cluster. */
export function onCluster(cluster: Cluster): string {
  return cluster === null ? '' : ` ON CLUSTER ${quoted(cluster)}`;
}

/** Rows go after so many days. */
export function ttlExpression(table: Table, retention: Retention): string | null {
  if (!table.ttl) return null;
  return `${table.ttl.from} + toIntervalDay(${keptDays(table, retention)})`;
}

/** The statements that make a table unless it is there. In a cluster: a replicated one on each node, one over all. */
export function createTable(table: Table, retention: Retention, cluster: Cluster): string[] {
  const local = `CREATE TABLE IF NOT EXISTS ${localName(table.name, cluster)}${onCluster(cluster)} (
  ${columnList(table, true)}
) ENGINE = ${engine(table, cluster)}${table.partitionBy ? `\nPARTITION BY ${table.partitionBy}` : ''}${clause('PRIMARY KEY', table.primaryKey ? `(${table.primaryKey.join(', ')})` : null)}
ORDER BY (${table.orderBy.join(', ')})${clause('TTL', ttlExpression(table, retention))}${clause('SETTINGS', settings(table, cluster))}`;
  if (cluster === null) return [local];
  return [
    local,
    `CREATE TABLE IF NOT EXISTS ${table.name}${onCluster(cluster)} (
  ${columnList(table, false)}
) ENGINE = Distributed(${quoted(cluster)}, currentDatabase(), ${quoted(localName(table.name, cluster))}, ${table.shardingKey})`,
  ];
}

/** The statement that makes a view unless it is there; in a cluster on every node, from its own rows to its own. */
export function createView(view: View, cluster: Cluster): string {
  const to = localName(view.to.name, cluster);
  return `CREATE MATERIALIZED VIEW IF NOT EXISTS ${view.name}${onCluster(cluster)} TO ${to} AS
${view.select((name) => localName(name, cluster))}`;
}

/** Only what is written from now on goes by it; for the rest there is `dropExpired`. */
export function changeTtl(table: Table, retention: Retention, cluster: Cluster): string {
  return `ALTER TABLE ${localName(table.name, cluster)}${onCluster(cluster)} MODIFY TTL ${ttlExpression(table, retention)} SETTINGS materialize_ttl_after_modify = 0`;
}

/** Days that rows are kept after the time that `ttl.from` tells; `null`: for ever. */
export function keptDays(table: Table, retention: Retention): number | null {
  if (!table.ttl) return null;
  const { keep, more = 0 } = table.ttl;
  return Math.trunc(typeof keep === 'number' ? keep : retention[keep]) + more;
}

/** Removes a partition by its id, on every node. */
export function dropPartition(table: Table, id: string, cluster: Cluster): string {
  return `ALTER TABLE ${localName(table.name, cluster)}${onCluster(cluster)} DROP PARTITION ID ${quoted(id)}`;
}

/** The statements that give an older table columns of its description, in their places, unless it has them. */
export function addColumns(table: Table, names: readonly string[], cluster: Cluster): string[] {
  const all = Object.keys(table.columns);
  return names.flatMap((name) => {
    const type = table.columns[name]!;
    const place = ` AFTER ${all[all.indexOf(name) - 1]}`;
    const alter = (to: string, form: string) =>
      `ALTER TABLE ${to}${onCluster(cluster)} ADD COLUMN IF NOT EXISTS ${name} ${form}${place}`;
    const local = alter(localName(table.name, cluster), type);
    return cluster === null ? [local] : [local, alter(table.name, type.replace(CODEC, ''))];
  });
}

/**
 * The statements that give an older table columns of its description which stand at the end of its sorting key, and that
 * key. They may run again; a column enters a key only in the statement that adds it.
 */
export function addToKey(table: Table, names: readonly string[], cluster: Cluster): string[] {
  const all = Object.keys(table.columns);
  const added = names.map(
    (name) => `ADD COLUMN IF NOT EXISTS ${name} ${table.columns[name]} AFTER ${all[all.indexOf(name) - 1]}`,
  );
  const local = `ALTER TABLE ${localName(table.name, cluster)}${onCluster(cluster)} ${added.join(', ')}, MODIFY ORDER BY (${table.orderBy.join(', ')})`;
  if (cluster === null) return [local];
  return [local, `ALTER TABLE ${table.name}${onCluster(cluster)} ${added.join(', ')}`];
}

/** The statements after which a view is as described here, whatever it was. Nothing may be inserted meanwhile. */
export function renewView(view: View, cluster: Cluster): string[] {
  return [`DROP VIEW IF EXISTS ${view.name}${onCluster(cluster)} SYNC`, createView(view, cluster)];
}

/** The statements that remove a table and its rows, if it is there. */
export function dropTable(table: Table, cluster: Cluster): string[] {
  const names = cluster === null ? [table.name] : [table.name, localName(table.name, cluster)];
  return names.map((name) => `DROP TABLE IF EXISTS ${name}${onCluster(cluster)} SYNC`);
}

/** The statements after which each replica has all rows of a table; none where there are no replicas. */
export function syncReplicas(table: Table, cluster: Cluster): string[] {
  if (cluster === null) return [];
  return [`SYSTEM SYNC REPLICA${onCluster(cluster)} ${localName(table.name, cluster)}`];
}

/** `1` on servers that refuse to replace a partition by none unless told that it is meant. */
export const ASKS_BEFORE_EMPTYING =
  "SELECT count() AS n FROM system.settings WHERE name = 'allow_replace_partition_from_empty_source'";

/**
 * Puts the rows that `from` has of a partition, perhaps none, in place of those of `table`, on every node, at once on
 * each. `asks`: what `ASKS_BEFORE_EMPTYING` answered.
 */
export function replacePartition(
  table: Table,
  partition: string,
  from: Table,
  cluster: Cluster,
  asks = false,
): string {
  const settings = asks ? ' SETTINGS allow_replace_partition_from_empty_source = 1' : '';
  return `ALTER TABLE ${localName(table.name, cluster)}${onCluster(cluster)} REPLACE PARTITION ${partition} FROM ${localName(from.name, cluster)}${settings}`;
}

const CODEC = /\s+CODEC\(.*\)$/;

function columnList(table: Table, isLocal: boolean): string {
  const columns = Object.entries(table.columns).map(
    ([name, type]) => `${name} ${isLocal ? type : type.replace(CODEC, '')}`,
  );
  return [...columns, ...(isLocal ? (table.indexes ?? []) : [])].join(',\n  ');
}

function engine(table: Table, cluster: Cluster): string {
  if (cluster === null) return table.engine;
  const [, family, version] = /^(\w+?)(?:\((.+)\))?$/.exec(table.engine)!;
  const place = `'/clickhouse/tables/{shard}/{database}/${table.name}', '{replica}'`;
  return `Replicated${family}(${place}${version ? `, ${version}` : ''})`;
}

function settings(table: Table, cluster: Cluster): string | null {
  const all = Object.entries(table.settings ?? {});
  if (table.deduplicationWindow !== undefined) {
    const name = cluster === null ? 'non_replicated_deduplication_window' : 'replicated_deduplication_window';
    all.push([name, table.deduplicationWindow]);
  }
  return all.length > 0 ? all.map(([name, value]) => `${name} = ${value}`).join(', ') : null;
}

function clause(word: string, text: string | null): string {
  return text === null ? '' : `\n${word} ${text}`;
}

/** A literal of SQL. */
export function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
