/**
 * Keeps the routing data of chosen domains fresh (guide section 10.13): resolved at the start and again each interval,
 * whatever the records' own time to live, so that it is there before mail comes.
 */
import type { Clock } from '../system/clock.ts';
import { queryName } from './answers.ts';
import { resolveMailHosts } from './mail-route.ts';
import type { QueryType, Resolver } from './resolver.ts';

export interface PrecachedDomain {
  readonly domain: string;
  /** When it was last asked for; 0: not yet. */
  readonly at: number;
  /** What came of it: `hosts`, `null-mx`, `no-such-domain`, `no-hosts` or `failure`; '' before the first time. */
  readonly result: string;
}

export interface PrecacheOptions {
  readonly resolver: Resolver;
  readonly domains: readonly string[];
  readonly intervalMs: number;
  readonly clock: Clock;
}

export interface Precache {
  domains(): readonly PrecachedDomain[];
  /** Resolves when the round that is under way, if any, is over. */
  settled(): Promise<void>;
  close(): void;
}

const AT_A_TIME = 20;
/** A refresh may take its time; the data stays until it is over. */
const GRACE_MS = 60_000;
/** Nobody wants more, and a mistyped interval must not become a flood. */
const SHORTEST_INTERVAL_MS = 1000;

/** The first `most` domains of a file with one on each line; blank lines and lines with `#` do not count. */
export function readPrecachedDomains(text: string, most: number): string[] {
  const found = new Set<string>();
  for (const line of text.split('\n')) {
    if (found.size >= most) break;
    const word = line.trim();
    if (word === '' || word.startsWith('#')) continue;
    const name = queryName(word);
    if (name !== null) found.add(name);
  }
  return [...found];
}

export function startPrecache({ resolver, domains, intervalMs, clock }: PrecacheOptions): Precache {
  const every = Math.max(SHORTEST_INTERVAL_MS, intervalMs);
  const known = new Map<string, PrecachedDomain>(
    domains.map((domain) => [domain, { domain, at: 0, result: '' }]),
  );
  const fresh = {
    query: (name: string, type: QueryType) => resolver.refresh(name, type, every + GRACE_MS),
  };
  let closed = false;
  let cancel = () => {};
  const refresh = async () => {
    const left = [...known.keys()];
    const worker = async () => {
      for (let domain = left.shift(); domain !== undefined && !closed; domain = left.shift()) {
        const { kind } = await resolveMailHosts(fresh, domain);
        known.set(domain, { domain, at: clock.now(), result: kind });
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  };
  const round = (): Promise<void> => {
    const done = refresh();
    // After the round, not beside it: rounds that take longer than the interval do not pile up.
    return done.then(() => {
      if (closed) return;
      cancel = clock.after(every, () => {
        running = round();
      });
    });
  };
  let running: Promise<void> = domains.length > 0 ? round() : Promise.resolve();
  return {
    domains: () => [...known.values()],
    settled: () => running,
    close() {
      closed = true;
      cancel();
    },
  };
}
