import { type BounceCategory, bounceClasses } from '../ingest/bounce-classes.ts';
import type { Parameter } from '../parameter.ts';
import { badParameter } from '../request-error.ts';
import { Conditions } from '../search/conditions.ts';
import { altered, integerOf, listOf, type Query } from '../search/parameters.ts';
import type { Metric } from './definitions.ts';
import { addFilters } from './deliverability.ts';
import { reportParameters, rowLimit } from './parameters.ts';
import type { MetricsRequest } from './request.ts';
import { linkClicks, rollupQuery, within } from './rollup-query.ts';
import { type MetricsWindow, metricsWindow } from './window.ts';

type Row = Record<string, string | number>;
type Report = (request: MetricsRequest) => Promise<Row[]>;

const categoryIds: Readonly<Record<BounceCategory, number>> = {
  Undetermined: 0,
  Hard: 1,
  Soft: 2,
  Block: 3,
  Admin: 4,
};

const bounceMetrics: Readonly<Record<string, string>> = {
  count_bounce: `bounce_category != 'Admin'`,
  count_inband_bounce: `type = 'bounce' AND bounce_category != 'Admin'`,
  count_outofband_bounce: `type = 'out_of_band' AND bounce_category != 'Admin'`,
  count_admin_bounce: `bounce_category = 'Admin'`,
  count_hard_bounce: `bounce_category = 'Hard'`,
  count_soft_bounce: `bounce_category = 'Soft'`,
  count_block_bounce: `bounce_category = 'Block'`,
  count_undetermined_bounce: `bounce_category = 'Undetermined'`,
  count_expired: `type = 'bounce' AND bounce_class = 24`,
};

const linkMetrics: Readonly<Record<string, string>> = {
  count_clicked: 'sum(clicks)',
  count_raw_clicked: 'toInt64(countIf(clicks > 0))',
  count_raw_clicked_approx: 'toInt64(countIf(clicks > 0))',
};

const rejections: Readonly<Record<string, readonly [id: number, name: string]>> = {
  policy_rejection: [1, 'Policy Rejection'],
  generation_rejection: [2, 'Generation Rejection'],
  generation_failure: [3, 'Generation Failure'],
};

/** The request's window, which these reports round to minutes. */
function windowOf({ query, now }: MetricsRequest): MetricsWindow {
  return metricsWindow(altered(query, 'precision', undefined), now, []);
}

/** Rows of the roll-up of reasons, of these types in the request's window and filters. */
function scope(request: MetricsRequest, types: readonly string[]): Conditions {
  const conditions = new Conditions();
  conditions.in('type', types);
  conditions.add(within(conditions, [windowOf(request)]));
  addFilters(conditions, request);
  return conditions;
}

function chosen<T>(query: Query, all: Readonly<Record<string, T>>): [string, T][] {
  const names = [...new Set(listOf(query, 'metrics') ?? Object.keys(all))];
  return names.map((name) => {
    if (!Object.hasOwn(all, name)) {
      throw badParameter('metrics', `must be among ${Object.keys(all).join(', ')}`);
    }
    return [name, all[name]!];
  });
}

const limitOf = (query: Query) => integerOf(query, 'limit', rowLimit);

const bounces =
  (keys: readonly ('reason' | 'domain')[]): Report =>
  async (request) => {
    const { store, query } = request;
    const metrics = chosen(query, bounceMetrics);
    const conditions = scope(request, ['bounce', 'out_of_band']);
    const columns = keys.map((k) => (k === 'domain' ? 'recipient_domain AS domain' : 'reason'));
    const group = [...keys, 'bounce_class'].join(', ');
    const rows = await store.read<Row>(
      `SELECT ${[...columns, 'bounce_class'].join(', ')},
         ${metrics.map(([name, which]) => `sumIf(events, ${which}) AS ${name}`).join(', ')}
       FROM reasons ${conditions.where} GROUP BY ${group}
       HAVING ${metrics.map(([name]) => `${name} != 0`).join(' OR ')}
       ORDER BY ${metrics[0]![0]} DESC, ${group} LIMIT ${limitOf(query)}`,
      conditions.parameters,
    );
    return rows.map((row) => {
      const code = Number(row.bounce_class);
      const found = bounceClasses.find((c) => c.code === code) ?? bounceClasses[0]!;
      return {
        ...Object.fromEntries(keys.map((k) => [k, row[k]!])),
        bounce_class_name: found.name,
        bounce_class_description: found.description,
        bounce_category_id: categoryIds[found.category],
        bounce_category_name: found.category,
        classification_id: code,
        ...Object.fromEntries(metrics.map(([name]) => [name, Number(row[name])])),
      };
    });
  };

const rejected =
  (byDomain: boolean): Report =>
  async (request) => {
    const { store, query } = request;
    const conditions = scope(request, Object.keys(rejections));
    const domain = byDomain ? 'recipient_domain AS domain, ' : '';
    const group = byDomain ? 'reason, domain, type' : 'reason, type';
    const rows = await store.read<Row>(
      `SELECT reason, ${domain}type, sum(events) AS n FROM reasons ${conditions.where}
       GROUP BY ${group} ORDER BY n DESC, ${group} LIMIT ${limitOf(query)}`,
      conditions.parameters,
    );
    return rows.map((row) => {
      const [id, name] = rejections[String(row.type)]!;
      return {
        reason: row.reason!,
        ...(byDomain ? { domain: row.domain! } : {}),
        count_rejected: Number(row.n),
        rejection_category_id: id,
        rejection_type: name,
        rejection_category_name: name,
      };
    });
  };

const delayed =
  (byDomain: boolean): Report =>
  async (request) => {
    const { store, query } = request;
    const conditions = scope(request, ['delay']);
    const domain = byDomain ? 'recipient_domain AS domain, ' : '';
    const group = byDomain ? 'reason, domain' : 'reason';
    return await store.read<Row>(
      `SELECT reason, ${domain}sum(events) AS count_delayed, sum(first) AS count_delayed_first
       FROM reasons ${conditions.where} GROUP BY ${group}
       ORDER BY count_delayed DESC, ${group} LIMIT ${limitOf(query)}`,
      conditions.parameters,
    );
  };

const links: Report = async (request) => {
  const { store, query } = request;
  const metrics = chosen(query, linkMetrics);
  const conditions = new Conditions();
  const window = windowOf(request);
  addFilters(conditions, request);
  const clicks = linkClicks(store, window, conditions);
  if (!clicks) return [];
  return await store.read<Row>(
    `SELECT link_name, ${metrics.map(([name, sql]) => `${sql} AS ${name}`).join(', ')}
     FROM (SELECT link_name, message, sum(clicked) AS clicks FROM ${clicks} GROUP BY link_name, message)
     GROUP BY link_name HAVING sum(clicks) > 0
     ORDER BY ${metrics[0]![0]} DESC, link_name LIMIT ${limitOf(query)}`,
    conditions.parameters,
  );
};

/** Attempt → which deliveries were made at it. */
const byAttempt: readonly (readonly [attempt: string, expression: string])[] = [
  ['1', 'delivered_first'],
  ['2', 'delivered_second'],
  ['3+', 'delivered_subsequent - delivered_second'],
];

const attempts: Report = async (request) => {
  const { store } = request;
  const conditions = new Conditions();
  addFilters(conditions, request);
  const metrics = byAttempt.map(
    ([, expression], i): Metric => ({ name: `attempt_${i}`, kind: 'additive', expression }),
  );
  const [row] = await store.read<Row>(
    rollupQuery(store, windowOf(request), metrics, null, conditions),
    conditions.parameters,
  );
  return byAttempt.flatMap(([attempt], i) => {
    const count = Number(row?.[`attempt_${i}`] ?? 0);
    return count === 0 ? [] : [{ attempt, count_delivered: count }];
  });
};

/** Reports on reasons, links and attempts, by path after `/deliverability/`. */
export const reports: ReadonlyMap<
  string,
  { readonly run: Report; readonly summary: string; readonly parameters: readonly Parameter[] }
> = new Map([
  report('bounce-reason', 'Bounces by reason', bounces(['reason']), bounceMetrics),
  report(
    'bounce-reason/domain',
    'Bounces by reason and domain of the recipient',
    bounces(['reason', 'domain']),
    bounceMetrics,
  ),
  report('bounce-classification', 'Bounces by class', bounces([]), bounceMetrics),
  report('rejection-reason', 'Rejections by reason', rejected(false)),
  report('rejection-reason/domain', 'Rejections by reason and domain of the recipient', rejected(true)),
  report('delay-reason', 'Delays by reason', delayed(false)),
  report('delay-reason/domain', 'Delays by reason and domain of the recipient', delayed(true)),
  report('link-name', 'Clicks by link', links, linkMetrics),
  report('attempt', 'Deliveries by attempt', attempts, {}, false),
]);

function report(
  path: string,
  summary: string,
  run: Report,
  metrics: Readonly<Record<string, string>> = {},
  limited = true,
) {
  return [path, { run, summary, parameters: reportParameters(Object.keys(metrics), limited) }] as const;
}
