/** What the tests of the queue room stand on: limits that a test names, all others none. */
import type { Limit } from './hold.ts';
import type { LimitSource, ModeLimits, QueueLimits, SourceLimits, VmtaLimits } from './limits.ts';
import { type QueuedRecipient, queuedRecipient, type RecipientToQueue } from './queued-recipient.ts';
import type { ConnectionGrant, Scheduler, SchedulerOwner } from './scheduler.ts';

const NONE = Number.POSITIVE_INFINITY;

export const limit = (directive: string, value: number): Limit => ({ directive, value, origin: null });

export const rate = (directive: string, value = NONE, perMs = 1000): Limit => ({
  ...limit(directive, value),
  ...(value === NONE ? {} : { perMs }),
});

export function modeLimits(given: Partial<ModeLimits> = {}, steps: readonly number[] = [60_000]): ModeLimits {
  return {
    maxConnections: limit('max-smtp-out', 20),
    retryAfter: { limit: { directive: 'retry-after', origin: null }, steps },
    messageRate: rate('max-msg-rate'),
    dataRate: rate('max-data-volume-rate'),
    connectRate: rate('max-connect-rate'),
    rerouteTo: null,
    ...given,
  };
}

export function sourceLimits(given: Partial<SourceLimits> = {}): SourceLimits {
  return {
    connections: limit('source-ip-max-smtp-out', NONE),
    messageRate: rate('source-ip-max-msg-rate'),
    dataRate: rate('source-ip-max-data-volume-rate'),
    connectRate: rate('source-ip-max-connect-rate'),
    ...given,
  };
}

export function queueLimits(given: Partial<QueueLimits> = {}): QueueLimits {
  const normal = given.normal ?? modeLimits();
  return {
    normal,
    backoff: normal,
    source: null,
    rampupInterval: limit('smtp-out-rampup-interval', 0),
    retryRecipientsAfter: limit('retry-recipients-after', 30_000),
    bounceAfter: limit('bounce-after', 86_400_000),
    maxMessagesPerConnection: limit('max-msg-per-connection', NONE),
    maxRecipientsPerMessage: limit('max-rcpt-per-message', 1000),
    idleTimeout: limit('connection-idle-timeout', 0),
    retryUponNewMail: false,
    backoffToNormalAfter: limit('backoff-to-normal-after', NONE),
    backoffToNormalAfterDelivery: false,
    backoffUponAllSourcesDisabled: false,
    priority: 50,
    allowInterruption: true,
    allowInterruptionDuringTransfer: false,
    mostErrors: 10,
    ...given,
  };
}

export function vmtaLimits(given: Partial<VmtaLimits> = {}): VmtaLimits {
  return {
    connections: limit('max-smtp-out', NONE),
    messageRate: rate('max-smtp-msg-rate'),
    dataRate: rate('max-smtp-data-volume-rate'),
    ...given,
  };
}

export function limitSource(
  given: {
    queue?: QueueLimits | ((domain: string, vmta: string) => QueueLimits);
    vmta?: VmtaLimits | ((vmta: string) => VmtaLimits);
    server?: number;
    host?: (host: string) => number;
    address?: (address: string) => number;
  } = {},
): LimitSource {
  const { queue = queueLimits(), vmta = vmtaLimits(), server = NONE, host, address } = given;
  const serverLimit = limit('total-max-smtp-out', server);
  return {
    queue: typeof queue === 'function' ? queue : () => queue,
    vmta: typeof vmta === 'function' ? vmta : () => vmta,
    serverConnections: () => serverLimit,
    hostConnections: (name) => limit('mx-connection-limit', host?.(name) ?? NONE),
    addressConnections: (name) => limit('ip-connection-limit', address?.(name) ?? NONE),
  };
}

export const silentOwner: SchedulerOwner = { resume() {} };

let nextMessage = 0;

/** A recipient received at `now`, of a message of its own unless one is named. */
export function recipient(now: number, given: Partial<RecipientToQueue> = {}): QueuedRecipient {
  return queuedRecipient({ spoolId: `m${nextMessage++}`, index: 0, receivedAt: now, ...given });
}

/** All connections that may be opened now. */
export function grants(scheduler: Scheduler, now: number): ConnectionGrant[] {
  const all: ConnectionGrant[] = [];
  for (let grant = scheduler.nextConnection(now); grant; grant = scheduler.nextConnection(now))
    all.push(grant);
  return all;
}
