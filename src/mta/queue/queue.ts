import { Fifo } from './fifo.ts';
import type { Limit } from './hold.ts';
import type { QueueLimits } from './limits.ts';
import { TimeHeap } from './time-heap.ts';

/** A recipient in a queue: the little that stays in memory while it waits. */
export interface QueuedRecipient {
  readonly spoolId: string;
  readonly index: number;
  readonly receivedAt: number;
  readonly priority: number;
  attempts: number;
  /** Not tried before this time. */
  holdUntil: number;
}

/** A counter that several queues share: connections of one VMTA, of the server. */
export class SharedLimit {
  readonly limit: () => Limit;
  inUse = 0;
  /** Queues that wanted a connection and met this limit; they are looked at again when one closes. */
  readonly waiting = new Set<Queue>();

  constructor(limit: () => Limit) {
    this.limit = limit;
  }

  get free(): boolean {
    return this.inUse < this.limit().value;
  }
}

/** One queue `domain/vmta`: what waits in it, what is being delivered, and its retry clock. */
export class Queue {
  readonly domain: string;
  readonly vmta: string;
  readonly vmtaConnections: SharedLimit;
  readonly #limits: () => QueueLimits;
  /** May be tried now. */
  readonly ready = new Fifo<QueuedRecipient>();
  /** Were refused temporarily; each waits for its own time. */
  readonly held = new TimeHeap<QueuedRecipient>();
  /** Taken by a connection and without an outcome yet. */
  inDelivery = 0;
  /** Connections open or being opened. */
  connections = 0;
  /** Of those: granted, not yet open. */
  opening = 0;
  /** Open connections that ran out of work and wait for more. */
  readonly idle = new Set<number>();
  /** Not attempted before this time; 0 when the queue is not in retry. */
  retryAt = 0;
  retryPosition = 0;
  pausedBy: string | null = null;
  /** Text of the last failure, for the operator, and when it was. */
  lastError = '';
  lastErrorAt = 0;
  /** A time at which the scheduler will look again, so that it is noted once. */
  wakeAt = Number.POSITIVE_INFINITY;

  constructor(domain: string, vmta: string, limits: () => QueueLimits, vmtaConnections: SharedLimit) {
    this.domain = domain;
    this.vmta = vmta;
    this.#limits = limits;
    this.vmtaConnections = vmtaConnections;
  }

  get name(): string {
    return `${this.domain}/${this.vmta}`;
  }

  get limits(): QueueLimits {
    return this.#limits();
  }

  /** Recipients without a final outcome, those being delivered included. */
  get size(): number {
    return this.ready.size + this.held.size + this.inDelivery;
  }

  /** Moves recipients whose hold has passed to where they may be tried. */
  release(now: number): void {
    for (let item = this.held.popDue(now); item; item = this.held.popDue(now)) this.ready.push(item);
  }
}
