/** A bare path from a browser leads to the page under `/ui`; data clients are answered as ever (management guide, 8). */
import type { IncomingMessage } from 'node:http';
import { queueAddress } from './parts.ts';

/** Data paths that have a page; the rest is data for everybody. */
const PAGES = new Set(['/', '/status', '/queues', '/domains', '/vmtas', '/jobs', '/logs', '/command']);

/**
 * Where to, or null for data. A browser that goes somewhere asks for HTML and XHTML; no client library does by itself,
 * and whoever names a format or has a key means data.
 */
export function pageOfBarePath(request: IncomingMessage, url: URL, path: string): string | null {
  if (request.method !== 'GET' && request.method !== 'HEAD') return null;
  if (url.searchParams.has('format') || request.headers['x-api-key'] !== undefined) return null;
  const accepted = request.headers.accept ?? '';
  if (!/\btext\/html\b/i.test(accepted) || !/\bapplication\/xhtml\+xml\b/i.test(accepted)) return null;
  if (path === '/queueDetail') {
    const name = url.searchParams.get('queue') ?? '';
    return name.includes('/') ? queueAddress(name) : null;
  }
  if (path === '/domainDetail') return `/ui/domains${url.search}`;
  if (path === '/jobDetail') return `/ui/jobs${url.search}`;
  return PAGES.has(path) ? `/ui${path}${url.search}` : null;
}
