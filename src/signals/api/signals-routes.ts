import { choice, type JsonSchema, type Parameter, text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { addDays, dayOf } from '../score/refresh/days.ts';
import { explain, modelOf } from '../score/reports/explanation.ts';
import { healthReport } from '../score/reports/health-report.ts';
import { askedOf, dayOfQuery, reportParameters } from '../score/reports/parameters.ts';
import { entryNames, type SumReport, sumReport, sumReports } from '../score/reports/sum-reports.ts';
import { type Facet, facets } from '../score/sums.ts';
import { arrayOf, type Call, type Endpoint, endpoint, type Good, objectSchema, results } from './endpoint.ts';
import { subaccountHeader } from './register.ts';

const base = '/api/v1/signals';
const access = ['signals/view', 'signals/manage'];

const number: JsonSchema = { type: ['number', 'null'] };
const decimal: JsonSchema = { type: ['string', 'null'], pattern: '^-?\\d+(\\.\\d{10})?$' };

const weights = arrayOf(
  objectSchema({ weight_type: { type: 'string' }, weight: decimal, weight_value: decimal }),
);

/** The answer of a report; `entry` and `current`: what a day and a row hold beside the keys. */
function page(
  facet: Facet | null,
  entry: Readonly<Record<string, JsonSchema>>,
  current: Readonly<Record<string, JsonSchema>>,
): Good {
  const row = {
    type: 'object',
    required: ['sid', 'history'],
    properties: {
      sid: { type: 'integer', description: 'Subaccount; 0 the primary account, -1 all together.' },
      ...(facet === null ? {} : { [facet]: { type: 'string' } }),
      WoW: { ...number, description: 'Change of the day `to` against seven days before, as a fraction.' },
      ...current,
      history: arrayOf(objectSchema({ dt: { type: 'string', format: 'date' }, ...entry })),
    },
  };
  const schema = objectSchema({ total_count: { type: 'integer' }, data: arrayOf(row) });
  return results('A page of rows; days without enough data are left out.', schema);
}

function report(
  dimension: string,
  summary: string,
  orders: readonly string[],
  good: (facet: Facet | null) => Good,
  answer: (call: Call, facet: Facet | null) => Promise<unknown>,
): Endpoint[] {
  return [null, ...facets].map((facet) =>
    endpoint({
      id: `getSignals${pascal(dimension)}${facet === null ? '' : `By${pascal(facet)}`}`,
      method: 'GET',
      path: facet === null ? `${base}/${dimension}` : `${base}/${dimension}/${facet}`,
      tag: 'Signals',
      summary: `${summary}, by ${facet === null ? 'subaccount' : facet.replaceAll('_', ' ')}`,
      access,
      parameters: [
        ...reportParameters([...new Set([facet ?? 'sid', ...orders])], facet !== null),
        subaccountHeader,
      ],
      good: good(facet),
      handle: async (call) => ({ results: await answer(call, facet) }),
    }),
  );
}

const pascal = (name: string): string =>
  name.replace(/(?:^|[-_])([a-z])/g, (_, letter: string) => letter.toUpperCase());

const summaries: Readonly<Record<string, string>> = {
  'spam-hits': 'Spam trap hits by day',
  'cohort-engagement': 'Mail by how recently its recipients engaged',
  'eng-cohort': 'Engagement rate by cohort of recipients',
  'unsub-cohort': 'Unsubscribe rate by cohort of recipients',
  'fbl-cohort': 'Complaint rate by cohort of recipients',
};

function sumEndpoints(dimension: string, of: SumReport): Endpoint[] {
  const schemas = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, number]));
  return report(
    dimension,
    summaries[dimension]!,
    ['sid', ...Object.keys(of.orders)],
    (facet) => page(facet, schemas(entryNames(of)), schemas(of.current.map((name) => `current_${name}`))),
    ({ services: { scores, clock }, query, subaccount }, facet) =>
      sumReport(scores.engine, of, facet, subaccount, askedOf(query, facet !== null, clock.now())),
  );
}

const healthEndpoints = report(
  'health-score',
  'Health score by day, with what raised and lowered it',
  ['sid', 'health_score', 'total_injection_count'],
  (facet) =>
    page(
      facet,
      {
        health_score: decimal,
        health_score_dod: { ...number, description: 'Change against the day before, as a fraction.' },
        health_score_wow: { ...number, description: 'Change against seven days before, as a fraction.' },
        total_injection_count: number,
        weights,
      },
      {
        current_health_score: decimal,
        current_total_injection_count: number,
        current_weights: weights,
        health_score_average: { ...decimal, description: 'Mean of the days that have a score.' },
        health_score_high: decimal,
        health_score_low: decimal,
      },
    ),
  ({ services: { scores, clock }, query, subaccount }, facet) =>
    healthReport(scores.engine, scores.model, facet, subaccount, askedOf(query, facet !== null, clock.now())),
);

const explanationParameters: readonly Parameter[] = [
  text('day', 'The day, UTC, `YYYY-MM-DD`. Default: yesterday.', '2024-03-07'),
  choice('facet', 'What `value` is a value of; without it the score of the account or subaccount.', facets),
  text('value', 'The value.', 'january'),
  subaccountHeader,
];

/** Not of SparkPost's: how scores come about. */
const methodEndpoints: readonly Endpoint[] = [
  endpoint({
    id: 'getSignalsScoreModel',
    method: 'GET',
    path: `${base}/health-score-model`,
    tag: 'Signals',
    summary: 'The model that scores are made by',
    description: 'A score is the base plus one weight per component, read off its anchors by straight lines.',
    access,
    good: results(
      'The model in force.',
      objectSchema({
        version: { type: 'string' },
        base: decimal,
        minimum_tracked_injections: { type: 'integer' },
        components: arrayOf(
          objectSchema({
            weight_type: { type: 'string' },
            better: { type: 'string', enum: ['more', 'less'] },
            anchors: arrayOf({ type: 'array', items: decimal, description: 'Rate and weight.' }),
          }),
        ),
      }),
    ),
    handle: async ({ services: { scores } }) => ({ results: modelOf(scores.model) }),
  }),
  endpoint({
    id: 'getSignalsScoreExplanation',
    method: 'GET',
    path: `${base}/health-score-explanation`,
    tag: 'Signals',
    summary: 'How one score came about: counts, rates and weights',
    access,
    parameters: explanationParameters,
    good: results(
      'The score and its parts.',
      objectSchema({
        sid: { type: 'integer', description: 'Subaccount; 0 the primary account, -1 all together.' },
        ...Object.fromEntries(facets.map((facet) => [facet, { type: 'string' }])),
        dt: { type: 'string', format: 'date' },
        model: { type: 'string', description: 'Version of the model.' },
        base: decimal,
        minimum_tracked_injections: { type: 'integer' },
        total_injection_count: number,
        health_score: { ...decimal, description: '`null` on a day with too little tracked mail.' },
        parts: arrayOf(
          objectSchema({
            weight_type: { type: 'string' },
            numerator: number,
            denominator: number,
            weight_value: decimal,
            curve_weight: decimal,
            weight: decimal,
          }),
        ),
      }),
    ),
    handle: async ({ services: { scores, clock }, query, subaccount }) => {
      const facet = query.get('facet') ?? null;
      const value = query.get('value') ?? '';
      if (facet !== null && value === '') {
        throw new RequestError(400, "'value' is required", { code: '1401', details: { param: 'value' } });
      }
      const day = dayOfQuery(query, 'day') ?? addDays(dayOf(clock.now()), -1);
      return {
        results: await explain(scores.engine, scores.model, facet as Facet | null, value, subaccount, day),
      };
    },
  }),
];

const resource = text('resource', 'Address or domain.', '192.0.2.14', { in: 'path' });

/** SparkPost's blocklist monitors: nothing is monitored here, so every list is empty and nothing can be added. */
const blocklistEndpoints: readonly Endpoint[] = (
  [
    ['listBlocklistMonitors', '', 'Watched addresses and domains', []],
    ['listBlocklists', '/blocklists', 'Known blocklists', []],
    ['listBlocklistIncidents', '/incidents', 'Listings on blocklists', []],
    ['listIncidentsOfResource', '/{resource}/incidents', 'Listings of one resource', [resource]],
  ] as const
).map(([id, path, summary, parameters]) =>
  endpoint({
    id,
    method: 'GET',
    path: `/api/v1/blocklist-monitors${path}`,
    tag: 'Signals',
    summary,
    access,
    parameters,
    good: results('Always empty.', arrayOf(objectSchema())),
    handle: async () => ({ results: [] }),
  }),
);

/** `GET /v1/signals/…` and its neighbours, which SparkPost's web interface calls. */
export const signalsEndpoints: readonly Endpoint[] = [
  ...healthEndpoints,
  ...[...sumReports].flatMap(([dimension, of]) => sumEndpoints(dimension, of)),
  ...methodEndpoints,
  ...blocklistEndpoints,
];
