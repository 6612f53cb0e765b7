/** A stub resolver: asks the configured recursive servers, follows aliases, and keeps answers for their time. */
import { getServers } from 'node:dns';
import type { RecordType } from 'dns-packet';
import { domainToAscii } from '../mail/address.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { TtlCache } from './cache.ts';
import { type DnsServerAddress, exchange, type Reply } from './exchange.ts';

export type QueryType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'TLSA' | 'PTR';

export interface MxRecord {
  readonly preference: number;
  /** Lower case, without the final dot; '' is the root of a null MX (RFC 7505). */
  readonly exchange: string;
}

/** What a query found. `authenticated`: the resolver says that it validated the answer with DNSSEC. */
export type Found =
  | {
      readonly kind: 'answer';
      /** Data of the records in the answer's order: addresses, texts, or MX records. */
      readonly records: readonly (string | MxRecord)[];
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
  /** Names kept; default 50,000. */
  readonly maxCached?: number;
}

export interface Resolver {
  query(name: string, type: QueryType): Promise<Found>;
  /** Answers in the cache. */
  readonly cached: number;
  /** Forgets one domain's answers, or all. */
  clear(name?: string): void;
  close(): Promise<void>;
}

const LONGEST_ALIAS_CHAIN = 8;
const LEAST_TTL = 1;
const MOST_TTL = 86_400;
/** For "there is no such thing" when the answer names no SOA (RFC 2308 section 5), and for failures. */
const NEGATIVE_TTL = 60;
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
  readonly #cache: TtlCache<Found>;
  /** Questions being asked: whoever asks the same meanwhile waits for the same answer. */
  readonly #asking = new Map<string, Promise<Found>>();
  #turn = 0;

  constructor(options: ResolverOptions) {
    const given = options.servers ?? [];
    this.#servers = given.length > 0 ? given : systemServers();
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#attempts = options.attempts ?? 3;
    this.#cache = new TtlCache(options.maxCached ?? 50_000);
  }

  get cached(): number {
    return this.#cache.size;
  }

  async query(name: string, type: QueryType): Promise<Found> {
    const ascii = domainToAscii(name.replace(/\.$/, ''));
    if (ascii === null) return { kind: 'failure', reason: `"${name.slice(0, 100)}" is no domain name` };
    const key = `${type} ${ascii}`;
    const known = this.#cache.get(key, this.#clock.now());
    if (known) return known;
    let asking = this.#asking.get(key);
    if (!asking) {
      asking = this.#ask(ascii, type).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
      const found = await asking;
      this.#cache.set(key, found, this.#clock.now() + lifetime(found) * 1000);
      return found;
    }
    return await asking;
  }

  clear(name?: string): void {
    if (name === undefined) {
      this.#cache.clear();
      return;
    }
    const ascii = domainToAscii(name) ?? name;
    for (const type of ['A', 'AAAA', 'MX', 'TXT', 'TLSA', 'PTR']) this.#cache.clear(`${type} ${ascii}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#asking.values()].map((asking) => asking.catch(() => {})));
  }

  async #ask(name: string, type: QueryType): Promise<Found> {
    let asked = name;
    let authenticated = true;
    for (let aliases = 0; aliases <= LONGEST_ALIAS_CHAIN; aliases++) {
      const reply = await this.#exchange(asked, type);
      if (typeof reply === 'string') return { kind: 'failure', reason: reply };
      authenticated &&= reply.flag_ad;
      if (reply.rcode === 'NXDOMAIN') return { kind: 'nxdomain', authenticated };
      const followed = follow(reply, asked, type);
      if (followed === null) return { kind: 'failure', reason: `${name}: its aliases form a loop` };
      if (followed.records.length > 0) {
        return { kind: 'answer', records: followed.records, ttl: followed.ttl, authenticated };
      }
      if (followed.name === asked) return { kind: 'nodata', authenticated };
      asked = followed.name;
    }
    return { kind: 'failure', reason: `${name}: more than ${LONGEST_ALIAS_CHAIN} aliases` };
  }

  /** One reply that is an answer, from whichever server gives it first; text when none does. */
  async #exchange(name: string, type: QueryType): Promise<Reply | string> {
    let failure = 'no DNS server is configured';
    for (let n = 0; n < this.#attempts && this.#servers.length > 0; n++) {
      const server = this.#servers[this.#turn++ % this.#servers.length]!;
      const reply = await exchange(server, name, type, this.#timeoutMs, this.#clock);
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

/** The records of `type` at the end of the aliases in this reply; null when they go in a circle. */
function follow(
  reply: Reply,
  asked: string,
  type: QueryType,
): { name: string; records: (string | MxRecord)[]; ttl: number } | null {
  const answers = (reply.answers ?? []).slice(0, MOST_RECORDS);
  const seen = new Set<string>();
  let name = asked;
  let ttl = MOST_TTL;
  for (;;) {
    if (seen.has(name)) return null;
    seen.add(name);
    const alias = answers.find((record) => record.type === 'CNAME' && plain(record.name) === name);
    if (alias?.type !== 'CNAME') break;
    ttl = Math.min(ttl, alias.ttl ?? 0);
    name = plain(alias.data);
  }
  const records: (string | MxRecord)[] = [];
  for (const record of answers) {
    if (record.type !== (type as RecordType) || plain(record.name) !== name) continue;
    const data = dataOf(record);
    if (data === null) continue;
    records.push(data);
    ttl = Math.min(ttl, 'ttl' in record ? (record.ttl ?? 0) : 0);
  }
  return { name, records, ttl };
}

function dataOf(record: NonNullable<Reply['answers']>[number]): string | MxRecord | null {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return record.data;
    case 'PTR':
      return plain(record.data);
    case 'MX':
      return { preference: record.data.preference ?? 0, exchange: plain(record.data.exchange) };
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

function lifetime(found: Found): number {
  switch (found.kind) {
    case 'answer':
      return Math.min(Math.max(found.ttl, LEAST_TTL), MOST_TTL);
    case 'failure':
      return FAILURE_TTL;
    default:
      return NEGATIVE_TTL;
  }
}

function systemServers(): DnsServerAddress[] {
  return getServers().map((server) => {
    const withPort = /^\[(.+)\]:(\d+)$/.exec(server) ?? /^([\d.]+):(\d+)$/.exec(server);
    return withPort ? { address: withPort[1]!, port: Number(withPort[2]) } : { address: server, port: 53 };
  });
}
