import { createHash } from 'node:crypto';
import { recipientHash } from '../ingest/normalise.ts';
import { badParameter } from '../request-error.ts';
import type { Engine } from '../store/engine.ts';
import { Conditions } from './conditions.ts';
import { cursorOf, eventWindow, integerOf, listOf, nextLink, numbersOf, type Query } from './parameters.ts';
import { pageNumber, perPage as perPageBounds, searchableEvents } from './search-parameters.ts';

/** A page of events; `events` are JSON texts, ready to be joined into the answer. */
export interface Page {
  readonly events: readonly string[];
  readonly totalCount: number;
  /** Path-absolute address of the next page; `null` on the last. */
  readonly next: string | null;
}

const exactLists: readonly (readonly [parameter: string, column: string])[] = [
  ['event_ids', 'event_id'],
  ['messages', 'message_id'],
  ['transmissions', 'transmission_id'],
  ['sending_ips', 'sending_ip'],
  ['ab_test_versions', 'ab_test_version'],
];

const keywordLists: readonly (readonly [parameter: string, columns: readonly string[], periods: boolean])[] =
  [
    ['recipient_domains', ['recipient_domain'], true],
    ['sending_domains', ['sending_domain'], true],
    ['subjects', ['subject'], false],
    ['reasons', ['reason', 'raw_reason'], false],
    ['campaigns', ['campaign_id'], false],
    ['templates', ['template_id'], false],
    ['ip_pools', ['ip_pool'], false],
    ['mailbox_providers', ['mailbox_provider'], false],
    ['mailbox_provider_regions', ['mailbox_provider_region'], false],
    ['ab_tests', ['ab_test_id'], false],
  ];

const searchable = new Set(searchableEvents);

/** What a key of a subaccount may see is added by the caller as `onlySubaccount`. */
function conditionsOf(query: Query, onlySubaccount: number): Conditions {
  const conditions = new Conditions();
  if (onlySubaccount > 0) conditions.numberIn('subaccount_id', [onlySubaccount]);
  const events = listOf(query, 'events');
  if (events) {
    const unknown = events.find((e) => !searchable.has(e));
    if (unknown !== undefined) {
      throw badParameter('events', `has an event that does not exist: ${unknown.slice(0, 64)}`);
    }
    conditions.in('type', events);
  } else conditions.in('type', [...searchable]); // traffic-shaping notices are taken but never shown
  for (const [parameter, column] of exactLists) {
    const values = listOf(query, parameter);
    if (values) conditions.in(column, values);
  }
  if (query.has('ab_test_versions') && !query.has('ab_tests')) {
    throw badParameter('ab_test_versions', "needs 'ab_tests'");
  }
  const senders = listOf(query, 'from_addresses');
  if (senders) {
    conditions.add(
      `lowerUTF8(friendly_from) IN ${conditions.bind(
        'Array(String)',
        senders.map((s) => s.toLowerCase()),
      )}`,
    );
  }
  for (const [parameter, columns, periods] of keywordLists) {
    const values = listOf(query, parameter);
    if (values) conditions.keywords(columns, values, periods);
  }
  for (const [parameter, column] of [
    ['bounce_classes', 'bounce_class'],
    ['subaccounts', 'subaccount_id'],
  ] as const) {
    const values = numbersOf(query, parameter);
    if (values) conditions.numberIn(column, values);
  }
  const recipients = listOf(query, 'recipients');
  if (recipients) {
    const addresses = recipients.map((r) => r.toLowerCase());
    const hashes = recipients.map(
      (r) => recipientHash(r) || createHash('sha1').update(r.toLowerCase()).digest('hex'),
    );
    const list = conditions.bind('Array(String)', addresses);
    conditions.add(
      `(rcpt_to IN ${list} OR raw_rcpt_to IN ${list} OR rcpt_hash IN ${conditions.bind('Array(String)', hashes)})`,
    );
  }
  return conditions;
}

/**
 * `GET /v1/events/message` (SparkPost API documentation, Events): newest first, values of one parameter joined by OR,
 * parameters by AND. Throws `RequestError`.
 */
export async function searchMessages(
  engine: Engine,
  path: string,
  query: Query,
  now: number,
  onlySubaccount = 0,
): Promise<Page> {
  const perPage = integerOf(query, 'per_page', perPageBounds);
  const page = integerOf(query, 'page', pageNumber);
  const cursor = cursorOf(query);
  const window = eventWindow(query, now);
  if (!cursor && page > 1 && page * perPage > 10_000) {
    throw badParameter('page', 'reaches only the first 10000 events; use the cursor of links.next');
  }
  const offset = cursor ? 0 : (page - 1) * perPage;

  const counting = conditionsOf(query, onlySubaccount);
  counting.within('ts', window.from, window.to);
  const paging = conditionsOf(query, onlySubaccount);
  paging.within('ts', window.from, cursor ? Math.min(window.to, cursor.ts + 1) : window.to);
  if (cursor) {
    paging.add(
      `(ts, event_id) < (fromUnixTimestamp64Milli(${paging.bind('Int64', cursor.ts)}, 'UTC'), ${paging.bind('String', cursor.id)})`,
    );
  }
  paging.add('sign = 1');
  // First the keys alone, in the order of the table, so that the engine stops early and reads no event's text. Of an
  // event enriched later there are two rows, never more.
  const [counted, keys] = await Promise.all([
    engine.read<{ n: number }>(
      `SELECT sum(toInt64(sign)) AS n FROM events ${counting.where}`,
      counting.parameters,
    ),
    engine.read<Key>(
      `SELECT toUnixTimestamp64Milli(ts) AS ms, event_id FROM events ${paging.where}
       ORDER BY ts DESC, event_id DESC LIMIT ${2 * (offset + perPage + 1)}`,
      paging.parameters,
    ),
  ]);
  const distinct = keys.filter(
    (k, i) => i === 0 || k.event_id !== keys[i - 1]!.event_id || k.ms !== keys[i - 1]!.ms,
  );
  const first = distinct[offset];
  const last = distinct[Math.min(offset + perPage, distinct.length) - 1];
  if (!first || !last) return { events: [], totalCount: counted[0]?.n ?? 0, next: null };
  const text = conditionsOf(query, onlySubaccount);
  text.within('ts', last.ms, first.ms + 1);
  text.add('sign = 1');
  const key = (k: Key) =>
    `(fromUnixTimestamp64Milli(${text.bind('Int64', k.ms)}, 'UTC'), ${text.bind('String', k.event_id)})`;
  text.add(`(ts, event_id) <= ${key(first)}`);
  text.add(`(ts, event_id) >= ${key(last)}`);
  const rows = await engine.read<{ data: string }>(
    `SELECT data FROM events ${text.where}
     ORDER BY ts DESC, event_id DESC, version DESC LIMIT 1 BY ts, event_id`,
    text.parameters,
  );
  const hasMore = distinct.length > offset + perPage;
  return {
    events: rows.map((row) => row.data),
    totalCount: counted[0]?.n ?? 0,
    next: hasMore ? nextLink(path, query, { ts: last.ms, id: last.event_id }, window) : null,
  };
}

interface Key {
  readonly ms: number;
  readonly event_id: string;
}
