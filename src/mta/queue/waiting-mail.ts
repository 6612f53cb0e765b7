/**
 * The recipients that wait: how they come into a queue, what of them is put aside, how they are taken out, and when a
 * queue that has none is dropped.
 */
import type { DispatchLine } from './dispatch-line.ts';
import type { ExpiredMail } from './expired-mail.ts';
import type { Jobs } from './jobs.ts';
import type { Queue } from './queue.ts';
import type { QueueTable } from './queue-table.ts';
import { nextOpening, type QueuedRecipient } from './queued-recipient.ts';

export class WaitingMail {
  readonly #queues: QueueTable;
  readonly #jobs: Jobs;
  readonly #line: DispatchLine;
  readonly #expired: ExpiredMail;

  constructor(queues: QueueTable, jobs: Jobs, line: DispatchLine, expired: ExpiredMail) {
    this.#queues = queues;
    this.#jobs = jobs;
    this.#line = line;
    this.#expired = expired;
  }

  /** Puts a recipient where it waits in a queue: for its turn, or for its time. */
  enqueue(queue: Queue, item: QueuedRecipient, now: number): void {
    const at = Math.max(item.holdUntil, nextOpening(item, now));
    // One whose last window has passed waits for nothing: it is found and bounced.
    if (at > now && at < Number.POSITIVE_INFINITY) queue.held.push(at, item);
    else queue.ready.push(item);
    this.#expired.mayExpire(queue, [item]);
    this.#line.changed(queue, now);
  }

  /** Recipients are the next of their queue again. */
  prepend(queue: Queue, items: readonly QueuedRecipient[], now: number): void {
    queue.ready.prepend(items);
    this.#expired.mayExpire(queue, items);
    this.#line.changed(queue, now);
  }

  /** Puts aside what stands first and may not be tried: its job is paused, or its window is closed. */
  putAside(queue: Queue, now: number): void {
    queue.release(now);
    for (let item = queue.ready.peek(); item; item = queue.ready.peek()) {
      if (this.#jobs.isPaused(item)) this.#jobs.park(queue, queue.ready.shift()!);
      else {
        const opening = item.windows === null ? now : nextOpening(item, now);
        if (opening === now || opening === Number.POSITIVE_INFINITY) return;
        queue.held.push(opening, queue.ready.shift()!);
      }
    }
  }

  /** Takes what may be tried now; it counts as in delivery. */
  takeReady(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    const items: QueuedRecipient[] = [];
    while (items.length < atMost) {
      this.putAside(queue, now);
      const item = queue.ready.shift();
      if (!item) break;
      items.push(item);
    }
    queue.inDelivery += items.length;
    return items;
  }

  /** Takes everything, held or put aside as well, a batch at a time; it counts as in delivery. */
  takeAll(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    queue.release(Number.POSITIVE_INFINITY);
    queue.ready.prepend(this.#jobs.extract(queue, () => true));
    const items: QueuedRecipient[] = [];
    while (items.length < atMost) {
      const item = queue.ready.shift();
      if (!item) break;
      items.push(item);
    }
    queue.inDelivery += items.length;
    if (items.length === 0) this.forgetIfEmpty(queue, now);
    return items;
  }

  /** Takes out what is chosen, wherever in the queue it waits; it is nobody's then. */
  extract(queue: Queue, chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    return [
      ...this.#jobs.extract(queue, chosen),
      ...queue.ready.extract(chosen),
      ...queue.held.extract(chosen),
    ];
  }

  /** Everything that waits in a queue, what is in delivery left out. */
  *items(queue: Queue): Generator<QueuedRecipient> {
    yield* queue.ready;
    yield* queue.held;
    yield* this.#jobs.parkedItems(queue);
  }

  /** A queue that holds nothing and knows nothing worth keeping is dropped; it is made anew when mail comes. */
  forgetIfEmpty(queue: Queue, now: number): void {
    if (queue.size > 0) return;
    this.#expired.forget(queue);
    if (queue.connections > 0) return;
    const at = queue.forgettableAt;
    if (at > now) {
      // Mail that comes meanwhile must find what was counted, and must not be tried before its time.
      this.#line.wake(queue, at);
      return;
    }
    this.#queues.drop(queue);
    this.#line.drop(queue, now);
  }
}
