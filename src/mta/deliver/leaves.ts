/** What a delivery asks of the scheduler beyond work: leave for one host, the queue's mode, its source addresses. */
import type { HoldReason } from '../queue/hold.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Reserved, Scheduler } from '../queue/scheduler.ts';
import type { SourceAddress } from './source-addresses.ts';

export type Reservation = Reserved;

export class Leaves {
  readonly #scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Leave to connect to a host from one of these addresses, each in its turn; none given: the system chooses. */
  reserve(
    id: number,
    target: { readonly host: string; readonly address: string },
    sources: readonly SourceAddress[],
    now: number,
  ): Reservation {
    return this.#scheduler.reserve(id, target, sources, now);
  }

  heldBack(id: number, hold: HoldReason, now: number): void {
    this.#scheduler.heldBack(id, hold, now);
  }

  transferred(id: number, bytes: number, now: number): void {
    this.#scheduler.transferred(id, bytes, now);
  }

  setMode(queue: Queue, mode: 'normal' | 'backoff', why: string, now: number): void {
    this.#scheduler.setMode(queue, mode, why, now);
  }

  disableSource(queue: Queue, address: string, until: number | null, why: string, now: number): void {
    this.#scheduler.disableSource(queue, address, until, why, now);
  }

  /** Takes out of a queue those that fit; they are in delivery until they are done. */
  remove(queue: Queue, fits: (item: QueuedRecipient) => boolean, now: number): QueuedRecipient[] {
    return this.#scheduler.remove({ queue, recipient: fits }, now).flatMap(({ items }) => items);
  }
}
