import type { Limit } from './hold.ts';
import { RateLimiter } from './rate-limit.ts';

/**
 * Bytes per time, counted after each success (delivery section 5): a size is known only then. So as not to go far
 * beyond, transfers under way count as much as the last ones were; the first begins alone.
 */
export class DataVolume {
  readonly limiter: RateLimiter;
  #underWay = 0;
  #expected = 0;

  constructor(limit: () => Limit) {
    this.limiter = new RateLimiter(limit);
  }

  get limited(): boolean {
    return this.limiter.limit.value !== Number.POSITIVE_INFINITY;
  }

  /** Whether another transaction may begin. */
  mayBegin(now: number): boolean {
    // Whole bytes, as the limiter reckons when it says at what time there is one: else a queue would wait for a time
    // that has come and be told of no other.
    const free = this.limiter.whole(now);
    if (free === Number.POSITIVE_INFINITY) return true;
    if (this.#underWay > 0 && this.#expected === 0) return false;
    return free - this.#underWay * this.#expected >= 1;
  }

  /** It waits for transfers under way, not for time. */
  waitsForTransfers(now: number): boolean {
    return this.#underWay > 0 && this.limiter.whole(now) >= 1;
  }

  begin(): void {
    this.#underWay++;
  }

  /** A transaction is over; `bytes` is 0 when nothing was delivered. */
  end(bytes: number, now: number): void {
    this.#underWay--;
    if (bytes <= 0) return;
    this.#expected = Math.max(bytes, this.#expected * 0.9);
    this.limiter.spend(bytes, now);
  }
}
