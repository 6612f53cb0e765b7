import { badParameter, RequestError } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { integerOf, listOf, numbersOf, type Query } from '../search/parameters.ts';
import type { Engine } from '../store/engine.ts';
import type { Dimension } from '../store/tables/dimensions.ts';
import type { Rollup } from '../store/tables/metrics.ts';
import { type Metric, metric } from './definitions.ts';
import { rowLimit } from './parameters.ts';
import { addQueryFilters } from './query-filters.ts';
import { watchedDomains } from './watched-domains.ts';
import { aggregatePrecisions, bucketsOf, type MetricsWindow, metricsWindow, precisions } from './window.ts';

type Row = Record<string, number | string>;

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
  ['binding', { key: 'binding', column: 'sending_ip' }],
  ['binding-group', { key: 'binding_group', column: 'ip_pool' }],
  ['mailbox-provider', { key: 'mailbox_provider', column: 'mailbox_provider' }],
  ['mailbox-provider-region', { key: 'mailbox_provider_region', column: 'mailbox_provider_region' }],
]);

/** Filter parameter → column. */
export const filterColumns: ReadonlyMap<string, Dimension> = new Map([
  ['domains', 'recipient_domain'],
  ['campaigns', 'campaign_id'],
  ['templates', 'template_id'],
  ['sending_ips', 'sending_ip'],
  ['ip_pools', 'ip_pool'],
  ['sending_domains', 'sending_domain'],
  ['mailbox_providers', 'mailbox_provider'],
  ['mailbox_provider_regions', 'mailbox_provider_region'],
]);

function metricsOf(query: Query): Metric[] {
  const names = listOf(query, 'metrics');
  if (!names) throw new RequestError(400, 'metrics is required', { details: { param: 'metrics' } });
  return [...new Set(names)].map((name) => {
    const found = metric(name);
    if (!found) throw badParameter('metrics', `has a metric that does not exist: ${name.slice(0, 64)}`);
    return found;
  });
}

/** Adds the request's filters, simple or advanced. */
export function addFilters(conditions: Conditions, query: Query): void {
  const advanced = query.get('query_filters');
  if (advanced !== undefined) {
    addQueryFilters(conditions, advanced, filterColumns);
    return;
  }
  for (const [parameter, column] of filterColumns) {
    const values = listOf(query, parameter);
    if (values) conditions.in(column, values);
  }
  // There are no subject campaigns, so nothing belongs to one.
  if (listOf(query, 'subject_campaigns')) conditions.add('0');
  const subaccounts = numbersOf(query, 'subaccounts');
  if (subaccounts) conditions.numberIn('subaccount_id', subaccounts);
}

const HOUR = 3_600_000;

/** The coarser roll-up serves where nothing finer than a UTC hour is asked for. */
function rollupOf(window: MetricsWindow): Rollup {
  if (window.unit === 'minute' || window.from % HOUR !== 0 || window.to % HOUR !== 0) return 'metrics_minute';
  // Zones a quarter or half an hour off change hours in the middle of UTC's.
  for (let at = window.from; at < window.to; at += 24 * HOUR) {
    if (window.zone.offsetAt(at) % HOUR !== 0) return 'metrics_minute';
  }
  return 'metrics_hour';
}

/** The beginning of the unit that a roll-up's row is in, as an expression. */
function unitStart(window: MetricsWindow, conditions: Conditions): string {
  if (window.unit === 'minute') return 't';
  if (window.unit === 'day') return `toStartOfDay(t, 'UTC')`;
  const shift = ((window.zone.offsetAt(window.from) % HOUR) + HOUR) % HOUR;
  if (shift === 0) return `toStartOfHour(t, 'UTC')`;
  const seconds = conditions.bind('UInt32', shift / 1000);
  return `toStartOfHour(t + ${seconds}, 'UTC') - ${seconds}`;
}

interface Request {
  readonly window: MetricsWindow;
  readonly metrics: readonly Metric[];
  readonly query: Query;
}

function windowCondition(conditions: Conditions, window: MetricsWindow): void {
  conditions.add(`t >= toDateTime(${conditions.bind('UInt32', window.from / 1000)}, 'UTC')`);
  conditions.add(`t < toDateTime(${conditions.bind('UInt32', window.to / 1000)}, 'UTC')`);
}

/** SELECT of the metrics by `key` (a column or ''), or by unit of time. */
function select(request: Request, by: 'unit' | Dimension | null, conditions: Conditions): string {
  const { window, metrics } = request;
  const table = rollupOf(window);
  windowCondition(conditions, window);
  addFilters(conditions, request.query);
  const unit = unitStart(window, conditions);
  const hasUniques = metrics.some((m) => m.kind === 'unique');
  const key = by === 'unit' ? null : by;
  const additive = metrics.filter((m) => m.kind !== 'unique');
  const inner = [
    'sum(events) AS n',
    ...additive.map((m, i) => `sum(${m.expression}) AS a${i}`),
    ...metrics
      .filter((m) => m.kind === 'unique')
      .map(
        (m, i) =>
          `toInt64(uniqExactMerge(${m.expression}) + length(sumMapMerge(${m.expression}_orphans).1)) AS u${i}`,
      ),
  ];
  const name = new Map<string, string>();
  let [a, u] = [0, 0];
  for (const m of metrics) name.set(m.name, m.kind === 'unique' ? `u${u++}` : `a${a++}`);
  const keys = [by === 'unit' || hasUniques ? `${unit} AS unit` : '', key ? `${key} AS k` : ''].filter(
    (k) => k !== '',
  );
  const groups = keys.map((k) => k.slice(k.lastIndexOf(' ') + 1));
  const innerSelect = `SELECT ${[...keys, ...inner].join(', ')} FROM ${table} ${conditions.where}
    ${groups.length > 0 ? `GROUP BY ${groups.join(', ')}` : ''}`;
  const sums = metrics.map((m) => `sum(${name.get(m.name)}) AS ${m.name}`).join(', ');
  if (by === 'unit') {
    return `SELECT toUnixTimestamp(unit) AS unit_start, ${sums} FROM (${innerSelect}) GROUP BY unit ORDER BY unit`;
  }
  if (key) return `SELECT k, ${sums} FROM (${innerSelect}) GROUP BY k HAVING sum(n) > 0`;
  return `SELECT ${sums} FROM (${innerSelect})`;
}

/** `GET /v1/metrics/deliverability`: one row over the whole window. */
export async function summary(engine: Engine, query: Query, now: number): Promise<Row> {
  const metrics = metricsOf(query);
  const window = metricsWindow(query, now, aggregatePrecisions);
  const conditions = new Conditions();
  const sql = select({ window, metrics, query }, null, conditions);
  const [row] = await engine.read<Row>(sql, conditions.parameters);
  return Object.fromEntries(metrics.map((m) => [m.name, Number(row?.[m.name] ?? 0)]));
}

/** `GET /v1/metrics/deliverability/time-series`: a row per bucket, ascending, none left out. */
export async function timeSeries(engine: Engine, query: Query, now: number): Promise<Row[]> {
  const metrics = metricsOf(query);
  const window = metricsWindow(query, now, precisions);
  const conditions = new Conditions();
  const sql = select({ window, metrics, query }, 'unit', conditions);
  const rows = await engine.read<Row>(sql, conditions.parameters);
  const buckets = bucketsOf(window);
  const sums = buckets.map(() => metrics.map(() => 0));
  let bucket = 0;
  for (const row of rows) {
    const at = Number(row.unit_start) * 1000;
    while (bucket + 1 < buckets.length && buckets[bucket + 1]! <= at) bucket++;
    const into = sums[bucket];
    if (into) for (const [i, m] of metrics.entries()) into[i]! += Number(row[m.name]);
  }
  return buckets.map((at, i) => ({
    ts: window.zone.format(at),
    ...Object.fromEntries(metrics.map((m, j) => [m.name, sums[i]![j]!])),
  }));
}

/** `GET /v1/metrics/deliverability/<grouping>`: a row per value, those without the dimension left out. */
export async function grouped(engine: Engine, path: string, query: Query, now: number): Promise<Row[]> {
  const grouping = groupings.get(path)!;
  const metrics = metricsOf(query);
  const window = metricsWindow(query, now, aggregatePrecisions);
  const limit = integerOf(query, 'limit', rowLimit);
  const orderBy = query.get('order_by') ?? metrics[0]!.name;
  const order = metrics.find((m) => m.name === orderBy);
  if (!order) throw badParameter('order_by', 'must be one of the requested metrics');
  const conditions = new Conditions();
  if (grouping.column !== 'subaccount_id') conditions.add(`${grouping.column} != ''`);
  if (path === 'watched-domain') conditions.in('recipient_domain', watchedDomains);
  const sql = select({ window, metrics, query }, grouping.column, conditions);
  const rows = await engine.read<Row>(
    `SELECT * FROM (${sql}) ORDER BY ${order.name} DESC, k ASC LIMIT ${limit}`,
    conditions.parameters,
  );
  return rows.map((row) => ({
    [grouping.key]: row.k!,
    ...Object.fromEntries(metrics.map((m) => [m.name, Number(row[m.name])])),
  }));
}
