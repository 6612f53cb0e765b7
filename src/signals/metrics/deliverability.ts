import { badParameter, RequestError } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { integerOf, listOf, numbersOf, type Query } from '../search/parameters.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Dimension } from '../store/tables/dimensions.ts';
import { type Metric, metric } from './definitions.ts';
import { rowLimit } from './parameters.ts';
import { addQueryFilters } from './query-filters.ts';
import { rollupQuery } from './rollup-query.ts';
import { watchedDomains } from './watched-domains.ts';
import { aggregatePrecisions, bucketsOf, metricsWindow, seriesWindow } from './window.ts';

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

/** `GET /v1/metrics/deliverability`: one row over the whole window. */
export async function summary(store: EventStore, query: Query, now: number): Promise<Row> {
  const metrics = metricsOf(query);
  const window = metricsWindow(query, now, aggregatePrecisions);
  const conditions = new Conditions();
  addFilters(conditions, query);
  const sql = rollupQuery(store, window, metrics, null, conditions);
  const [row] = await store.read<Row>(sql, conditions.parameters);
  return Object.fromEntries(metrics.map((m) => [m.name, Number(row?.[m.name] ?? 0)]));
}

/** `GET /v1/metrics/deliverability/time-series`: a row per bucket, ascending, none left out. */
export async function timeSeries(store: EventStore, query: Query, now: number): Promise<Row[]> {
  const metrics = metricsOf(query);
  const window = seriesWindow(query, now);
  const buckets = bucketsOf(window);
  const conditions = new Conditions();
  addFilters(conditions, query);
  const sql = rollupQuery(store, window, metrics, 'unit', conditions);
  const rows = await store.read<Row>(sql, conditions.parameters);
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
export async function grouped(store: EventStore, path: string, query: Query, now: number): Promise<Row[]> {
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
  addFilters(conditions, query);
  const sql = rollupQuery(store, window, metrics, grouping.column, conditions);
  const rows = await store.read<Row>(
    `SELECT * FROM (${sql}) ORDER BY ${order.name} DESC, k ASC LIMIT ${limit}`,
    conditions.parameters,
  );
  return rows.map((row) => ({
    [grouping.key]: row.k!,
    ...Object.fromEntries(metrics.map((m) => [m.name, Number(row[m.name])])),
  }));
}
