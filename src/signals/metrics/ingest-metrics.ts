import { badParameter, RequestError } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { integerOf, listOf, numbersOf, type Query } from '../search/parameters.ts';
import { ingestMetricNames, ingestSums } from './definitions.ts';
import { divided, type Formula, ingestFormulas } from './formulas.ts';
import { rowLimit } from './parameters.ts';
import type { MetricsRequest } from './request.ts';
import { aggregatePrecisions, bucketsOf, type MetricsWindow, metricsWindow, seriesWindow } from './window.ts';

type Row = Record<string, number | string | null>;

const sums = Object.entries(ingestSums).map(([name, sql]) => `toInt64(${sql}) AS ${name}`);
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
  counts: Readonly<Record<string, unknown>>;
  /** Tenths of a second that the share of all events came within; `null` where there are none. */
  lag: number | null;
  /** Arrival of the newest batch, milliseconds; `null` if none is known. */
  newest: number | null;
}

const emptyTally = (): Tally => ({ counts: {}, lag: null, newest: null });

/** The share of events that `ingest_lag` tells the lag of. */
const LAG_SHARE = 0.95;

/** The value of a metric at `end`, milliseconds. */
function measured(name: string, { counts, lag, newest }: Tally, end: number): number | null {
  const count = (of: string) => Number(counts[of] ?? 0);
  if (name === 'ingest_lag') return lag === null ? null : lag / 10;
  if (name === 'ingest_silence') return newest === null ? null : Math.max(0, end - newest) / 1000;
  const formula = formulaOf(name);
  return formula ? divided(formula, count(formula.above), count(formula.below)) : count(name);
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

/** Times that the engine's type can hold. */
const clamped = (ms: number) => Math.min(Math.max(ms, 0), Date.UTC(2200, 0, 1));

type Key = string | number;

/** What the window's batches come to by `key`, an expression; of those before it the newest where `names` ask for it. */
async function tallied(
  request: MetricsRequest,
  window: MetricsWindow,
  names: readonly string[],
  key: string,
): Promise<{ readonly within: Map<Key, Tally>; readonly before: Map<Key, Tally> }> {
  const read = async <R extends { k: Key }>(
    from: number,
    to: number,
    sqlOf: (where: string) => string,
  ): Promise<R[]> => {
    const conditions = conditionsOf(request);
    conditions.within('ts', clamped(from), clamped(to));
    return await request.store.read<R>(sqlOf(conditions.where), conditions.parameters);
  };
  const of = (columns: readonly string[]) => (where: string) =>
    `SELECT ${[`${key} AS k`, ...columns].join(', ')} FROM ingest_events FINAL ${where} GROUP BY k`;
  const newest = 'toUnixTimestamp64Milli(max(received)) AS newest';
  const tallyOf = (row: Record<string, unknown>): Tally => ({
    counts: row,
    lag: null,
    newest: Number(row.newest),
  });
  const rows = await read(window.from, window.to, of([newest, ...sums]));
  const within = new Map(rows.map((row) => [row.k, tallyOf(row)]));
  const before = names.includes('ingest_silence') ? await read(0, window.from, of([newest])) : [];
  if (names.includes('ingest_lag')) {
    const lags = await read<{ k: Key; lag: number }>(
      window.from,
      window.to,
      (where) =>
        `SELECT k, quantileExactWeighted(${LAG_SHARE})(late, n) AS lag FROM (
           SELECT k, late, sum(events) AS n
           FROM (SELECT ${key} AS k, lags, lag_counts FROM ingest_events FINAL ${where})
           ARRAY JOIN lags AS late, lag_counts AS events GROUP BY k, late)
         GROUP BY k`,
    );
    for (const { k, lag } of lags) {
      // A batch may have been processed since the counts were read.
      const tally = within.get(k);
      if (tally) tally.lag = Number(lag);
    }
  }
  return {
    within,
    before: new Map(before.map((row) => [row.k, { ...emptyTally(), newest: tallyOf(row).newest }])),
  };
}

const later = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.max(a, b);

const shown = (names: readonly string[], tally: Tally, end: number): Row =>
  Object.fromEntries(names.map((name) => [name, measured(name, tally, end)]));

/** `GET /v1/metrics/ingest`: one row over the whole window. */
export async function ingestSummary(request: MetricsRequest): Promise<Row> {
  const names = namesOf(request.query);
  const window = metricsWindow(request.query, request.now, aggregatePrecisions);
  const { within, before } = await tallied(request, window, names, '1');
  const tally = within.get(1) ?? emptyTally();
  tally.newest = later(tally.newest, before.get(1)?.newest ?? null);
  return shown(names, tally, Math.min(window.to, request.now));
}

/** `GET /v1/metrics/ingest/time-series`: a row per bucket, ascending, none left out. */
export async function ingestTimeSeries(request: MetricsRequest): Promise<Row[]> {
  const names = namesOf(request.query);
  const window = seriesWindow(request.query, request.now);
  const buckets = bucketsOf(window);
  // The buckets' beginnings are the program's own numbers; as a parameter they could be too long.
  const starts = buckets.map((at) => clamped(at) / 1000).join();
  const bucket = `roundDown(toInt64(toUnixTimestamp(ts)), CAST([${starts}], 'Array(Int64)'))`;
  const { within, before } = await tallied(request, window, names, bucket);
  let newest: number | null = null;
  for (const tally of before.values()) newest = later(newest, tally.newest);
  return buckets.map((at, i) => {
    const tally = within.get(at / 1000) ?? emptyTally();
    // The newest batch of an earlier bucket is the newest still; a bucket that has not begun has none.
    newest = later(newest, tally.newest);
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
  const { within, before } = await tallied(request, window, [...names, order], sql);
  for (const [k, tally] of before) {
    const own = within.get(k);
    if (own) own.newest = later(own.newest, tally.newest);
    else within.set(k, tally);
  }
  within.delete('');
  const end = Math.min(window.to, request.now);
  const ranked = [...within].map(([k, tally]) => ({
    k,
    tally,
    rank: measured(order, tally, end) ?? Number.NEGATIVE_INFINITY,
  }));
  ranked.sort((a, b) => (a.rank === b.rank ? (a.k < b.k ? -1 : 1) : a.rank < b.rank ? 1 : -1));
  return ranked.slice(0, limit).map(({ k, tally }) => ({ [key]: k, ...shown(names, tally, end) }));
}
