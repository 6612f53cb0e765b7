import { type LookupAddress, lookup } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export interface FetcherOptions {
  /** Hosts (`name`, `name:port`, `[v6]:port`) that are trackers without being asked; only these may be private addresses. */
  readonly trackers: readonly string[];
  /** Ask hosts that are not listed for `/f/a`, and fetch from those that answer as trackers do. */
  readonly probe: boolean;
  /** Milliseconds for one request from start to end. */
  readonly timeout: number;
  /** Connections per host. */
  readonly connections: number;
}

/** What came of one request. */
export interface Fetched {
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  /** `not_a_tracker`, `refused` (no connection was made), `lost` (sent, no answer), or '' */
  readonly fault: '' | 'not_a_tracker' | 'refused' | 'lost';
  readonly contentType: string;
  readonly location: string;
  readonly size: number;
}

const MOST_BODY = 64 * 1024;
const PROBE_LASTS = 3600_000;
const MOST_PROBES = 10_000;

/** A mail reader's HTTP client that talks to trackers only, follows no redirect and reads no long answer. */
export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #listed: ReadonlySet<string>;
  readonly #now: () => number;
  readonly #probes = new Map<string, { at: number; result: Promise<boolean> }>();
  readonly #agents: { http: http.Agent; https: https.Agent };

  constructor(options: FetcherOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#listed = new Set(options.trackers.map((host) => host.toLowerCase()));
    const common = { keepAlive: true, maxSockets: options.connections, maxFreeSockets: options.connections };
    this.#agents = { http: new http.Agent(common), https: new https.Agent(common) };
  }

  /** Whether a URL points to a tracker, as far as can be said without asking it. */
  mayFetch(url: string): boolean {
    const parsed = parseWebUrl(url);
    return parsed !== null && (this.#isListed(parsed) || (this.#options.probe && !isPrivateName(parsed)));
  }

  /** GET (or the one-click POST) with the headers of a reader's client. */
  async fetch(url: string, agent: string, method: 'GET' | 'POST' = 'GET'): Promise<Fetched> {
    const parsed = parseWebUrl(url);
    if (!parsed || !(await this.#isTracker(parsed))) return failed('not_a_tracker');
    return this.#request(parsed, agent, method);
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  #isListed(url: URL): boolean {
    return this.#listed.has(url.host.toLowerCase()) || this.#listed.has(url.hostname.toLowerCase());
  }

  #isTracker(url: URL): Promise<boolean> {
    if (this.#isListed(url)) return Promise.resolve(true);
    if (!this.#options.probe || isPrivateName(url)) return Promise.resolve(false);
    const known = this.#probes.get(url.origin);
    if (known && this.#now() - known.at < PROBE_LASTS) return known.result;
    const result = this.#request(new URL('/f/a', url.origin), 'Mozilla/5.0', 'GET', true).then(
      (answer) => answer.server === 'msys-http',
    );
    this.#probes.set(url.origin, { at: this.#now(), result });
    for (const oldest of this.#probes.keys()) {
      if (this.#probes.size <= MOST_PROBES) break;
      this.#probes.delete(oldest);
    }
    return result;
  }

  #request(
    url: URL,
    agent: string,
    method: 'GET' | 'POST',
    mustBePublic = !this.#isListed(url),
  ): Promise<Fetched & { server?: string }> {
    const secure = url.protocol === 'https:';
    const body = method === 'POST' ? 'List-Unsubscribe=One-Click' : '';
    return new Promise((resolve) => {
      let sent = false;
      let settled = false;
      const settle = (result: Fetched & { server?: string }) => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        resolve(result);
      };
      const request = (secure ? https : http).request(url, {
        method,
        agent: secure ? this.#agents.https : this.#agents.http,
        headers: {
          'User-Agent': agent,
          ...(method === 'POST'
            ? { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length }
            : { Accept: '*/*', 'Accept-Language': 'en-US,en;q=0.9', 'Accept-Encoding': 'gzip, deflate' }),
        },
        ...(mustBePublic ? { lookup: publicLookup } : {}),
      });
      const timer = setTimeout(() => request.destroy(new Error('timeout')), this.#options.timeout);
      // From the moment there is a connection, the other side may have read the request.
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', () => (sent = true));
        else sent = true;
      });
      request.on('error', () => settle(failed(sent ? 'lost' : 'refused')));
      request.on('response', (response) => {
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MOST_BODY) request.destroy();
        });
        const answer = (fault: Fetched['fault']) => ({
          status: response.statusCode ?? 0,
          fault,
          contentType: String(response.headers['content-type'] ?? ''),
          location: String(response.headers.location ?? ''),
          server: String(response.headers.server ?? ''),
          size,
        });
        response.on('end', () => settle(answer('')));
        // The status line is the answer; a body cut short does not undo what the tracker has counted.
        response.on('close', () => settle(answer('')));
        response.on('error', () => settle(answer('')));
      });
      request.end(body);
    });
  }
}

function failed(fault: Fetched['fault']): Fetched {
  return { status: 0, fault, contentType: '', location: '', size: 0 };
}

function parseWebUrl(text: string): URL | null {
  if (text.length > 8192 || !/^https?:\/\//i.test(text)) return null;
  const url = URL.parse(text);
  return url && url.username === '' && url.password === '' ? url : null;
}

/** A name or literal that leads nowhere public, seen without a lookup. */
function isPrivateName(url: URL): boolean {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(name)) return !isPublic(name);
  return name === 'localhost' || name.endsWith('.localhost') || !name.includes('.');
}

function isPublic(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

/** Looks a name up and refuses private addresses: mail from outside must not make the sink call inside hosts. */
const publicLookup: typeof lookup = ((
  name: string,
  options: object,
  done: (error: Error | null, address?: string | LookupAddress[], family?: number) => void,
) => {
  lookup(name, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error);
    const allowed = addresses.filter(({ address }) => isPublic(address));
    if (allowed.length === 0) return done(new Error('no public address'));
    if ('all' in options && options.all) return done(null, allowed);
    done(null, allowed[0]!.address, allowed[0]!.family);
  });
}) as typeof lookup;
