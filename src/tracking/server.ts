import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Clock } from '../system/clock.ts';
import { reason } from '../system/durable-file.ts';
import { listen } from '../system/listen.ts';
import type { Log } from '../system/log.ts';
import { isLocal, TrustedProxies } from './client-address.ts';
import type { KeyRing } from './key-ring.ts';
import { redirectLocation } from './link-target.ts';
import { readForm } from './one-click-form.ts';
import { answerParseErrors } from './parse-errors.ts';
import { RecentKeys } from './recent-keys.ts';
import { startRingReload } from './ring-reload.ts';
import { openToken, type TokenKind, type TrackingToken } from './token.ts';
import { trackerAnswers } from './tracker-answers.ts';
import { trackingLines } from './tracking-event.ts';

export interface TrackerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Read again when a token names a key that it lacks, and every half minute. */
  readonly ring: KeyRing;
  /** Takes ingest lines; `false` when it had to drop one. */
  readonly events: { add(line: string): boolean };
  readonly log: Log;
  readonly clock: Clock;
  /** Value of the Server field; default `msys-http`, by which SparkPost's trackers are recognised. */
  readonly serverHeader?: string;
  /** Networks and addresses whose `X-Forwarded-For` and `X-Real-IP` are believed; none by default. */
  readonly trustedProxies?: readonly string[];
  /** Event files not uploaded yet, for `/health`. */
  readonly pendingEvents?: () => number;
}

export interface Tracker {
  readonly port: number;
  /** Takes no more connections, finishes the requests in hand within 5 s. */
  close(): Promise<void>;
}

const LONGEST_URI = 8 * 1024;
const MOST_HEADERS = 16 * 1024;
const MOST_CONNECTIONS = 20_000;
const CLOSE_MS = 5000;
/** A client that asks twice (a retry, a double request) is one event; so long. */
const DUPLICATE_MS = 2000;
/** A HEAD request says something about the clicks on its link for so long. */
const PROBE_MS = 60_000;
const MOST_RECENT = 100_000;

/**
 * Starts the HTTP end point of opens, clicks and unsubscribes. The answer never waits for the disk or the network;
 * events go to `events` before the answer goes out. Throws `UserError` when the address cannot be bound or a trusted
 * proxy is no network.
 */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const { ring, events, clock, log } = options;
  const proxies = new TrustedProxies(options.trustedProxies ?? []);
  const answers = trackerAnswers(options.serverHeader ?? 'msys-http');
  const reload = startRingReload(ring, clock, log);
  const recent = new RecentKeys(DUPLICATE_MS, MOST_RECENT);
  const probes = new RecentKeys(PROBE_MS, MOST_RECENT);
  const counts = {
    events: 0,
    dropped: 0,
    duplicates: 0,
    probes: 0,
    invalid: 0,
    expired: 0,
    unusual_forms: 0,
  };
  let dropping = false;
  let closing = false;

  const record = (token: TrackingToken, sealed: string, request: IncomingMessage, now: number): void => {
    const agent = request.headers['user-agent'] ?? '';
    const address = proxies.clientOf(request);
    // The end of a token is its authentication tag: enough to tell it from any other.
    const tag = sealed.slice(-24);
    const key = `${tag} ${address} ${agent}`.slice(0, 1024);
    if (recent.has(key, now)) {
      counts.duplicates++;
      return;
    }
    recent.note(key, now);
    const facts = {
      at: now,
      address,
      userAgent: agent,
      acceptLanguage: request.headers['accept-language'] ?? '',
      probed: probes.has(tag, now),
    };
    for (const line of trackingLines(token, sealed, facts)) {
      try {
        dropping = !events.add(line);
      } catch (error) {
        // The reader of a mail gets his page whatever is wrong here.
        if (!dropping) log.error('events are dropped', { reason: reason(error) });
        dropping = true;
      }
      if (dropping) counts.dropped++;
      else counts.events++;
    }
  };

  const answerInvalid = (kind: TokenKind, response: ServerResponse) => {
    counts.invalid++;
    if (kind === 'q') answers.pixel(response);
    else answers.refusal(response, 404);
  };

  const answerToken = (
    { kind, sealed }: TokenPath,
    token: TrackingToken,
    request: IncomingMessage,
    response: ServerResponse,
  ) => {
    if (!serves(kind, token)) return answerInvalid(kind, response);
    const now = clock.now();
    const expired = now >= token.expiry * 1000;
    if (kind === 'u') {
      if (request.method !== 'POST') return answers.confirm(response);
      return readForm(request, (form) => {
        if (form !== 'one-click') counts.unusual_forms++;
        if (closing || form === 'too long') response.shouldKeepAlive = false;
        record(token, sealed, request, now);
        answers.unsubscribed(response);
      });
    }
    const location = kind === 'f' ? redirectLocation(token.target) : '';
    if (location === null) return answerInvalid(kind, response);
    if (request.method === 'HEAD') {
      counts.probes++;
      probes.note(sealed.slice(-24), now);
    } else if (expired) counts.expired++;
    else record(token, sealed, request, now);
    if (kind === 'f') answers.redirect(response, location);
    else answers.pixel(response);
  };

  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (closing || sendsMuch(request)) response.shouldKeepAlive = false;
    const url = request.url ?? '';
    if (url.length > LONGEST_URI) return answers.refusal(response, 414);
    if (headerSize(request) > MOST_HEADERS) return answers.refusal(response, 431);
    const path = pathOf(url);
    const unsubscribe = path.startsWith('/u/');
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD' && !(method === 'POST' && unsubscribe)) {
      return answers.refusal(response, 405, { Allow: unsubscribe ? 'GET, HEAD, POST' : 'GET, HEAD' });
    }
    const place = tokenPath(path);
    if (place) {
      const token = openToken(ring, place.kind, place.sub, place.sealed);
      if (typeof token === 'object') return answerToken(place, token, request, response);
      if (token !== 'unknown key') return answerInvalid(place.kind, response);
      reload.soon().then(() => {
        if (closing) response.shouldKeepAlive = false;
        const again = openToken(ring, place.kind, place.sub, place.sealed);
        if (typeof again === 'object') answerToken(place, again, request, response);
        else answerInvalid(place.kind, response);
      });
      return;
    }
    if (path === '/robots.txt') return answers.robots(response);
    if (path === '/favicon.ico') return answers.nothing(response);
    if (path === '/health' && isLocal(request)) {
      const status = dropping || closing ? 503 : 200;
      const body = { status: status === 200 ? 'ok' : closing ? 'stopping' : 'dropping events' };
      return answers.health(response, status, { ...body, pending: options.pendingEvents?.() ?? 0, counts });
    }
    answers.refusal(response, 404);
  };

  const server = http.createServer({
    // Room for a URI and header fields that are just too long, which get their own statuses.
    maxHeaderSize: LONGEST_URI + MOST_HEADERS + 2048,
    requireHostHeader: false,
    keepAliveTimeout: 65_000,
    headersTimeout: 15_000,
    requestTimeout: 30_000,
    connectionsCheckingInterval: 5000,
  });
  server.maxConnections = MOST_CONNECTIONS;
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    try {
      answer(request, response);
    } catch (error) {
      log.error('a request failed', { reason: reason(error) });
      if (response.headersSent) response.destroy();
      else answers.refusal(response, 500);
    }
  };
  server.on('request', handle);
  server.on('checkExpectation', handle);
  const parseErrors = answerParseErrors(server, answers, LONGEST_URI, clock);

  let port: number;
  try {
    port = await listen(server, options.listen.host, options.listen.port, 'tracker');
  } catch (error) {
    reload.close();
    throw error;
  }
  let acceptFailure = '';
  server.on('error', (error) => {
    if (error.message !== acceptFailure)
      log.error('a connection was not accepted', { reason: reason(error) });
    acceptFailure = error.message;
  });

  return {
    port,
    async close() {
      closing = true;
      reload.close();
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      const cancelLast = clock.after(CLOSE_MS, () => {
        parseErrors.close();
        server.closeAllConnections();
      });
      // An answer that had promised to keep its connection leaves it idle.
      let cancelIdle = () => {};
      const closeIdle = () => {
        server.closeIdleConnections();
        cancelIdle = clock.after(50, closeIdle);
      };
      closeIdle();
      await ended;
      cancelLast();
      cancelIdle();
    },
  };
}

interface TokenPath {
  readonly kind: TokenKind;
  readonly sub: string;
  readonly sealed: string;
}

/** Path of a request target, which through a proxy may be a whole URL; what clients append to it does not count. */
function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  const place = end < 0 ? url : url.slice(0, end);
  const absolute = /^https?:\/\/[^/]*/i.exec(place);
  return absolute ? place.slice(absolute[0].length) : place;
}

/** `/f/SUB/TOKEN`, `/q/TOKEN`, `/u/TOKEN`; `null` for any other path but those of pixels, which never break an image. */
function tokenPath(path: string): TokenPath | null {
  const parts = path.split('/', 5);
  if (parts[1] === 'f' && parts.length === 4) return { kind: 'f', sub: parts[2]!, sealed: parts[3]! };
  if (parts[1] === 'q' && parts.length >= 3) return { kind: 'q', sub: '', sealed: path.slice(3) };
  if (parts[1] === 'u' && parts.length === 3) return { kind: 'u', sub: '', sealed: parts[2]! };
  return null;
}

function serves(kind: TokenKind, { action }: TrackingToken): boolean {
  if (kind === 'f') return action === 'click';
  if (kind === 'u') return action === 'unsubscribe';
  return action === 'open' || action === 'initial_open';
}

function headerSize(request: IncomingMessage): number {
  let size = 0;
  for (const text of request.rawHeaders) size += text.length + 2;
  return size;
}

/** To keep the connection, the body must be read to its end; only if that is near. */
function sendsMuch(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && Number(length) > 65_536);
}
