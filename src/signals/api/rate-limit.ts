import type { Clock } from '../../system/clock.ts';

/** Requests that a key may make: so many a second for ever, so many at once after a rest. */
export interface Rate {
  /** 0 = no limit. */
  readonly perSecond: number;
  readonly burst: number;
}

/** A person with several dashboards open, or a script that pages as fast as it can, stays far below. */
export const defaultRate: Rate = { perSecond: 100, burst: 1000 };

const MOST_BUCKETS = 10_000;

/** A bucket of tokens for each caller. */
export class RateLimit {
  readonly #rate: Rate;
  readonly #clock: Clock;
  /** Oldest use first. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** Takes a token; 0 when there was one, else the seconds until there is one. */
  take(caller: string): number {
    const { perSecond, burst } = this.#rate;
    if (perSecond <= 0) return 0;
    const now = this.#clock.now();
    const before = this.#buckets.get(caller);
    const gained = before ? (Math.max(0, now - before.at) / 1000) * perSecond : burst;
    const tokens = Math.min(burst, (before?.tokens ?? 0) + gained);
    const has = tokens >= 1;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens: has ? tokens - 1 : tokens, at: now });
    // Who has not asked for longest has had the time to fill up again.
    if (this.#buckets.size > MOST_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!);
    return has ? 0 : Math.max(1, Math.ceil((1 - tokens) / perSecond));
  }
}
