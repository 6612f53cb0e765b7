import type { WholeNumber } from '../parameter.ts';
import { badParameter } from '../request-error.ts';

/** A request's query: one text per name; of a repeated name the values joined by the delimiter. A `Map` is one. */
export interface Query {
  get(name: string): string | undefined;
  has(name: string): boolean;
  [Symbol.iterator](): Iterator<[name: string, value: string]>;
}

/** The same query with one value put in another's place; `undefined` takes it away. */
export function altered(query: Query, name: string, value: string | undefined): Query {
  return {
    get: (asked) => (asked === name ? value : query.get(asked)),
    has: (asked) => (asked === name ? value !== undefined : query.has(asked)),
    *[Symbol.iterator]() {
      for (const entry of query) if (entry[0] !== name) yield entry;
      if (value !== undefined) yield [name, value];
    },
  };
}

const MOST_VALUES = 5000;

/** The query of a URL. Empty values count as absent, as the web interface sends them so. */
export function parseQuery(search: string): Query {
  const query = new Map<string, string>();
  const parameters = new URLSearchParams(search);
  const delimiter = parameters.get('delimiter') || ',';
  for (const [name, value] of parameters) {
    if (value === '') continue;
    const before = query.get(name);
    query.set(name, before === undefined ? value : `${before}${delimiter}${value}`);
  }
  return query;
}

/** The values of a list parameter, `null` when it is absent. */
export function listOf(query: Query, name: string): string[] | null {
  const text = query.get(name);
  if (text === undefined) return null;
  const delimiter = query.get('delimiter') ?? ',';
  const values = text
    .split(delimiter)
    .map((v) => v.trim())
    .filter((v) => v !== '');
  if (values.length > MOST_VALUES) throw badParameter(name, `has more than ${MOST_VALUES} values`);
  return values.length > 0 ? values : null;
}

/** A list of whole numbers from 0 on, of 32 bits. */
export function numbersOf(query: Query, name: string): number[] | null {
  const values = listOf(query, name);
  return (
    values?.map((v) => {
      const number = /^\d{1,10}$/.test(v) ? Number(v) : Number.NaN;
      if (!(number < 2 ** 32)) throw badParameter(name, 'must be a list of numbers');
      return number;
    }) ?? null
  );
}

/** A whole number within bounds; the default when absent. */
export function integerOf(query: Query, name: string, bounds: WholeNumber): number {
  const text = query.get(name);
  const { minimum: least, maximum: most } = bounds;
  if (text === undefined) return bounds.default;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= least && number <= most)) {
    throw badParameter(name, `must be a whole number from ${least} to ${most}`);
  }
  return number;
}

const dateForm =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * An instant in one of the forms that clients use: date, date and minute, with seconds, with `Z` or an offset; UTC
 * when it names no zone. A blank before the offset is a `+` that was not encoded. `null` if it is none.
 */
export function parseInstant(text: string): number | null {
  const match = dateForm.exec(text.trim().replace(/(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$/, '$1+$2'));
  if (!match) return null;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = match;
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const ms = fraction.padEnd(3, '0').slice(0, 3);
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}${offset}`);
  if (Number.isNaN(at) || new Date(`${year}-${month}-${day}T00:00:00Z`).getUTCDate() !== Number(day)) {
    return null;
  }
  return at;
}

/** Year 2200. */
const LAST_TIME = Date.UTC(2200, 0, 1);

/** The window of an events search: `from` inclusive, `to` exclusive, milliseconds. */
export function eventWindow(query: Query, now: number): { from: number; to: number } {
  const instant = (name: string, fallback: number): number => {
    const text = query.get(name);
    if (text === undefined) return fallback;
    const at = parseInstant(text);
    if (at === null) throw badParameter(name, 'must be a time such as 2024-03-05T10:00:00Z');
    return at;
  };
  const to = instant('to', now - 60_000);
  const from = instant('from', Math.min(now, to + 60_000) - 86_400_000);
  if (from >= to) {
    throw badParameter(
      'from',
      `must be before 'to'${query.has('to') ? '' : ', which is one minute ago by default'}`,
    );
  }
  // Times that the engine's type can hold.
  const within = (at: number) => Math.min(Math.max(at, 0), LAST_TIME);
  return { from: within(from), to: within(to) };
}

/** A place in a list that is sorted newest first: everything after this event. */
export interface Cursor {
  readonly ts: number;
  readonly id: string;
  /** How many events the first page has counted. */
  readonly total?: number | undefined;
}

/** The `cursor` parameter; `null` at the beginning. */
export function cursorOf(query: Query): Cursor | null {
  const text = query.get('cursor') ?? 'initial';
  if (text === 'initial') return null;
  const decoded = Buffer.from(text, 'base64url').toString('utf8');
  const [ts = '', total = '', ...rest] = decoded.split(',');
  const id = rest.join(',');
  if (!/^\d{1,15}$/.test(ts) || !/^\d{0,15}$/.test(total) || id === '' || id.length > 512) {
    throw badParameter('cursor', 'is not one that this service has given');
  }
  return { ts: Number(ts), id, total: total === '' ? undefined : Number(total) };
}

/** The address of the next page: everything that was asked, from this event on; times pinned so that pages agree. */
export function nextLink(
  path: string,
  query: Query,
  perPage: number,
  cursor: Cursor,
  window: { from: number; to: number },
): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of query) if (name !== 'page') parameters.set(name, value);
  parameters.set('from', new Date(window.from).toISOString());
  parameters.set('to', new Date(window.to).toISOString());
  parameters.set('per_page', String(perPage));
  const place = `${cursor.ts},${cursor.total ?? ''},${cursor.id}`;
  parameters.set('cursor', Buffer.from(place).toString('base64url'));
  return `${path}?${parameters}`;
}
