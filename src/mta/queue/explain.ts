/** Why something waits. Nothing waits without a reason: where no limit binds, the answer says what is under way. */
import { connectionHolds, event, gateHolds } from './admission.ts';
import type { ConnectionCounter } from './connection-limits.ts';
import { type HoldReason, longestFirst } from './hold.ts';
import type { Jobs } from './jobs.ts';
import type { Queue } from './queue.ts';
import { nextOpening, type QueuedRecipient } from './queued-recipient.ts';

export interface ExplainSources {
  readonly server: ConnectionCounter;
  readonly jobs: Jobs;
  readonly stopping: boolean;
}

/** What keeps a queue from being delivered faster right now, the longest lasting first; empty when nothing waits. */
export function explainQueue(queue: Queue, sources: ExplainSources, now: number): HoldReason[] {
  const holds = allHolds(queue, sources, now);
  const first = queue.held.first;
  if (first && queue.held.earliest > now) holds.push(heldUntil(queue, first));
  for (const { job, by, count } of sources.jobs.parkedIn(queue)) holds.push(jobHold(job, by, count));
  if (holds.length > 0 || queue.waitingSize === 0) return longestFirst(holds);
  return [underWay(queue)];
}

/** What keeps one recipient that is known to the scheduler, its own reasons and those of its queue. */
export function explainRecipient(
  queue: Queue,
  item: QueuedRecipient,
  sources: ExplainSources,
  now: number,
): HoldReason[] {
  const holds: HoldReason[] = [];
  const by = item.job === '' ? null : sources.jobs.pausedBy(item.job);
  if (by !== null) holds.push(jobHold(item.job, by, 1));
  const opening = nextOpening(item, now);
  if (opening > now) {
    holds.push({
      kind: 'outside-schedule',
      limit: null,
      current: 0,
      freesAt: opening === Number.POSITIVE_INFINITY ? null : opening,
      remedy:
        opening === Number.POSITIVE_INFINITY
          ? 'its last X-Schedule window has passed: it bounces when the queue is next handled'
          : 'wait for the next window of X-Schedule',
    });
  }
  if (item.holdUntil > Math.max(now, opening < Number.POSITIVE_INFINITY ? opening : now)) {
    holds.push({
      kind: 'recipient-retry',
      limit: queue.limits.retryRecipientsAfter,
      current: item.attempts,
      freesAt: item.holdUntil,
      remedy: `wait, or: pmta schedule --retry-recipients ${queue.name}`,
    });
  }
  holds.push(...allHolds(queue, sources, now));
  return holds.length > 0 ? longestFirst(holds) : [underWay(queue)];
}

/** What keeps a job: its pause, and what keeps each queue in which recipients of it were put aside. */
export function explainJob(job: string, sources: ExplainSources): HoldReason[] {
  const by = sources.jobs.pausedBy(job);
  return by === null ? [] : [jobHold(job, by, sources.jobs.parkedCount(job))];
}

/** What the first of those that wait for their time waits for: its window of X-Schedule, or the wait after a 4xx. */
function heldUntil(queue: Queue, first: QueuedRecipient): HoldReason {
  const { size, earliest } = queue.held;
  if (first.windows !== null && first.holdUntil < earliest) {
    return {
      kind: 'outside-schedule',
      limit: null,
      current: size,
      freesAt: earliest,
      remedy: 'wait for the next window of X-Schedule',
    };
  }
  return {
    kind: 'recipient-retry',
    limit: queue.limits.retryRecipientsAfter,
    current: size,
    freesAt: earliest,
    remedy: `wait, or: pmta schedule --retry-recipients ${queue.name}`,
  };
}

function allHolds(queue: Queue, { server, stopping }: ExplainSources, now: number): HoldReason[] {
  return [...connectionHolds(queue, server, stopping, now), ...gateHolds(queue, now)];
}

function jobHold(job: string, by: string, count: number): HoldReason {
  return event('job-paused', count, `job ${job} was paused by ${by}; pmta resume job ${job}`);
}

function underWay(queue: Queue): HoldReason {
  if (queue.opening > 0) return event('opening-connection', queue.opening, 'a connection is being opened');
  if (queue.connections > 0) {
    return event(
      'in-delivery',
      queue.inDelivery,
      'the connections that are open send it, one message after the other',
    );
  }
  return event('next-in-line', 0, 'a connection is opened next');
}
