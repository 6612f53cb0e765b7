/** Recipients that wait in another queue from now on: by a reroute (D8.2 to D8.4), or because an operator says so. */
import type { LimitSource } from './limits.ts';
import type { SchedulerOwner } from './owner.ts';
import type { Queue } from './queue.ts';
import type { QueueTable } from './queue-table.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import { Reroutes } from './reroute.ts';
import type { WaitingMail } from './waiting-mail.ts';

export class Moves {
  readonly #queues: QueueTable;
  readonly #mail: WaitingMail;
  readonly #owner: SchedulerOwner;
  readonly #reroutes: Reroutes;

  constructor(queues: QueueTable, mail: WaitingMail, limits: LimitSource, owner: SchedulerOwner) {
    this.#queues = queues;
    this.#mail = mail;
    this.#owner = owner;
    this.#reroutes = new Reroutes(
      (domain, vmta) =>
        (queues.find(domain, vmta)?.modeLimits ?? limits.queue(domain, vmta).normal).rerouteTo,
      (circle) => owner.onRerouteLoop?.(circle),
    );
  }

  /** The VMTA whose queue takes the mail of `domain/vmta`. */
  target(domain: string, vmta: string): string {
    return this.#reroutes.target(domain, vmta);
  }

  /** A recipient that was taken waits by itself, in its queue or the one that takes its mail now. */
  hold(queue: Queue, item: QueuedRecipient, now: number): void {
    const keeper = this.#keeper(queue);
    this.#mail.enqueue(keeper, item, now);
    if (keeper !== queue) this.#leave(queue, [item], keeper, now);
  }

  /** Recipients that were out of their queue are the next again, there or in the queue that takes its mail now. */
  putBack(queue: Queue, items: readonly QueuedRecipient[], now: number): void {
    const keeper = this.#keeper(queue);
    this.#mail.prepend(keeper, items, now);
    if (keeper !== queue) this.#leave(queue, items, keeper, now);
  }

  /** Moves what waits to the queue that takes this queue's mail, if that is another one now. */
  reroute(queue: Queue, now: number): void {
    if (queue.waitingSize === 0) return;
    const vmta = this.#reroutes.target(queue.domain, queue.vmta);
    if (vmta !== queue.vmta) this.move(queue, queue.domain, vmta, now);
  }

  /** Moves everything that waits to another queue; answers what moved. */
  move(queue: Queue, toDomain: string, toVmta: string, now: number): QueuedRecipient[] {
    const target = this.#queues.get(toDomain, toVmta);
    if (target === queue) return [];
    const items = this.#mail.extract(queue, () => true);
    for (const item of items) this.#mail.enqueue(target, item, now);
    this.#leave(queue, items, target, now);
    return items;
  }

  /** The queue that takes this queue's mail. */
  #keeper(queue: Queue): Queue {
    const vmta = this.#reroutes.target(queue.domain, queue.vmta);
    return vmta === queue.vmta ? queue : this.#queues.get(queue.domain, vmta);
  }

  #leave(queue: Queue, items: readonly QueuedRecipient[], target: Queue, now: number): void {
    if (items.length > 0) this.#owner.onMoved?.(items, target);
    this.#mail.forgetIfEmpty(queue, now);
  }
}
