import { bySubject, grouped, groupings, inboxRates, summary, timeSeries } from '../metrics/deliverability.ts';
import {
  ingestGrouped,
  ingestGroupings,
  ingestSummary,
  ingestTimeSeries,
} from '../metrics/ingest-metrics.ts';
import { lists, listValues } from '../metrics/lists.ts';
import {
  benchmarkParameters,
  groupedParameters,
  ingestParameters,
  listParameters,
  summaryParameters,
  timeSeriesParameters,
} from '../metrics/parameters.ts';
import { queryFiltersSchema } from '../metrics/query-filters.ts';
import { reports } from '../metrics/reports.ts';
import type { MetricsRequest } from '../metrics/request.ts';
import type { JsonSchema, Parameter } from '../parameter.ts';
import { arrayOf, type Call, type Endpoint, endpoint, type Good, objectSchema, results } from './endpoint.ts';

const base = '/api/v1/metrics';

function link(path: string, rel: string) {
  return { href: `${base}/${path}`, rel, method: 'GET' };
}

const children = [...groupings.keys(), 'subject-campaign', 'time-series', ...reports.keys()];

function asked({ services: { store, clock, watchedDomains }, query, caller }: Call): MetricsRequest {
  return { store, query, now: clock.now(), onlySubaccount: caller.subaccountId, watchedDomains };
}

/** `bounce-reason/domain` → `BounceReasonDomain`, for `operationId`. */
const pascal = (path: string): string =>
  path.replace(/(?:^|[-/])([a-z])/g, (_, letter: string) => letter.toUpperCase());

const words = (path: string): string => path.replaceAll('-', ' ');

const row = (properties: Readonly<Record<string, JsonSchema>> = {}): JsonSchema => ({
  type: 'object',
  properties,
  additionalProperties: { type: ['number', 'string', 'null'] },
});
const rows = (description: string, key: Readonly<Record<string, JsonSchema>>): Good =>
  results(description, arrayOf(row(key)));

const links: JsonSchema = arrayOf(
  objectSchema({ href: { type: 'string' }, rel: { type: 'string' }, method: { type: 'string' } }),
);

function report(
  path: string,
  text: string,
  parameters: readonly Parameter[],
  good: Good,
  handle: (call: Call) => Promise<unknown>,
  description?: string,
): Endpoint {
  return endpoint({
    id: `getMetrics${pascal(path)}`,
    method: 'GET',
    path: path === '' ? base : `${base}/${path}`,
    tag: 'Metrics',
    summary: text,
    ...(description === undefined ? {} : { description }),
    access: ['metrics/view'],
    parameters,
    good,
    handle,
  });
}

const ofBatches =
  'A batch counts when it was processed, as `/api/v1/events/ingest` tells it. Batches are remembered ten days unless the service is told otherwise.';

const withLinks = (good: Good): Good => ({
  ...good,
  schema: objectSchema({ ...(good.schema!.properties as Record<string, JsonSchema>), links }),
});

/** `GET /v1/metrics/…` (SparkPost API documentation, Metrics). */
export const metricsEndpoints: readonly Endpoint[] = [
  report('', 'List the metrics reports', [], withLinks(results('Addresses.', objectSchema())), async () => ({
    results: {},
    links: [
      link('', ''),
      ...[...lists.keys()].map((path) => link(path, path)),
      link('deliverability', 'deliverability'),
      link('ingest', 'ingest'),
    ],
  })),
  report(
    'deliverability',
    'Metrics over a window',
    summaryParameters,
    withLinks(rows('One row.', {})),
    async (call) => ({
      results: [await summary(asked(call))],
      links: children.map((path) => link(`deliverability/${path}`, path.slice(path.lastIndexOf('/') + 1))),
    }),
  ),
  report(
    'deliverability/time-series',
    'Metrics by time',
    timeSeriesParameters,
    rows('A row for each bucket of the window, ascending.', { ts: { type: 'string' } }),
    async (call) => ({
      results: await timeSeries(asked(call)),
    }),
  ),
  report(
    'deliverability/query-filters-schema',
    'JSON Schema of `query_filters`',
    [],
    results('The schema.', objectSchema()),
    async () => ({ results: queryFiltersSchema() }),
  ),
  report(
    'deliverability/subject-campaign',
    'Metrics by subject campaign',
    groupedParameters,
    rows('Always empty: there are no subject campaigns.', { subject_campaign: { type: 'string' } }),
    async (call) => ({ results: bySubject(asked(call)) }),
  ),
  report(
    'benchmarks/inbox-rate',
    'Inbox rates of other senders',
    benchmarkParameters,
    rows('Always empty: this service knows no other senders.', { ts: { type: 'string' } }),
    async (call) => ({ results: inboxRates(asked(call)) }),
  ),
  ...[...groupings].map(([path, { key }]) =>
    report(
      `deliverability/${path}`,
      `Metrics by ${words(path)}`,
      groupedParameters,
      rows(`A row for each ${words(path)} with events.`, { [key]: { type: ['string', 'integer'] } }),
      async (call) => ({
        results: await grouped(asked(call), path),
      }),
    ),
  ),
  ...[...reports].map(([path, { summary: text, parameters, run }]) =>
    report(
      `deliverability/${path}`,
      text,
      parameters,
      rows('Rows, most frequent first.', {}),
      async (call) => ({
        results: await run(asked(call)),
      }),
    ),
  ),
  report(
    'ingest',
    'Metrics of ingest batches over a window',
    ingestParameters('summary'),
    rows('One row.', {}),
    async (call) => ({ results: [await ingestSummary(asked(call))] }),
    ofBatches,
  ),
  report(
    'ingest/time-series',
    'Metrics of ingest batches by time',
    ingestParameters('time-series'),
    rows('A row for each bucket of the window, ascending.', { ts: { type: 'string' } }),
    async (call) => ({ results: await ingestTimeSeries(asked(call)) }),
    ofBatches,
  ),
  ...[...ingestGroupings].map(([path, { key }]) =>
    report(
      `ingest/${path}`,
      `Metrics of ingest batches by ${path}`,
      ingestParameters('grouping'),
      rows(`A row for each ${path} with batches.`, { [key]: { type: ['string', 'integer'] } }),
      async (call) => ({ results: await ingestGrouped(asked(call), path) }),
      ofBatches,
    ),
  ),
  ...[...lists.keys()].map((list) =>
    report(
      list,
      `Names of ${words(list)}`,
      listParameters,
      results('The names, in alphabetical order.', objectSchema({ [list]: arrayOf({ type: 'string' }) })),
      async (call) => ({
        results: { [list]: await listValues(asked(call), list) },
      }),
    ),
  ),
];
