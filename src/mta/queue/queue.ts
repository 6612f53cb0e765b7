import type { ConnectionCounter } from './connection-limits.ts';
import { DataVolume } from './data-volume.ts';
import { ExpiryLine } from './expiry-line.ts';
import { HeldList } from './held-list.ts';
import type { HoldReason } from './hold.ts';
import { IdleStack } from './idle-stack.ts';
import type { ModeLimits, QueueLimits } from './limits.ts';
import { RateLimiter } from './rate-limit.ts';
import { ReadyList } from './ready-list.ts';
import { RetryClock } from './retry-clock.ts';
import { SourcePool } from './source-pool.ts';
import type { VmtaUse } from './vmta-use.ts';

export type { QueuedRecipient } from './queued-recipient.ts';

/** A failure, or what else is the matter, for the operator. */
export interface QueueError {
  readonly at: number;
  readonly text: string;
}

export type Mode = 'normal' | 'backoff';

/** No host could be reserved: what held it, and the counters in whose lines the queue stands. */
export interface Block {
  readonly holds: readonly HoldReason[];
  readonly counters: ReadonlySet<ConnectionCounter>;
  readonly until: number;
}

/** One queue `domain/vmta`: what waits in it, what is being delivered, and everything that is counted for it. */
export class Queue {
  readonly domain: string;
  readonly vmta: string;
  readonly vmtaUse: VmtaUse;
  readonly #limits: () => QueueLimits;
  /** May be tried now. */
  readonly ready = new ReadyList();
  /** Each waits for its own time: refused temporarily, or scheduled. */
  readonly held = new HeldList();
  /** All that waits, by the time it expires. */
  readonly expiry = new ExpiryLine();
  /** A time at which the scheduler will look for what has expired, so that it is noted once. */
  expiryAt = Number.POSITIVE_INFINITY;
  /** Put aside because their job is paused. */
  parked = 0;
  /** Taken by a connection and without an outcome yet. */
  inDelivery = 0;
  /** Connections open or being opened. */
  connections = 0;
  /** Of those: granted, not yet open. */
  opening = 0;
  /** Of those: granted, and no host reserved yet, so not yet counted by the connect rate. */
  unreserved = 0;
  /** Open connections that ran out of work and wait for more. */
  readonly idle = new IdleStack();
  /** Open connections that wait for a rate, with the limiter they wait for. */
  readonly waiting = new Map<number, object>();
  readonly retry = new RetryClock();
  /** Until then open connections too get no work (a rule said so). */
  stopUntil = 0;
  /** When a connection was last granted. */
  lastGrantAt = Number.NEGATIVE_INFINITY;
  pausedBy: string | null = null;
  mode: Mode = 'normal';
  modeSince = 0;
  modeReason = '';
  /** When backoff mode ends by itself. */
  modeEndsAt = Number.POSITIVE_INFINITY;
  block: Block | null = null;
  /** The counter that let the queue in, until it has a connection. */
  letInBy: ConnectionCounter | null = null;
  /** Connections of other queues that were told to end for this one. */
  claims = 0;
  readonly messages: RateLimiter;
  readonly data: DataVolume;
  readonly connects: RateLimiter;
  readonly sources: SourcePool;
  /** Text of the last failure, for the operator, and when it was. */
  lastError = '';
  lastErrorAt = 0;
  /** The last failures, the newest first. */
  readonly errors: QueueError[] = [];
  /** A time at which the scheduler will look again, so that it is noted once. */
  wakeAt = Number.POSITIVE_INFINITY;

  constructor(domain: string, vmta: string, limits: () => QueueLimits, vmtaUse: VmtaUse) {
    this.domain = domain;
    this.vmta = vmta;
    this.#limits = limits;
    this.vmtaUse = vmtaUse;
    this.messages = new RateLimiter(() => this.modeLimits.messageRate);
    this.data = new DataVolume(() => this.modeLimits.dataRate);
    this.connects = new RateLimiter(() => this.modeLimits.connectRate);
    this.sources = new SourcePool(limits);
  }

  get name(): string {
    return `${this.domain}/${this.vmta}`;
  }

  get limits(): QueueLimits {
    return this.#limits();
  }

  /** The limits of the mode that the queue is in (D5.1). */
  get modeLimits(): ModeLimits {
    return this.#limits()[this.mode];
  }

  /** When a queue in retry is tried next; 0 when it is not in retry. */
  get retryAt(): number {
    return this.retry.retryAt;
  }

  /** Recipients without a final outcome, those being delivered included. */
  get size(): number {
    return this.waitingSize + this.inDelivery;
  }

  get waitingSize(): number {
    return this.ready.size + this.held.size + this.parked;
  }

  noteError(text: string, now: number): void {
    this.lastError = text;
    this.lastErrorAt = now;
    this.errors.unshift({ at: now, text });
    this.errors.length = Math.min(this.errors.length, this.limits.mostErrors);
  }

  /** Moves recipients whose hold has passed to where they may be tried. */
  release(now: number): void {
    for (let item = this.held.popDue(now); item; item = this.held.popDue(now)) this.ready.push(item);
  }

  /** Until then something is known of the queue that must outlive its last recipient. */
  get forgettableAt(): number {
    if (this.pausedBy !== null || this.mode === 'backoff') return Number.POSITIVE_INFINITY;
    return Math.max(
      this.retry.position > 0 ? this.retry.retryAt : 0,
      this.messages.forgettableAt,
      this.data.limiter.forgettableAt,
      this.connects.forgettableAt,
      this.sources.forgettableAt,
      this.lastGrantAt + this.limits.rampupInterval.value,
    );
  }
}
