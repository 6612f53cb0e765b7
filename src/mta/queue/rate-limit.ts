/**
 * So many per time, kept in two ways at once (delivery section 5, D5.4). A bucket gives tokens at the long-run rate
 * and saves no more than the share of five minutes. Sliding windows see to it that nowhere more goes than allowed:
 * never more than N in any window of the period, never more than the share of five minutes in any five minutes.
 */
import type { Limit } from './hold.ts';

const BURST_MS = 300_000;
/** A window is counted in so many pieces. */
const PIECES = 1000;
/** Fractions of a token are sums of many small steps: so little may be missing from a whole one. */
const ROUNDING = 1e-6;

/**
 * What was spent in the last `span` milliseconds. Spending within a thousandth of the span is one entry that leaves
 * when its last part does: never too little is counted.
 */
export class SlidingWindow {
  readonly span: number;
  readonly #piece: number;
  #begins: number[] = [];
  #ends: number[] = [];
  #counts: number[] = [];
  #head = 0;
  #sum = 0;

  constructor(span: number) {
    this.span = span;
    this.#piece = span / PIECES;
  }

  add(n: number, now: number): void {
    const last = this.#ends.length - 1;
    if (last >= this.#head && now - this.#begins[last]! < this.#piece) {
      this.#ends[last] = Math.max(now, this.#ends[last]!);
      this.#counts[last]! += n;
    } else {
      this.#begins.push(now);
      this.#ends.push(now);
      this.#counts.push(n);
    }
    this.#sum += n;
  }

  /** What was spent in the span that ends now. */
  count(now: number): number {
    while (this.#head < this.#ends.length && this.#ends[this.#head]! + this.span <= now) {
      this.#sum -= this.#counts[this.#head++]!;
    }
    if (this.#head > 64 && this.#head * 2 > this.#ends.length) {
      this.#begins = this.#begins.slice(this.#head);
      this.#ends = this.#ends.slice(this.#head);
      this.#counts = this.#counts.slice(this.#head);
      this.#head = 0;
    }
    return this.#sum;
  }

  /** When no more than `most` will be left in it, if nothing is added. */
  fallsTo(most: number, now: number): number {
    let sum = this.count(now);
    for (let i = this.#head; i < this.#ends.length; i++) {
      if (sum <= most) return i === this.#head ? now : this.#ends[i - 1]! + this.span;
      sum -= this.#counts[i]!;
    }
    return sum <= most && this.#head < this.#ends.length ? this.#ends.at(-1)! + this.span : now;
  }

  /** When it will be empty. */
  get emptyAt(): number {
    return this.#head < this.#ends.length ? this.#ends.at(-1)! + this.span : 0;
  }
}

export class RateLimiter {
  readonly #limit: () => Limit;
  #count = Number.NaN;
  #perMs = Number.NaN;
  #tokens = 0;
  #filledAt = 0;
  /** Most that goes at once, and in any five minutes. */
  #burst = 0;
  #short: SlidingWindow | null = null;
  #long: SlidingWindow | null = null;
  /** Those two, and what is not over yet of limits before: modes change a limit back and forth. By length. */
  #windows: readonly SlidingWindow[] = [];

  /** The limit is asked for anew each time: modes and reloads change it. */
  constructor(limit: () => Limit) {
    this.#limit = limit;
  }

  get limit(): Limit {
    return this.#limit();
  }

  /** How many may go now; Infinity without a limit. Below zero when more went than was free (bytes). */
  available(now: number): number {
    if (!this.#ready(now)) return Number.POSITIVE_INFINITY;
    const free = Math.min(this.#tokens, this.#burst - this.#short!.count(now));
    return this.#long ? Math.min(free, this.#count - this.#long.count(now)) : free;
  }

  /** Whole things that may go now. */
  whole(now: number): number {
    const free = this.available(now);
    return free === Number.POSITIVE_INFINITY ? free : Math.max(0, Math.floor(free + ROUNDING));
  }

  spend(n: number, now: number): void {
    if (!this.#ready(now)) return;
    this.#tokens -= n;
    for (const window of this.#windows) window.add(n, now);
  }

  /** What went in the period that ends now. */
  spent(now: number): number {
    if (!this.#ready(now)) return 0;
    return (this.#long ?? this.#short!).count(now);
  }

  /** When `n` may go, if nothing goes until then; now if they may already. */
  freesAt(n: number, now: number): number {
    if (!this.#ready(now)) return now;
    const wanted = Math.min(n, this.#burst);
    const missing = wanted - this.#tokens;
    // What is missing may be so little that no clock shows the time it takes.
    const refilled =
      missing <= ROUNDING ? now : Math.max(now + 1, Math.ceil(now + (missing * this.#perMs) / this.#count));
    const short = this.#short!.fallsTo(this.#burst - wanted, now);
    const long = this.#long ? this.#long.fallsTo(this.#count - wanted, now) : now;
    return Math.max(refilled, short, long, now);
  }

  /** From this time on nothing is lost when the limiter is forgotten. */
  get forgettableAt(): number {
    let at = 0;
    for (const { emptyAt } of this.#windows) at = Math.max(at, emptyAt);
    return at;
  }

  /** Brings the bucket up to date; false when there is no limit. */
  #ready(now: number): boolean {
    const { value, perMs = 1000 } = this.#limit();
    if (value === Number.POSITIVE_INFINITY) return false;
    if (value !== this.#count || perMs !== this.#perMs) this.#change(value, perMs, now);
    if (now > this.#filledAt) {
      // A little more than the burst is saved: the windows hold things up by a thousandth, which must not be lost.
      const most = this.#burst * 1.01 + 1;
      this.#tokens = Math.min(most, this.#tokens + ((now - this.#filledAt) * this.#count) / this.#perMs);
      this.#filledAt = now;
    }
    return true;
  }

  #change(count: number, perMs: number, now: number): void {
    const share = Math.min(perMs, BURST_MS);
    this.#burst = Math.max(1, Math.ceil((count * share) / perMs));
    const first = Number.isNaN(this.#count);
    this.#tokens = first ? this.#burst : Math.min(this.#tokens, this.#burst);
    this.#filledAt = first ? now : Math.max(this.#filledAt, now);
    this.#count = count;
    this.#perMs = perMs;
    const old = this.#windows.filter(({ emptyAt }) => emptyAt > now);
    // What went under the limits before counts under this one as far as it is remembered.
    const carry = (span: number): SlidingWindow => {
      const like = old.find((window) => window.span >= span) ?? old.at(-1);
      if (like?.span === span) return like;
      const made = new SlidingWindow(span);
      const before = like?.count(now) ?? 0;
      if (before > 0) made.add(before, now);
      return made;
    };
    this.#short = carry(share);
    this.#long = perMs > BURST_MS ? carry(perMs) : null;
    const all = new Set(this.#long ? [this.#short, this.#long, ...old] : [this.#short, ...old]);
    this.#windows = [...all].sort((a, b) => a.span - b.span);
  }
}
