import { type EventType, eventTypes } from '../../events/catalogue.ts';
import type { Field } from '../../events/fields.ts';
import { delimiter, list } from '../parameter.ts';
import { badParameter } from '../request-error.ts';
import { listOf, type Query } from '../search/parameters.ts';
import { arrayOf, type Endpoint, endpoint, objectSchema, results } from './endpoint.ts';

const onlyInWebhooks = new Set(['relay_event', 'ab_test_event', 'ingest_event']);

const classNames: Readonly<Record<string, readonly [name: string, description: string]>> = {
  message_event: ['Message Events', 'What became of a message on its way to the recipient.'],
  track_event: ['Engagement Events', 'What the recipient did with a message.'],
  gen_event: ['Generation Events', 'Why a message was not generated.'],
  unsubscribe_event: ['Unsubscribe Events', 'The recipient asked for no more mail.'],
  relay_event: ['Relay Events', 'What became of an inbound message.'],
  ab_test_event: ['A/B Test Events', 'What became of an A/B test.'],
  ingest_event: ['Ingest Events', 'What became of a batch of ingested events.'],
};

/** Where an event is shown; the same field may look different there. */
type Surface = 'search' | 'ingest' | 'webhook';

function described(type: EventType, surface: Surface) {
  const entries = type.fields
    .filter((f) => surface === 'ingest' || f.surface === 'all')
    .map((f) => [f.name, describedField(type, f, surface)] as const);
  return Object.fromEntries(entries);
}

function describedField(type: EventType, field: Field, surface: Surface) {
  const sampleValue = sampleOf(type, field, surface);
  if (surface !== 'ingest') return { description: field.summary, sampleValue };
  const required = type.required.includes(field.name) || type.listedRequired.includes(field.name);
  return {
    description: field.summary,
    sampleValue,
    ...(required ? { required: true } : {}),
    ...(field.reporting ? { reporting: true } : {}),
  };
}

function sampleOf(type: EventType, field: Field, surface: Surface): Field['sample'] {
  if (field.name === 'type') return surface === 'ingest' ? type.ingestType! : type.publicType;
  if (field.name === 'timestamp' && surface === 'search') return '2024-01-01T00:00:01.000Z';
  // Webhooks write these as texts.
  if (surface === 'webhook' && (field.name === 'customer_id' || field.name === 'subaccount_id')) {
    return String(field.sample);
  }
  return field.sample;
}

function documented(type: EventType, surface: Surface) {
  return {
    ...described(type, surface),
    display_name: { description: 'Name of the event', sampleValue: type.displayName },
    event_description: { description: 'What the event says', sampleValue: type.summary },
  };
}

function sample(type: EventType, surface: Surface) {
  const fields = type.fields.filter((f) => surface === 'ingest' || f.surface === 'all');
  return Object.fromEntries(fields.map((f) => [f.name, sampleOf(type, f, surface)]));
}

function chosen(types: readonly EventType[], query: Query): readonly EventType[] {
  const names = listOf(query, 'events');
  if (!names) return types;
  return names.map((name) => {
    const found = types.find((t) => t.publicType === name || t.ingestType === name);
    if (!found) throw badParameter('events', `has an event that does not exist: ${name.slice(0, 64)}`);
    return found;
  });
}

const messages = eventTypes.filter((t) => !onlyInWebhooks.has(t.class));
const ingested = eventTypes.filter((t) => t.ingestType !== null && !onlyInWebhooks.has(t.class));

const documentation = (id: string, path: string, summary: string, body: () => unknown, many: boolean) =>
  endpoint({
    id,
    method: 'GET',
    path: `/api/v1/${path}/documentation`,
    tag: path.startsWith('ingest') ? 'Ingest' : 'Events',
    summary,
    access: 'anyone',
    good: results('By field: description and sample value.', many ? arrayOf(objectSchema()) : objectSchema()),
    handle: async () => ({ results: body() }),
  });

const samples = (
  id: string,
  path: string,
  summary: string,
  types: readonly EventType[],
  sampleOf: (type: EventType) => unknown,
) =>
  endpoint({
    id,
    method: 'GET',
    path: `/api/v1/${path}/samples`,
    tag: path.startsWith('ingest') ? 'Ingest' : 'Events',
    summary,
    access: 'anyone',
    parameters: [delimiter, list('events', 'Names of events. Default: all.', types[0]!.publicType)],
    good: results('One sample of each event, in the order asked.', arrayOf(objectSchema())),
    handle: async ({ query }) => ({ results: chosen(types, query).map(sampleOf) }),
  });

/** The end points that describe the events; all answer without a key, as public clients ask without one. */
export const documentationEndpoints: readonly Endpoint[] = [
  documentation(
    'describeMessageEvents',
    'events/message',
    'What the search answers',
    () => messages.map((t) => documented(t, 'search')),
    true,
  ),
  samples('sampleMessageEvents', 'events/message', 'Samples of what the search answers', messages, (t) =>
    sample(t, 'search'),
  ),
  documentation(
    'describeIngestEvents',
    'ingest/events',
    'What may be sent',
    () => ingested.map((t) => documented(t, 'ingest')),
    true,
  ),
  samples('sampleIngestEvents', 'ingest/events', 'Samples of what may be sent', ingested, (t) => ({
    msys: { [t.class]: sample(t, 'ingest') },
  })),
  documentation(
    'describeWebhookEvents',
    'webhooks/events',
    'What webhooks send',
    () =>
      Object.fromEntries(
        Object.entries(classNames).map(([cls, [display_name, description]]) => [
          cls,
          {
            display_name,
            description,
            events: Object.fromEntries(
              eventTypes
                .filter((t) => t.class === cls)
                .map((t) => [
                  t.publicType,
                  { display_name: t.displayName, description: t.summary, event: described(t, 'webhook') },
                ]),
            ),
          },
        ]),
      ),
    false,
  ),
  samples('sampleWebhookEvents', 'webhooks/events', 'Samples of what webhooks send', eventTypes, (t) => ({
    msys: { [t.class]: sample(t, 'webhook') },
  })),
];
