import { createHash } from 'node:crypto';
import { recipientHash } from '../ingest/normalise.ts';
import { valuesSeen } from '../metrics/lists.ts';
import { badParameter } from '../request-error.ts';
import type { Engine } from '../store/engine.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Span } from '../store/spans.ts';
import { dimensions } from '../store/tables/dimensions.ts';
import { recipientForms } from '../store/tables/events.ts';
import { Conditions } from './conditions.ts';
import {
  type Cursor,
  cursorOf,
  eventWindow,
  integerOf,
  listOf,
  nextLink,
  numbersOf,
  type Query,
} from './parameters.ts';
import { pageNumber, perPage as perPageBounds, searchableEvents } from './search-parameters.ts';

/** A page of events; `events` are JSON texts, ready to be joined into the answer. */
export interface Page {
  readonly events: readonly string[];
  readonly totalCount: number;
  /** Path-absolute address of the next page; `null` on the last. */
  readonly next: string | null;
}

const DAY = 86_400_000;

/** Patterns of words to look for, of all parameters and in each column that they may stand in. */
const MOST_PATTERNS = 3000;

/** Events that pages by number reach. */
const FARTHEST = 10_000;

const exactLists: readonly (readonly [parameter: string, column: string])[] = [
  ['event_ids', 'event_id'],
  ['messages', 'message_id'],
  ['transmissions', 'transmission_id'],
  ['sending_ips', 'sending_ip'],
  ['vmtas', 'vmta'],
  ['nodes', 'node'],
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

/** Parameter → all values of its column that are asked for, where the words were looked up before. */
type Values = ReadonlyMap<string, readonly string[]>;

/** What a key of a subaccount may see is added by the caller as `onlySubaccount`. */
function conditionsOf(query: Query, onlySubaccount: number, known: Values): Conditions {
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
  const senders = listOf(query, 'from_addresses')?.map(unblanked);
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
    if (!values) continue;
    const equal = known.get(parameter);
    if (equal) conditions.in(columns[0]!, equal);
    else conditions.keywords(columns, values, periods);
    if (conditions.patterns > MOST_PATTERNS) throw badParameter(parameter, 'asks for too many words');
  }
  for (const [parameter, column] of [
    ['bounce_classes', 'bounce_class'],
    ['subaccounts', 'subaccount_id'],
  ] as const) {
    const values = numbersOf(query, parameter);
    if (values) conditions.numberIn(column, values);
  }
  // Events without a class are stored with 0, which is no class.
  if (query.has('bounce_classes')) conditions.add('bounce_class != 0');
  const recipients = listOf(query, 'recipients')?.map(unblanked);
  if (recipients) {
    const addresses = recipients.map((r) => r.toLowerCase());
    const hashes = recipients.map(
      (r) => recipientHash(r) || createHash('sha1').update(r.toLowerCase()).digest('hex'),
    );
    // As the index has it (tables/events.ts): an address is no hash, so one list will do for all three.
    conditions.add(
      `hasAny(${recipientForms}, ${conditions.bind('Array(String)', [...addresses, ...hashes])})`,
    );
  }
  return conditions;
}

/** An address (or its hash) as it was meant: a blank in it is a `+` that was not encoded, unless its local part is quoted. */
function unblanked(address: string): string {
  return address.includes('"') ? address : address.replaceAll(' ', '+');
}

/** Values that a search for words may be turned into; beyond, the words are looked for in every event. */
const MOST_VALUES = 1000;

/**
 * Of each parameter that asks a dimension for words: the dimension's values in the window that have them. There are far
 * fewer values than events, and an index knows where a domain stands. Those that nobody can tell are left out.
 */
async function valuesAsked(store: EventStore, query: Query, window: Span): Promise<Values> {
  const found = new Map<string, readonly string[]>();
  // Events of a day whose sums are gone have values that nobody remembers.
  if (!store.hasSumsOfAllEvents) return found;
  for (const [parameter, [column], periods] of keywordLists) {
    const words = listOf(query, parameter);
    const dimension = dimensions.find((name) => name === column);
    if (!words || !dimension) continue;
    const conditions = new Conditions();
    conditions.keywords([dimension], words, periods);
    const values = await valuesSeen(store, dimension, window, conditions, MOST_VALUES + 1);
    if (values.length <= MOST_VALUES) found.set(parameter, values);
  }
  return found;
}

/**
 * `GET /v1/events/message` (SparkPost API documentation, Events): newest first, values of one parameter joined by OR,
 * parameters by AND. Throws `RequestError`.
 */
export async function searchMessages(
  store: EventStore,
  path: string,
  query: Query,
  now: number,
  onlySubaccount = 0,
): Promise<Page> {
  const { engine } = store;
  const perPage = integerOf(query, 'per_page', perPageBounds);
  const page = integerOf(query, 'page', pageNumber);
  const cursor = cursorOf(query);
  const window = eventWindow(query, now);
  if (!cursor && page > 1 && page * perPage > FARTHEST) {
    throw badParameter('page', `reaches only the first ${FARTHEST} events; use the cursor of links.next`);
  }
  // Before anything is read: what is asked wrongly is refused.
  conditionsOf(query, onlySubaccount, new Map());
  // Before or after all times that can be stored.
  if (window.from >= window.to) return { events: [], totalCount: 0, next: null };
  const known = await valuesAsked(store, query, window);
  const scope = () => conditionsOf(query, onlySubaccount, known);
  const skip = cursor ? 0 : (page - 1) * perPage;
  const wanted = skip + perPage + 1;
  let totalCount = cursor?.total;
  let within = window;
  if (totalCount === undefined) {
    const days = await countByDay(engine, scope(), window);
    totalCount = days.reduce((sum, day) => sum + day.n, 0);
    within = daysOfFirst(days, wanted, window);
  }
  const keys = await keysAfter(engine, scope, within, cursor, wanted);
  const wholePage = keys.slice(skip, skip + perPage);
  const shown = fitting(wholePage);
  const last = shown.at(-1);
  if (!last) return { events: [], totalCount, next: null };
  if (shown.length < wholePage.length && !cursor && query.has('page')) {
    throw badParameter(
      'per_page',
      'makes a page too large to be numbered; ask for fewer or go by links.next',
    );
  }
  const hasMore = keys.length > skip + shown.length;
  return {
    events: await textsOf(engine, scope, shown),
    totalCount,
    next: hasMore
      ? nextLink(path, query, perPage, { ts: last.ms, id: last.event_id, total: totalCount }, window)
      : null,
  };
}

interface Key {
  readonly ms: number;
  readonly event_id: string;
}

/** A key with the bytes of its event's text. */
interface SizedKey extends Key {
  readonly size: number;
}

/** Bytes of a page; one that would be longer ends before it has all the events that were asked for. */
const LONGEST_PAGE = 64 * 2 ** 20;

/** The first of these whose texts make a page that can be held in memory; one at least. */
function fitting(keys: readonly SizedKey[]): readonly SizedKey[] {
  let bytes = 0;
  const end = keys.findIndex((key, i) => {
    bytes += key.size;
    return i > 0 && bytes > LONGEST_PAGE;
  });
  return end < 0 ? keys : keys.slice(0, end);
}

interface DayCount {
  /** Beginning of the UTC day, milliseconds. */
  readonly day: number;
  readonly n: number;
}

/** Days that are counted by a select of their own each; of more days the engine groups the events. */
const MOST_SELECTS = 40;
/** The same for patterns in all selects together: the engine reads a statement no faster than its rows. */
const MOST_REPEATED_PATTERNS = 1000;

/**
 * Events of each day that has some. Days that lie in the window as a whole are told by their partition, so that no
 * event's time is read, and counted one by one, which costs half of what grouping does.
 */
async function countByDay(engine: Engine, conditions: Conditions, window: Span): Promise<DayCount[]> {
  const first = Math.ceil(window.from / DAY) * DAY;
  const last = Math.max(first, Math.floor(window.to / DAY) * DAY);
  const all = conditions.all;
  const selects: string[] = [];
  const count = (day: string, where: string, groupBy = '') =>
    selects.push(
      `SELECT ${day} AS day, sum(toInt64(sign)) AS n FROM events WHERE ${where} AND ${all}${groupBy}`,
    );
  const partition = (ms: number) =>
    conditions.bind('String', new Date(ms).toISOString().slice(0, 10).replaceAll('-', ''));
  const days = (last - first) / DAY;
  if (days > MOST_SELECTS || days * conditions.patterns > MOST_REPEATED_PATTERNS) {
    const whole = `_partition_id >= ${partition(first)} AND _partition_id < ${partition(last)}`;
    count('_partition_id', whole, ' GROUP BY day');
  } else {
    for (let day = first; day < last; day += DAY) {
      const name = partition(day);
      count(name, `_partition_id = ${name}`);
    }
  }
  const edges =
    first < window.to
      ? [
          { from: window.from, to: first },
          { from: last, to: window.to },
        ]
      : [window];
  for (const { from, to } of edges) {
    if (from < to) count(partition(from), conditions.withinText('ts', from, to));
  }
  const rows = await engine.read<{ day: string; n: number }>(
    selects.join(' UNION ALL '),
    conditions.parameters,
  );
  return rows.map(({ day, n }) => ({
    day: Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6, 8))),
    n,
  }));
}

/** The part of the window that its first so many events are in. */
function daysOfFirst(days: readonly DayCount[], wanted: number, window: Span): Span {
  const found = days.filter((day) => day.n > 0).sort((a, b) => b.day - a.day);
  let sum = 0;
  const last =
    found.find((day) => {
      sum += day.n;
      return sum >= wanted;
    }) ?? found.at(-1);
  if (!last) return { from: window.from, to: window.from };
  return { from: Math.max(window.from, last.day), to: Math.min(window.to, found[0]!.day + DAY) };
}

/**
 * Keys of the first events after a place, in the order of the table, so that the engine stops early and reads no
 * event's text, of which it knows the length without. Of an event that was enriched later there are three rows: as it
 * was, that taken back, as it is. Those that match cancel out unless the event as it is matches.
 */
async function keysAfter(
  engine: Engine,
  scope: () => Conditions,
  window: Span,
  cursor: Cursor | null,
  wanted: number,
): Promise<SizedKey[]> {
  const keys: SizedKey[] = [];
  if (window.from >= window.to) return keys;
  let after = cursor;
  while (keys.length < wanted) {
    const limit = 3 * (wanted - keys.length) + 3;
    const conditions = scope();
    conditions.within('ts', window.from, after ? Math.min(window.to, after.ts + 1) : window.to);
    if (after) conditions.add(`(ts, event_id) < ${place(conditions, after.ts, after.id)}`);
    const rows = await engine.read<SizedKey & { sign: number }>(
      `SELECT toUnixTimestamp64Milli(ts) AS ms, event_id, sign, length(data) AS size FROM events ${conditions.where}
       ORDER BY ts DESC, event_id DESC LIMIT ${limit}`,
      conditions.parameters,
    );
    const groups: { key: SizedKey; sign: number }[] = [];
    for (const { ms, event_id, sign, size } of rows) {
      const group = groups.at(-1);
      if (group?.key.ms === ms && group.key.event_id === event_id) {
        group.sign += sign;
        if (size > group.key.size) group.key = { ms, event_id, size };
      } else groups.push({ key: { ms, event_id, size }, sign });
    }
    const isEnd = rows.length < limit;
    // The last event may have more rows than were read.
    if (!isEnd) groups.pop();
    for (const { key, sign } of groups) if (sign > 0) keys.push(key);
    const last = groups.at(-1)?.key;
    if (isEnd || !last) break;
    after = { ts: last.ms, id: last.event_id };
  }
  return keys.slice(0, wanted);
}

/** Keys whose texts are fetched by one statement: as parameters they travel in a request line of bounded length. */
const KEYS_PER_READ = 4000;

/** The events of these keys as JSON, in their order. */
async function textsOf(engine: Engine, scope: () => Conditions, keys: readonly Key[]): Promise<string[]> {
  const texts: string[] = [];
  for (let from = 0; from < keys.length; from += KEYS_PER_READ) {
    const some = keys.slice(from, from + KEYS_PER_READ);
    const [first, last] = [some[0]!, some.at(-1)!];
    const conditions = scope();
    conditions.within('ts', last.ms, first.ms + 1);
    conditions.add('sign = 1');
    conditions.add(`(ts, event_id) <= ${place(conditions, first.ms, first.event_id)}`);
    conditions.add(`(ts, event_id) >= ${place(conditions, last.ms, last.event_id)}`);
    // Of events far apart no others are read.
    const times = conditions.bind('Array(Int64)', [...new Set(some.map((key) => key.ms))]);
    conditions.add(`ts IN (SELECT fromUnixTimestamp64Milli(arrayJoin(${times}), 'UTC'))`);
    const rows = await engine.read<Key & { data: string }>(
      `SELECT toUnixTimestamp64Milli(ts) AS ms, event_id, data FROM events ${conditions.where}
       ORDER BY ts DESC, event_id DESC, version DESC LIMIT 1 BY ts, event_id`,
      conditions.parameters,
    );
    // What came or left between the two queries is no part of this page; both are in the same order.
    let at = 0;
    for (const row of rows) {
      while (at < some.length && isBefore(some[at]!, row)) at++;
      const key = some[at];
      if (key?.ms === row.ms && key.event_id === row.event_id) texts.push(row.data);
    }
  }
  return texts;
}

/** Whether `a` comes before `b` when sorted newest first. */
function isBefore(a: Key, b: Key): boolean {
  // The engine compares bytes, which is not the order of UTF-16.
  return (
    a.ms > b.ms || (a.ms === b.ms && Buffer.compare(Buffer.from(a.event_id), Buffer.from(b.event_id)) > 0)
  );
}

function place(conditions: Conditions, ms: number, id: string): string {
  return `(fromUnixTimestamp64Milli(${conditions.bind('Int64', ms)}, 'UTC'), ${conditions.bind('String', id)})`;
}
