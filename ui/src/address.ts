/**
 * The grammar of addresses: every state of a view is in its address, a parameter at its default is left out, unknown
 * parameters are ignored, and an invalid value falls back to the default and is reported (ui specification, 4.1).
 */
import { isRange, type StepChoice, steps } from './range.ts';
import { knownZone } from './zone.ts';

export type FilterOp = 'eq' | 'ne' | 'like' | 'nlike';

export interface Filter {
  readonly facet: string;
  readonly op: FilterOp;
  readonly value: string;
}

export type Versus = 'none' | 'prev' | 'week';
export type Live = 'off' | '5s' | '10s' | '30s' | '60s';

/** State of a view. A page uses the part that its spec declares. */
export interface View {
  readonly t: string;
  readonly tz: string;
  readonly step: StepChoice;
  readonly vs: Versus;
  readonly f: readonly Filter[];
  /** Column key, `-` before it when falling; '' when unsorted. */
  readonly sort: string;
  readonly n: number;
  readonly page: number;
  readonly cursor: string;
  readonly hide: readonly string[];
  readonly y: 'lin' | 'log';
  readonly live: Live;
  /** Selected row. */
  readonly sel: string;
  readonly raw: '0' | '1';
}

export type Key = keyof View;

/** What a page's address may say, and what it means when it is silent. */
export interface ViewSpec {
  readonly keys: readonly Key[];
  readonly defaults: Partial<View>;
  /** Facets that this page can filter by, with the operators it understands. */
  readonly facets: ReadonlyMap<string, readonly FilterOp[]>;
  /** Columns that this page can sort by. */
  readonly sorts: readonly string[];
}

export interface Dropped {
  readonly key: string;
  readonly value: string;
}

const common: View = {
  t: '24h',
  tz: 'UTC',
  step: 'auto',
  vs: 'none',
  f: [],
  sort: '',
  n: 25,
  page: 1,
  cursor: '',
  hide: [],
  y: 'lin',
  live: 'off',
  sel: '',
  raw: '0',
};

/** Order in which parameters are written, so that one state has one address. */
const order: readonly Key[] = [
  't',
  'tz',
  'step',
  'vs',
  'f',
  'sort',
  'n',
  'page',
  'cursor',
  'hide',
  'y',
  'live',
  'sel',
  'raw',
];

const MOST_FILTERS = 10;
const LONGEST_VALUE = 512;

export function defaultsOf(spec: ViewSpec): View {
  return { ...common, ...spec.defaults };
}

/** Reads the query part of an address (with or without `?`). */
export function readView(search: string, spec: ViewSpec): { view: View; dropped: Dropped[] } {
  const defaults = defaultsOf(spec);
  const view: { -readonly [K in Key]: View[K] } = { ...defaults };
  const dropped: Dropped[] = [];
  const filters: Filter[] = [];
  for (const [name, value] of new URLSearchParams(search)) {
    const key = name as Key;
    if (!spec.keys.includes(key)) continue;
    const read = readers[key](value, spec);
    if (read === undefined) dropped.push({ key: name, value: value.slice(0, 80) });
    else if (key === 'f') {
      const filter = read as unknown as Filter;
      if (filters.length >= MOST_FILTERS) dropped.push({ key: name, value: value.slice(0, 80) });
      else if (!filters.some((have) => sameFilter(have, filter))) filters.push(filter);
    } else (view as Record<Key, unknown>)[key] = read;
  }
  if (filters.length > 0) view.f = filters;
  return { view, dropped };
}

/** The query part for a state, `''` or beginning with `?`. */
export function writeView(view: View, spec: ViewSpec): string {
  const defaults = defaultsOf(spec);
  const parts: string[] = [];
  const put = (key: string, value: string) => parts.push(`${key}=${escapeValue(value)}`);
  for (const key of order) {
    if (!spec.keys.includes(key)) continue;
    if (key === 'f') for (const filter of view.f) put('f', writeFilter(filter));
    else if (key === 'hide') {
      if (view.hide.length > 0) put('hide', view.hide.join(','));
    } else if (view[key] !== defaults[key]) put(key, String(view[key]));
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** Carries over what means the same on another page: range, zone, comparison, and the filters it understands. */
export function carryOver(view: View, to: ViewSpec): View {
  const defaults = defaultsOf(to);
  return {
    ...defaults,
    t: to.keys.includes('t') ? view.t : defaults.t,
    tz: to.keys.includes('tz') ? view.tz : defaults.tz,
    f: view.f.filter((filter) => to.facets.get(filter.facet)?.includes(filter.op)),
  };
}

export function writeFilter(filter: Filter): string {
  return `${filter.facet}.${filter.op}.${filter.value}`;
}

export function sameFilter(a: Filter, b: Filter): boolean {
  return a.facet === b.facet && a.op === b.op && a.value === b.value;
}

/** Percent-encoding that leaves alone what a query may hold and people read: `2026-01-05T14:00Z..`, `bob@example.net`. */
function escapeValue(value: string): string {
  return encodeURIComponent(value.toWellFormed()).replace(/%(?:3A|40|2C|2F)/g, decodeURIComponent);
}

function oneOf<T extends string>(values: readonly T[]): (value: string) => T | undefined {
  return (value) => values.find((v) => v === value);
}

function positive(most: number): (value: string) => number | undefined {
  return (value) => {
    const n = /^[1-9]\d{0,6}$/.test(value) ? Number(value) : 0;
    return n >= 1 && n <= most ? n : undefined;
  };
}

function plain(most: number): (value: string) => string | undefined {
  return (value) => (value.length > 0 && value.length <= most ? value : undefined);
}

type Reader = (value: string, spec: ViewSpec) => unknown;

const readers: Readonly<Record<Key, Reader>> = {
  t: (value) => (isRange(value) ? value : undefined),
  tz: (value) => (knownZone(value) ? value : undefined),
  step: oneOf(['auto', ...steps]),
  vs: oneOf(['none', 'prev', 'week']),
  f: readFilter,
  sort: (value, spec) => (value === '' || spec.sorts.includes(value.replace(/^-/, '')) ? value : undefined),
  n: (value) => [10, 25, 50, 100].find((n) => String(n) === value),
  page: positive(100_000),
  cursor: plain(1024),
  hide: (value) => {
    const keys = value.split(',').filter((key) => /^[a-z0-9_]{1,64}$/.test(key));
    return keys.length > 0 && keys.length <= 50 ? keys : undefined;
  },
  y: oneOf(['lin', 'log']),
  live: oneOf(['off', '5s', '10s', '30s', '60s']),
  sel: plain(LONGEST_VALUE),
  raw: oneOf(['0', '1']),
};

function readFilter(value: string, spec: ViewSpec): Filter | undefined {
  const m = /^([a-z_]+)\.(eq|ne|like|nlike)\.([\s\S]*)$/.exec(value);
  if (!m) return undefined;
  const [, facet, op, wanted] = m as unknown as [string, string, FilterOp, string];
  if (!spec.facets.get(facet)?.includes(op) || wanted === '' || wanted.length > LONGEST_VALUE)
    return undefined;
  return { facet, op, value: wanted };
}

/** Old addresses and where they live now; null when the path is not one (ui specification, 3.3). */
export function movedTo(path: string): string | null {
  const plainPath = path.length > 1 ? path.replace(/\/+$/, '') : path;
  if (plainPath === '/dashboard' || plainPath === '/signals') return '/';
  if (plainPath === '/reports/message-events') return '/events';
  const details = /^\/reports\/message-events\/details\/([^/]+)(?:\/[^/]+)?$/.exec(plainPath);
  if (details) return details[1] === '_noid_' ? '/events' : `/messages/${details[1]}`;
  return plainPath === path ? null : plainPath;
}
