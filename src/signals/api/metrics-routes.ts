import { filterColumns, grouped, groupings, summary, timeSeries } from '../metrics/deliverability.ts';
import { lists, listValues } from '../metrics/lists.ts';
import {
  groupedParameters,
  listParameters,
  summaryParameters,
  timeSeriesParameters,
} from '../metrics/parameters.ts';
import { queryFiltersSchema } from '../metrics/query-filters.ts';
import { reports } from '../metrics/reports.ts';
import type { JsonSchema, Parameter } from '../parameter.ts';
import { arrayOf, type Call, type Endpoint, endpoint, type Good, objectSchema, results } from './endpoint.ts';

const base = '/api/v1/metrics';

function link(path: string, rel: string) {
  return { href: `${base}/${path}`, rel, method: 'GET' };
}

const children = [...groupings.keys(), 'time-series', ...reports.keys()];

/** `bounce-reason/domain` → `BounceReasonDomain`, for `operationId`. */
const pascal = (path: string): string =>
  path.replace(/(?:^|[-/])([a-z])/g, (_, letter: string) => letter.toUpperCase());

const words = (path: string): string => path.replaceAll('-', ' ');

const row = (properties: Readonly<Record<string, JsonSchema>> = {}): JsonSchema => ({
  type: 'object',
  properties,
  additionalProperties: { type: ['number', 'string'] },
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
    ],
  })),
  report(
    'deliverability',
    'Metrics over a window',
    summaryParameters,
    withLinks(rows('One row.', {})),
    async ({ services: { store, clock }, query }) => ({
      results: [await summary(store, query, clock.now())],
      links: children.map((path) => link(`deliverability/${path}`, path.slice(path.lastIndexOf('/') + 1))),
    }),
  ),
  report(
    'deliverability/time-series',
    'Metrics by time',
    timeSeriesParameters,
    rows('A row for each bucket of the window, ascending.', { ts: { type: 'string' } }),
    async ({ services: { store, clock }, query }) => ({
      results: await timeSeries(store, query, clock.now()),
    }),
  ),
  report(
    'deliverability/query-filters-schema',
    'JSON Schema of `query_filters`',
    [],
    results('The schema.', objectSchema()),
    async () => ({ results: queryFiltersSchema(filterColumns) }),
  ),
  report(
    'deliverability/subject-campaign',
    'Metrics by subject campaign',
    [],
    rows('Always empty: there are no subject campaigns.', { subject_campaign: { type: 'string' } }),
    async () => ({ results: [] }),
  ),
  ...[...groupings].map(([path, { key }]) =>
    report(
      `deliverability/${path}`,
      `Metrics by ${words(path)}`,
      groupedParameters,
      rows(`A row for each ${words(path)} with events.`, { [key]: { type: ['string', 'integer'] } }),
      async ({ services: { store, clock }, query }) => ({
        results: await grouped(store, path, query, clock.now()),
      }),
    ),
  ),
  ...[...reports].map(([path, { summary: text, parameters, run }]) =>
    report(
      `deliverability/${path}`,
      text,
      parameters,
      rows('Rows, most frequent first.', {}),
      async ({ services: { store, clock }, query }) => ({
        results: await run(store, query, clock.now()),
      }),
    ),
  ),
  ...[...lists.keys()].map((list) =>
    report(
      list,
      `Names of ${words(list)}`,
      lists.get(list) === null ? [] : listParameters,
      results('The names, in alphabetical order.', objectSchema({ [list]: arrayOf({ type: 'string' }) })),
      async ({ services: { store, clock }, query }) => ({
        results: { [list]: await listValues(store, list, query, clock.now()) },
      }),
    ),
  ),
];
