import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../accounts/accounts.ts';
import type { Parameter } from '../parameter.ts';
import { badParameter, RequestError } from '../request-error.ts';
import { authenticate, requireGrant } from './authentication.ts';
import { BodyCheck, ParameterCheck } from './check.ts';
import type { Services } from './context.ts';
import { DeclaredQuery, namesOf, parameterReads } from './declared-query.ts';
import type { Body, Call, Endpoint } from './endpoint.ts';

/** Registers one end point: who may call it, what is checked, in which order. */
export async function register(app: FastifyInstance, services: Services, endpoint: Endpoint): Promise<void> {
  const query = endpoint.parameters.filter((p) => p.in === 'query');
  const declared = namesOf(query);
  const checkQuery = new ParameterCheck(query);
  const checkBody = endpoint.body && 'schema' in endpoint.body ? new BodyCheck(endpoint.body.schema) : null;
  const wantsSubaccount = endpoint.parameters.some((p) => p.in === 'header' && p.name === SUBACCOUNT);
  const { access } = endpoint;

  const calls = new WeakMap<FastifyRequest, RequestCall>();

  const route = {
    method: endpoint.method,
    url: endpoint.path.replace(/\{(\w+)\}/g, ':$1'),
    config: { endpoint },
    ...(endpoint.bodyLimit === undefined ? {} : { bodyLimit: endpoint.bodyLimit }),
    onRequest: async (request: FastifyRequest, reply: FastifyReply) => {
      if (access !== 'anyone') {
        request.caller = await authenticate(services.accounts, request);
        if (access !== 'caller') requireGrant(request.caller, access);
        if (endpoint.limited !== false) holdToRate(services, request.caller);
      }
      const query = new DeclaredQuery(endpoint.id, declared, searchOf(request));
      const subaccount = wantsSubaccount ? subaccountOf(request) : undefined;
      const call = new RequestCall(endpoint.id, services, request, reply, query, subaccount);
      checkQuery.check(query.values);
      endpoint.before?.(call);
      calls.set(request, call);
    },
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const call = calls.get(request)!;
      if (checkBody) call.body = checkBody.check(request.body);
      const answer = await endpoint.handle(call);
      return endpoint.good.status === 204 ? reply.status(204).send() : answer;
    },
  };
  await app.register(async (scope) => {
    takeBodies(scope, endpoint.body);
    scope.route(route);
  });
}

function holdToRate({ rateLimit }: Services, { kind, name }: Caller): void {
  const wait = rateLimit.take(`${kind} ${name}`);
  // Clients compare this text, and wait, for exactly this text only.
  if (wait > 0) throw new RequestError(429, 'Too many requests', { retryAfter: wait });
}

class RequestCall implements Call {
  readonly services: Services;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: DeclaredQuery;
  readonly #endpoint: string;
  readonly #subaccount: number | null | undefined;
  body: Readonly<Record<string, unknown>> = {};

  constructor(
    endpoint: string,
    services: Services,
    request: FastifyRequest,
    reply: FastifyReply,
    query: DeclaredQuery,
    subaccount: number | null | undefined,
  ) {
    this.#endpoint = endpoint;
    this.services = services;
    this.request = request;
    this.reply = reply;
    this.query = query;
    this.#subaccount = subaccount;
  }

  get caller(): Caller {
    const { caller } = this.request;
    if (!caller) throw new Error(`${this.#endpoint} lets anyone in, so there is no caller`);
    return caller;
  }

  get subaccount(): number | null {
    if (this.#subaccount === undefined) {
      throw new Error(`${this.#endpoint} reads ${SUBACCOUNT}, which it does not declare`);
    }
    if (parameterReads.hasSubscribers) parameterReads.publish({ endpoint: this.#endpoint, name: SUBACCOUNT });
    return this.#subaccount;
  }

  readonly path = (name: string): string => (this.request.params as Record<string, string>)[name]!;
}

function searchOf(request: FastifyRequest): string {
  const mark = request.url.indexOf('?');
  return mark < 0 ? '' : request.url.slice(mark + 1);
}

const SUBACCOUNT = 'X-MSYS-SUBACCOUNT';

/** The header as a parameter of end points that heed it. */
export const subaccountHeader: Parameter = {
  name: SUBACCOUNT,
  in: 'header',
  summary: 'Id of a subaccount; 0 is the primary account. A key of a subaccount acts there whatever it says.',
  schema: { type: 'integer', minimum: 0, maximum: 999_999_999 },
  list: false,
  required: false,
  example: '0',
};

/** The subaccount that the request is about; `null` when it names none. Throws `RequestError` 400. */
function subaccountOf(request: FastifyRequest): number | null {
  if (request.caller && request.caller.subaccountId > 0) return request.caller.subaccountId;
  const text = request.headers['x-msys-subaccount'];
  if (text === undefined || text === '') return null;
  if (typeof text !== 'string' || !/^\d{1,9}$/.test(text)) throw badParameter(SUBACCOUNT, 'must be a number');
  return Number(text);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Lets bodies pass unread, whatever they say of themselves. */
export function discardBodies(scope: FastifyInstance): void {
  takeBodies(scope, null);
}

/** How bodies are read. One that no declaration asks for is let pass unread. */
function takeBodies(scope: FastifyInstance, body: Body | null): void {
  scope.removeAllContentTypeParsers();
  if (body && 'stream' in body) {
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    return;
  }
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, bytes: Buffer) => {
    if (body && bytes.length > 0) throw unsupported('Content-Type');
    return undefined;
  });
  if (!body) return;
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      const text = textOf(request, bytes);
      if (text.trim() === '') return undefined;
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw new RequestError(400, 'Request body parsing failed: it is not valid JSON', { code: '1300' });
      }
    },
  );
  if (!body.form) return;
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => new Map(new URLSearchParams(textOf(request, bytes))),
  );
}

function textOf(request: FastifyRequest, bytes: Buffer): string {
  if (bytes.length === 0) return '';
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity' && encoding.trim() !== '') {
    throw unsupported('Content-Encoding');
  }
  try {
    return utf8.decode(bytes);
  } catch {
    throw new RequestError(400, 'Request body parsing failed: it is not UTF-8', { code: '1305' });
  }
}

/** 415; SparkPost's code is 1700. */
export function unsupported(header: 'Content-Type' | 'Content-Encoding'): RequestError {
  return new RequestError(415, `Unsupported ${header} header`, { code: '1700' });
}
