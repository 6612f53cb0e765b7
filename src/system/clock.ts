/** Time as a parameter: everything that waits or stamps takes a `Clock`, so a test can hold and turn it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `then` once, `ms` milliseconds from now; the returned function cancels it. */
  after(ms: number, then: () => void): () => void;
}

/** setTimeout counts in 32 bits; a longer wait would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  after(ms, then) {
    const timer = setTimeout(then, Math.min(Math.max(0, ms), LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};
