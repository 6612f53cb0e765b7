import {
  ASKS_BEFORE_EMPTYING,
  type Cluster,
  createTable,
  dropPartition,
  dropTable,
  replacePartition,
  syncReplicas,
  type Table,
} from './ddl.ts';
import type { Engine, Statements } from './engine.ts';
import { defaultRetention } from './retention.ts';

/** A table beside another, of the same shape, to put a partition together in. */
export function beside(table: Table, name: string): Table {
  const { ttl: _, ...rest } = table;
  return { ...rest, name };
}

/** Makes a table that is empty, whatever an earlier run left under its name; it has no time to live. */
export async function makeEmpty(on: Statements, table: Table, cluster: Cluster): Promise<void> {
  await drop(on, table, cluster);
  const lasting = beside(table, table.name);
  for (const statement of createTable(lasting, defaultRetention, cluster)) await on.write(statement);
}

export async function drop(on: Statements, table: Table, cluster: Cluster): Promise<void> {
  for (const statement of dropTable(table, cluster)) await on.write(statement);
}

/**
 * Puts the rows of a day (`YYYYMMDD`) that `from` has, perhaps none, in place of those of `table`. In a cluster a shard may have
 * none, and any replica may do it for its shard: each first fetches what the others have of `from`.
 */
export async function replaceDay(
  on: Statements,
  table: Table,
  day: number,
  from: Table,
  cluster: Cluster,
): Promise<void> {
  for (const statement of syncReplicas(from, cluster)) await on.write(statement);
  const [row] = await on.read<{ n: number }>(ASKS_BEFORE_EMPTYING);
  await on.write(replacePartition(table, String(Math.trunc(day)), from, cluster, row?.n === 1));
}

/**
 * Makes a day of a table anew of what `fill` puts into a table of the same form, called `name` for as long. Until the
 * last statement readers see the day as it was, after it the new one; never a part of either.
 */
export async function refillDay(
  on: Statements,
  table: Table,
  day: number,
  name: string,
  cluster: Cluster,
  fill: (into: string) => Promise<void>,
): Promise<void> {
  const fresh = beside(table, name);
  await makeEmpty(on, fresh, cluster);
  await fill(name);
  await replaceDay(on, table, day, fresh, cluster);
  await drop(on, fresh, cluster);
}

/** Removes a day from a table, if it is there. */
export async function dropDay(on: Statements, table: Table, day: number, cluster: Cluster): Promise<void> {
  await on.write(dropPartition(table, String(Math.trunc(day)), cluster));
}

/**
 * Removes the tables that a killed run was putting a partition together in: they hold copies of what was there, and so
 * of what may since have been erased.
 */
export async function dropLeftovers(engine: Engine): Promise<void> {
  const rows = await engine.background.read<{ name: string }>(
    `SELECT DISTINCT replaceRegexpOne(name, '_local$', '') AS name FROM system.tables
     WHERE database = currentDatabase() AND match(name, '_(fresh|rewrite|rebuild|now|parts)(_local)?$')`,
  );
  for (const { name } of rows) {
    await drop(
      engine.background,
      { name, columns: {}, engine: 'MergeTree', orderBy: [], shardingKey: '' },
      engine.cluster,
    );
  }
}
