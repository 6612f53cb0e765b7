import { drop, makeEmpty } from '../../store/partitions.ts';
import { isMarkedSql, isTrapSql } from '../marks.ts';
import { cohorts, eventSums, facets, mailSums, responses, sums } from '../sums.ts';
import { assignCohorts } from './cohorts.ts';
import { addDays, type Day } from './days.ts';
import type { Place } from './place.ts';
import { inSlice, slicesOf } from './slices.ts';
import { actsTable, eventSumsTable, factsTable, mailsTable, refillTable } from './tables.ts';

/** How long after its injection what a mail draws is counted (SparkPost, Engagement recency). */
const RESPONSE_MS = 48 * 3_600_000;

/** Lives no longer than a refresh, so it need not survive one. */
const partsTable = { ...factsTable, name: 'score_facts_parts', settings: {} };

const columns = ['sid', ...facets].join(', ');

/**
 * What mails of a slice drew, by mail and recipient. An act names its recipient, unless the message went to one
 * recipient only: then it is that one's, whatever address the act gives (reports often disguise it).
 */
function acts(kind: number): string {
  return `(
    SELECT act.m AS m, if(message.low = message.high, message.low, act.r) AS r, act.t AS t
    FROM (
      SELECT m, r, t FROM ${actsTable.name}
      WHERE kind = ${kind} AND day >= {day:Date} AND day <= {last:Date} AND ${inSlice('m')}
      GROUP BY m, r, t HAVING sum(sign) > 0) AS act
    GLOBAL INNER JOIN (
      SELECT m, min(r) AS low, max(r) AS high FROM ${mailsTable.name} WHERE ${inSlice('m')} GROUP BY m) AS message
    ON act.m = message.m)`;
}

/** The sums over mails, in the order of `mailSums`, from rows with `marks`, `cohort` and one flag per response. */
const mailSumsSql = [
  'count()',
  `countIf(${isMarkedSql('openTracking')})`,
  `countIf(${isMarkedSql('clearAddress')})`,
  `countIf(${isMarkedSql('listQuality')})`,
  `countIf(${isTrapSql('recycled')})`,
  `countIf(${isTrapSql('typo')})`,
  `countIf(${isTrapSql('parked')})`,
  ...cohorts.map((_, i) => `countIf(cohort = ${i + 1})`),
  ...responses.flatMap((response) =>
    cohorts.map((_, i) => `countIf(cohort = ${i + 1} AND ${response}_drew)`),
  ),
];

/**
 * Makes the figures of a day anew and puts them in place of those that are there. Reads what was gathered of the open
 * days from `first` on, of which the day is one.
 */
export async function makeFacts(place: Place, first: Day, day: Day): Promise<void> {
  const { background, cluster } = place.engine;
  await assignCohorts(place, first, day);
  await makeEmpty(background, partsTable, cluster);
  const [row] = await background.read<{ n: number }>(`SELECT count() AS n FROM ${mailsTable.name}`);
  const drew = (response: string) =>
    `${response}.t != 0 AND ${response}.t <= mail.t + ${RESPONSE_MS} AS ${response}_drew`;
  const joined = (response: string, i: number) =>
    `GLOBAL ASOF LEFT JOIN ${acts(i + 1)} AS ${response} ON mail.m = ${response}.m AND mail.r = ${response}.r AND ${response}.t >= mail.t`;
  for (const slice of slicesOf(row?.n ?? 0, place.rowsPerSlice)) {
    await background.write(
      `INSERT INTO ${partsTable.name} (day, ${columns}, ${mailSums.join(', ')})
       SELECT {day:Date}, ${columns}, ${mailSumsSql.join(', ')}
       FROM (
         SELECT mail.sid AS sid, ${facets.map((f) => `mail.${f} AS ${f}`).join(', ')},
           mail.marks AS marks, mail.cohort AS cohort, ${responses.map(drew).join(', ')}
         FROM (SELECT * FROM ${mailsTable.name} WHERE ${inSlice('m')}) AS mail
         ${responses.map(joined).join('\n')})
       GROUP BY ${columns}`,
      { day, last: addDays(day, 2), ...slice },
    );
  }
  await drop(background, mailsTable, cluster);
  await background.write(
    `INSERT INTO ${partsTable.name} (day, ${columns}, ${eventSums.join(', ')})
     SELECT day, ${columns}, ${eventSums.join(', ')} FROM ${eventSumsTable.name} WHERE day = {day:Date}`,
    { day },
  );
  await refillTable(place, factsTable, day, (into) =>
    background.write(
      `INSERT INTO ${into} (day, ${columns}, ${sums.join(', ')})
       SELECT {day:Date}, ${columns}, ${sums.map((name) => `sum(${name})`).join(', ')}
       FROM ${partsTable.name} GROUP BY ${columns}
       HAVING ${sums.map((name) => `sum(${name}) != 0`).join(' OR ')}`,
      { day },
    ),
  );
  await drop(background, partsTable, cluster);
}
