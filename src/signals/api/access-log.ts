import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../system/log.ts';
import type { Endpoint } from './endpoint.ts';

/** Which requests get a line. */
export interface AccessLogOptions {
  /** `errors`: those answered 400 or more, and those that took a second. */
  readonly requests: 'all' | 'errors' | 'none';
  /** Of ingest batches that were taken, one of so many. */
  readonly ingestEvery: number;
}

export const defaultAccessLog: AccessLogOptions = { requests: 'all', ingestEvery: 1 };

const SLOW_MS = 1000;

/** What is known of a request when it has been answered. Neither keys nor what was asked for: no query, no path values. */
export interface Answered {
  readonly endpoint: Endpoint | null;
  readonly method: string;
  /** The declared path, `/api/v1/api-keys/{id}`. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

export function answeredOf(request: FastifyRequest, reply: FastifyReply): Answered {
  const endpoint = (request.routeOptions.config as { endpoint?: Endpoint }).endpoint ?? null;
  return {
    endpoint,
    method: request.method,
    route: endpoint?.path ?? (request.is404 || reply.statusCode === 404 ? '(unknown)' : '(page)'),
    status: reply.statusCode,
    ms: reply.elapsedTime,
  };
}

/** One line for each request. */
export class AccessLog {
  readonly #log: Log;
  readonly #options: AccessLogOptions;
  #batches = 0;

  constructor(log: Log, options: AccessLogOptions) {
    this.#log = log;
    this.#options = options;
  }

  write(
    request: FastifyRequest,
    reply: FastifyReply,
    { endpoint, method, route, status, ms }: Answered,
  ): void {
    if (!this.#wants(endpoint, status, ms)) return;
    const { caller } = request;
    this.#log.info('request', {
      method,
      route,
      status,
      ms: Math.round(ms * 10) / 10,
      // A key's id, with the four digits that lists show of it; a user's name.
      caller: caller?.name,
      key: caller?.shortKey,
      subaccount: caller && caller.subaccountId > 0 ? caller.subaccountId : undefined,
      client: request.ip,
      bytes_in: request.bytesIn ?? numberOf(request.headers['content-length']),
      bytes_out: numberOf(reply.getHeader('content-length')),
      unfinished: reply.raw.writableFinished ? undefined : true,
      request: request.id,
    });
  }

  #wants(endpoint: Endpoint | null, status: number, ms: number): boolean {
    const { requests, ingestEvery } = this.#options;
    if (requests === 'none') return false;
    if (status >= 400 || ms >= SLOW_MS) return true;
    if (requests === 'errors') return false;
    return endpoint?.id !== 'ingestEvents' || this.#batches++ % ingestEvery === 0;
  }
}

function numberOf(header: unknown): number | undefined {
  const n = Number(header);
  return header === undefined || !Number.isSafeInteger(n) ? undefined : n;
}
