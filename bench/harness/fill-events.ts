/**
 * Fills the event store with made-up traffic, made by the engine itself so that 100 million events take minutes: events
 * in large blocks, a day at a time; then each roll-up of each day by the statement that its view runs at an insert.
 *
 * A sender of 300 campaigns, 20 subaccounts, 20 pools of two addresses each; recipients in 50,000 domains, of which
 * the largest nine have 80 %. About 3 events a message: injection, delivery or bounce, delays, opens, clicks and the rest.
 */
import type { Table } from '../../src/signals/store/ddl.ts';
import type { Engine, Parameters } from '../../src/signals/store/engine.ts';
import { rollups } from '../../src/signals/store/tables/metrics.ts';

export interface EventFill {
  readonly events: number;
  /** Days that they are spread over, evenly; the last is that of `now`. */
  readonly days: number;
  /** Milliseconds since the epoch; nothing is of after it. */
  readonly now: number;
  /** Days, the latest ones, whose single events are stored; of the others there are the roll-ups, as in practice. */
  readonly eventDays: number;
}

export const EVENTS_PER_MESSAGE = 2.85;
const DAY = 86_400_000;
/** Blocks as large as memory allows: each becomes a part, and parts have to be merged. */
const INSERT_SETTINGS =
  'max_threads = 2, max_insert_threads = 2, max_block_size = 16384, min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 2000000000';

const heads = [
  ['gmail.com', 34, 'Gmail', 'Global'],
  ['yahoo.com', 10, 'Yahoo', 'Global'],
  ['hotmail.com', 9, 'Hotmail / Outlook', 'Global'],
  ['outlook.com', 8, 'Hotmail / Outlook', 'Global'],
  ['icloud.com', 6, 'Apple', 'Global'],
  ['gmx.de', 4, 'GMX', 'Europe - Germany'],
  ['web.de', 4, 'WEB.DE', 'Europe - Germany'],
  ['aol.com', 3, 'Yahoo', 'Global'],
  ['comcast.net', 2, 'Comcast', 'North America - USA'],
] as const;

/** SQL text of a choice among the large domains by `draw` (0…99), else `otherwise`. */
function head(pick: 0 | 2 | 3, otherwise: string): string {
  let below = 0;
  const cases = heads.map((h) => {
    below += h[1];
    return `draw < ${below}, '${h[pick]}'`;
  });
  return `multiIf(${cases.join(', ')}, ${otherwise})`;
}

/** Columns that are filled, but for `data`; others have what the table gives them. */
const columns = `ts, event_id, type, batch_id, sign, version, orphan, subaccount_id, campaign_id, template_id, recipient_domain,
    sending_domain, sending_ip, ip_pool, mailbox_provider, mailbox_provider_region, vmta, node, message_id, transmission_id,
    rcpt_to, raw_rcpt_to, rcpt_hash, routing_domain, friendly_from, subject, ab_test_id, ab_test_version, bounce_class,
    bounce_category, reason, raw_reason, link_name, num_retries, queue_time, msg_size, prefetched, outbound_tls`;

/** Rows of `events` of `{count:UInt64}` messages from number `{first:UInt64}` on, spread over a day from `{day:Int64}` (ms). */
function rows(): string {
  return `
SELECT ${columns},
  concat('{"type":"', type, '","event_id":"', event_id, '","timestamp":"', formatDateTime(ts, '%Y-%m-%dT%H:%i:%S'),
    '.000Z","customer_id":1,"message_id":"', message_id, '","subaccount_id":', toString(subaccount_id),
    ',"campaign_id":"', campaign_id, '","template_id":"', template_id, '","transmission_id":"', transmission_id,
    '","rcpt_to":"', rcpt_to, '","raw_rcpt_to":"', rcpt_to, '","recipient_domain":"', recipient_domain,
    '","routing_domain":"', recipient_domain, '","sending_domain":"', sending_domain, '","friendly_from":"', friendly_from,
    '","msg_from":"bounce@', sending_domain, '","sending_ip":"', sending_ip, '","ip_pool":"', ip_pool,
    '","subject":"', subject, '","msg_size":"', toString(msg_size), '","recv_method":"esmtp","open_tracking":true,"click_tracking":true',
    multiIf(type = 'delivery', concat(',"queue_time":"', toString(queue_time), '","num_retries":"', toString(num_retries), '","delv_method":"esmtp","ip_address":"203.0.113.', toString(h % 250), '"'),
      type IN ('bounce', 'delay'), concat(',"bounce_class":"', toString(bounce_class), '","reason":"', reason, '","raw_reason":"', raw_reason, '","error_code":"550"'),
      type = 'click', concat(',"target_link_url":"', link_name, '","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"'),
      type IN ('open', 'initial_open'), ',"user_agent":"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)","geo_ip":{"country":"US","region":"CA","city":"Mountain View","latitude":37.4,"longitude":-122.1}', ''),
    ',"mailbox_provider":"', mailbox_provider, '","mailbox_provider_region":"', mailbox_provider_region, '"}') AS data
FROM (
  SELECT n, cityHash64(n) AS h, number AS k0, e.1 AS type, e.2 AS delay, e.3 AS k,
    fromUnixTimestamp64Milli({day:Int64} + toInt64(intDiv(number * 86400, {per_day:UInt64}) * 1000) + delay * 1000, 'UTC') AS ts,
    toString(bitShiftRight(cityHash64(n, type, k), 1)) AS event_id,
    concat('fill-', toString(intDiv(n, 20000))) AS batch_id,
    toInt8(1) AS sign, toUInt8(1) AS version, toUInt8(0) AS orphan,
    (day_number * 11 + intDiv(number * 24, {per_day:UInt64}) + h % 20) % 300 AS campaign,
    campaign % 20 AS subaccount_id,
    concat('campaign-', toString(campaign)) AS campaign_id, concat('template-', toString(campaign % 60)) AS template_id,
    intDiv(h, 1000) % 100 AS draw,
    ${head(0, "concat('d', toString(toUInt32(50000 * pow((intDiv(h, 100000) % 1000000) / 1000000., 2.5))), '.example')")} AS recipient_domain,
    ${head(2, "''")} AS mailbox_provider, ${head(3, "''")} AS mailbox_provider_region,
    concat('mail', toString(subaccount_id), '.brand.example') AS sending_domain,
    concat('192.0.2.', toString(subaccount_id * 2 + intDiv(h, 7) % 2)) AS sending_ip,
    concat('pool-', toString(subaccount_id)) AS ip_pool,
    concat('vmta-', toString(subaccount_id * 2 + intDiv(h, 7) % 2)) AS vmta,
    concat('mta', toString((subaccount_id * 2 + intDiv(h, 7) % 2) % 3), '.brand.example') AS node,
    concat('0000', lower(leftPad(hex(bitShiftRight(h, 8)), 16, '0'))) AS message_id,
    toString(6000000000000000 + campaign * 100 + day_number) AS transmission_id,
    concat('user', toString(intDiv(h, 13) % 20000000), '@', recipient_domain) AS rcpt_to, '' AS raw_rcpt_to, '' AS rcpt_hash,
    recipient_domain AS routing_domain, concat('news@', sending_domain) AS friendly_from,
    concat('The news of campaign ', toString(campaign), ' for day ', toString(day_number)) AS subject,
    '' AS ab_test_id, '' AS ab_test_version,
    multiIf(type = 'bounce', [10, 10, 10, 30, 22, 51, 52, 1][h % 8 + 1], type = 'delay', [20, 22, 23, 40, 52][h % 5 + 1], type = 'out_of_band', 10, 0) AS bounce_class,
    multiIf(type NOT IN ('bounce', 'out_of_band', 'delay'), '', bounce_class IN (10, 30), 'Hard', bounce_class IN (51, 52), 'Block', bounce_class = 1, 'Undetermined', 'Soft') AS bounce_category,
    multiIf(type IN ('bounce', 'delay'), concat('550 5.1.', toString(bounce_class), ' ', recipient_domain, ' reply number ', toString(intDiv(h, 17) % 300), if(h % 10 = 0, concat(' queue id ', hex(h)), '')), '') AS reason,
    reason AS raw_reason,
    if(type = 'click', concat('https://brand.example/offer/', toString(campaign), '/', toString(intDiv(h, 19) % 12)), '') AS link_name,
    if(type = 'delivery' AND h % 20 = 0, 1 + h % 3, 0) AS num_retries,
    if(type = 'delivery', 200 + h % 9000, 0) AS queue_time, 20000 + h % 60000 AS msg_size,
    toUInt8(type IN ('open', 'initial_open', 'click') AND h % 3 = 0) AS prefetched,
    toUInt8(type = 'delivery' AND h % 50 > 0) AS outbound_tls
  FROM (SELECT {first:UInt64} + number AS n, number, {day_number:UInt64} AS day_number, cityHash64(n) AS h0 FROM numbers({count:UInt64}))
  ARRAY JOIN arrayFilter(x -> x.4, [
    ('injection', toUInt64(0), 0, toUInt8(1)),
    ('delay', 2, 0, toUInt8(h0 % 100 < 7)), ('delay', 300, 1, toUInt8(h0 % 100 < 2)),
    ('delivery', 3 + h0 % 30, 0, toUInt8(h0 % 100 < 96)), ('bounce', 3, 0, toUInt8(h0 % 100 >= 96)),
    ('out_of_band', 900, 0, toUInt8(h0 % 500 = 1)),
    ('initial_open', 600 + h0 % 40000, 0, toUInt8(h0 % 100 < 24)), ('open', 605 + h0 % 40000, 0, toUInt8(h0 % 100 < 22)),
    ('open', 9000 + h0 % 90000, 1, toUInt8(h0 % 100 < 9)), ('open', 20000 + h0 % 100000, 2, toUInt8(h0 % 100 < 5)),
    ('initial_open', 9000 + h0 % 90000, 1, toUInt8(h0 % 100 < 9)),
    ('click', 700 + h0 % 40000, 0, toUInt8(h0 % 100 < 5)), ('click', 900 + h0 % 40000, 1, toUInt8(h0 % 100 < 2)),
    ('list_unsubscribe', 1000, 0, toUInt8(h0 % 1000 < 3)), ('spam_complaint', 3000, 0, toUInt8(h0 % 2000 = 5))]) AS e
) WHERE ts < fromUnixTimestamp64Milli({now:Int64}, 'UTC')`;
}

/** The beginnings of the UTC days, in order. */
export function daysOf(fill: EventFill): number[] {
  const today = Math.floor(fill.now / DAY) * DAY;
  return Array.from({ length: fill.days }, (_, i) => today - (fill.days - 1 - i) * DAY);
}

/** Fills the `i`th day with events; the views must not be there. Returns about how many. */
export async function fillDay(engine: Engine, fill: EventFill, i: number): Promise<number> {
  const perDay = Math.ceil(fill.events / EVENTS_PER_MESSAGE / fill.days);
  const day = daysOf(fill)[i]!;
  // Today is filled as far as the clock has come.
  const count = Math.min(perDay, Math.floor((perDay * (fill.now - day)) / DAY));
  await engine.write(`INSERT INTO events (${columns}, data) ${rows()} SETTINGS ${INSERT_SETTINGS}`, {
    first: i * perDay,
    count,
    per_day: perDay,
    day,
    day_number: i + 1,
    now: fill.now,
  });
  return Math.round(count * EVENTS_PER_MESSAGE);
}

/** Fills the roll-ups of a day that has all its events. */
export async function fillRollups(engine: Engine, day: number): Promise<void> {
  for (const { table, from, time, select } of rollups) {
    await copy(engine, table, select(from, `toYYYYMMDD(${time}) = {day:UInt32}`), { day: partitionOf(day) });
  }
}

/** Fills the roll-ups of a day with those of another. */
export async function repeatRollups(engine: Engine, day: number, of: number): Promise<void> {
  for (const { table } of rollups) {
    const rows = `SELECT * REPLACE (toDateTime(toInt64(toUnixTimestamp(t)) + {shift:Int64}, 'UTC') AS t) FROM (
      SELECT * FROM ${table.name} WHERE toYYYYMMDD(t) = {day:UInt32})`;
    await copy(engine, table, rows, { day: partitionOf(of), shift: (day - of) / 1000 });
  }
}

const partitionOf = (day: number) => Number(new Date(day).toISOString().slice(0, 10).replaceAll('-', ''));

async function copy(engine: Engine, to: Table, rows: string, parameters: Parameters): Promise<void> {
  const names = Object.keys(to.columns).join(', ');
  await engine.write(
    `INSERT INTO ${to.name} (${names}) SELECT ${names} FROM (${rows}) SETTINGS ${INSERT_SETTINGS}`,
    parameters,
  );
}
