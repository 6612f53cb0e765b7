import {
  createTable,
  dropTable,
  localName,
  onCluster,
  replacePartition,
  type Table,
} from '../../store/ddl.ts';
import type { Engine } from '../../store/engine.ts';
import { defaultRetention } from '../../store/retention.ts';
import { type Day, partitionOf } from './days.ts';
import { fresh } from './tables.ts';

/** Makes an empty table, in place of one that a broken refresh has left. */
export async function makeAnew(engine: Engine, table: Table): Promise<void> {
  await drop(engine, table);
  for (const statement of createTable(table, defaultRetention, engine.cluster)) {
    await engine.background.write(statement);
  }
}

export async function drop(engine: Engine, table: Table): Promise<void> {
  for (const statement of dropTable(table, engine.cluster)) await engine.background.write(statement);
}

/**
 * Replaces a day of a table by what `fill` puts into a table of the same form. Until the last statement readers see
 * the day as it was, after it the new one; never a part of either.
 */
export async function replaceDay(
  engine: Engine,
  table: Table,
  day: Day,
  fill: (into: string) => Promise<void>,
): Promise<void> {
  const now = fresh(table);
  await makeAnew(engine, now);
  await fill(now.name);
  const [row] = await engine.background.read<{ n: number }>(`SELECT count() AS n FROM ${now.name}`);
  // The engine refuses to put nothing in place of something.
  if (row?.n === 0) await dropDay(engine, table, day);
  else await engine.background.write(replacePartition(table, partitionOf(day), now, engine.cluster));
  await drop(engine, now);
}

/** Removes a day from a table, if it is there. */
export async function dropDay(engine: Engine, table: Table, day: Day): Promise<void> {
  await engine.background.write(
    `ALTER TABLE ${localName(table.name, engine.cluster)}${onCluster(engine.cluster)} DROP PARTITION ${partitionOf(day)}`,
  );
}
