import type { Log } from '../../system/log.ts';
import type { Engine } from './engine.ts';
import { refillDay } from './partitions.ts';
import { resolvedDaysTable } from './tables/completeness.ts';
import { engagement, metricsHour, metricsMinute, type Rollup, reasons } from './tables/metrics.ts';
import { sealedDaysTable } from './tables/sealed.ts';

/** A day of a large sender has a million combinations of dimensions. */
const MODEST = 'SETTINGS max_bytes_before_external_group_by = 536870912';

/**
 * Makes the roll-ups of all days anew whose events are there, so that columns that were added to them say what they
 * would had they always been there. Of days whose events are gone, whole or in part, they stay empty. A day of a roll-up
 * is put in place in one step and what is done can be told by what is in it, so a run that was killed goes on where it
 * stopped. Nothing may be inserted meanwhile.
 */
export async function backfillRollups(engine: Engine, log: Log): Promise<void> {
  const rows = await engine.readForWrite<{ day: string }>(
    'SELECT DISTINCT _partition_id AS day FROM events ORDER BY day',
  );
  const days = rows.map((row) => Number(row.day));
  if (days.length === 0) return;
  const counted = await countedDays(engine);
  const split = new Map<Rollup, ReadonlySet<number>>();
  for (const rollup of [engagement, reasons, metricsMinute, metricsHour])
    split.set(rollup, await otherwiseSplitDays(engine, rollup));
  const isDue = (rollup: Rollup, day: number) => !counted.has(day) || split.get(rollup)!.has(day);
  const left = days.filter((day) => [...split.keys()].some((rollup) => isDue(rollup, day)));
  if (left.length === 0) return;
  log.info('the sums of stored days are made anew, for what is new in this version', { days: left.length });
  for (const day of left) {
    await engine.write(`INSERT INTO ${sealedDaysTable.name} (day, sealed) VALUES (${day}, 0)`);
    // As if it had never been looked at, but for how far it was: it is looked at again soon.
    await engine.write(
      `INSERT INTO ${resolvedDaysTable.name} (t, until, made)
       SELECT t, until, toDateTime64(0, 3, 'UTC') FROM ${resolvedDaysTable.name} FINAL WHERE toYYYYMMDD(t) = ${day}`,
    );
    for (const rollup of [engagement, reasons]) {
      if (isDue(rollup, day) && (await isWhole(engine, rollup, day))) await remake(engine, rollup, day);
    }
    if (!(await isWhole(engine, metricsMinute, day))) continue;
    if (isDue(metricsMinute, day)) await remake(engine, metricsMinute, day);
    await remake(engine, metricsHour, day);
  }
}

/** Days that have the counts of version 5: all deliveries are in the histogram of their times. */
async function countedDays(engine: Engine): Promise<Set<number>> {
  const rows = await engine.readForWrite<{ day: number }>(
    `SELECT toYYYYMMDD(t) AS day FROM ${metricsHour.table.name} GROUP BY day
     HAVING sum(delivered_first + delivered_subsequent) > 0
       AND sum(delivered_first + delivered_subsequent) = sum(arraySum(mapValues(delivery_times)))`,
  );
  return new Set(rows.map((row) => row.day));
}

/** Days that a roll-up has whole, by other VMTAs or nodes than the events have. */
async function otherwiseSplitDays(engine: Engine, { table, which }: Rollup): Promise<Set<number>> {
  const split = 'cityHash64(vmta, node)';
  const rows = await engine.readForWrite<{ day: number }>(
    `SELECT day FROM (
       SELECT toYYYYMMDD(ts) AS day, toInt64(count()) AS n, toInt64(sum(${split})) AS h FROM events WHERE ${which} GROUP BY day
       UNION ALL
       SELECT toYYYYMMDD(t) AS day, -toInt64(sum(row_count)) AS n, -toInt64(sum(row_count * ${split})) AS h
       FROM ${table.name} GROUP BY day)
     GROUP BY day HAVING sum(n) = 0 AND sum(h) != 0`,
  );
  return new Set(rows.map((row) => row.day));
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
