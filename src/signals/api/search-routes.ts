import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { searchOutcomes } from '../search/ingest-search.ts';
import { type Page, searchMessages } from '../search/message-search.ts';
import { parseQuery, type Query } from '../search/parameters.ts';
import { requireGrant } from './authentication.ts';
import type { Services } from './context.ts';

/** The query of a request, every value once. */
export function queryOf(request: FastifyRequest): Query {
  const mark = request.url.indexOf('?');
  return parseQuery(mark < 0 ? '' : request.url.slice(mark + 1));
}

/** `http://host` as the client names this service; a header that is no host name is not repeated. */
export function originOf(request: FastifyRequest): string {
  const host = /^[A-Za-z0-9.:[\]-]{1,255}$/.test(request.host) ? request.host : 'localhost';
  return `${request.protocol}://${host}`;
}

function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const links = page.next === null ? {} : { next: page.next };
  // Events are stored as the JSON that is shown, so they are not parsed to be written again.
  const body = `{"results":[${page.events.join(',')}],"total_count":${page.totalCount},"links":${JSON.stringify(links)}}`;
  return reply.header('content-type', 'application/json; charset=utf-8').send(body);
}

/** `GET /v1/events/message` and `/v1/events/ingest`. */
export function searchRoutes(app: FastifyInstance, { accounts, store, clock }: Services): void {
  const onRequest = requireGrant(accounts, 'message_events/view');
  app.get('/api/v1/events/message', { onRequest }, async (request, reply) => {
    const subaccount = request.caller?.subaccountId ?? 0;
    const query = queryOf(request);
    return sendPage(
      reply,
      await searchMessages(store.engine, '/api/v1/events/message', query, clock.now(), subaccount),
    );
  });
  app.get('/api/v1/events/ingest', { onRequest }, async (request, reply) => {
    const query = queryOf(request);
    return sendPage(
      reply,
      await searchOutcomes(store.engine, '/api/v1/events/ingest', query, clock.now(), originOf(request)),
    );
  });
}
