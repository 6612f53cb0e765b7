import type { MxRecord, Resolver } from '../../../dns/index.ts';
import type { Clock } from '../../../system/clock.ts';
import { type Log, printable } from '../../../system/log.ts';
import type { MailHostCache } from './mail-host-cache.ts';
import { type Decision, type Provider, type ProviderTable, unknownProvider } from './provider-table.ts';

/** How domains are looked up that no rule knows by name. */
export interface MailHostLookup {
  readonly resolver: Pick<Resolver, 'query'>;
  readonly cache: MailHostCache;
  readonly clock: Clock;
  readonly log: Log;
}

const AT_ONCE = 8;
/** Domains that may wait to be asked about; the next event of one that was turned away brings it again. */
const MOST_WAITING = 10_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const RETRY_MS = 10 * 60_000;
const SAVE_EVERY_MS = 5000;

/** Names that DNS knows nothing about (RFC 2606, RFC 6761) or that are no domain of the net. */
const notAsked = /(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost|local|onion|internal)$/;
const askable = /^(?=.{4,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/;

/**
 * The providers of recipients' domains: by name at once, by mail host as far as that is known. A domain that is not
 * known yet is asked about in the background; until the answer is there its events have no provider.
 */
export class Providers {
  readonly #table: ProviderTable;
  readonly #lookup: MailHostLookup | null;
  /** Domains that are asked about or wait for it. */
  readonly #wanted = new Set<string>();
  readonly #queue: string[] = [];
  /** Failed lately, until when. */
  readonly #failed = new Map<string, number>();
  #asking = 0;
  #closed = false;
  #cancelSave: (() => void) | null = null;

  constructor(table: ProviderTable, lookup: MailHostLookup | null = null) {
    this.#table = table;
    this.#lookup = lookup;
  }

  /** Provider of a domain in lower case; never waits. */
  of(domain: string): Provider {
    if (domain === '') return unknownProvider;
    return this.decide(domain)?.provider ?? unknownProvider;
  }

  /** What says so; `null` where nothing does, or not yet. */
  decide(domain: string): Decision | null {
    const byName = this.#table.ofDomain(domain);
    if (byName || !this.#lookup) return byName;
    const { cache, clock } = this.#lookup;
    const known = cache.get(domain);
    if (!known || known.until <= clock.now()) this.#want(domain);
    return known && known.host !== '' ? this.#table.ofMailHost(known.host) : null;
  }

  /** The host that mail for a domain goes to first, as far as it was asked for and told; '' otherwise. Never asks. */
  mailHostOf(domain: string): string {
    return this.#lookup?.cache.get(domain)?.host ?? '';
  }

  #want(domain: string): void {
    if (this.#closed || this.#wanted.has(domain) || this.#wanted.size >= MOST_WAITING) return;
    if (!askable.test(domain) || notAsked.test(domain)) return;
    const { clock } = this.#lookup!;
    const failed = this.#failed.get(domain);
    if (failed !== undefined && failed > clock.now()) return;
    this.#wanted.add(domain);
    this.#queue.push(domain);
    if (this.#asking < AT_ONCE) void this.#work();
  }

  /** Asks about what waits, one after the other, until nothing does. */
  async #work(): Promise<void> {
    const { resolver, cache, clock, log } = this.#lookup!;
    this.#asking++;
    try {
      for (let domain = this.#queue.shift(); domain !== undefined; domain = this.#queue.shift()) {
        const found = await firstMailHost(resolver, domain);
        this.#wanted.delete(domain);
        if (this.#closed) return;
        if (found === null) {
          this.#failed.delete(domain);
          this.#failed.set(domain, clock.now() + RETRY_MS);
          if (this.#failed.size > MOST_WAITING) this.#failed.delete(this.#failed.keys().next().value!);
          continue;
        }
        const keep = Math.min(Math.max(found.ttlMs, DAY), 7 * DAY);
        cache.set(domain, { host: found.host, until: clock.now() + keep });
        this.#saveSoon();
      }
    } catch (error) {
      log.warn('mail hosts of domains cannot be looked up', { because: printable(String(error)) });
    } finally {
      this.#asking--;
    }
  }

  #saveSoon(): void {
    const { cache, clock, log } = this.#lookup!;
    this.#cancelSave ??= clock.after(SAVE_EVERY_MS, () => {
      this.#cancelSave = null;
      try {
        cache.save();
      } catch (error) {
        log.warn('mail hosts cannot be saved; they are asked for again after a restart', {
          because: printable(String(error)),
        });
      }
    });
  }

  /** Asks nothing more and saves what is known. */
  close(): void {
    this.#closed = true;
    this.#cancelSave?.();
    this.#lookup?.cache.close();
  }
}

/** The host that mail for a domain goes to first ('' when there is none), and how long that may be kept; `null` when nobody answers. */
export async function firstMailHost(
  resolver: Pick<Resolver, 'query'>,
  domain: string,
): Promise<{ host: string; ttlMs: number } | null> {
  const found = await resolver.query(domain, 'MX');
  if (found.kind === 'failure') return null;
  if (found.kind !== 'answer') return { host: '', ttlMs: DAY };
  const hosts = (found.records as readonly MxRecord[]).toSorted(
    (a, b) => a.preference - b.preference || (a.exchange < b.exchange ? -1 : 1),
  );
  return { host: hosts[0]?.exchange ?? '', ttlMs: found.ttl * 1000 };
}
