/** The HTTP API as the pages use it: one function per call, answers checked, faults as values. */
import type { Filter } from './address.ts';
import { type Facet, facet } from './facets.ts';
import type { CountKey, Counts } from './metrics.ts';
import { apiMoment, type Buckets } from './range.ts';

/** Why a call gave no answer. */
export interface Fault {
  readonly kind: 'network' | 'signed-out' | 'forbidden' | 'refused' | 'server';
  /** HTTP status, 0 when no answer came. */
  readonly status: number;
  /** One plain sentence. */
  readonly message: string;
  readonly call: string;
  readonly requestId: string;
}

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: Fault };

/** A flat event of the search; fields by their published names, values as the API gives them. */
export type EventRow = Readonly<Record<string, unknown>>;

/** What a metrics call is about. */
export interface Scope {
  readonly buckets: Buckets;
  readonly filters: readonly Filter[];
}

export interface EventPage {
  readonly events: readonly EventRow[];
  readonly total: number;
  /** Position of the next page, null on the last. */
  readonly next: string | null;
}

export interface Bucket {
  /** First instant, milliseconds. */
  readonly start: number;
  readonly counts: Counts;
}

export interface GroupRow {
  readonly name: string;
  readonly counts: Counts;
}

export interface IngestStatus {
  /** Batches taken and not yet processed. */
  readonly pending: number;
  readonly stored: number;
  /** Time of the newest event of the last day, milliseconds; null when there is none or it may not be seen. */
  readonly newest: number | null;
}

export interface Session {
  readonly token: string;
  /** When it ends, milliseconds; null when it does not say (a key). */
  readonly endsAt: number | null;
}

type Json = Readonly<Record<string, unknown>>;

const TIMEOUT_MS = 30_000;

/** Calls for one session. `onSignedOut` is told whenever the service no longer knows the token. */
export class Api {
  readonly #token: string;
  readonly #onSignedOut: () => void;

  constructor(token: string, onSignedOut: () => void) {
    this.#token = token;
    this.#onSignedOut = onSignedOut;
  }

  async metrics(asked: readonly CountKey[], scope: Scope, signal?: AbortSignal): Promise<Answer<Counts>> {
    const answer = await this.#get(
      '/api/v1/metrics/deliverability',
      metricsQuery(asked, scope, true),
      signal,
    );
    return mapped(answer, (body) => {
      const row = Array.isArray(body.results) ? body.results[0] : body.results;
      return isObject(row) ? readCounts(row, asked) : null;
    });
  }

  async timeSeries(
    asked: readonly CountKey[],
    scope: Scope,
    signal?: AbortSignal,
  ): Promise<Answer<Bucket[]>> {
    const path = '/api/v1/metrics/deliverability/time-series';
    const answer = await this.#get(path, metricsQuery(asked, scope), signal);
    return mapped(answer, (body) => {
      if (!Array.isArray(body.results)) return null;
      const out: Bucket[] = [];
      for (const row of body.results) {
        const start = isObject(row) ? Date.parse(String(row.ts)) : Number.NaN;
        if (!Number.isFinite(start)) return null;
        out.push({ start, counts: readCounts(row, asked) });
      }
      return out;
    });
  }

  async byCampaign(
    asked: readonly CountKey[],
    scope: Scope,
    signal?: AbortSignal,
  ): Promise<Answer<GroupRow[]>> {
    const path = '/api/v1/metrics/deliverability/campaign';
    const answer = await this.#get(path, [...metricsQuery(asked, scope, true), ['limit', '1000']], signal);
    return mapped(answer, (body) =>
      Array.isArray(body.results)
        ? body.results.filter(isObject).map((row) => ({
            name: String(row.campaign_id ?? ''),
            counts: readCounts(row, asked),
          }))
        : null,
    );
  }

  async events(
    filters: readonly Filter[],
    from: number,
    to: number,
    perPage: number,
    cursor: string,
    signal?: AbortSignal,
  ): Promise<Answer<EventPage>> {
    const query: [string, string][] = [
      ['from', new Date(from).toISOString().replace(/\.\d+Z$/, 'Z')],
      // The end is excluded and given in whole seconds, so it is rounded up.
      ['to', new Date(Math.ceil(to / 1000) * 1000).toISOString().replace(/\.\d+Z$/, 'Z')],
      ['per_page', String(perPage)],
    ];
    if (cursor) query.push(['cursor', cursor]);
    query.push(...filterQuery(filters));
    return mapped(await this.#get('/api/v1/events/message', query, signal), readEventPage);
  }

  /** All events of one message that the service still keeps. */
  async message(id: string, now: number, signal?: AbortSignal): Promise<Answer<EventPage>> {
    const query: [string, string][] = [
      ['messages', id],
      ['delimiter', delimiterFor([id])],
      // A little more than the ten days that events are kept.
      ['from', new Date(now - 11 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z')],
      ['to', new Date(now + 60_000).toISOString().replace(/\.\d+Z$/, 'Z')],
      ['per_page', '1000'],
    ];
    return mapped(await this.#get('/api/v1/events/message', query, signal), readEventPage);
  }

  async ingestStatus(now: number, signal?: AbortSignal): Promise<Answer<IngestStatus>> {
    const [status, latest] = await Promise.all([
      this.#get('/api/v1/ingest/status', [], signal),
      this.events([], now - 86_400_000, now + 60_000, 1, '', signal),
    ]);
    const event = latest.ok ? latest.value.events[0] : undefined;
    return mapped(status, (body) => {
      const r = isObject(body.results) ? body.results : {};
      const { batches_pending: pending, events_stored: stored } = r;
      if (typeof pending !== 'number' || typeof stored !== 'number') return null;
      return { pending, stored, newest: readTime(event?.timestamp) };
    });
  }

  /** Whether the service knows the token: null when it does, otherwise why not. */
  async check(): Promise<Fault | null> {
    const answer = await this.#get('/api/v1/ingest/status', []);
    return answer.ok || answer.fault.kind === 'forbidden' ? null : answer.fault;
  }

  /** Ends the session for good; a key stays what it is. */
  async signOut(): Promise<void> {
    await call('POST', '/api/v1/sign-out', { Authorization: this.#token });
  }

  async #get(
    path: string,
    query: readonly (readonly [string, string])[],
    signal?: AbortSignal,
  ): Promise<Answer<Json>> {
    const search = new URLSearchParams(query.map(([k, v]) => [k, v])).toString();
    const answer = await call(
      'GET',
      search ? `${path}?${search}` : path,
      { Authorization: this.#token },
      undefined,
      signal,
    );
    if (!answer.ok && answer.fault.kind === 'signed-out') this.#onSignedOut();
    return answer;
  }
}

/** Exchanges the token of a one-time sign-in link for a session. */
export async function signIn(token: string, now: number): Promise<Answer<Session>> {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await call('POST', '/api/v1/sign-in', headers, JSON.stringify({ token }));
  return mapped(answer, (body) => {
    const r = isObject(body.results) ? body.results : {};
    if (typeof r.access_token !== 'string' || r.access_token === '') return null;
    const lasts = typeof r.expires_in === 'number' ? r.expires_in : Number.NaN;
    return { token: r.access_token, endsAt: Number.isFinite(lasts) ? now + lasts * 1000 : null };
  });
}

/**
 * Query of a metrics call. One that answers for the range as a `whole` takes no step longer than a day; the ends of
 * the range are whole buckets already.
 */
export function metricsQuery(
  asked: readonly CountKey[],
  { buckets, filters }: Scope,
  whole = false,
): [string, string][] {
  const { step, zone } = buckets;
  const { delimiter, lists } = listsOf(filters, (f) => f.metrics, asked);
  return [
    ['from', apiMoment(buckets.from, zone)],
    // The end is a minute and excluded, so a part of a minute is rounded up.
    ['to', apiMoment(Math.ceil(buckets.to / 60_000) * 60_000, zone)],
    ['timezone', zone],
    ['precision', whole && (step === 'week' || step === 'month') ? 'day' : step],
    ...(delimiter === ',' ? [] : [['delimiter', delimiter] as [string, string]]),
    ['metrics', asked.join(delimiter)],
    ...lists,
  ];
}

/** Filters as list parameters of the events search. */
export function filterQuery(filters: readonly Filter[]): [string, string][] {
  const { delimiter, lists } = listsOf(filters, (f) => f.parameter, []);
  return lists.length === 0 ? [] : [['delimiter', delimiter], ...lists];
}

/** Filters by parameter, joined by a separator that none of the values holds. */
function listsOf(
  filters: readonly Filter[],
  parameterOf: (facet: Facet) => string | null,
  besides: readonly string[],
): { delimiter: string; lists: [string, string][] } {
  const found = new Map<string, string[]>();
  for (const filter of filters) {
    const known = facet(filter.facet);
    const parameter = known ? parameterOf(known) : null;
    if (parameter) found.set(parameter, [...(found.get(parameter) ?? []), filter.value]);
  }
  const delimiter = delimiterFor([...[...found.values()].flat(), ...besides]);
  return { delimiter, lists: [...found].map(([k, v]): [string, string] => [k, v.join(delimiter)]) };
}

function delimiterFor(values: readonly string[]): string {
  return [',', ';', ':', '+', '~', '|', '^', '\u001f'].find((d) => !values.some((v) => v.includes(d))) ?? ',';
}

async function call(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
  signal?: AbortSignal,
): Promise<Answer<Json>> {
  const name = `${method} ${url}`;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers: { Accept: 'application/json', ...headers },
      ...(body === undefined ? {} : { body }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      credentials: 'same-origin',
      cache: 'no-store',
    });
    text = await response.text();
  } catch {
    const message = timeout.aborted
      ? 'The service did not answer within 30 seconds.'
      : 'The service cannot be reached.';
    return { ok: false, fault: { kind: 'network', status: 0, message, call: name, requestId: '' } };
  }
  const json = parsed(text);
  if (response.ok && json) return { ok: true, value: json };
  const fault: Fault = {
    kind: kindOf(response.status),
    status: response.status,
    message: response.ok
      ? 'The service answered in a form that this page does not know.'
      : errorText(json, response),
    call: name,
    requestId: response.headers.get('x-request-id') ?? '',
  };
  return { ok: false, fault };
}

function kindOf(status: number): Fault['kind'] {
  if (status === 401) return 'signed-out';
  if (status === 403) return 'forbidden';
  return status >= 400 && status < 500 && status !== 429 ? 'refused' : 'server';
}

function errorText(json: Json | null, response: Response): string {
  const first = Array.isArray(json?.errors) ? json.errors[0] : null;
  if (isObject(first)) {
    const parts = [first.message, first.description].filter((p) => typeof p === 'string' && p !== '');
    if (parts.length > 0) return parts.join(' ');
  }
  return `The service answered ${response.status} ${response.statusText}`.trim();
}

function mapped<T>(answer: Answer<Json>, read: (body: Json) => T | null): Answer<T> {
  if (!answer.ok) return answer;
  const value = read(answer.value);
  if (value !== null) return { ok: true, value };
  const message = 'The service answered in a form that this page does not know.';
  return { ok: false, fault: { kind: 'server', status: 200, message, call: '', requestId: '' } };
}

function readEventPage(body: Json): EventPage | null {
  if (!Array.isArray(body.results)) return null;
  const next = isObject(body.links) && typeof body.links.next === 'string' ? body.links.next : '';
  const cursor = new URLSearchParams(next.split('?')[1] ?? '').get('cursor');
  return {
    events: body.results.filter(isObject),
    total: typeof body.total_count === 'number' ? body.total_count : body.results.length,
    next: cursor || null,
  };
}

function readCounts(row: Json, asked: readonly CountKey[]): Counts {
  const counts: Partial<Record<CountKey, number>> = {};
  for (const key of asked) {
    const value = row[key];
    if (typeof value === 'number' && Number.isFinite(value)) counts[key] = value;
  }
  return counts;
}

function readTime(value: unknown): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}

function parsed(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
