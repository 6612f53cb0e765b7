/** Modes of queues (delivery section 8): entering and leaving backoff, and disabling local addresses. */
import type { SchedulerOwner } from './owner.ts';
import type { Mode, Queue } from './queue.ts';

/** Text of reasons comes from remote hosts' replies as well: what is kept of it is bounded. */
const LONGEST_REASON = 1000;

/** Puts a queue into a mode; says whether it was in the other one. Entering backoff defers nothing (D8.1). */
export function enterMode(
  queue: Queue,
  mode: Mode,
  why: string,
  owner: Partial<SchedulerOwner>,
  now: number,
): boolean {
  if (queue.mode === mode) return false;
  queue.mode = mode;
  queue.modeSince = now;
  queue.modeReason = why.slice(0, LONGEST_REASON);
  queue.modeEndsAt =
    mode === 'backoff' ? now + queue.limits.backoffToNormalAfter.value : Number.POSITIVE_INFINITY;
  owner.onMode?.(queue, mode, queue.modeReason);
  return true;
}

/** Disables a local address for a queue; says whether this leaves none, of those that are known. */
export function disableAddress(
  queue: Queue,
  address: string,
  until: number | null,
  why: string,
  owner: Partial<SchedulerOwner>,
): boolean {
  const reason = why.slice(0, LONGEST_REASON);
  queue.sources.disable(address, { until, why: reason });
  owner.onSource?.(queue, address, true, reason, until);
  return queue.sources.allDisabled;
}

/** Gives back the addresses whose time has come; says whether there were any. */
export function returnAddresses(queue: Queue, owner: Partial<SchedulerOwner>, now: number): boolean {
  if (queue.sources.nextReturn > now) return false;
  for (const [address, { until }] of [...queue.sources.disabled]) {
    if (until === null || until > now) continue;
    queue.sources.enable(address);
    owner.onSource?.(queue, address, false, 'its time is over', null);
  }
  return true;
}
