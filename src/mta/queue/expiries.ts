import type { Queue } from './queue.ts';
import { TimeHeap } from './time-heap.ts';

const SLACK = 64;

/** Queues by the time at which the first of their recipients expires, or before. */
export class Expiries {
  #heap = new TimeHeap<Queue>();

  get earliest(): number {
    while (this.#heap.first && this.#heap.first.expiryAt > this.#heap.earliest) {
      this.#heap.popDue(Number.POSITIVE_INFINITY);
    }
    return this.#heap.earliest;
  }

  /** What was noted of a queue counts no more. */
  forget(queue: Queue): void {
    queue.expiryAt = Number.POSITIVE_INFINITY;
  }

  /** Notes when a queue is to be looked at; says whether it is the first of all now. `queues`: those there are. */
  note(queue: Queue, queues: ReadonlyMap<string, Queue>): boolean {
    const at = queue.expiry.next(queue.limits.bounceAfter.value);
    if (at >= queue.expiryAt) return false;
    const sooner = at < this.earliest;
    queue.expiryAt = at;
    this.#heap.push(at, queue);
    // Queues come and go with their mail: those that are gone may not pile up until their time.
    if (this.#heap.size > 2 * queues.size + SLACK) this.#tidy(queues);
    return sooner;
  }

  /** A queue whose time has come at `now`; it is to be noted again. */
  popDue(now: number): Queue | undefined {
    for (;;) {
      const queue = this.#heap.popDue(now);
      if (!queue) return undefined;
      // Noted twice, the later time first: looked at already.
      if (queue.expiryAt > now) continue;
      queue.expiryAt = Number.POSITIVE_INFINITY;
      return queue;
    }
  }

  #tidy(queues: ReadonlyMap<string, Queue>): void {
    this.#heap = new TimeHeap();
    for (const queue of queues.values()) {
      if (queue.expiryAt < Number.POSITIVE_INFINITY) this.#heap.push(queue.expiryAt, queue);
    }
  }
}
