/** A stub resolver: asks the configured recursive servers, follows aliases, and keeps answers for their time. */
import { getServers } from 'node:dns';
import { setMaxListeners } from 'node:events';
import { isIP } from 'node:net';
import type { RecordType } from 'dns-packet';
import { domainToAscii } from '../mail/address.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { TtlCache } from './cache.ts';
import { type DnsServerAddress, exchange, type Reply } from './exchange.ts';
import { Turnstile } from './turnstile.ts';

export type QueryType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'TLSA' | 'PTR';

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

/** What a query found. `authenticated`: the resolver says that it validated the answer with DNSSEC. */
export type Found =
  | {
      readonly kind: 'answer';
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
  /** Tries for one question, over all servers; default 3. */
  readonly attempts?: number;
  /** Answers kept; default 50,000. */
  readonly maxCached?: number;
  /** Seconds that an answer is kept at least and at most, whatever it says; default 1 and 86,400. */
  readonly leastTtl?: number;
  readonly mostTtl?: number;
  /** Questions on their way at a time; default 500. The others wait. */
  readonly maxConcurrent?: number;
}

export interface Resolver {
  query(name: string, type: QueryType): Promise<Found>;
  /** Answers in the cache. */
  readonly cached: number;
  /** Forgets one domain's answers, or all. */
  clear(name?: string): void;
  /** Gives up what is being asked: those queries end as failures. */
  close(): Promise<void>;
}

const LONGEST_ALIAS_CHAIN = 8;
const LEAST_TTL = 1;
const MOST_TTL = 86_400;
/** For "there is no such thing" when the answer names no SOA (RFC 2308 section 5), at most, and for failures. */
const NEGATIVE_TTL = 60;
const MOST_NEGATIVE_TTL = 10_800;
const FAILURE_TTL = 5;
const MOST_RECORDS = 200;

export function createResolver(options: ResolverOptions): Resolver {
  return new StubResolver(options);
}

class StubResolver implements Resolver {
  readonly #servers: readonly DnsServerAddress[];
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
  #turn = 0;

  constructor(options: ResolverOptions) {
    const given = options.servers ?? [];
    this.#servers = given.length > 0 ? given : systemServers();
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#attempts = options.attempts ?? 3;
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

  async query(name: string, type: QueryType): Promise<Found> {
    const ascii = queryName(name);
    if (ascii === null) return { kind: 'failure', reason: `"${name.slice(0, 100)}" is no domain name` };
    const key = `${type} ${ascii}`;
    const known = this.#cache.get(key, this.#clock.now());
    if (known) return known;
    const asked = this.#asking.get(key);
    if (asked) return (await asked).found;
    const asking = this.#turnstile.pass(() => this.#ask(ascii, type));
    this.#asking.set(key, asking);
    try {
      const { found, ttl } = await asking;
      // What was cleared while it was being asked must not come back.
      if (this.#asking.get(key) === asking) this.#cache.set(key, found, this.#clock.now() + ttl * 1000);
      return found;
    } finally {
      if (this.#asking.get(key) === asking) this.#asking.delete(key);
    }
  }

  clear(name?: string): void {
    if (name === undefined) {
      this.#cache.clear();
      this.#asking.clear();
      return;
    }
    const ascii = queryName(name) ?? name;
    for (const type of ['A', 'AAAA', 'MX', 'TXT', 'TLSA', 'PTR']) {
      this.#cache.clear(`${type} ${ascii}`);
      this.#asking.delete(`${type} ${ascii}`);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#asking.values()]);
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
        return { found: { kind: 'answer', records: followed.records, ttl, authenticated }, ttl: kept };
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
    const tools = { timeoutMs: this.#timeoutMs, clock: this.#clock, signal };
    const first = this.#turn++;
    for (let n = 0; n < this.#attempts && this.#servers.length > 0; n++) {
      if (signal.aborted) return 'the resolver was closed';
      const server = this.#servers[(first + n) % this.#servers.length]!;
      const reply = await exchange(server, name, type, tools);
      if (typeof reply === 'string') {
        failure = reply;
        continue;
      }
      if (reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN') return reply;
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

/** Lower case, in A-labels, without the final dot; null for what can not be asked for. */
export function queryName(name: string): string | null {
  const ascii = domainToAscii(name.replace(/\.$/, ''));
  return ascii === null || ascii.startsWith('[') ? null : ascii;
}

/**
 * The records of `type` at the end of the aliases in this reply; null when they go in a circle. `seen` gets the names
 * that were left behind.
 */
function follow(
  reply: Reply,
  asked: string,
  type: QueryType,
  seen: Set<string>,
): { name: string; records: RecordData[]; ttl: number } | null {
  const answers = (reply.answers ?? []).slice(0, MOST_RECORDS);
  let name = asked;
  let ttl = MOST_TTL;
  for (;;) {
    const alias = answers.find((record) => record.type === 'CNAME' && plain(record.name) === name);
    if (alias?.type !== 'CNAME' || seen.size > LONGEST_ALIAS_CHAIN) break;
    if (seen.has(name)) return null;
    seen.add(name);
    ttl = Math.min(ttl, alias.ttl ?? 0);
    name = plain(alias.data);
  }
  const records: RecordData[] = [];
  for (const record of answers) {
    if (record.type !== (type as RecordType) || plain(record.name) !== name) continue;
    const data = dataOf(record);
    if (data === null) continue;
    records.push(data);
    ttl = Math.min(ttl, 'ttl' in record ? (record.ttl ?? 0) : 0);
  }
  return { name, records, ttl };
}

function dataOf(record: NonNullable<Reply['answers']>[number]): RecordData | null {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return isIP(record.data) === (record.type === 'A' ? 4 : 6) ? record.data : null;
    case 'PTR':
      return plain(record.data);
    case 'MX':
      return { preference: record.data.preference ?? 0, exchange: plain(record.data.exchange) };
    case 'TLSA':
      return record.data;
    case 'TXT':
      return [record.data]
        .flat()
        .map((part) => part.toString())
        .join('');
    default:
      return null;
  }
}

/** Lower case, without the final dot. */
function plain(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

/** How long "no" holds: as the zone's SOA says (RFC 2308 section 5), within reason. */
function negativeTtl(reply: Reply): number {
  const soa = reply.authorities?.find((record) => record.type === 'SOA');
  if (soa?.type !== 'SOA') return NEGATIVE_TTL;
  return Math.min(soa.ttl ?? 0, soa.data.minimum ?? 0, MOST_NEGATIVE_TTL);
}

function systemServers(): DnsServerAddress[] {
  return getServers().map((server) => {
    const withPort = /^\[(.+)\]:(\d+)$/.exec(server) ?? /^([\d.]+):(\d+)$/.exec(server);
    return withPort ? { address: withPort[1]!, port: Number(withPort[2]) } : { address: server, port: 53 };
  });
}
