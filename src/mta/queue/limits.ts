import type { Limit } from './hold.ts';

/** The settings of a queue that backoff mode replaces. Durations in milliseconds. */
export interface ModeLimits {
  readonly maxConnections: Limit;
  /** Steps of the queue's retry clock; stays on the last. */
  readonly retryAfter: { readonly limit: Omit<Limit, 'value'>; readonly steps: readonly number[] };
  /** Recipients tried per time. */
  readonly messageRate: Limit;
  /** Bytes of successful transactions per time. */
  readonly dataRate: Limit;
  /** Connections opened per time. */
  readonly connectRate: Limit;
  /** The VMTA whose queue takes the mail instead; null when it stays. */
  readonly rerouteTo: string | null;
}

/** What one local address may do for one queue. */
export interface SourceLimits {
  readonly connections: Limit;
  readonly messageRate: Limit;
  readonly dataRate: Limit;
  readonly connectRate: Limit;
}

/** Settings of one queue (recipient domain × VMTA), as the scheduler needs them. Durations in milliseconds. */
export interface QueueLimits {
  readonly normal: ModeLimits;
  readonly backoff: ModeLimits;
  /** For one of the VMTA's local addresses; null when no directive limits any of them. */
  readonly source: ((address: string) => SourceLimits) | null;
  /** Least time between two new connections; 0 none. */
  readonly rampupInterval: Limit;
  /** How long a recipient that was refused temporarily is left alone. */
  readonly retryRecipientsAfter: Limit;
  /** Age at which a recipient bounces. */
  readonly bounceAfter: Limit;
  readonly maxMessagesPerConnection: Limit;
  readonly maxRecipientsPerMessage: Limit;
  /** How long a connection without work stays open; 0 closes at once. */
  readonly idleTimeout: Limit;
  /** New mail ends the queue's wait. */
  readonly retryUponNewMail: boolean;
  /** Backoff mode ends after this time; Infinity: not by itself. */
  readonly backoffToNormalAfter: Limit;
  readonly backoffToNormalAfterDelivery: boolean;
  readonly backoffUponAllSourcesDisabled: boolean;
  /** `queue-priority`, 0 to 100. */
  readonly priority: number;
  readonly allowInterruption: boolean;
  readonly allowInterruptionDuringTransfer: boolean;
  /** Errors that are remembered for the operator. */
  readonly mostErrors: number;
}

/** Limits of one VMTA over all its queues. */
export interface VmtaLimits {
  readonly connections: Limit;
  readonly messageRate: Limit;
  readonly dataRate: Limit;
}

/** Where the scheduler asks for limits; each answer must be cheap, it is asked often. */
export interface LimitSource {
  queue(domain: string, vmta: string): QueueLimits;
  vmta(vmta: string): VmtaLimits;
  serverConnections(): Limit;
  /** Connections to one MX host from one local address. */
  hostConnections(host: string): Limit;
  /** Connections to one remote address. */
  addressConnections(address: string): Limit;
}
