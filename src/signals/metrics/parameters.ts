import {
  choice,
  choices,
  delimiter,
  integer,
  list,
  numbers,
  type Parameter,
  text,
  type WholeNumber,
} from '../parameter.ts';
import { outcomeErrors } from '../search/search-parameters.ts';
import { ingestMetricNames, metricNames } from './definitions.ts';
import { aggregatePrecisions, precisions } from './window.ts';

/** Rows of a grouped report or a list of names. */
export const rowLimit: WholeNumber = { default: 1000, minimum: 1, maximum: 10_000 };

const limit = integer('limit', 'Most rows.', rowLimit);

const to = text('to', 'End, `YYYY-MM-DDTHH:MM` in `timezone`. Default: now.', '2024-03-06T00:00');
const timezone = text(
  'timezone',
  'IANA name of the zone of `from`, `to` and `ts`; days and longer are UTC whatever it says.',
  'Europe/Berlin',
);

const from = text('from', 'Beginning, `YYYY-MM-DDTHH:MM` in `timezone`.', '2024-03-05T00:00', {
  required: true,
});

/** Of every report. */
const window: readonly Parameter[] = [from, to, timezone, delimiter];

const filters: readonly Parameter[] = [
  list('domains', 'Domains of recipients.', 'example.net'),
  list('campaigns', 'Campaigns.', 'january'),
  list('subject_campaigns', 'Subject campaigns; there are none here.', 'january'),
  list('templates', 'Templates.', 'welcome'),
  list('sending_ips', 'Addresses mail was sent from.', '192.0.2.17'),
  list('ip_pools', 'IP pools.', 'promo'),
  list('vmtas', 'VirtualMTAs (`binding` of the events).', 'mta-7'),
  list('nodes', 'Nodes that sent the mail.', 'mta1.brand.example'),
  list('sending_domains', 'Domains of senders.', 'brand.example'),
  list('mailbox_providers', 'Mailbox providers.', 'Gmail'),
  list('mailbox_provider_regions', 'Regions of mailbox providers.', 'Global'),
  numbers('subaccounts', 'Ids of subaccounts; 0 is the primary account.', '0,12'),
  text(
    'query_filters',
    'JSON that joins conditions by AND and OR; with it the simple filters count for nothing. Schema: `/api/v1/metrics/deliverability/query-filters-schema`.',
    '{"groupings":[{"AND":{"domains":{"eq":["example.net"]},"campaigns":{"notLike":["test"]}}}]}',
  ),
];

const metrics = choices('metrics', 'Metrics to answer.', metricNames, 'count_sent,count_bounce', {
  required: true,
});

const precision = (allowed: readonly string[], without: string): Parameter =>
  choice(
    'precision',
    `Rounds the window, and says within what time a unique metric counts once. Longest window: 24 hours for 1min and 5min, 48 hours for 15min, 31 days for hour. Without it: ${without}.`,
    allowed,
  );

/** `GET /v1/metrics/deliverability` (SparkPost API documentation, Metrics). */
export const summaryParameters: readonly Parameter[] = [
  ...window,
  metrics,
  precision(aggregatePrecisions, 'rounded to minutes, whatever the length'),
  ...filters,
];

/** `GET /v1/metrics/deliverability/time-series`. */
export const timeSeriesParameters: readonly Parameter[] = [
  ...window,
  metrics,
  precision(precisions, 'the finest that the window allows'),
  ...filters,
];

/** `GET /v1/metrics/deliverability/<grouping>`. */
export const groupedParameters: readonly Parameter[] = [
  ...summaryParameters,
  limit,
  text('order_by', 'Metric that the rows are sorted by, descending. Default: the first.', 'count_bounce'),
];

/** Reports on reasons, links and attempts. */
export function reportParameters(metricsOfReport: readonly string[], limited: boolean): readonly Parameter[] {
  return [
    ...window,
    ...(metricsOfReport.length > 0 ? [choices('metrics', 'Metrics to answer.', metricsOfReport)] : []),
    ...(limited ? [limit] : []),
    ...filters,
  ];
}

/** `GET /v1/metrics/ingest…`. */
export function ingestParameters(shape: 'summary' | 'time-series' | 'grouping'): readonly Parameter[] {
  const isSeries = shape === 'time-series';
  return [
    ...window,
    choices('metrics', 'Metrics to answer.', ingestMetricNames, 'ingest_batches,ingest_lag', {
      required: true,
    }),
    choice(
      'precision',
      'Rounds the window and, in a time series, says how long a bucket is. Longest window: 24 hours for 1min and 5min, 48 hours for 15min, 31 days for hour.',
      isSeries ? precisions : aggregatePrecisions,
    ),
    list('nodes', 'Nodes that sent the batches.', 'mta1.brand.example'),
    numbers('subaccounts', 'Ids of subaccounts; 0 is the primary account.', '0,12'),
    choices('statuses', 'What the batches came to.', ['success', ...outcomeErrors], 'success,validation'),
    ...(shape === 'grouping'
      ? [
          limit,
          text(
            'order_by',
            'Metric that the rows are sorted by, descending. Default: the first.',
            'ingest_lag',
          ),
        ]
      : []),
  ];
}

/** `GET /v1/metrics/benchmarks/inbox-rate`. */
export const benchmarkParameters: readonly Parameter[] = [
  from,
  to,
  timezone,
  text('industry_category', 'Kind of sender.', 'all'),
  choice('mailbox_provider', 'Provider of the mailboxes.', [
    'all',
    'gmail',
    'hotmail',
    'verizon_media_group',
  ]),
];

/** `GET /v1/metrics/<list>`. */
export const listParameters: readonly Parameter[] = [
  text('match', 'Text that the names contain, in any letter case.', 'jan'),
  limit,
  text('from', 'Beginning, `YYYY-MM-DDTHH:MM` in `timezone`. Default: 31 days ago.', '2024-03-05T00:00'),
  to,
  timezone,
];
