import {
  createTable,
  dropTable,
  localName,
  onCluster,
  replacePartition,
  type Table,
} from '../../store/ddl.ts';
import type { Engine } from '../../store/engine.ts';
import type { Retention } from '../../store/retention.ts';
import { type Day, partitionOf } from './days.ts';
import { fresh } from './tables.ts';

/** Where the figures are kept, and for how long. */
export interface Place {
  readonly engine: Engine;
  readonly retention: Retention;
  /** See `slicesOf`. */
  readonly rowsPerSlice?: number;
}

/** Makes an empty table, in place of one that a broken refresh has left. */
export async function makeAnew(place: Place, table: Table): Promise<void> {
  const { engine, retention } = place;
  await drop(place, table);
  for (const statement of createTable(table, retention, engine.cluster)) {
    await engine.background.write(statement);
  }
}

export async function drop({ engine }: Place, table: Table): Promise<void> {
  for (const statement of dropTable(table, engine.cluster)) await engine.background.write(statement);
}

/**
 * Replaces a day of a table by what `fill` puts into a table of the same form. Until the last statement readers see
 * the day as it was, after it the new one; never a part of either.
 */
export async function replaceDay(
  place: Place,
  table: Table,
  day: Day,
  fill: (into: string) => Promise<void>,
): Promise<void> {
  const { engine } = place;
  const now = fresh(table);
  await makeAnew(place, now);
  await fill(now.name);
  const [row] = await engine.background.read<{ n: number }>(`SELECT count() AS n FROM ${now.name}`);
  // The engine refuses to put nothing in place of something.
  if (row?.n === 0) await dropDay(place, table, day);
  else await engine.background.write(replacePartition(table, partitionOf(day), now, engine.cluster));
  await drop(place, now);
}

/** Removes a day from a table, if it is there. */
export async function dropDay({ engine }: Place, table: Table, day: Day): Promise<void> {
  await engine.background.write(
    `ALTER TABLE ${localName(table.name, engine.cluster)}${onCluster(engine.cluster)} DROP PARTITION ${partitionOf(day)}`,
  );
}
