import type { Limit } from './hold.ts';

/** Settings of one queue (recipient domain × VMTA), as the scheduler needs them. Durations in milliseconds. */
export interface QueueLimits {
  readonly maxConnections: Limit;
  /** Steps of the queue's retry clock; stays on the last. */
  readonly retryAfter: { readonly limit: Omit<Limit, 'value'>; readonly steps: readonly number[] };
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
}

/** Where the scheduler asks for limits; the answer for one queue must be cheap, it is asked often. */
export interface LimitSource {
  queue(domain: string, vmta: string): QueueLimits;
  vmtaConnections(vmta: string): Limit;
  serverConnections(): Limit;
}
