/**
 * Jobs that an operator paused. Pausing touches nothing: a recipient of a paused job is put aside when it is met.
 * Resuming gives back what was put aside.
 */
import type { Queue } from './queue.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

/** What was put aside of one job in one queue; `struck` of them have expired. */
interface Parked {
  items: QueuedRecipient[];
  struck: number;
}

interface PausedJob {
  by: string;
  readonly parked: Map<Queue, Parked>;
}

const SLACK = 64;
const waits = ({ place }: QueuedRecipient) => place === 'parked';

export class Jobs {
  readonly #paused = new Map<string, PausedJob>();

  pause(job: string, by: string): void {
    const known = this.#paused.get(job);
    if (known) known.by = by;
    else this.#paused.set(job, { by, parked: new Map() });
  }

  /** What was put aside, by queue; it is nobody's until it is queued again. */
  resume(job: string): Map<Queue, QueuedRecipient[]> {
    const given = new Map<Queue, QueuedRecipient[]>();
    for (const [queue, { items }] of this.#paused.get(job)?.parked ?? []) {
      const waiting = items.filter(waits);
      for (const item of waiting) item.place = 'none';
      queue.parked -= waiting.length;
      if (waiting.length > 0) given.set(queue, waiting);
    }
    this.#paused.delete(job);
    return given;
  }

  /** Who paused a job; null when it is not paused. */
  pausedBy(job: string): string | null {
    return this.#paused.get(job)?.by ?? null;
  }

  isPaused(item: QueuedRecipient): boolean {
    return item.job !== '' && this.#paused.size > 0 && this.#paused.has(item.job);
  }

  park(queue: Queue, item: QueuedRecipient): void {
    const { parked } = this.#paused.get(item.job)!;
    const known = parked.get(queue);
    if (known) known.items.push(item);
    else parked.set(queue, { items: [item], struck: 0 });
    item.place = 'parked';
    queue.parked++;
  }

  /** One that was put aside has expired. It is skipped from now on. */
  strike(queue: Queue, item: QueuedRecipient): void {
    item.place = 'expired';
    queue.parked--;
    const job = this.#paused.get(item.job)!;
    const list = job.parked.get(queue)!;
    if (++list.struck * 2 <= list.items.length + SLACK) return;
    list.items = list.items.filter(waits);
    list.struck = 0;
    if (list.items.length === 0) job.parked.delete(queue);
  }

  /** Jobs of which recipients of this queue were put aside, with how many. */
  *parkedIn(queue: Queue): Generator<{ job: string; by: string; count: number }> {
    if (queue.parked === 0) return;
    for (const [job, { by, parked }] of this.#paused) {
      const count = waiting(parked.get(queue));
      if (count > 0) yield { job, by, count };
    }
  }

  /** What was put aside of a queue. */
  *parkedItems(queue: Queue): Generator<QueuedRecipient> {
    if (queue.parked === 0) return;
    for (const { parked } of this.#paused.values()) yield* parked.get(queue)?.items.filter(waits) ?? [];
  }

  /** Takes out what is chosen of what was put aside of a queue. */
  extract(queue: Queue, chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    const taken: QueuedRecipient[] = [];
    if (queue.parked === 0) return taken;
    for (const { parked } of this.#paused.values()) {
      const kept: QueuedRecipient[] = [];
      for (const item of parked.get(queue)?.items.filter(waits) ?? []) {
        (chosen(item) ? taken : kept).push(item);
      }
      if (kept.length > 0) parked.set(queue, { items: kept, struck: 0 });
      else parked.delete(queue);
    }
    for (const item of taken) item.place = 'none';
    queue.parked -= taken.length;
    return taken;
  }

  /** Recipients of a job that were put aside so far. */
  parkedCount(job: string): number {
    let count = 0;
    for (const list of this.#paused.get(job)?.parked.values() ?? []) count += waiting(list);
    return count;
  }

  names(): IterableIterator<string> {
    return this.#paused.keys();
  }
}

function waiting(list: Parked | undefined): number {
  return list ? list.items.length - list.struck : 0;
}
