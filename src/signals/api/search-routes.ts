import type { FastifyReply, FastifyRequest } from 'fastify';
import { searchOutcomes } from '../search/ingest-search.ts';
import { type Page, searchMessages } from '../search/message-search.ts';
import { withNewNames } from '../search/older-search.ts';
import {
  messageSearchParameters,
  olderSearchParameters,
  outcomeSearchParameters,
} from '../search/search-parameters.ts';
import { type Endpoint, endpoint, type Good, objectSchema } from './endpoint.ts';

/** `http://host` as the client names this service; a header that is no host name is not repeated. */
export function originOf(request: FastifyRequest): string {
  const host = /^[A-Za-z0-9._:[\]-]{1,255}$/.test(request.host) ? request.host : 'localhost';
  return `${request.protocol}://${host}`;
}

function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const links = page.next === null ? {} : { next: page.next };
  // Events are stored as the JSON that is shown, so they are not parsed to be written again.
  const body = `{"results":[${page.events.join(',')}],"total_count":${page.totalCount},"links":${JSON.stringify(links)}}`;
  return reply.header('content-type', 'application/json; charset=utf-8').send(body);
}

function pageOf(description: string, example: object): Good {
  return {
    status: 200,
    description,
    schema: {
      type: 'object',
      required: ['results', 'total_count', 'links'],
      properties: {
        results: { type: 'array', items: { type: 'object' } },
        total_count: { type: 'integer', description: 'Of all pages together.' },
        links: objectSchema({
          next: { type: 'string', description: 'Address of the next page; not there on the last.' },
        }),
      },
    },
    example: { results: [example], total_count: 1, links: {} },
  };
}

const access = ['message_events/view'];

/** Event search (SparkPost API documentation, Events). */
export const searchEndpoints: readonly Endpoint[] = [
  endpoint({
    id: 'searchMessageEvents',
    method: 'GET',
    path: '/api/v1/events/message',
    tag: 'Events',
    summary: 'Search events of messages',
    description:
      'Newest first. Values of one parameter are joined by OR, parameters by AND. Follow `links.next` for more.',
    access,
    parameters: messageSearchParameters,
    good: pageOf('A page of events.', {
      type: 'delivery',
      event_id: '4417230098211530021',
      message_id: '0000a17c3e65f0d1b2c4',
      timestamp: '2024-03-05T09:12:44.000Z',
      rcpt_to: 'ada@example.net',
    }),
    async handle({ services: { store, clock }, query, caller, reply }) {
      const { subaccountId } = caller;
      const page = await searchMessages(store, '/api/v1/events/message', query, clock.now(), subaccountId);
      return sendPage(reply, page);
    },
  }),
  endpoint({
    id: 'searchMessageEventsByOlderNames',
    method: 'GET',
    path: '/api/v1/message-events',
    tag: 'Events',
    summary: 'Search events of messages, by older names',
    description:
      'What SparkPost had before `events/message`; the same, with some parameters under other names.',
    access,
    parameters: olderSearchParameters,
    good: pageOf('A page of events.', { type: 'delivery', event_id: '4417230098211530021' }),
    async handle({ services: { store, clock }, query, caller, reply }) {
      const path = '/api/v1/message-events';
      return sendPage(
        reply,
        await searchMessages(store, path, withNewNames(query), clock.now(), caller.subaccountId),
      );
    },
  }),
  endpoint({
    id: 'searchIngestEvents',
    method: 'GET',
    path: '/api/v1/events/ingest',
    tag: 'Events',
    summary: 'Search outcomes of ingest batches',
    description: 'What became of each batch, newest first.',
    access,
    parameters: outcomeSearchParameters,
    good: pageOf('A page of outcomes.', {
      type: 'success',
      event_id: '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b11',
      batch_id: '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10',
      timestamp: '2024-03-05T09:12:44.000Z',
      number_succeeded: 12,
      number_duplicates: 0,
    }),
    async handle({ services: { store, clock }, query, request, reply, caller }) {
      const origin = originOf(request);
      const { subaccountId } = caller;
      return sendPage(
        reply,
        await searchOutcomes(store.engine, '/api/v1/events/ingest', query, clock.now(), origin, subaccountId),
      );
    },
  }),
];
