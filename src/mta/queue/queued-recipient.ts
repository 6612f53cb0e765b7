import type { ExpiryLine } from './expiry-line.ts';

/** A time span in which a scheduled recipient may be tried (X-Schedule), in milliseconds since the epoch. */
export interface ScheduleWindow {
  readonly start: number;
  /** The first moment that is outside again. */
  readonly end: number;
}

/** Where in its queue a recipient waits; 'none': nowhere, it was taken. */
export type Place = 'none' | 'ready' | 'held' | 'parked' | 'expired';

/** A recipient in a queue: the little that stays in memory while it waits. */
export interface QueuedRecipient {
  readonly spoolId: string;
  readonly index: number;
  readonly receivedAt: number;
  /** 0 to 100; higher ones of the same queue go first. */
  priority: number;
  attempts: number;
  /** Not tried before this time. */
  holdUntil: number;
  /** Job ID, '' for none. */
  readonly job: string;
  /** Bytes of the message, for the operator. */
  readonly size: number;
  /** When it may be tried, in order of time; null: at any time. */
  readonly windows: readonly ScheduleWindow[] | null;
  /** Kept by the lists of the queue. */
  place: Place;
  /** The line that has it in the order of expiry. */
  expiryLine: ExpiryLine | null;
}

/** What is known of a recipient that is to be queued; the rest has a usual value. */
export type RecipientToQueue = Pick<QueuedRecipient, 'spoolId' | 'index' | 'receivedAt'> &
  Partial<QueuedRecipient>;

/** A recipient for the scheduler: always of one shape, which keeps a million of them small. */
export function queuedRecipient(given: RecipientToQueue): QueuedRecipient {
  return {
    spoolId: given.spoolId,
    index: given.index,
    receivedAt: given.receivedAt,
    priority: given.priority ?? 50,
    attempts: given.attempts ?? 0,
    holdUntil: given.holdUntil ?? 0,
    job: given.job ?? '',
    size: given.size ?? 0,
    windows: given.windows ?? null,
    place: 'none',
    expiryLine: null,
  };
}

/**
 * The first time from `now` on that lies in a window of the recipient: `now` when it has no windows or one is open,
 * Infinity when none remains (D16.1).
 */
export function nextOpening(item: QueuedRecipient, now: number): number {
  if (item.windows === null) return now;
  for (const { start, end } of item.windows) {
    if (now < end) return Math.max(now, start);
  }
  return Number.POSITIVE_INFINITY;
}

/** D7.5 by age; scheduled ones when their last window has passed (D7.7, D16.2). */
export function isExpired(item: QueuedRecipient, bounceAfter: number, now: number): boolean {
  if (item.windows !== null) return nextOpening(item, now) === Number.POSITIVE_INFINITY;
  return now - item.receivedAt >= bounceAfter;
}
