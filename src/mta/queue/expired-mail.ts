/**
 * Finds what has outlived its time, wherever it waits (D7.6): also in a queue that nobody handles, because it is
 * paused, in retry or held back.
 */
import type { DispatchLine } from './dispatch-line.ts';
import { Expiries } from './expiries.ts';
import type { Jobs } from './jobs.ts';
import type { Queue } from './queue.ts';
import type { QueueTable } from './queue-table.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

/** Recipients that are handed out for bouncing at once. */
const EXPIRED_BATCH = 100;

export class ExpiredMail {
  readonly #queues: QueueTable;
  readonly #jobs: Jobs;
  readonly #line: DispatchLine;
  readonly #expiries = new Expiries();

  constructor(queues: QueueTable, jobs: Jobs, line: DispatchLine) {
    this.#queues = queues;
    this.#jobs = jobs;
    this.#line = line;
  }

  /** When the first recipient of all may have expired; Infinity for never. */
  get earliest(): number {
    return this.#expiries.earliest;
  }

  /** Recipients have come into a queue: it is looked at when the first of its recipients expires. */
  mayExpire(queue: Queue, items: readonly QueuedRecipient[]): void {
    for (const item of items) queue.expiry.add(item, queue.size);
    if (this.#expiries.note(queue, this.#queues.byKey)) this.#line.tellOwner();
  }

  /** Nothing waits in the queue, and nothing is in delivery. */
  forget(queue: Queue): void {
    queue.expiry.clear();
    this.#expiries.forget(queue);
  }

  /** Takes what has expired in a queue, a batch at a time; it counts as in delivery. */
  take(queue: Queue, now: number): QueuedRecipient[] {
    const items = queue.expiry.take(queue.limits.bounceAfter.value, now, EXPIRED_BATCH);
    for (const item of items) {
      if (item.place === 'ready') queue.ready.strike(item);
      else if (item.place === 'held') queue.held.strike(item);
      else this.#jobs.strike(queue, item);
    }
    if (items.length > 0) {
      queue.inDelivery += items.length;
      this.#expiries.forget(queue);
      this.#expiries.note(queue, this.#queues.byKey);
    }
    return items;
  }

  /** Takes what has expired in any queue, a batch at a time; null when nothing has. */
  next(now: number): { readonly queue: Queue; readonly items: readonly QueuedRecipient[] } | null {
    for (let queue = this.#expiries.popDue(now); queue; queue = this.#expiries.popDue(now)) {
      if (!this.#queues.knows(queue)) continue;
      const items = this.take(queue, now);
      this.#expiries.note(queue, this.#queues.byKey);
      if (items.length > 0) return { queue, items };
    }
    return null;
  }
}
