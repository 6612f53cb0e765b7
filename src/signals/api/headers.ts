import type { FastifyReply, FastifyRequest } from 'fastify';

/** Nothing but this host, no inline code: what the web interface needs and no more. */
const pagePolicy = [
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

const apiPolicy = "default-src 'none'; frame-ancestors 'none'";

/** Whether an address is one of the API and not of the web interface. */
export function isApi(url: string): boolean {
  return url === '/api' || url.startsWith('/api/') || url.startsWith('/api?');
}

/** The headers of every answer: its id, and what keeps browsers from doing more than they should. */
export function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id);
  reply.header('x-content-type-options', 'nosniff');
  reply.header('referrer-policy', 'no-referrer');
  reply.header('x-frame-options', 'DENY');
  if (!isApi(request.url)) {
    reply.header('content-security-policy', pagePolicy);
    return;
  }
  reply.header('content-security-policy', apiPolicy);
  reply.header('cache-control', 'no-store');
  reply.header('vary', 'Origin');
  const { origin } = request.headers;
  if (origin === undefined) return;
  // Any site may ask with a key that its user has given it: there are no cookies that it could ride on.
  reply.header('access-control-allow-origin', origin);
  reply.header('access-control-allow-credentials', 'true');
  reply.header('access-control-expose-headers', 'x-request-id, retry-after');
}

/** Answers a browser that asks what it may send. */
export function preflight(reply: FastifyReply, allow: string): FastifyReply {
  reply.header('allow', allow);
  reply.header('access-control-allow-methods', 'GET, POST, PUT, DELETE, OPTIONS');
  reply.header('access-control-allow-headers', 'authorization, content-type, x-msys-subaccount, x-sparky');
  reply.header('access-control-max-age', '600');
  return reply.status(204).send();
}
