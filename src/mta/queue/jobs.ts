/**
 * Jobs that an operator paused. Pausing touches nothing: a recipient of a paused job is put aside when it is met.
 * Resuming gives back what was put aside.
 */
import type { Queue } from './queue.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

interface PausedJob {
  by: string;
  readonly parked: Map<Queue, QueuedRecipient[]>;
}

export class Jobs {
  readonly #paused = new Map<string, PausedJob>();

  pause(job: string, by: string): void {
    const known = this.#paused.get(job);
    if (known) known.by = by;
    else this.#paused.set(job, { by, parked: new Map() });
  }

  /** What was put aside, by queue; it is nobody's until it is queued again. */
  resume(job: string): Map<Queue, QueuedRecipient[]> {
    const parked = this.#paused.get(job)?.parked ?? new Map<Queue, QueuedRecipient[]>();
    this.#paused.delete(job);
    for (const [queue, items] of parked) queue.parked -= items.length;
    return parked;
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
    const items = parked.get(queue);
    if (items) items.push(item);
    else parked.set(queue, [item]);
    queue.parked++;
  }

  /** Jobs of which recipients of this queue were put aside, with how many. */
  *parkedIn(queue: Queue): Generator<{ job: string; by: string; count: number }> {
    if (queue.parked === 0) return;
    for (const [job, { by, parked }] of this.#paused) {
      const items = parked.get(queue);
      if (items) yield { job, by, count: items.length };
    }
  }

  /** What was put aside of a queue. */
  *parkedItems(queue: Queue): Generator<QueuedRecipient> {
    if (queue.parked === 0) return;
    for (const { parked } of this.#paused.values()) yield* parked.get(queue) ?? [];
  }

  /** Takes out what is chosen of what was put aside of a queue. */
  extract(queue: Queue, chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    const taken: QueuedRecipient[] = [];
    if (queue.parked === 0) return taken;
    for (const { parked } of this.#paused.values()) {
      const items = parked.get(queue);
      if (!items) continue;
      const kept: QueuedRecipient[] = [];
      for (const item of items) (chosen(item) ? taken : kept).push(item);
      if (kept.length > 0) parked.set(queue, kept);
      else parked.delete(queue);
    }
    queue.parked -= taken.length;
    return taken;
  }

  /** Recipients of a job that were put aside so far. */
  parkedCount(job: string): number {
    let count = 0;
    for (const items of this.#paused.get(job)?.parked.values() ?? []) count += items.length;
    return count;
  }

  names(): IterableIterator<string> {
    return this.#paused.keys();
  }
}
