/** Modes of queues and disabled local addresses (delivery section 8): what follows for mail, connections and times. */
import { disableAddress, enterMode, returnAddresses } from './backoff.ts';
import type { DispatchLine } from './dispatch-line.ts';
import type { Moves } from './moves.ts';
import type { SchedulerOwner } from './owner.ts';
import type { Mode, Queue } from './queue.ts';

export class QueueModes {
  readonly #line: DispatchLine;
  readonly #moves: Moves;
  readonly #owner: SchedulerOwner;

  constructor(line: DispatchLine, moves: Moves, owner: SchedulerOwner) {
    this.#line = line;
    this.#moves = moves;
    this.#owner = owner;
  }

  set(queue: Queue, mode: Mode, why: string, now: number): void {
    if (!enterMode(queue, mode, why, this.#owner, now)) return;
    if (queue.modeEndsAt < Number.POSITIVE_INFINITY) this.#line.wake(queue, queue.modeEndsAt);
    this.#moves.reroute(queue, now);
    this.#line.stir(queue, now);
  }

  /** The limits may have changed: backoff mode ends when they say now. */
  refresh(queue: Queue): void {
    if (queue.mode !== 'backoff') return;
    queue.modeEndsAt = queue.modeSince + queue.limits.backoffToNormalAfter.value;
    if (queue.modeEndsAt < Number.POSITIVE_INFINITY) this.#line.wake(queue, queue.modeEndsAt);
  }

  /** What time alone ends: backoff mode, disabled addresses. */
  tick(queue: Queue, now: number): void {
    if (queue.modeEndsAt <= now) this.set(queue, 'normal', 'backoff-to-normal-after', now);
    if (returnAddresses(queue, this.#owner, now)) this.#line.stir(queue, now);
  }

  disableSource(queue: Queue, address: string, until: number | null, why: string, now: number): void {
    const last = disableAddress(queue, address, until, why, this.#owner);
    if (until !== null) this.#line.wake(queue, until);
    this.#line.rouse(queue);
    if (last) this.withoutSources(queue, now);
  }

  enableSource(queue: Queue, address: string, why: string, now: number): void {
    if (!queue.sources.enable(address)) return;
    this.#owner.onSource?.(queue, address, false, why, null);
    this.#line.stir(queue, now);
  }

  /** Every address of the queue is disabled (D8.16). */
  withoutSources(queue: Queue, now: number): void {
    if (queue.limits.backoffUponAllSourcesDisabled) {
      this.set(queue, 'backoff', 'all source addresses are disabled', now);
    }
  }
}
