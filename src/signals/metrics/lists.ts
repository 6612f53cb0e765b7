import { Conditions } from '../search/conditions.ts';
import { altered, integerOf } from '../search/parameters.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Span } from '../store/spans.ts';
import type { Dimension } from '../store/tables/dimensions.ts';
import { rowLimit } from './parameters.ts';
import type { MetricsRequest } from './request.ts';
import { sealedSums, within } from './rollup-query.ts';
import { metricsWindow } from './window.ts';

/** Path segment after `/metrics/` → the column whose values it lists; `null` where this service has none. */
export const lists: ReadonlyMap<string, Dimension | null> = new Map([
  ['domains', 'recipient_domain'],
  ['sending-domains', 'sending_domain'],
  ['campaigns', 'campaign_id'],
  ['templates', 'template_id'],
  ['ip-pools', 'ip_pool'],
  ['sending-ips', 'sending_ip'],
  ['vmtas', 'vmta'],
  ['nodes', 'node'],
  ['mailbox-providers', 'mailbox_provider'],
  ['mailbox-provider-regions', 'mailbox_provider_region'],
  ['subject-campaigns', null],
]);

const DEFAULT_DAYS = 31;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** `GET /v1/metrics/<list>`: values seen in the window that contain `match`, in alphabetical order. */
export async function listValues(request: MetricsRequest, list: string): Promise<string[]> {
  const { store, query, now, onlySubaccount } = request;
  const column = lists.get(list);
  const limit = integerOf(query, 'limit', rowLimit);
  const start = query.get('from') ?? new Date(now - DEFAULT_DAYS * DAY).toISOString().slice(0, 16);
  const window = metricsWindow(altered(altered(query, 'from', start), 'precision', undefined), now, []);
  const match = query.get('match');
  if (!column) return [];
  const conditions = new Conditions();
  conditions.add(`${column} != ''`);
  if (onlySubaccount > 0) conditions.numberIn('subaccount_id', [onlySubaccount]);
  if (match !== undefined) {
    conditions.add(`positionCaseInsensitiveUTF8(${column}, ${conditions.bind('String', match)}) > 0`);
  }
  return await valuesSeen(store, column, window, conditions, limit);
}

/**
 * Values that a dimension has in a window under `conditions`, in alphabetical order. The window is widened to whole
 * hours and days: a name more does no harm where this is used.
 */
export async function valuesSeen(
  store: EventStore,
  column: Dimension,
  window: Span,
  conditions: Conditions,
  limit: number,
): Promise<string[]> {
  const from = Math.floor(window.from / HOUR) * HOUR;
  const { hours, sealed } = store.spans({ from, to: Math.ceil(window.to / HOUR) * HOUR }, 'hour');
  const days = sealed.map((span) => ({ from: Math.floor(span.from / DAY) * DAY, to: span.to }));
  const parts = [
    { from: 'metrics_hour', spans: hours },
    { from: sealedSums('day', new Set([column, ...conditions.columns]))!, spans: days },
  ].filter((part) => part.spans.length > 0);
  if (parts.length === 0) return [];
  const selects = parts.map(
    (part) =>
      `SELECT DISTINCT ${column} AS v FROM ${part.from} WHERE ${within(conditions, part.spans)} AND ${conditions.all}`,
  );
  const rows = await store.read<{ v: string }>(
    `SELECT DISTINCT v FROM (${selects.join(' UNION ALL ')}) ORDER BY v LIMIT ${limit}`,
    conditions.parameters,
  );
  return rows.map((row) => row.v);
}
