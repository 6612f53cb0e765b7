/** What a delivery asks of the scheduler beyond work: leave for one host, the queue's mode, its source addresses. */
import type { HoldReason } from '../queue/hold.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { SourceAddress } from './source-addresses.ts';

export type Reservation =
  | { readonly kind: 'source'; readonly source: SourceAddress | null }
  | { readonly kind: 'held'; readonly hold: HoldReason };

/** Recipients looked at in one go. */
const BATCH = 1000;

export class Leaves {
  readonly #scheduler: Scheduler;
  #turn = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Leave to connect to a host from one of these addresses, each in its turn; none given: the system chooses. */
  reserve(
    _id: number,
    _target: { readonly host: string; readonly address: string },
    sources: readonly SourceAddress[],
    _now: number,
  ): Reservation {
    const source = sources.length > 0 ? sources[this.#turn++ % sources.length]! : null;
    return { kind: 'source', source };
  }

  heldBack(_id: number, _hold: HoldReason, _now: number): void {}

  transferred(_id: number, _bytes: number, _now: number): void {}

  setMode(_queue: Queue, _mode: 'normal' | 'backoff', _why: string, _now: number): void {}

  disableSource(_queue: Queue, _address: string, _until: number | null, _why: string, _now: number): void {}

  /** Takes out of a queue those that fit; they are in delivery until they are done. */
  remove(queue: Queue, fits: (item: QueuedRecipient) => boolean, now: number): QueuedRecipient[] {
    const all: QueuedRecipient[] = [];
    for (;;) {
      const some = this.#scheduler.takeAll(queue, now, BATCH);
      if (some.length === 0) break;
      all.push(...some);
    }
    const others = all.filter((item) => !fits(item));
    if (others.length > 0) this.#scheduler.putBack(queue, others, now);
    return all.filter(fits);
  }
}
