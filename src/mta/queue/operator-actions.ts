/** What operators do to queues, jobs and recipients. A command may look at every recipient. */
import type { DispatchLine } from './dispatch-line.ts';
import type { Jobs } from './jobs.ts';
import type { Moves } from './moves.ts';
import type { Queue } from './queue.ts';
import type { QueueTable } from './queue-table.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import type { WaitingMail } from './waiting-mail.ts';

/** Which recipients an operator's command is about; what is left out matches all. */
export interface RecipientFilter {
  readonly queue?: Queue | ((domain: string, vmta: string) => boolean);
  readonly recipient?: (item: QueuedRecipient) => boolean;
}

/** Recipients with the queue that they wait in. */
export interface QueueItems {
  readonly queue: Queue;
  readonly items: readonly QueuedRecipient[];
}

/** The parts of the scheduler that operators' commands work on. */
export interface OperatedParts {
  readonly queues: QueueTable;
  readonly jobs: Jobs;
  readonly line: DispatchLine;
  readonly mail: WaitingMail;
  readonly moves: Moves;
}

export class OperatorActions {
  readonly #parts: OperatedParts;

  constructor(parts: OperatedParts) {
    this.#parts = parts;
  }

  pause(queue: Queue, by: string): void {
    queue.pausedBy = by;
    this.#parts.line.rouse(queue);
  }

  resume(queue: Queue, now: number): void {
    queue.pausedBy = null;
    this.#parts.line.changed(queue, now);
    this.#parts.mail.forgetIfEmpty(queue, now);
  }

  resumeJob(job: string, now: number): void {
    const { jobs, moves } = this.#parts;
    for (const [queue, items] of jobs.resume(job)) moves.putBack(queue, items, now);
  }

  schedule(queue: Queue, recipients: boolean, now: number): void {
    queue.retry.wake();
    queue.stopUntil = 0;
    if (recipients) {
      for (const item of queue.held) item.holdUntil = 0;
      queue.release(Number.POSITIVE_INFINITY);
    }
    this.#parts.line.stir(queue, now);
  }

  setPriority(filter: RecipientFilter, priority: number): QueueItems[] {
    return this.#each(filter, (queue, chosen) => {
      const ready = queue.ready.extract(chosen);
      for (const item of ready) item.priority = priority;
      for (const item of ready) queue.ready.push(item);
      const others = [...queue.held, ...this.#parts.jobs.parkedItems(queue)].filter(chosen);
      for (const item of others) item.priority = priority;
      return [...ready, ...others];
    });
  }

  remove(filter: RecipientFilter, now: number): QueueItems[] {
    return this.#each(filter, (queue, chosen) => {
      const items = this.#parts.mail.extract(queue, chosen);
      queue.inDelivery += items.length;
      this.#parts.line.changed(queue, now);
      return items;
    });
  }

  #each(
    filter: RecipientFilter,
    change: (queue: Queue, chosen: (item: QueuedRecipient) => boolean) => readonly QueuedRecipient[],
  ): QueueItems[] {
    const changed: QueueItems[] = [];
    const { queue: which = () => true } = filter;
    for (const queue of typeof which === 'function' ? [...this.#parts.queues.values()] : [which]) {
      if (queue.waitingSize === 0) continue;
      if (typeof which === 'function' && !which(queue.domain, queue.vmta)) continue;
      const items = change(queue, filter.recipient ?? (() => true));
      if (items.length > 0) changed.push({ queue, items });
    }
    return changed;
  }
}
