import type { FastifyInstance } from 'fastify';
import { filterColumns, grouped, groupings, summary, timeSeries } from '../metrics/deliverability.ts';
import { lists, listValues } from '../metrics/lists.ts';
import { queryFiltersSchema } from '../metrics/query-filters.ts';
import { reports } from '../metrics/reports.ts';
import { requireGrant } from './authentication.ts';
import type { Services } from './context.ts';
import { queryOf } from './search-routes.ts';

const base = '/api/v1/metrics';

function link(path: string, rel: string) {
  return { href: `${base}/${path}`, rel, method: 'GET' };
}

/** `GET /v1/metrics/…` (SparkPost API documentation, Metrics). */
export function metricsRoutes(app: FastifyInstance, { accounts, store, clock }: Services): void {
  const onRequest = requireGrant(accounts, 'metrics/view');
  const { engine } = store;
  const children = [...groupings.keys(), 'time-series', ...reports.keys()];

  app.get(base, { onRequest }, async () => ({
    results: {},
    links: [
      link('', ''),
      ...[...lists.keys()].map((path) => link(path, path)),
      link('deliverability', 'deliverability'),
    ],
  }));
  app.get(`${base}/deliverability`, { onRequest }, async (request) => ({
    results: [await summary(engine, queryOf(request), clock.now())],
    links: children.map((path) => link(`deliverability/${path}`, path.slice(path.lastIndexOf('/') + 1))),
  }));
  app.get(`${base}/deliverability/time-series`, { onRequest }, async (request) => ({
    results: await timeSeries(engine, queryOf(request), clock.now()),
  }));
  app.get(`${base}/deliverability/query-filters-schema`, { onRequest }, async () => ({
    results: queryFiltersSchema(filterColumns),
  }));
  app.get(`${base}/deliverability/subject-campaign`, { onRequest }, async () => ({ results: [] }));
  for (const path of groupings.keys()) {
    app.get(`${base}/deliverability/${path}`, { onRequest }, async (request) => ({
      results: await grouped(engine, path, queryOf(request), clock.now()),
    }));
  }
  for (const [path, report] of reports) {
    app.get(`${base}/deliverability/${path}`, { onRequest }, async (request) => ({
      results: await report(engine, queryOf(request), clock.now()),
    }));
  }
  for (const list of lists.keys()) {
    app.get(`${base}/${list}`, { onRequest }, async (request) => ({
      results: { [list]: await listValues(engine, list, queryOf(request), clock.now()) },
    }));
  }
}
