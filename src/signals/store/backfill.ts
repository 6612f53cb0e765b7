import type { Log } from '../../system/log.ts';
import type { Engine } from './engine.ts';
import { refillDay } from './partitions.ts';
import { engagement, metricsHour, metricsMinute, type Rollup } from './tables/metrics.ts';
import { sealedDaysTable } from './tables/sealed.ts';

/** A day of a large sender has a million combinations of dimensions. */
const MODEST = 'SETTINGS max_bytes_before_external_group_by = 536870912';

/**
 * Makes the roll-ups of all days anew whose events are there, so that columns that were added to them say what they
 * would had they always been there. Of days whose events are gone, whole or in part, they stay 0. A day is put in place
 * in one step and the days that are done are told by their delivery times, so a run that was killed goes on where it
 * stopped. Nothing may be inserted meanwhile.
 */
export async function backfillRollups(engine: Engine, log: Log): Promise<void> {
  const days = (
    await engine.readForWrite<{ day: string }>(
      'SELECT DISTINCT _partition_id AS day FROM events ORDER BY day',
    )
  ).map((row) => Number(row.day));
  if (days.length === 0) return;
  const done = new Set(
    (
      await engine.readForWrite<{ day: number }>(
        `SELECT toYYYYMMDD(t) AS day FROM ${metricsHour.table.name} GROUP BY day
         HAVING sum(delivered_first + delivered_subsequent) > 0
           AND sum(delivered_first + delivered_subsequent) = sum(arraySum(mapValues(delivery_times)))`,
      )
    ).map((row) => row.day),
  );
  const left = days.filter((day) => !done.has(day));
  log.info('the sums of stored days are made anew, for counts that are new in this version', {
    days: left.length,
  });
  for (const day of left) {
    await engine.write(`INSERT INTO ${sealedDaysTable.name} (day, sealed) VALUES (${day}, 0)`);
    if (await isWhole(engine, engagement, day)) await remake(engine, engagement, day);
    if (!(await isWhole(engine, metricsMinute, day))) continue;
    await remake(engine, metricsMinute, day);
    await remake(engine, metricsHour, day);
  }
}

/** Whether the events that a day of a roll-up was made from are the ones that are stored. */
async function isWhole(engine: Engine, { table, which }: Rollup, day: number): Promise<boolean> {
  const [row] = await engine.readForWrite<{ same: number }>(
    `SELECT (SELECT count() FROM events WHERE toYYYYMMDD(ts) = {day:UInt32} AND ${which}) =
       (SELECT sum(row_count) FROM ${table.name} WHERE toYYYYMMDD(t) = {day:UInt32}) AS same`,
    { day },
  );
  return row?.same === 1;
}

async function remake(engine: Engine, { table, from, time, select }: Rollup, day: number): Promise<void> {
  const on = { read: engine.readForWrite.bind(engine), write: engine.write.bind(engine) };
  const rows = select(from, `toYYYYMMDD(${time}) = {day:UInt32}`);
  await refillDay(on, table, day, `${table.name}_rebuild`, engine.cluster, (into) =>
    engine.write(`INSERT INTO ${into} ${rows} ${MODEST}`, { day }),
  );
}
