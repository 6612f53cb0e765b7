/** What forbids a queue another connection now. */
import type { ConnectionCounter } from './connection-limits.ts';
import type { HoldKind, HoldReason } from './hold.ts';
import type { Queue } from './queue.ts';
import type { RateLimiter } from './rate-limit.ts';

/** Every limit that now forbids another connection for this queue; rates of the VMTA left out. */
export function* connectionHolds(
  queue: Queue,
  server: ConnectionCounter,
  stopping: boolean,
  now: number,
): Generator<HoldReason> {
  const { limits, modeLimits } = queue;
  if (stopping) {
    yield event('shutting-down', 0, 'delivery goes on after the restart');
  }
  if (queue.pausedBy !== null) {
    yield event('paused', 0, `paused by ${queue.pausedBy}; pmta resume queue ${queue.name}`);
  }
  if (queue.retry.retryAt > now) {
    const { limit, steps } = modeLimits.retryAfter;
    yield {
      kind: 'queue-retry',
      limit: {
        ...limit,
        value: steps[Math.min(Math.max(0, queue.retry.position - 1), steps.length - 1)] ?? 0,
      },
      current: queue.retry.position,
      freesAt: queue.retry.retryAt,
      remedy: `after "${queue.lastError}"; wait, or: pmta schedule ${queue.name}`,
    };
  }
  if (queue.block) yield* queue.block.holds;
  const { maxConnections } = modeLimits;
  if (queue.connections >= maxConnections.value) {
    yield {
      kind: 'queue-connections',
      limit: maxConnections,
      current: queue.connections,
      freesAt: null,
      remedy: `raise ${maxConnections.directive} for ${queue.domain}`,
    };
  }
  const { rampupInterval } = limits;
  if (queue.lastGrantAt + rampupInterval.value > now) {
    yield {
      kind: 'rampup-interval',
      limit: rampupInterval,
      current: now - queue.lastGrantAt,
      freesAt: queue.lastGrantAt + rampupInterval.value,
      remedy: `wait, or lower ${rampupInterval.directive} for ${queue.domain}`,
    };
  }
  // Connections on their way have a claim to what is free.
  if (queue.connects.whole(now) <= queue.unreserved) {
    yield rateHold('connect-rate', queue, queue.connects, queue.unreserved, now);
  }
  const claims = queue.opening + waitingFor(queue, queue.messages);
  if (queue.messages.whole(now) <= claims) {
    yield rateHold('message-rate', queue, queue.messages, claims, now);
  }
  if (!queue.data.mayBegin(now)) yield rateHold('data-volume-rate', queue, queue.data.limiter, 0, now);
  for (const counter of [queue.vmtaUse.connections, server]) {
    if (!counter.admits(queue)) yield counter.hold;
  }
}

/** Rates of the VMTA that forbid this queue another connection now: who is held by nothing else stands in their line. */
export function* gateHolds(queue: Queue, now: number): Generator<HoldReason> {
  for (const gate of queue.vmtaUse.gates) {
    if (!gate.admits(queue, now)) yield gate.hold(now);
  }
}

/** A rate that binds, and when `claims` more than one may go. */
export function rateHold(
  kind: HoldKind,
  queue: Queue,
  limiter: RateLimiter,
  claims: number,
  now: number,
): HoldReason {
  const { limit } = limiter;
  const freesAt = limiter.freesAt(claims + 1, now);
  return {
    kind,
    limit,
    current: limiter.spent(now),
    // Already free, and claimed: those who claim it say when they have taken it.
    freesAt: freesAt > now ? freesAt : null,
    remedy: `wait, or raise ${limit.directive} for ${queue.domain}`,
  };
}

export function event(kind: HoldKind, current: number, remedy: string): HoldReason {
  return { kind, limit: null, current, freesAt: null, remedy };
}

function waitingFor(queue: Queue, limiter: object): number {
  let count = 0;
  for (const one of queue.waiting.values()) if (one === limiter) count++;
  return count;
}
