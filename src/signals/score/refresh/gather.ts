import { recipientNumber } from '../../store/tables/events.ts';
import { isMarkedSql } from '../marks.ts';
import { addDays, type Day, startOf } from './days.ts';
import type { Place } from './place.ts';
import { inSlice, slicesOf } from './slices.ts';
import { actsTable, eventSumsTable, refillTable, touchesTable, touchKind } from './tables.ts';

const MAIL = 'cityHash64(subaccount_id, message_id)';
const FACETS = 'campaign_id, ip_pool, mailbox_provider, sending_domain';
const OPENS = `'open', 'amp_open', 'initial_open', 'amp_initial_open'`;
const CLICKS = `'click', 'amp_click'`;
const UNSUBSCRIBES = `'list_unsubscribe', 'link_unsubscribe'`;
const BOUNCES = `'bounce', 'out_of_band'`;

/** A machine that fetches an image before anybody opens the mail, or follows its links to look for harm, is nobody. */
const ENGAGEMENT = `(type IN (${OPENS}, ${CLICKS}) AND prefetched = 0)`;

const OF_DAY = `ts >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({end:Int64}, 'UTC')`;

/**
 * Takes from the events of one day what the scores need of it, in place of what was taken before: touches, acts and
 * the sums over the day's own events. Reads the raw events of that day, and nothing else.
 */
export async function gather(place: Place, day: Day): Promise<void> {
  const scope = { day, start: startOf(day), end: startOf(addDays(day, 1)) };
  const { background } = place.engine;
  await refillTable(place, touchesTable, day, (into) =>
    background.write(
      `INSERT INTO ${into} (day, r, sid, t, kind, sign, m, campaign_id, ip_pool, mb_provider, sending_domain, marks)
       SELECT {day:Date}, ${recipientNumber} AS r, subaccount_id, toUnixTimestamp64Milli(ts),
         if(type = 'injection', ${touchKind.mail}, ${touchKind.engagement}) AS kind, sign, ${MAIL}, ${FACETS}, marks
       FROM events
       WHERE ${OF_DAY} AND (type = 'injection' OR (${ENGAGEMENT} AND (rcpt_to != '' OR rcpt_hash != '')))`,
      scope,
    ),
  );
  await refillTable(place, actsTable, day, (into) =>
    background.write(
      `INSERT INTO ${into} (day, m, r, t, kind, sign)
       SELECT {day:Date}, ${MAIL}, ${recipientNumber}, toUnixTimestamp64Milli(ts),
         multiIf(type IN (${UNSUBSCRIBES}), 2, type = 'spam_complaint', 3, 1), sign
       FROM events
       WHERE ${OF_DAY} AND message_id != '' AND (type IN (${UNSUBSCRIBES}, 'spam_complaint') OR ${ENGAGEMENT})`,
      scope,
    ),
  );
  await refillTable(place, eventSumsTable, day, async (into) => {
    const columns = 'day, sid, campaign_id, ip_pool, mb_provider, sending_domain';
    const bounces = (which: string) => `sum(sign * (type IN (${BOUNCES}) AND bounce_category ${which}))`;
    await background.write(
      `INSERT INTO ${into} (${columns}, hard_bounces, block_bounces, other_bounces, complaints, unsubscribes, suppressed)
       SELECT {day:Date}, subaccount_id, ${FACETS},
         ${bounces("= 'Hard'")}, ${bounces("= 'Block'")}, ${bounces("NOT IN ('Hard', 'Block')")},
         sum(sign * (type = 'spam_complaint')), sum(sign * (type IN (${UNSUBSCRIBES}))),
         sum(sign * (${isMarkedSql('suppressed')}))
       FROM events
       WHERE ${OF_DAY} AND type IN (${BOUNCES}, ${UNSUBSCRIBES}, 'spam_complaint', 'policy_rejection', 'generation_rejection')
       GROUP BY subaccount_id, ${FACETS}`,
      scope,
    );
    // A mail counts once however often it was delayed; in slices, because the mails are counted by remembering them.
    const [row] = await background.read<{ n: number }>(
      `SELECT count() AS n FROM events WHERE ${OF_DAY} AND type = 'delay'`,
      scope,
    );
    if (!row || row.n === 0) return;
    for (const slice of slicesOf(row.n, place.rowsPerSlice)) {
      await background.write(
        `INSERT INTO ${into} (${columns}, delayed)
         SELECT {day:Date}, subaccount_id, ${FACETS}, uniqExact(${MAIL}, ${recipientNumber})
         FROM events WHERE ${OF_DAY} AND type = 'delay' AND ${inSlice(MAIL)}
         GROUP BY subaccount_id, ${FACETS}`,
        { ...scope, ...slice },
      );
    }
  });
}
