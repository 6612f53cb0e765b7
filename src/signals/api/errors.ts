import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply } from 'fastify';
import { RequestError } from '../request-error.ts';
import { EngineAway, EngineBusy, EngineError } from '../store/engine.ts';

/** An answer that says what went wrong, in SparkPost's shape: `{"errors":[{"message", "code"?, …}]}`. */
export interface ErrorAnswer {
  readonly status: number;
  readonly body: object;
  /** Seconds after which the same request may do better. */
  readonly retryAfter?: number | undefined;
}

/** Node's phrases and the one that SparkPost has of its own; clients show them to people. */
export function reasonPhrase(status: number): string {
  return status === 420 ? 'Exceed Sending Limit' : (STATUS_CODES[status] ?? 'Unknown');
}

function answer(status: number, message: string, code?: string, retryAfter?: number): ErrorAnswer {
  return { status, body: { errors: [{ message, ...(code === undefined ? {} : { code }) }] }, retryAfter };
}

/** What the framework refuses before an end point is asked. */
const ofFramework: Readonly<Record<string, ErrorAnswer>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: answer(415, 'Unsupported Content-Type header', '1700'),
  FST_ERR_CTP_BODY_TOO_LARGE: answer(413, 'Request body is too large'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: answer(400, 'The body is not as long as Content-Length says'),
  FST_ERR_BAD_URL: answer(400, 'The address is not a valid URI', '1101'),
  FST_ERR_MAX_PARAM_LENGTH: answer(404, 'Resource could not be found', '1101'),
};

/** What the parser of HTTP refuses, by Node's code; no request exists then. */
export function answerOfMalformed(code: string | undefined): ErrorAnswer {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return answer(431, 'The address and headers of the request are too large');
    case 'HPE_INVALID_URL':
      return answer(400, 'The address has characters that must be percent-encoded', '1101');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return answer(413, 'Request body is too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return answer(408, 'The request did not come in time');
    default:
      return answer(400, 'The request is not valid HTTP');
  }
}

/** What a fault is answered. `unexpected` is told of those that are ours to mend. */
export function answerOf(error: Error, unexpected: (because: string) => void): ErrorAnswer {
  if (error instanceof RequestError) {
    const { status, message, code, details, retryAfter } = error;
    const first = { message, ...(code === undefined ? {} : { code }), ...details };
    return { status, body: { errors: [first] }, retryAfter };
  }
  if (error instanceof EngineBusy) return answer(429, 'Too many requests', undefined, 2);
  if (error instanceof EngineAway) {
    unexpected(error.message);
    return answer(503, 'The event store does not answer; try again later', '1502', 5);
  }
  if (error instanceof EngineError) {
    // Time, memory or size of the answer: what was asked is too much, the service is well.
    if ([159, 241, 307, 396].includes(error.code)) {
      const message = 'The query needs too much; ask for a shorter time or fewer groups';
      return answer(503, message, '1502', 5);
    }
    unexpected(error.message);
    return answer(500, 'The event store failed', '1501');
  }
  const fault = error as Partial<FastifyError>;
  const known = fault.code === undefined ? undefined : ofFramework[fault.code];
  if (known) return known;
  const status = fault.statusCode ?? 500;
  if (status >= 400 && status < 500) return answer(status, reasonPhrase(status));
  unexpected(error.stack ?? error.message);
  return answer(500, 'Internal server error');
}

/** Sends it with its reason phrase, which some clients take for the message. */
export function sendError(reply: FastifyReply, { status, body, retryAfter }: ErrorAnswer): FastifyReply {
  reply.raw.statusMessage = reasonPhrase(status);
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  return reply.status(status).header('content-type', 'application/json; charset=utf-8').send(body);
}
