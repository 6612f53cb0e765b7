import { Conditions } from '../search/conditions.ts';
import { altered, integerOf, type Query } from '../search/parameters.ts';
import type { Engine } from '../store/engine.ts';
import type { Dimension } from '../store/tables/dimensions.ts';
import { rowLimit } from './parameters.ts';
import { metricsWindow } from './window.ts';

/** Path segment after `/metrics/` → the column whose values it lists; `null` where this service has none. */
export const lists: ReadonlyMap<string, Dimension | null> = new Map([
  ['domains', 'recipient_domain'],
  ['sending-domains', 'sending_domain'],
  ['campaigns', 'campaign_id'],
  ['templates', 'template_id'],
  ['ip-pools', 'ip_pool'],
  ['sending-ips', 'sending_ip'],
  ['mailbox-providers', 'mailbox_provider'],
  ['mailbox-provider-regions', 'mailbox_provider_region'],
  ['subject-campaigns', null],
]);

const DEFAULT_DAYS = 31;

/** `GET /v1/metrics/<list>`: values seen in the window that contain `match`, in alphabetical order. */
export async function listValues(engine: Engine, list: string, query: Query, now: number): Promise<string[]> {
  const column = lists.get(list);
  if (!column) return [];
  const limit = integerOf(query, 'limit', rowLimit);
  const from = query.get('from') ?? new Date(now - DEFAULT_DAYS * 86_400_000).toISOString().slice(0, 16);
  const window = metricsWindow(altered(altered(query, 'from', from), 'precision', undefined), now, []);
  const conditions = new Conditions();
  // Whole hours on both sides: a name more does no harm in a list of suggestions.
  conditions.add(
    `t >= toStartOfHour(toDateTime(${conditions.bind('UInt32', window.from / 1000)}, 'UTC'), 'UTC')`,
  );
  conditions.add(`t < toDateTime(${conditions.bind('UInt32', window.to / 1000)}, 'UTC')`);
  conditions.add(`${column} != ''`);
  const match = query.get('match');
  if (match !== undefined) {
    conditions.add(`positionCaseInsensitiveUTF8(${column}, ${conditions.bind('String', match)}) > 0`);
  }
  const rows = await engine.read<{ v: string }>(
    `SELECT ${column} AS v FROM metrics_hour ${conditions.where} GROUP BY v ORDER BY v LIMIT ${limit}`,
    conditions.parameters,
  );
  return rows.map((row) => row.v);
}
