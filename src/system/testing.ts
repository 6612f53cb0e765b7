import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from './clock.ts';

/** A clock that stands still until told otherwise. */
export class TestClock implements Clock {
  #now: number;
  #timers = new Map<number, { at: number; then: () => void }>();
  #next = 0;

  constructor(start = Date.UTC(2026, 10, 21)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, then: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + ms, then });
    return () => this.#timers.delete(id);
  }

  /** Timers that have not fired. */
  get waiting(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    const target = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= target).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].then();
    }
    this.#now = target;
  }
}

/** Only ends a test that hangs; a slow machine with much else to do comes nowhere near it. */
const HUNG_MS = 120_000;

/** Waits until something holds, looking every so many milliseconds; throws when it never does. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs = HUNG_MS,
  everyMs = 5,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${holds}`);
    await wait(everyMs);
  }
}
