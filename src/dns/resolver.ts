/** A stub resolver: asks the configured recursive servers, follows aliases, and keeps answers for their time. */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { follow, LONGEST_ALIAS_CHAIN, MOST_TTL, negativeTtl, queryName } from './answers.ts';
import { TtlCache } from './cache.ts';
import { type DnsServerAddress, exchange, type Reply } from './exchange.ts';
import { NameServers } from './name-servers.ts';
import { lookupTlsa, type TlsaFound } from './tlsa.ts';
import { Turnstile } from './turnstile.ts';

export type QueryType = 'A' | 'AAAA' | 'CNAME' | 'MX' | 'TXT' | 'TLSA' | 'PTR';

const QUERY_TYPES: readonly QueryType[] = ['A', 'AAAA', 'CNAME', 'MX', 'TXT', 'TLSA', 'PTR'];

export interface MxRecord {
  readonly preference: number;
  /** Lower case, without the final dot; '' is the root of a null MX (RFC 7505). */
  readonly exchange: string;
}

/** RFC 6698: how a host says in DNS which certificate it has. */
export interface TlsaRecord {
  readonly usage: number;
  readonly selector: number;
  readonly matchingType: number;
  readonly certificate: Buffer;
}

export type RecordData = string | MxRecord | TlsaRecord;

/** What a query found. `authenticated`: the name server says that it validated all of the answer with DNSSEC. */
export type Found =
  | {
      readonly kind: 'answer';
      /** The name that the records are of: what was asked for, or what it is an alias of in the end. */
      readonly name: string;
      /** Data of the records in the answer's order: addresses, names, texts (joined), MX or TLSA records. */
      readonly records: readonly RecordData[];
      /** Seconds, of the shortest-lived record, aliases included. */
      readonly ttl: number;
      readonly authenticated: boolean;
    }
  | { readonly kind: 'nxdomain'; readonly authenticated: boolean }
  | { readonly kind: 'nodata'; readonly authenticated: boolean }
  | { readonly kind: 'failure'; readonly reason: string };

export interface ResolverOptions {
  /** Recursive servers, asked in turn; empty: those of the operating system. */
  readonly servers?: readonly DnsServerAddress[];
  readonly clock: Clock;
  readonly log?: Log;
  /** For each try; default 5 s. */
  readonly timeoutMs?: number;
  /** Tries for one question, over all servers; default 3, or one for each server up to 6. */
  readonly attempts?: number;
  /** Answers kept; default 50,000. A long answer counts as several. */
  readonly maxCached?: number;
  /** Seconds that an answer is kept at least and at most, whatever it says; default 1 and 86,400. */
  readonly leastTtl?: number;
  readonly mostTtl?: number;
  /** Questions on their way at a time; default 500. The others wait. */
  readonly maxConcurrent?: number;
  /** Ask in letters of random case and demand them back: harder to forge, not understood by every server. */
  readonly mixCase?: boolean;
  /** Ask over TCP from the first. */
  readonly tcp?: boolean;
  /** Told of each question that is put to a server, and of what came back: a reply, or in words why none. */
  readonly onExchange?: (asked: AskedServer, reply: Reply | string | null) => void;
}

/** One question to one server. */
export interface AskedServer {
  readonly server: DnsServerAddress;
  readonly name: string;
  readonly type: QueryType;
}

export interface Resolver {
  query(name: string, type: QueryType): Promise<Found>;
  /**
   * As `query`, but asks in any case, and keeps the answer for `keepMs` whatever it says itself. When nobody answers,
   * what was known before stays known for that long.
   */
  refresh(name: string, type: QueryType, keepMs: number): Promise<Found>;
  /** What is known without asking; undefined when nothing is. */
  peek(name: string, type: QueryType): Found | undefined;
  /** The TLSA records of a host as DANE for SMTP may use them (RFC 7672): see `TlsaFound`. */
  tlsa(host: string, port: number): Promise<TlsaFound>;
  /** Answers in the cache. */
  readonly cached: number;
  /** Questions without an answer yet; `active` those of them that have been sent. */
  readonly queries: { readonly pending: number; readonly active: number };
  /** Forgets one domain's answers and those about its mail hosts, or all. Returns how many there were. */
  clear(name?: string): number;
  /** Gives up what is being asked: those queries end as failures. */
  close(): Promise<void>;
}

const LEAST_TTL = 1;
const FAILURE_TTL = 5;
/** Most servers asked for one question, however many are configured. */
const MOST_ATTEMPTS = 6;

export function createResolver(options: ResolverOptions): Resolver {
  return new StubResolver(options);
}

/** RFC 6761 section 6.3: nobody is asked about this name, and nobody may answer that it is elsewhere. */
function loopback(type: QueryType): Found {
  const address = { A: '127.0.0.1', AAAA: '::1' }[type as string];
  if (address === undefined) return { kind: 'nodata', authenticated: false };
  return { kind: 'answer', name: 'localhost', records: [address], ttl: MOST_TTL, authenticated: false };
}

class StubResolver implements Resolver {
  readonly #servers: NameServers;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #attempts: number;
  readonly #leastTtl: number;
  readonly #mostTtl: number;
  readonly #cache: TtlCache<Found>;
  readonly #turnstile: Turnstile;
  readonly #closing = new AbortController();
  /** Questions being asked: whoever asks the same meanwhile waits for the same answer. */
  readonly #asking = new Map<string, Promise<Answered>>();
  readonly #mixCase: boolean;
  readonly #options: Pick<ResolverOptions, 'tcp' | 'onExchange'>;

  constructor(options: ResolverOptions) {
    this.#servers = new NameServers(options.servers ?? [], options.clock);
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#attempts = options.attempts ?? Math.min(MOST_ATTEMPTS, Math.max(3, this.#servers.count));
    this.#mixCase = options.mixCase ?? false;
    this.#options = options;
    this.#leastTtl = options.leastTtl ?? LEAST_TTL;
    this.#mostTtl = options.mostTtl ?? MOST_TTL;
    this.#cache = new TtlCache(options.maxCached ?? 50_000);
    this.#turnstile = new Turnstile(options.maxConcurrent ?? 500);
    // Each exchange under way listens once.
    setMaxListeners(0, this.#closing.signal);
  }

  get cached(): number {
    return this.#cache.size;
  }

  get queries(): { pending: number; active: number } {
    const pending = this.#asking.size;
    return { pending, active: Math.max(0, pending - this.#turnstile.waiting) };
  }

  async query(name: string, type: QueryType): Promise<Found> {
    const ascii = queryName(name);
    if (ascii === null) return noName(name);
    if (ascii === 'localhost') return loopback(type);
    const known = this.#cache.get(`${type} ${ascii}`, this.#clock.now());
    return known ?? (await this.#askOnce(ascii, type));
  }

  async refresh(name: string, type: QueryType, keepMs: number): Promise<Found> {
    const ascii = queryName(name);
    if (ascii === null) return noName(name);
    const key = `${type} ${ascii}`;
    const before = this.#cache.get(key, this.#clock.now());
    const found = await this.#askOnce(ascii, type);
    const kept = found.kind === 'failure' && before ? before : found;
    if (kept.kind !== 'failure') this.#keep(key, kept, this.#clock.now() + keepMs);
    return kept;
  }

  peek(name: string, type: QueryType): Found | undefined {
    const ascii = queryName(name);
    return ascii === null ? undefined : this.#cache.get(`${type} ${ascii}`, this.#clock.now());
  }

  async tlsa(host: string, port: number): Promise<TlsaFound> {
    return await lookupTlsa(this, host, port);
  }

  clear(name?: string): number {
    if (name === undefined) {
      const count = this.#cache.size;
      this.#cache.clear();
      this.#asking.clear();
      return count;
    }
    const ascii = queryName(name) ?? name;
    const mx = this.#cache.get(`MX ${ascii}`, this.#clock.now());
    const hosts = mx?.kind === 'answer' ? (mx.records as readonly MxRecord[]) : [];
    let count = 0;
    for (const one of new Set([ascii, ...hosts.map(({ exchange }) => exchange)])) {
      for (const type of QUERY_TYPES) count += this.#forget(`${type} ${one}`);
      count += this.#forget(`TLSA _25._tcp.${one}`);
    }
    return count + this.#forget(`TXT _mta-sts.${ascii}`);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#asking.values()]);
  }

  async #askOnce(name: string, type: QueryType): Promise<Found> {
    const key = `${type} ${name}`;
    const asked = this.#asking.get(key);
    if (asked) return (await asked).found;
    const asking = this.#turnstile.pass(() => this.#ask(name, type));
    this.#asking.set(key, asking);
    try {
      const { found, ttl } = await asking;
      // What was cleared while it was being asked must not come back.
      if (this.#asking.get(key) === asking) this.#keep(key, found, this.#clock.now() + ttl * 1000);
      return found;
    } finally {
      if (this.#asking.get(key) === asking) this.#asking.delete(key);
    }
  }

  #keep(key: string, found: Found, until: number): void {
    this.#cache.set(key, found, until, weight(found));
  }

  #forget(key: string): number {
    this.#asking.delete(key);
    return this.#cache.clear(key) ? 1 : 0;
  }

  async #ask(name: string, type: QueryType): Promise<Answered> {
    const seen = new Set<string>();
    let asked = name;
    let authenticated = true;
    let ttl = this.#mostTtl;
    while (seen.size <= LONGEST_ALIAS_CHAIN) {
      const reply = await this.#exchange(asked, type);
      if (typeof reply === 'string') return failed(reply);
      authenticated &&= reply.flag_ad;
      const followed = follow(reply, asked, type, seen);
      if (followed === null) return failed(`${name}: its aliases form a loop`);
      ttl = Math.min(ttl, followed.ttl);
      if (followed.records.length > 0) {
        const kept = Math.max(this.#leastTtl, ttl);
        const { name: end, records } = followed;
        return { found: { kind: 'answer', name: end, records, ttl, authenticated }, ttl: kept };
      }
      if (reply.rcode === 'NXDOMAIN' || followed.name === asked) {
        const kind = reply.rcode === 'NXDOMAIN' ? 'nxdomain' : 'nodata';
        return {
          found: { kind, authenticated },
          ttl: Math.max(this.#leastTtl, Math.min(ttl, negativeTtl(reply))),
        };
      }
      asked = followed.name;
    }
    return failed(`${name}: more than ${LONGEST_ALIAS_CHAIN} aliases`);
  }

  /** One reply that is an answer, from whichever server gives it first; text when none does. */
  async #exchange(name: string, type: QueryType): Promise<Reply | string> {
    let failure = 'no DNS server is configured';
    const { signal } = this.#closing;
    const tools = { timeoutMs: this.#timeoutMs, clock: this.#clock, signal, mixCase: this.#mixCase };
    const { tcp, onExchange } = this.#options;
    const servers = this.#servers.order();
    for (let n = 0; n < this.#attempts && servers.length > 0; n++) {
      if (signal.aborted) return 'the resolver was closed';
      const server = servers[n % servers.length]!;
      onExchange?.({ server, name, type }, null);
      const reply = await exchange(server, name, type, { ...tools, tcp });
      onExchange?.({ server, name, type }, reply);
      if (typeof reply === 'string') {
        failure = reply;
        if (!signal.aborted) this.#servers.failed(server);
        continue;
      }
      if (reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN') {
        this.#servers.answered(server);
        return reply;
      }
      // Not the server's fault as a rule (SERVFAIL is how it tells that the zone is out of reach, or its signature wrong).
      failure = `${server.address} answered ${reply.rcode} for ${name} ${type}`;
    }
    return failure;
  }
}

/** What is kept, and for how many seconds. */
interface Answered {
  readonly found: Found;
  readonly ttl: number;
}

function failed(reason: string): Answered {
  return { found: { kind: 'failure', reason }, ttl: FAILURE_TTL };
}

function noName(name: string): Found {
  return { kind: 'failure', reason: `"${name.slice(0, 100)}" is no domain name` };
}

/** Long answers take the place of several, so that what is kept is bounded in bytes too. */
function weight(found: Found): number {
  if (found.kind !== 'answer') return 1;
  const text = found.records.reduce((sum, one) => sum + (typeof one === 'string' ? one.length : 64), 0);
  return 1 + Math.floor(text / 1024);
}
