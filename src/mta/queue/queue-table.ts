/** The queues and VMTAs that there are now, by name. A queue is made when something is first said of it. */
import type { LimitSource } from './limits.ts';
import type { SchedulerOwner } from './owner.ts';
import { Queue } from './queue.ts';
import { VmtaUse } from './vmta-use.ts';

export class QueueTable {
  readonly #limits: LimitSource;
  readonly #owner: SchedulerOwner;
  readonly #queues = new Map<string, Queue>();
  readonly #vmtas = new Map<string, VmtaUse>();

  constructor(limits: LimitSource, owner: SchedulerOwner) {
    this.#limits = limits;
    this.#owner = owner;
  }

  get byKey(): ReadonlyMap<string, Queue> {
    return this.#queues;
  }

  values(): IterableIterator<Queue> {
    return this.#queues.values();
  }

  vmtas(): IterableIterator<VmtaUse> {
    return this.#vmtas.values();
  }

  find(domain: string, vmta: string): Queue | undefined {
    return this.#queues.get(queueKey(domain, vmta));
  }

  /** Whether this is still the queue of its name: one that was dropped may be noted somewhere yet. */
  knows(queue: Queue): boolean {
    return this.find(queue.domain, queue.vmta) === queue;
  }

  /** The queue of this name; a new one when there is none. */
  get(domain: string, vmta: string): Queue {
    const key = queueKey(domain, vmta);
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = new Queue(domain, vmta, () => this.#limits.queue(domain, vmta), this.#vmta(vmta));
      queue.pausedBy = this.#owner.pausedBy?.(domain, vmta) ?? null;
      this.#queues.set(key, queue);
    }
    return queue;
  }

  drop(queue: Queue): void {
    if (this.knows(queue)) this.#queues.delete(queueKey(queue.domain, queue.vmta));
  }

  #vmta(vmta: string): VmtaUse {
    let use = this.#vmtas.get(vmta);
    if (!use) {
      use = new VmtaUse(vmta, () => this.#limits.vmta(vmta));
      this.#vmtas.set(vmta, use);
    }
    return use;
  }
}

function queueKey(domain: string, vmta: string): string {
  return `${domain}/${vmta}`;
}
