import { eventTypes } from '../../events/catalogue.ts';
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
import { olderNames } from './older-search.ts';

/** Events of one page. */
export const perPage: WholeNumber = { default: 1000, minimum: 1, maximum: 10_000 };
/** Number of a page; reaches only the first 10,000 events. */
export const pageNumber: WholeNumber = { default: 1, minimum: 1, maximum: 10_000 };

/** Public names of the events that the search of messages knows. */
export const searchableEvents: readonly string[] = eventTypes
  .filter((t) => t.class !== 'ingest_event')
  .map((t) => t.publicType);

export const outcomeTypes: readonly string[] = ['success', 'error'];
export const outcomeErrors: readonly string[] = [
  'validation',
  'system',
  'decompress',
  'duplicate_batch',
  'empty_batch',
];

const window: readonly Parameter[] = [
  text(
    'from',
    'Earliest time, inclusive; UTC unless it names a zone. Default: 24 hours ago.',
    '2024-03-05T10:00:00Z',
  ),
  text(
    'to',
    'Latest time, exclusive; UTC unless it names a zone. Default: one minute ago.',
    '2024-03-06T10:00:00Z',
  ),
];

const paging: readonly Parameter[] = [
  text(
    'cursor',
    'Place to go on from; `initial` is the beginning, later ones are in `links.next`.',
    'initial',
  ),
  integer('per_page', 'Events of one page.', perPage),
  delimiter,
];

const words =
  'All words of a value have to occur, whole, in any order and letter case; they end at blanks, `-` and `_`';

/** `GET /v1/events/message` (SparkPost API documentation, Events). */
export const messageSearchParameters: readonly Parameter[] = [
  ...window,
  ...paging,
  integer('page', 'Number of a page, without a cursor; the first 10,000 events only.', pageNumber),
  choices('events', 'Types of events.', searchableEvents, 'delivery,bounce'),
  list('event_ids', 'Ids of events.', '4417230098211530021'),
  list('messages', 'Ids of messages, custom ones included.', '0000a17c3e65f0d1b2c4'),
  list('transmissions', 'Ids of transmissions.', '65832150921904138'),
  list(
    'recipients',
    'Addresses, in any letter case; finds events with hashed recipients by address or hash.',
    'ada@example.net',
  ),
  list('recipient_domains', `Domains of recipients. ${words} and periods.`, 'example.net'),
  list('from_addresses', 'Addresses in From.', 'news@brand.example'),
  list('sending_domains', `Domains of senders. ${words} and periods.`, 'brand.example'),
  list('subjects', `Subjects. ${words}.`, 'spring'),
  numbers('bounce_classes', 'Codes of bounce classes.', '10,30'),
  list('reasons', `Replies of hosts. ${words}.`, '5.1.1'),
  list('campaigns', `Campaigns. ${words}.`, 'january'),
  list('templates', `Templates. ${words}.`, 'welcome'),
  list('sending_ips', 'Addresses mail was sent from.', '192.0.2.17'),
  list('vmtas', 'VirtualMTAs (`binding` of the events); the events found do not show them.', 'mta-7'),
  list('nodes', 'Nodes that sent the mail; the events found do not show them.', 'mta1.brand.example'),
  list('ip_pools', `IP pools. ${words}.`, 'promo'),
  numbers('subaccounts', 'Ids of subaccounts; 0 is the primary account.', '0,12'),
  list('mailbox_providers', `Mailbox providers. ${words}.`, 'Gmail'),
  list('mailbox_provider_regions', `Regions of mailbox providers. ${words}.`, 'Global'),
  list('ab_tests', `A/B tests. ${words}.`, 'subject-test'),
  list('ab_test_versions', 'Versions of A/B tests; needs `ab_tests`.', '1'),
];

/** `GET /v1/message-events`: the same under older names. */
export const olderSearchParameters: readonly Parameter[] = [
  ...messageSearchParameters,
  ...[...olderNames].map(([old, name]) => list(old, `Older name of \`${name}\`.`, '1')),
];

/** `GET /v1/events/ingest`: what became of batches. */
export const outcomeSearchParameters: readonly Parameter[] = [
  ...window,
  ...paging,
  choices('events', 'Kinds of outcome.', outcomeTypes, 'success,error'),
  choices('error_types', 'Why a batch failed, wholly or in part.', outcomeErrors, 'validation,system'),
  list('batch_ids', 'Ids that ingest answered.', '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10'),
  list('event_ids', 'Ids of outcomes.', '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b11'),
  numbers('subaccounts', 'Ids of subaccounts; 0 is the primary account.', '0'),
  choice('retryable', 'Whether sending the batch again may help.', ['true', 'false']),
];
