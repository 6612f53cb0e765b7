import { engagementSql, NEVER } from './cohorts.ts';
import type { Day } from './days.ts';
import type { Place } from './place.ts';
import { inSlice, slicesOf } from './slices.ts';
import { recipientsTable, touchesTable, touchKind } from './tables.ts';

/**
 * Adds what was gathered of a closed day to what is known of every recipient. Earliest and latest times take no harm
 * from being added twice, so a break in the middle is mended by doing it again.
 */
export async function remember({ engine, rowsPerSlice }: Place, day: Day): Promise<void> {
  const { background } = engine;
  const [row] = await background.read<{ n: number }>(
    `SELECT count() AS n FROM ${touchesTable.name} WHERE day = {day:Date}`,
    { day },
  );
  if (!row || row.n === 0) return;
  const within = `day = {day:Date} AND r != 0 AND ${inSlice('r')}`;
  for (const slice of slicesOf(row.n, rowsPerSlice)) {
    await background.write(
      `INSERT INTO ${recipientsTable.name} (r, sid, first_sent, last_engaged, last_seen)
       SELECT r, sid, min(sent), max(engaged), {day:Date}
       FROM (
         SELECT r, sid, t AS sent, 0 AS engaged FROM ${touchesTable.name}
         WHERE kind = ${touchKind.mail} AND ${within}
         UNION ALL
         SELECT r, sid, ${NEVER}, t FROM (${engagementSql(within)}))
       GROUP BY r, sid`,
      { day, ...slice },
    );
  }
}
