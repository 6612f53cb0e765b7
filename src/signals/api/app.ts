import { randomUUID } from 'node:crypto';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import { printable } from '../../system/log.ts';
import { RequestError } from '../request-error.ts';
import { EngineBusy, EngineError } from '../store/engine.ts';
import type { Services } from './context.ts';
import type { Endpoint } from './endpoint.ts';
import { endpoints } from './endpoints.ts';
import { register } from './register.ts';
import { type StaticFiles, staticRoutes } from './static-files.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** Nothing but this host, no inline code: what the web interface needs and no more. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** The HTTP interface, ready to be bound to a port: SparkPost's API under `/api/v1`, the web interface elsewhere. */
export async function createApp(services: Services, ui: StaticFiles): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: 2 ** 20,
    requestTimeout: 300_000,
    // The field's clients keep connections for minutes; a proxy in front closes earlier.
    keepAliveTimeout: 75_000,
    genReqId: () => randomUUID(),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 512 },
    return503OnClosing: true,
  });
  app.decorateRequest('caller', null);

  // Before the routes: a scope takes the handler that is there when it is made.
  app.setErrorHandler((error, request, reply) => {
    const { status, body } = answerOf(error as Error, (because) =>
      services.log.error('a request failed', {
        request: request.id,
        method: request.method,
        path: printable(request.url.split('?')[0]!.slice(0, 200)),
        because: printable(because),
      }),
    );
    return send(reply, status, body);
  });

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    reply.header('x-frame-options', 'DENY');
    if (!isApi(request.url)) {
      reply.header('content-security-policy', contentSecurityPolicy);
      return;
    }
    reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    reply.header('cache-control', 'no-store');
    reply.header('vary', 'Origin');
    const { origin } = request.headers;
    if (origin !== undefined) {
      reply.header('access-control-allow-origin', origin);
      reply.header('access-control-allow-credentials', 'true');
      reply.header('access-control-expose-headers', 'x-request-id');
    }
    if (request.method === 'OPTIONS') {
      reply.header('access-control-allow-methods', 'GET, POST, PUT, DELETE, OPTIONS');
      reply.header(
        'access-control-allow-headers',
        'authorization, content-type, x-msys-subaccount, x-sparky',
      );
      reply.header('access-control-max-age', '600');
      return reply.status(204).send();
    }
  });

  const known = new Map<string, Set<string>>();
  let completed = false;
  app.addHook('onRoute', ({ url, method, config }) => {
    // So that nothing under /api is missing from the OpenAPI document.
    if (isApi(url) && !(config as { endpoint?: Endpoint } | undefined)?.endpoint && !completed) {
      throw new Error(`${url} is registered without a declaration (endpoint.ts)`);
    }
    const set = known.get(url) ?? new Set();
    for (const m of Array.isArray(method) ? method : [method]) set.add(m);
    known.set(url, set);
  });
  for (const endpoint of endpoints) await register(app, services, endpoint);
  app.get('/health', async () => ({ status: 'ok' }));
  completed = true;
  for (const [url, have] of [...known]) {
    const missing = methods.filter((m) => !have.has(m));
    const allow = [...have].join(', ');
    app.route({
      method: missing,
      url,
      // Before the body is looked at: its type does not matter where it is not wanted.
      onRequest: async (_request, reply) => {
        reply.header('allow', allow);
        throw new RequestError(405, 'Method not allowed.', { code: '1102' });
      },
      handler: async () => {},
    });
  }
  staticRoutes(app, ui);

  app.setNotFoundHandler(async (request, reply) => {
    if (isApi(request.url) || (request.method !== 'GET' && request.method !== 'HEAD')) {
      throw new RequestError(404, 'Resource could not be found', { code: '1100' });
    }
    return ui.page(reply);
  });
  await app.ready();
  return app;
}

function isApi(url: string): boolean {
  return url === '/api' || url.startsWith('/api/') || url.startsWith('/api?');
}

function send(reply: FastifyReply, status: number, body: object): FastifyReply {
  return reply.status(status).header('content-type', 'application/json; charset=utf-8').send(body);
}

function errors(message: string, code?: string, details: object = {}) {
  return { errors: [{ message, ...(code === undefined ? {} : { code }), ...details }] };
}

function answerOf(
  error: Error | FastifyError,
  unexpected: (because: string) => void,
): { status: number; body: object } {
  if (error instanceof RequestError) {
    return { status: error.status, body: errors(error.message, error.code, error.details) };
  }
  if (error instanceof EngineBusy) return { status: 429, body: errors('Too many requests') };
  if (error instanceof EngineError) {
    // Time, memory or size of the answer: what was asked is too much, the service is well.
    if ([159, 241, 307, 396].includes(error.code)) {
      return {
        status: 503,
        body: errors('The query needs too much; ask for a shorter time or fewer groups', '1502'),
      };
    }
    unexpected(error.message);
    return { status: 500, body: errors('The event store failed', '1501') };
  }
  const fault = error as Partial<FastifyError>;
  switch (fault.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return { status: 415, body: errors('Unsupported Content-Type header', '1700') };
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return { status: 413, body: errors('Request body is too large') };
  }
  if (fault.statusCode !== undefined && fault.statusCode >= 400 && fault.statusCode < 500) {
    return { status: fault.statusCode, body: errors('Bad request') };
  }
  unexpected(error.stack ?? error.message);
  return { status: 500, body: errors('Internal server error') };
}
