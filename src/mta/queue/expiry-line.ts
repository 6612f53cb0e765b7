import type { QueuedRecipient } from './queued-recipient.ts';
import { TimeHeap } from './time-heap.ts';

/** Entries of recipients that have left are dropped together when they are more than those that are needed. */
const SLACK = 64;

/**
 * The recipients of one queue by the time they expire, wherever in the queue they wait (D7.5, D7.6, D16.2). Each costs
 * O(log n). A recipient that leaves stays in the line for a while; its `place` tells that it is gone.
 */
export class ExpiryLine {
  readonly #byAge = new TimeHeap<QueuedRecipient>();
  /** Scheduled ones: `bounce-after` does not count for them, their last window does. */
  readonly #byWindow = new TimeHeap<QueuedRecipient>();

  /** `live`: recipients of the queue, those in delivery included. */
  add(item: QueuedRecipient, live: number): void {
    if (item.expiryLine === this) return;
    item.expiryLine = this;
    if (item.windows === null) this.#byAge.push(item.receivedAt, item);
    else this.#byWindow.push(Math.max(...item.windows.map(({ end }) => end)), item);
    if (this.#byAge.size + this.#byWindow.size > 2 * live + SLACK) this.#tidy();
  }

  /** No recipient expires before this time; Infinity when none will. */
  next(bounceAfter: number): number {
    return Math.min(this.#byAge.earliest + bounceAfter, this.#byWindow.earliest);
  }

  /** Those that wait and have expired, the oldest first. The caller takes them out of their places. */
  take(bounceAfter: number, now: number, atMost: number): QueuedRecipient[] {
    const items: QueuedRecipient[] = [];
    for (const [line, until] of [
      [this.#byAge, now - bounceAfter],
      [this.#byWindow, now],
    ] as const) {
      while (items.length < atMost) {
        const item = line.popDue(until);
        if (!item) break;
        if (item.expiryLine !== this) continue;
        item.expiryLine = null;
        // One in delivery is added again when it comes back.
        if (item.place !== 'none') items.push(item);
      }
    }
    return items;
  }

  /** Nothing waits any more, and nothing is in delivery. */
  clear(): void {
    if (this.#byAge.size > 0) this.#byAge.extract(() => true);
    if (this.#byWindow.size > 0) this.#byWindow.extract(() => true);
  }

  #tidy(): void {
    for (const line of [this.#byAge, this.#byWindow]) {
      const gone = line.extract((item) => item.expiryLine !== this || item.place === 'none');
      for (const item of gone) if (item.expiryLine === this) item.expiryLine = null;
    }
  }
}
