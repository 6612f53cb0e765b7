import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { printable } from '../../system/log.ts';
import { RequestError } from '../request-error.ts';
import { answeredOf } from './access-log.ts';
import type { Services } from './context.ts';
import type { Endpoint } from './endpoint.ts';
import { endpoints } from './endpoints.ts';
import { answerOf, answerOfMalformed, reasonPhrase, sendError } from './errors.ts';
import { isApi, preflight, setHeaders } from './headers.ts';
import { discardBodies, register } from './register.ts';
import { dropRestOfBody } from './rest-of-body.ts';
import { type StaticFiles, staticRoutes } from './static-files.ts';
import type { Certificate } from './tls.ts';

export interface HttpOptions {
  /** HTTPS by this certificate; HTTP without. */
  readonly certificate?: Certificate | undefined;
  /** Whether a proxy at this address is believed what it says of its client. */
  readonly trusts?: ((address: string) => boolean) | undefined;
}

/** Address and headers of one request; the address alone may take all of it. */
const HEADER_BYTES = 64 * 1024;
const MOST_CONNECTIONS = 10_000;

/** The HTTP interface, ready to be bound to a port: SparkPost's API under `/api/v1`, the web interface elsewhere. */
export async function createApp(
  services: Services,
  ui: StaticFiles,
  options: HttpOptions = {},
): Promise<FastifyInstance> {
  const { certificate, trusts } = options;
  // Node would answer a request without Host by itself, and not in JSON.
  const ofNode = { maxHeaderSize: HEADER_BYTES, requireHostHeader: false };
  const app = fastify({
    ...(certificate ? { https: { ...ofNode, ...certificate.options } } : { http: ofNode }),
    logger: false,
    bodyLimit: 2 ** 20,
    requestTimeout: 300_000,
    // The field's clients keep connections for minutes; a proxy in front closes earlier.
    keepAliveTimeout: 75_000,
    genReqId: () => randomUUID(),
    trustProxy: trusts ?? false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: HEADER_BYTES },
    // Requests on open connections are answered while the service stops.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => refuseMalformed(services, error as NodeJS.ErrnoException, socket),
    frameworkErrors: (error, request, reply) => {
      setHeaders(request, reply);
      sendError(
        reply,
        answerOf(error, () => {}),
      );
    },
  }) as unknown as FastifyInstance;
  const server = app.server as Server;
  server.maxConnections = MOST_CONNECTIONS;
  server.on('checkExpectation', (_request, response) => {
    const body = JSON.stringify({ errors: [{ message: 'Unsupported Expect header', code: '1800' }] });
    response
      .writeHead(417, {
        'content-type': 'application/json; charset=utf-8',
        'x-request-id': randomUUID(),
        'x-content-type-options': 'nosniff',
        connection: 'close',
      })
      .end(body);
  });
  app.decorateRequest('caller', null);
  app.decorateRequest('bytesIn', null);

  // Before the routes: a scope takes the handler that is there when it is made.
  app.setErrorHandler((error, request, reply) => {
    // The framework would close it under a body that is too large.
    if (reply.hasHeader('connection')) reply.header('connection', 'keep-alive');
    dropRestOfBody(services.clock, request.raw, reply.raw);
    return sendError(
      reply,
      answerOf(error as Error, (because) =>
        services.log.error('a request failed', {
          request: request.id,
          method: request.method,
          route: answeredOf(request, reply).route,
          because: printable(because),
        }),
      ),
    );
  });

  app.addHook('onRequest', async (request, reply) => {
    setHeaders(request, reply);
    if (request.raw.httpVersion === '1.1' && request.headers.host === undefined) {
      throw new RequestError(400, 'The request has no Host header');
    }
    if (request.method === 'OPTIONS' && isApi(request.url)) return preflight(reply, allowOf(request.url));
    // Before the body is looked at: its type does not matter where it is not wanted.
    if (request.is404) return notFound(request, reply, ui);
  });
  app.addHook('onResponse', async (request, reply) => {
    const answered = answeredOf(request, reply);
    services.figures.answered(answered);
    services.accessLog.write(request, reply, answered);
  });

  app.addHook('onRoute', ({ url, config }) => {
    // So that nothing under /api is missing from the OpenAPI document.
    if (isApi(url) && !(config as { endpoint?: Endpoint } | undefined)?.endpoint) {
      throw new Error(`${url} is registered without a declaration (endpoint.ts)`);
    }
  });
  discardBodies(app);
  for (const endpoint of endpoints) await register(app, services, endpoint);
  staticRoutes(app, ui);
  app.setNotFoundHandler((request, reply) => notFound(request, reply, ui));
  await app.ready();
  return app;
}

const patterns = endpoints.map(({ path, method }) => ({
  method,
  pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}/?$`),
}));

/** Methods of the resource at this address, as the header `Allow` lists them; empty when there is none. */
function allowOf(url: string): string {
  const [path = ''] = url.split('?');
  const methods = new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method));
  if (methods.size === 0) return '';
  return [...methods, ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
}

/** No such resource, no such method there, or a page of the web interface. */
async function notFound(
  request: FastifyRequest,
  reply: FastifyReply,
  ui: StaticFiles,
): Promise<FastifyReply> {
  const allow = allowOf(request.url);
  if (allow !== '') {
    reply.header('allow', allow);
    throw new RequestError(405, 'Method not allowed.', { code: '1102' });
  }
  if (isApi(request.url) || (request.method !== 'GET' && request.method !== 'HEAD')) {
    throw new RequestError(404, 'Resource could not be found', { code: '1101' });
  }
  return ui.page(reply);
}

/** Bytes that are no HTTP: an answer like every other, then the end of the connection. */
function refuseMalformed(services: Services, error: NodeJS.ErrnoException, socket: Socket): void {
  services.figures.malformed();
  const answering = (socket as Socket & { _httpMessage?: unknown })._httpMessage;
  if (error.code === 'ECONNRESET' || !socket.writable || answering) {
    socket.destroy();
    return;
  }
  const { status, body } = answerOfMalformed(error.code);
  const text = JSON.stringify(body);
  socket.end(
    [
      `HTTP/1.1 ${status} ${reasonPhrase(status)}`,
      'Content-Type: application/json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(text)}`,
      `X-Request-Id: ${randomUUID()}`,
      'X-Content-Type-Options: nosniff',
      'Connection: close',
      '',
      text,
    ].join('\r\n'),
  );
}
