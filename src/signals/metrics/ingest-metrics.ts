import { badParameter, RequestError } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { integerOf, listOf, numbersOf, type Query } from '../search/parameters.ts';
import { ingestMetricNames, ingestSums } from './definitions.ts';
import { divided, type Formula, ingestFormulas } from './formulas.ts';
import { rowLimit } from './parameters.ts';
import type { MetricsRequest } from './request.ts';
import { aggregatePrecisions, bucketsOf, type MetricsWindow, metricsWindow, seriesWindow } from './window.ts';

type Row = Record<string, number | string | null>;

const sumNames = Object.keys(ingestSums);
const formulaOf = (name: string): Formula | undefined =>
  Object.hasOwn(ingestFormulas, name) ? ingestFormulas[name as keyof typeof ingestFormulas] : undefined;

/** What a batch came to: `success`, or the kind of its error. */
const STATUS = `if(type = 'success', type, error_type)`;

/** Path segment after `/metrics/ingest/` → the key of its rows and what they are by. */
export const ingestGroupings: ReadonlyMap<string, { readonly key: string; readonly sql: string }> = new Map([
  ['node', { key: 'node', sql: 'node' }],
  ['subaccount', { key: 'subaccount_id', sql: 'subaccount_id' }],
  ['status', { key: 'ingest_status', sql: STATUS }],
]);

/** What is known of the batches of one row. */
interface Tally {
  readonly counts: Record<string, number>;
  /** Tenths of a second that events came late by → events. */
  readonly lags: Map<number, number>;
  /** Arrival of the newest batch until its end, milliseconds; `null` if none is known. */
  newest: number | null;
}

const emptyTally = (): Tally => ({ counts: {}, lags: new Map(), newest: null });

/** The share of events that `ingest_lag` tells the lag of. */
const LAG_SHARE = 0.95;

/** The least lag, in seconds, that the share of all events does not exceed. */
function lagOfShare(lags: ReadonlyMap<number, number>): number | null {
  const total = [...lags.values()].reduce((sum, n) => sum + n, 0);
  let seen = 0;
  for (const [lag, events] of [...lags].sort(([a], [b]) => a - b)) {
    seen += events;
    if (seen >= LAG_SHARE * total) return lag / 10;
  }
  return null;
}

/** The value of a metric at `end`, milliseconds. */
function measured(name: string, { counts, lags, newest }: Tally, end: number): number | null {
  if (name === 'ingest_lag') return lagOfShare(lags);
  if (name === 'ingest_silence') return newest === null ? null : Math.max(0, end - newest) / 1000;
  const formula = formulaOf(name);
  if (formula) return divided(formula, counts[formula.above] ?? 0, counts[formula.below] ?? 0);
  return counts[name] ?? 0;
}

function conditionsOf({ query, onlySubaccount }: MetricsRequest): Conditions {
  const conditions = new Conditions();
  if (onlySubaccount > 0) conditions.numberIn('subaccount_id', [onlySubaccount]);
  const nodes = listOf(query, 'nodes');
  if (nodes) conditions.in('node', nodes);
  const statuses = listOf(query, 'statuses');
  if (statuses) conditions.in(STATUS, statuses);
  const subaccounts = numbersOf(query, 'subaccounts');
  if (subaccounts) conditions.numberIn('subaccount_id', subaccounts);
  return conditions;
}

function namesOf(query: Query): string[] {
  const names = listOf(query, 'metrics');
  if (!names) throw new RequestError(400, 'metrics is required', { details: { param: 'metrics' } });
  for (const name of names) {
    if (!ingestMetricNames.includes(name)) {
      throw badParameter('metrics', `has a metric that does not exist: ${name.slice(0, 64)}`);
    }
  }
  return [...new Set(names)];
}

interface Stored extends Record<string, unknown> {
  readonly k: string | number;
  readonly newest: number;
  readonly late: readonly [lags: readonly number[], events: readonly number[]];
}

/**
 * Batches by `key`, an expression. Those before the window are asked for only where the newest batch counts, and bring
 * nothing but that.
 */
async function stored(
  request: MetricsRequest,
  window: MetricsWindow,
  names: readonly string[],
  key: string,
): Promise<{ readonly k: string | number; readonly tally: Tally; readonly isWithin: boolean }[]> {
  const read = async (from: number, to: number, isWithin: boolean) => {
    const conditions = conditionsOf(request);
    conditions.within('ts', clamped(from), clamped(to));
    const columns = isWithin ? sumNames.map((name) => `toInt64(${ingestSums[name]}) AS ${name}`) : [];
    const late = isWithin && names.includes('ingest_lag') ? 'sumMap(lags, lag_counts)' : '([], [])';
    const rows = await request.store.read<Stored>(
      `SELECT ${[`${key} AS k`, 'toUnixTimestamp64Milli(max(received)) AS newest', `${late} AS late`, ...columns].join(', ')}
       FROM ingest_events FINAL ${conditions.where} GROUP BY k ORDER BY k`,
      conditions.parameters,
    );
    return rows.map((row) => {
      const [lags, events] = row.late;
      const tally: Tally = {
        counts: Object.fromEntries(sumNames.map((name) => [name, Number(row[name] ?? 0)])),
        lags: new Map(lags.map((lag, i) => [Number(lag), Number(events[i])])),
        newest: Number(row.newest),
      };
      return { k: row.k, tally, isWithin };
    });
  };
  const before = names.includes('ingest_silence') ? await read(0, window.from, false) : [];
  return [...before, ...(await read(window.from, window.to, true))];
}

/** Times that the engine's type can hold. */
const clamped = (ms: number) => Math.min(Math.max(ms, 0), Date.UTC(2200, 0, 1));

function add(into: Tally, { counts, lags, newest }: Tally): void {
  for (const name of sumNames) into.counts[name] = (into.counts[name] ?? 0) + (counts[name] ?? 0);
  for (const [lag, events] of lags) into.lags.set(lag, (into.lags.get(lag) ?? 0) + events);
  if (newest !== null) into.newest = Math.max(into.newest ?? newest, newest);
}

const shown = (names: readonly string[], tally: Tally, end: number): Row =>
  Object.fromEntries(names.map((name) => [name, measured(name, tally, end)]));

/** `GET /v1/metrics/ingest`: one row over the whole window. */
export async function ingestSummary(request: MetricsRequest): Promise<Row> {
  const names = namesOf(request.query);
  const window = metricsWindow(request.query, request.now, aggregatePrecisions);
  const all = emptyTally();
  for (const { tally } of await stored(request, window, names, '1')) add(all, tally);
  return shown(names, all, Math.min(window.to, request.now));
}

/** Buckets begin on whole minutes, those of a quarter of an hour and more on whole quarters, in every zone of today. */
const unitOf = (window: MetricsWindow) =>
  window.precision === '1min' || window.precision === '5min' ? 60 : 900;

/** `GET /v1/metrics/ingest/time-series`: a row per bucket, ascending, none left out. */
export async function ingestTimeSeries(request: MetricsRequest): Promise<Row[]> {
  const names = namesOf(request.query);
  const window = seriesWindow(request.query, request.now);
  const buckets = bucketsOf(window);
  const tallies = buckets.map(emptyTally);
  const unit = unitOf(window);
  let newest: number | null = null;
  let bucket = 0;
  for (const { k, tally, isWithin } of await stored(
    request,
    window,
    names,
    `intDiv(toUnixTimestamp(ts), ${unit}) * ${unit}`,
  )) {
    if (!isWithin) {
      newest = Math.max(newest ?? 0, tally.newest!);
      continue;
    }
    while (bucket + 1 < buckets.length && buckets[bucket + 1]! <= Number(k) * 1000) bucket++;
    add(tallies[bucket]!, tally);
  }
  return buckets.map((at, i) => {
    const tally = tallies[i]!;
    // The newest batch of an earlier bucket is the newest still; a bucket that has not begun has none.
    if (tally.newest !== null) newest = Math.max(newest ?? 0, tally.newest);
    tally.newest = at > request.now ? null : newest;
    const end = Math.min(buckets[i + 1] ?? window.to, request.now);
    return { ts: window.zone.format(at), ...shown(names, tally, end) };
  });
}

/**
 * `GET /v1/metrics/ingest/<grouping>`: a row per value, those without left out. Where the time since the newest batch is
 * asked for there is a row also for what sent nothing within the window, as long as its last batch is remembered.
 */
export async function ingestGrouped(request: MetricsRequest, path: string): Promise<Row[]> {
  const { query } = request;
  const names = namesOf(query);
  const order = query.get('order_by') ?? names[0]!;
  if (!ingestMetricNames.includes(order)) throw badParameter('order_by', 'must be the name of a metric');
  const window = metricsWindow(query, request.now, aggregatePrecisions);
  const limit = integerOf(query, 'limit', rowLimit);
  const { key, sql } = ingestGroupings.get(path)!;
  const tallies = new Map<string | number, Tally>();
  for (const { k, tally } of await stored(request, window, [...names, order], sql)) {
    if (k === '') continue;
    const known = tallies.get(k);
    if (known) add(known, tally);
    else tallies.set(k, tally);
  }
  const end = Math.min(window.to, request.now);
  const ranked = [...tallies].map(([k, tally]) => ({
    k,
    tally,
    rank: measured(order, tally, end) ?? Number.NEGATIVE_INFINITY,
  }));
  ranked.sort((a, b) => (a.rank === b.rank ? (a.k < b.k ? -1 : 1) : a.rank < b.rank ? 1 : -1));
  return ranked.slice(0, limit).map(({ k, tally }) => ({ [key]: k, ...shown(names, tally, end) }));
}
