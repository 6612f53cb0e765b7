import { makeEmpty } from '../../store/partitions.ts';
import { cohorts } from '../sums.ts';
import type { Day } from './days.ts';
import type { Place } from './place.ts';
import { inSlice, slicesOf } from './slices.ts';
import { mailsTable, recipientsTable, touchesTable, touchKind } from './tables.ts';

const DAY = 86_400_000;
/** Stands for "not yet" where the earliest time counts. */
export const NEVER = '9223372036854775807';

/** Number of a cohort in the column `cohort`; 0: the recipient is not known, so there is none. */
const numberOf = (cohort: (typeof cohorts)[number]) => 1 + cohorts.indexOf(cohort);

/** Engagements of a recipient, each instant once, without those that were taken back. */
export function engagementSql(where: string): string {
  return `SELECT day, r, sid, t FROM ${touchesTable.name}
    WHERE kind = ${touchKind.engagement} AND ${where} GROUP BY day, r, sid, t HAVING sum(sign) > 0`;
}

/**
 * Puts the mails of a day into a table of their own, each with the cohort that its recipient was in at the time of the
 * injection, by what is known of recipients from the closed days and from the open days `first` … `day`.
 *
 * An engagement at or before the injection counts. Only two instants of a recipient matter: the last engagement before
 * the day, and the first on it; if that is not after the injection, the last one is less than a day ago.
 */
export async function assignCohorts(place: Place, first: Day, day: Day): Promise<void> {
  const { background } = place.engine;
  await makeEmpty(background, mailsTable, place.engine.cluster);
  const [row] = await background.read<{ n: number }>(
    `SELECT count() AS n FROM ${touchesTable.name} WHERE day = {day:Date}`,
    { day },
  );
  const within = `day >= {first:Date} AND day <= {day:Date} AND ${inSlice('r')}`;
  const facets = 'campaign_id, ip_pool, mb_provider, sending_domain';
  for (const slice of slicesOf(row?.n ?? 0, place.rowsPerSlice)) {
    await background.write(
      `INSERT INTO ${mailsTable.name} (m, r, t, sid, ${facets}, marks, cohort)
       SELECT m, r, t, sid, ${facets}, marks, multiIf(
         r = 0, 0,
         first_today <= t, ${numberOf('14d')},
         last_engaged = 0, if(t - first_sent <= ${7 * DAY}, ${numberOf('new')}, ${numberOf('uneng')}),
         t - last_engaged <= ${14 * DAY}, ${numberOf('14d')},
         t - last_engaged <= ${90 * DAY}, ${numberOf('90d')},
         t - last_engaged <= ${365 * DAY}, ${numberOf('365d')},
         ${numberOf('uneng')})
       FROM (
         SELECT m, r, t, sid, ${facets}, marks FROM ${touchesTable.name}
         WHERE day = {day:Date} AND kind = ${touchKind.mail} AND ${inSlice('r')}) AS mail
       GLOBAL ANY LEFT JOIN (
         SELECT r, sid, min(sent) AS first_sent, max(engaged) AS last_engaged, min(today) AS first_today
         FROM (
           SELECT r, sid, first_sent AS sent, last_engaged AS engaged, ${NEVER} AS today
           FROM ${recipientsTable.name} WHERE ${inSlice('r')}
           UNION ALL
           SELECT r, sid, t, 0, ${NEVER} FROM ${touchesTable.name} WHERE kind = ${touchKind.mail} AND ${within}
           UNION ALL
           SELECT r, sid, ${NEVER}, if(day < {day:Date}, t, 0), if(day < {day:Date}, ${NEVER}, t)
           FROM (${engagementSql(within)}))
         WHERE (r, sid) GLOBAL IN (
           SELECT r, sid FROM ${touchesTable.name}
           WHERE day = {day:Date} AND kind = ${touchKind.mail} AND ${inSlice('r')})
         GROUP BY r, sid) AS known USING (r, sid)`,
      { first, day, ...slice },
    );
  }
}
