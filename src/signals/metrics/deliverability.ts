import { badParameter, RequestError } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { altered, integerOf, listOf, numbersOf, type Query } from '../search/parameters.ts';
import type { Dimension } from '../store/tables/dimensions.ts';
import { type Figure, figure, type Metric } from './definitions.ts';
import { asStored, filterColumns } from './filter-columns.ts';
import { rowLimit } from './parameters.ts';
import { addQueryFilters } from './query-filters.ts';
import type { MetricsRequest } from './request.ts';
import { rollupQuery } from './rollup-query.ts';
import { aggregatePrecisions, bucketsOf, type MetricsWindow, metricsWindow, seriesWindow } from './window.ts';

type Row = Record<string, number | string | null>;

/** Path segment after `/deliverability/` → the key of its rows and the column it groups by. */
export const groupings: ReadonlyMap<string, { readonly key: string; readonly column: Dimension }> = new Map([
  ['domain', { key: 'domain', column: 'recipient_domain' }],
  ['watched-domain', { key: 'watched_domain', column: 'recipient_domain' }],
  ['sending-domain', { key: 'sending_domain', column: 'sending_domain' }],
  ['campaign', { key: 'campaign_id', column: 'campaign_id' }],
  ['template', { key: 'template_id', column: 'template_id' }],
  ['subaccount', { key: 'subaccount_id', column: 'subaccount_id' }],
  ['sending-ip', { key: 'sending_ip', column: 'sending_ip' }],
  ['ip-pool', { key: 'ip_pool', column: 'ip_pool' }],
  ['vmta', { key: 'vmta', column: 'vmta' }],
  ['node', { key: 'node', column: 'node' }],
  ['binding', { key: 'binding', column: 'sending_ip' }],
  ['binding-group', { key: 'binding_group', column: 'ip_pool' }],
  ['mailbox-provider', { key: 'mailbox_provider', column: 'mailbox_provider' }],
  ['mailbox-provider-region', { key: 'mailbox_provider_region', column: 'mailbox_provider_region' }],
]);

function figuresOf(query: Query): Figure[] {
  const names = listOf(query, 'metrics');
  if (!names) throw new RequestError(400, 'metrics is required', { details: { param: 'metrics' } });
  return [...new Set(names)].map((name) => {
    const found = figure(name);
    if (!found) throw badParameter('metrics', `has a metric that does not exist: ${name.slice(0, 64)}`);
    return found;
  });
}

/** Adds what the caller may see and the request's filters, simple or advanced. */
export function addFilters(conditions: Conditions, { query, onlySubaccount }: MetricsRequest): void {
  if (onlySubaccount > 0) conditions.numberIn('subaccount_id', [onlySubaccount]);
  const advanced = query.get('query_filters');
  if (advanced !== undefined) {
    addQueryFilters(conditions, advanced);
    return;
  }
  for (const [parameter, column] of filterColumns) {
    const values = listOf(query, parameter);
    if (values) {
      conditions.in(
        column,
        values.map((v) => asStored(column, v)),
      );
    }
  }
  // There are no subject campaigns, so nothing belongs to one.
  if (listOf(query, 'subject_campaigns')) conditions.add('0');
  const subaccounts = numbersOf(query, 'subaccounts');
  if (subaccounts) conditions.numberIn('subaccount_id', subaccounts);
}

/** The counts that these figures are made of, each once. */
const countsOf = (figures: readonly Figure[]): Metric[] => [
  ...new Map(figures.flatMap((f) => f.needs).map((m) => [m.name, m])).values(),
];

/** The figures asked for, by a row of what they need, which is of so many seconds. */
function shown(figures: readonly Figure[], row: Row | undefined, seconds: number): Row {
  const count = (name: string) => {
    const value = row?.[name] ?? null;
    return value === null ? null : Number(value);
  };
  return Object.fromEntries(figures.map((f) => [f.name, f.value(count, seconds)]));
}

const lengthOf = (window: MetricsWindow) => (window.to - window.from) / 1000;

/** `GET /v1/metrics/deliverability`: one row over the whole window. */
export async function summary(request: MetricsRequest): Promise<Row> {
  const figures = figuresOf(request.query);
  const window = metricsWindow(request.query, request.now, aggregatePrecisions);
  const conditions = new Conditions();
  addFilters(conditions, request);
  const sql = rollupQuery(request.store, window, countsOf(figures), null, conditions);
  const [row] = await request.store.read<Row>(sql, conditions.parameters);
  return shown(figures, row, lengthOf(window));
}

/** `GET /v1/metrics/deliverability/time-series`: a row per bucket, ascending, none left out. */
export async function timeSeries(request: MetricsRequest): Promise<Row[]> {
  const figures = figuresOf(request.query);
  const window = seriesWindow(request.query, request.now);
  const buckets = bucketsOf(window);
  const conditions = new Conditions();
  addFilters(conditions, request);
  const sql = rollupQuery(request.store, window, countsOf(figures), { buckets }, conditions);
  const rows = await request.store.read<Row>(sql, conditions.parameters);
  const byStart = new Map(rows.map((row) => [Number(row.bucket) * 1000, row]));
  return buckets.map((at, i) => ({
    ts: window.zone.format(at),
    ...shown(figures, byStart.get(at), ((buckets[i + 1] ?? window.to) - at) / 1000),
  }));
}

/** What a grouped report is asked; `figures` are shown, `counts` has those of what rows are sorted by too. */
function groupedQuestion({ query, now }: MetricsRequest) {
  const figures = figuresOf(query);
  const orderBy = query.get('order_by');
  const order = orderBy === undefined ? figures[0]! : figure(orderBy);
  if (!order) throw badParameter('order_by', 'must be the name of a metric');
  return {
    figures,
    order,
    counts: countsOf([...figures, order]),
    window: metricsWindow(query, now, aggregatePrecisions),
    limit: integerOf(query, 'limit', rowLimit),
  };
}

/** `GET /v1/metrics/deliverability/<grouping>`: a row per value, those without the dimension left out. */
export async function grouped(request: MetricsRequest, path: string): Promise<Row[]> {
  const { figures, order, counts, window, limit } = groupedQuestion(request);
  const { key, column } = groupings.get(path)!;
  const conditions = new Conditions();
  if (column !== 'subaccount_id') conditions.add(`${column} != ''`);
  if (path === 'watched-domain') conditions.in('recipient_domain', request.watchedDomains);
  addFilters(conditions, request);
  const sql = rollupQuery(request.store, window, counts, column, conditions);
  const rows = await request.store.read<Row>(
    `SELECT * FROM (${sql}) ORDER BY ${order.sql} DESC NULLS LAST, k ASC LIMIT ${limit}`,
    conditions.parameters,
  );
  return rows.map((row) => ({ [key]: row.k!, ...shown(figures, row, lengthOf(window)) }));
}

/**
 * `GET /v1/metrics/deliverability/subject-campaign`: subject lines of seed and panel mail, which this service does not
 * have; a request that makes no sense is refused all the same.
 */
export function bySubject(request: MetricsRequest): Row[] {
  groupedQuestion(request);
  addFilters(new Conditions(), request);
  return [];
}

/** `GET /v1/metrics/benchmarks/inbox-rate`: rates of other senders, of which this service knows none. */
export function inboxRates({ query, now }: MetricsRequest): Row[] {
  metricsWindow(altered(query, 'precision', undefined), now, []);
  for (const name of ['industry_category', 'mailbox_provider']) query.get(name);
  return [];
}
