import type { FastifyInstance } from 'fastify';
import { type EventType, eventTypes } from '../../events/catalogue.ts';
import type { Field } from '../../events/fields.ts';
import { badParameter } from '../request-error.ts';
import { listOf, type Query } from '../search/parameters.ts';
import { queryOf } from './search-routes.ts';

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

function described(type: EventType, surface: 'search' | 'ingest') {
  const entries = type.fields
    .filter((f) => surface === 'ingest' || f.surface === 'all')
    .map((f) => [f.name, describedField(type, f, surface)] as const);
  return Object.fromEntries(entries);
}

function describedField(type: EventType, field: Field, surface: 'search' | 'ingest') {
  const sampleValue = sampleOf(type, field, surface);
  if (surface === 'search') return { description: field.summary, sampleValue };
  const required = type.required.includes(field.name) || type.listedRequired.includes(field.name);
  return {
    description: field.summary,
    sampleValue,
    ...(required ? { required: true } : {}),
    ...(field.reporting ? { reporting: true } : {}),
  };
}

function sampleOf(type: EventType, field: Field, surface: 'search' | 'ingest'): Field['sample'] {
  if (field.name === 'type') return surface === 'ingest' ? type.ingestType! : type.publicType;
  if (field.name === 'timestamp' && surface === 'search') return '2024-01-01T00:00:01.000Z';
  return field.sample;
}

function documented(type: EventType, surface: 'search' | 'ingest') {
  return {
    ...described(type, surface),
    display_name: { description: 'Name of the event', sampleValue: type.displayName },
    event_description: { description: 'What the event says', sampleValue: type.summary },
  };
}

function sample(type: EventType, surface: 'search' | 'ingest') {
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

/** The end points that describe the events; all answer without a key, as public clients ask without one. */
export function documentationRoutes(app: FastifyInstance): void {
  const messages = eventTypes.filter((t) => !onlyInWebhooks.has(t.class));
  const ingested = eventTypes.filter((t) => t.ingestType !== null && !onlyInWebhooks.has(t.class));

  app.get('/api/v1/events/message/documentation', async () => ({
    results: messages.map((t) => documented(t, 'search')),
  }));
  app.get('/api/v1/events/message/samples', async (request) => ({
    results: chosen(messages, queryOf(request)).map((t) => sample(t, 'search')),
  }));
  app.get('/api/v1/ingest/events/documentation', async () => ({
    results: ingested.map((t) => documented(t, 'ingest')),
  }));
  app.get('/api/v1/ingest/events/samples', async (request) => ({
    results: chosen(ingested, queryOf(request)).map((t) => ({ msys: { [t.class]: sample(t, 'ingest') } })),
  }));
  app.get('/api/v1/webhooks/events/documentation', async () => ({
    results: Object.fromEntries(
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
                { display_name: t.displayName, description: t.summary, event: described(t, 'search') },
              ]),
          ),
        },
      ]),
    ),
  }));
  app.get('/api/v1/webhooks/events/samples', async (request) => ({
    results: chosen(eventTypes, queryOf(request)).map((t) => ({
      msys: { [t.class]: { ...sample(t, 'search'), timestamp: '1704067201' } },
    })),
  }));
}
