import {
  ASKS_BEFORE_EMPTYING,
  type Cluster,
  createTable,
  dropTable,
  replacePartition,
  type Table,
} from './ddl.ts';
import type { Background } from './engine.ts';
import { defaultRetention } from './retention.ts';

/** A table beside another, of the same shape, to put a partition together in. */
export function beside(table: Table, name: string): Table {
  const { ttl: _, ...rest } = table;
  return { ...rest, name };
}

/** Makes a table that is empty, whatever an earlier run left under its name. */
export async function makeEmpty(on: Background, table: Table, cluster: Cluster): Promise<void> {
  await drop(on, table, cluster);
  for (const statement of createTable(table, defaultRetention, cluster)) await on.write(statement);
}

export async function drop(on: Background, table: Table, cluster: Cluster): Promise<void> {
  for (const statement of dropTable(table, cluster)) await on.write(statement);
}

/** Puts the rows of a day that `from` has, perhaps none, in place of those of `table`. */
export async function replaceDay(
  on: Background,
  table: Table,
  day: number,
  from: Table,
  cluster: Cluster,
): Promise<void> {
  const [row] = await on.read<{ n: number }>(ASKS_BEFORE_EMPTYING);
  await on.write(replacePartition(table, String(Math.trunc(day)), from, cluster, row?.n === 1));
}
