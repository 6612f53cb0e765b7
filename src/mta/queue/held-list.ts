import type { QueuedRecipient } from './queued-recipient.ts';
import { TimeHeap } from './time-heap.ts';

const SLACK = 64;

/** The recipients of one queue that wait each for its own time: refused temporarily, or scheduled. */
export class HeldList {
  readonly #heap = new TimeHeap<QueuedRecipient>();
  /** Still in the heap, but expired. */
  #struck = 0;

  get size(): number {
    return this.#heap.size - this.#struck;
  }

  /** When the earliest may be tried; Infinity when there is none. */
  get earliest(): number {
    while (this.#heap.first?.place === 'expired') {
      this.#heap.popDue(Number.POSITIVE_INFINITY);
      this.#struck--;
    }
    return this.#heap.earliest;
  }

  /** The one that may be tried first. */
  get first(): QueuedRecipient | undefined {
    return this.earliest < Number.POSITIVE_INFINITY ? this.#heap.first : undefined;
  }

  push(at: number, item: QueuedRecipient): void {
    item.place = 'held';
    this.#heap.push(at, item);
  }

  /** Takes out the earliest if its time has come at `now`. */
  popDue(now: number): QueuedRecipient | undefined {
    if (this.earliest > now) return undefined;
    const item = this.#heap.popDue(now);
    if (item) item.place = 'none';
    return item;
  }

  /** One that waits here has expired. It is skipped from now on. */
  strike(item: QueuedRecipient): void {
    item.place = 'expired';
    if (++this.#struck > this.size + SLACK) this.extract(() => false);
  }

  /** Takes out what is chosen. Looks at all. */
  extract(chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    const taken = this.#heap
      .extract((item) => item.place === 'expired' || chosen(item))
      .filter(({ place }) => place !== 'expired');
    this.#struck = 0;
    for (const item of taken) item.place = 'none';
    return taken;
  }

  /** All of them, in no order. */
  *[Symbol.iterator](): Generator<QueuedRecipient> {
    for (const item of this.#heap) if (item.place !== 'expired') yield item;
  }
}
