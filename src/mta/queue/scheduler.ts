/**
 * Decides what may be sent when. A pure machine: it has no clock, no sockets and no disk; every call is told the
 * time, so a test can run days of it in a second. It hands out connections to queues and recipients to connections,
 * keeps every limit exactly (it is the only one that counts), and can say for everything that waits why it does.
 *
 * Work per call does not grow with the size of a queue or the number of queues: a queue is looked at when something
 * about it changed, when a limit that it waits for frees, or when a time that it waits for has come.
 */
import type { HoldReason } from './hold.ts';
import type { LimitSource } from './limits.ts';
import { Queue, type QueuedRecipient, SharedLimit } from './queue.ts';
import { TimeHeap } from './time-heap.ts';

/** Leave to hold one connection to one queue's destination until `closed`. */
export interface ConnectionGrant {
  readonly id: number;
  readonly queue: Queue;
}

/** What a connection is told when it asks for work. */
export type Work =
  /** Send these recipients, all of one message, in one transaction. */
  | { readonly kind: 'deliver'; readonly items: readonly QueuedRecipient[] }
  /** These are older than `bounce-after`: bounce them, then ask again. */
  | { readonly kind: 'expired'; readonly items: readonly QueuedRecipient[] }
  /** Nothing for now; more may come before `until` (`resume` is called), then close. */
  | { readonly kind: 'idle'; readonly until: number }
  | { readonly kind: 'close' };

interface Connection {
  readonly grant: ConnectionGrant;
  opened: boolean;
  messages: number;
}

export class Scheduler {
  readonly #limits: LimitSource;
  readonly #queues = new Map<string, Queue>();
  readonly #vmtas = new Map<string, SharedLimit>();
  readonly #server: SharedLimit;
  /** Queues that may be able to use another connection, in the order they became so. */
  readonly #candidates = new Set<Queue>();
  readonly #wakes = new TimeHeap<Queue>();
  readonly #connections = new Map<number, Connection>();
  /** Shared limits of which a connection has closed since they were last looked at. */
  readonly #freed = new Set<SharedLimit>();
  readonly #resume: (id: number) => void;
  #nextId = 1;
  #stopping = false;

  /** `resume` is called when work has come for a connection that was told to idle. */
  constructor(limits: LimitSource, resume: (connectionId: number) => void) {
    this.#limits = limits;
    this.#resume = resume;
    this.#server = new SharedLimit(() => limits.serverConnections());
  }

  /** Puts a recipient into its queue. */
  add(domain: string, vmta: string, item: QueuedRecipient, now: number): void {
    const queue = this.#queue(domain, vmta);
    if (queue.retryAt > now && queue.limits.retryUponNewMail) queue.retryAt = now;
    this.#enqueue(queue, item, now);
  }

  /** The next connection that may be opened now, or null when none may. */
  nextConnection(now: number): ConnectionGrant | null {
    for (let queue = this.#wakes.popDue(now); queue; queue = this.#wakes.popDue(now)) {
      if (queue.wakeAt <= now) queue.wakeAt = Number.POSITIVE_INFINITY;
      this.#candidates.add(queue);
    }
    do {
      for (const queue of this.#candidates) {
        queue.release(now);
        if (!this.#wantsConnection(queue)) {
          this.#rest(queue, now);
          continue;
        }
        const [hold] = this.#connectionHolds(queue, now);
        if (hold) this.#waitFor(queue, hold, now);
        else return this.#grant(queue);
      }
    } while (this.#admitWaiting());
    return null;
  }

  /** The connection stands and may ask for work. */
  opened(id: number): void {
    const connection = this.#connection(id);
    connection.opened = true;
    connection.grant.queue.opening--;
  }

  /** Work for an open connection. `atMost` bounds the recipients of one transaction. */
  take(id: number, now: number, atMost = Number.POSITIVE_INFINITY): Work {
    const connection = this.#connection(id);
    const { queue } = connection.grant;
    queue.idle.delete(id);
    queue.release(now);
    const limits = queue.limits;
    const expired = this.#takeExpired(queue, now);
    if (expired.length > 0) return { kind: 'expired', items: expired };
    if (this.#stopping || queue.pausedBy !== null) return { kind: 'close' };
    if (connection.messages >= limits.maxMessagesPerConnection.value) return { kind: 'close' };
    const first = queue.ready.shift();
    if (!first) {
      if (limits.idleTimeout.value <= 0) return { kind: 'close' };
      queue.idle.add(id);
      return { kind: 'idle', until: now + limits.idleTimeout.value };
    }
    const items = [first];
    const room = Math.min(atMost, limits.maxRecipientsPerMessage.value);
    for (let next = queue.ready.peek(); next && items.length < room; next = queue.ready.peek()) {
      if (next.spoolId !== first.spoolId || this.#isExpired(queue, next, now)) break;
      items.push(queue.ready.shift()!);
    }
    queue.inDelivery += items.length;
    connection.messages++;
    return { kind: 'deliver', items };
  }

  /** A recipient that was taken has a final outcome, stored durably. `delivered` ends the queue's retry series. */
  done(queue: Queue, delivered: boolean): void {
    queue.inDelivery--;
    if (delivered) queue.retryPosition = 0;
    this.#forgetIfEmpty(queue);
  }

  /** A recipient that was taken was refused temporarily: it waits by itself, the queue goes on. */
  hold(queue: Queue, item: QueuedRecipient, now: number): void {
    queue.inDelivery--;
    item.attempts++;
    item.holdUntil = this.holdTime(queue, now);
    queue.held.push(item.holdUntil, item);
    this.#candidates.add(queue);
  }

  /** When a recipient refused at `now` may be tried again. */
  holdTime(queue: Queue, now: number): number {
    return now + queue.limits.retryRecipientsAfter.value;
  }

  /** Recipients that were taken were not tried after all (the connection broke before); they are next again. */
  putBack(queue: Queue, items: readonly QueuedRecipient[], now: number): void {
    queue.inDelivery -= items.length;
    for (const item of items.toReversed()) {
      item.holdUntil = 0;
      queue.ready.unshift(item);
    }
    this.#changed(queue, now);
  }

  /** The queue as a whole failed an attempt: it waits for the next step of `retry-after`. Returns until when. */
  failed(queue: Queue, now: number, error: string): number {
    const steps = queue.limits.retryAfter.steps;
    // Several connections that fail together are one failed run, not several steps.
    if (queue.retryAt <= now) {
      const step = steps[Math.min(queue.retryPosition, steps.length - 1)] ?? 0;
      queue.retryPosition = Math.min(queue.retryPosition + 1, steps.length);
      queue.retryAt = now + step;
    }
    queue.lastError = error;
    queue.lastErrorAt = now;
    return queue.retryAt;
  }

  /** Takes everything that waits in a queue, a batch at a time: for bouncing all of it. */
  takeAll(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    queue.release(now);
    const items: QueuedRecipient[] = [];
    for (let item = queue.ready.shift(); item; item = queue.ready.shift()) {
      items.push(item);
      if (items.length >= atMost) break;
    }
    queue.inDelivery += items.length;
    return items;
  }

  /** Takes what has outlived `bounce-after` in a queue that cannot be delivered to. */
  takeExpired(queue: Queue, now: number): QueuedRecipient[] {
    queue.release(now);
    return this.#takeExpired(queue, now);
  }

  /** The connection is gone; its leave ends. */
  closed(id: number, now: number): void {
    const { grant, opened } = this.#connection(id);
    const { queue } = grant;
    this.#connections.delete(id);
    queue.idle.delete(id);
    if (!opened) queue.opening--;
    queue.connections--;
    queue.vmtaConnections.inUse--;
    this.#server.inUse--;
    this.#freed.add(queue.vmtaConnections).add(this.#server);
    this.#changed(queue, now);
    this.#forgetIfEmpty(queue);
  }

  /** When `nextConnection` should be asked again although nothing else happens; Infinity for never. */
  get nextWake(): number {
    return this.#wakes.earliest;
  }

  pause(queue: Queue, by: string): void {
    queue.pausedBy = by;
  }

  resume(queue: Queue, now: number): void {
    queue.pausedBy = null;
    this.#changed(queue, now);
  }

  /** Ends the wait of a queue (`pmta schedule`); with `recipients` that of each of its recipients too. */
  schedule(queue: Queue, recipients: boolean, now: number): void {
    queue.retryAt = 0;
    if (recipients) queue.release(Number.POSITIVE_INFINITY);
    this.#changed(queue, now);
  }

  /** No new work from now on; connections close after the transaction in hand. */
  stop(): void {
    this.#stopping = true;
    for (const queue of this.#queues.values()) {
      for (const id of queue.idle) this.#resume(id);
    }
  }

  queues(): IterableIterator<Queue> {
    return this.#queues.values();
  }

  find(domain: string, vmta: string): Queue | undefined {
    return this.#queues.get(queueKey(domain, vmta));
  }

  get openConnections(): number {
    return this.#server.inUse;
  }

  /** What keeps a queue from being delivered faster right now; empty when nothing does. */
  explain(queue: Queue, now: number): HoldReason[] {
    if (queue.ready.size === 0 && queue.held.size > 0 && queue.held.earliest > now) {
      return [
        {
          kind: 'recipient-retry',
          limit: queue.limits.retryRecipientsAfter,
          current: queue.held.size,
          freesAt: queue.held.earliest,
          remedy: `wait, or: pmta schedule --retry-recipients ${queue.name}`,
        },
        // When their time has come, these would hold them still.
        ...this.#connectionHolds(queue, now),
      ];
    }
    const holds = this.#connectionHolds(queue, now);
    if (holds.length > 0 || queue.ready.size === 0) return holds;
    if (queue.opening === 0) return holds;
    return [
      {
        kind: 'opening-connection',
        limit: null,
        current: queue.opening,
        freesAt: null,
        remedy: 'a connection is being opened',
      },
    ];
  }

  /** Every limit that now forbids another connection for this queue, the longest lasting first. */
  #connectionHolds(queue: Queue, now: number): HoldReason[] {
    const holds: HoldReason[] = [];
    if (this.#stopping) {
      holds.push({
        kind: 'shutting-down',
        limit: null,
        current: 0,
        freesAt: null,
        remedy: 'delivery goes on after the restart',
      });
    }
    if (queue.pausedBy !== null) {
      holds.push({
        kind: 'paused',
        limit: null,
        current: 0,
        freesAt: null,
        remedy: `paused by ${queue.pausedBy}; pmta resume queue ${queue.name}`,
      });
    }
    if (queue.retryAt > now) {
      const { limit, steps } = queue.limits.retryAfter;
      holds.push({
        kind: 'queue-retry',
        limit: { ...limit, value: steps[Math.max(0, queue.retryPosition - 1)] ?? 0 },
        current: queue.retryPosition,
        freesAt: queue.retryAt,
        remedy: `after "${queue.lastError}"; wait, or: pmta schedule ${queue.name}`,
      });
    }
    const { maxConnections } = queue.limits;
    if (queue.connections >= maxConnections.value) {
      holds.push({
        kind: 'queue-connections',
        limit: maxConnections,
        current: queue.connections,
        freesAt: null,
        remedy: `raise ${maxConnections.directive} for ${queue.domain}`,
      });
    }
    for (const [kind, shared] of [
      ['vmta-connections', queue.vmtaConnections],
      ['server-connections', this.#server],
    ] as const) {
      if (shared.free) continue;
      const limit = shared.limit();
      holds.push({
        kind,
        limit,
        current: shared.inUse,
        freesAt: null,
        remedy: `raise ${limit.directive}`,
      });
    }
    return holds;
  }

  #grant(queue: Queue): ConnectionGrant {
    const grant = { id: this.#nextId++, queue };
    this.#connections.set(grant.id, { grant, opened: false, messages: 0 });
    queue.connections++;
    queue.opening++;
    queue.vmtaConnections.inUse++;
    this.#server.inUse++;
    // To the back of the line: queues take turns.
    this.#candidates.delete(queue);
    this.#candidates.add(queue);
    return grant;
  }

  /** Lets one queue that waited for a shared limit try again, if there is room; says whether there was one. */
  #admitWaiting(): boolean {
    for (const shared of this.#freed) {
      const [next] = shared.waiting;
      if (next && shared.free) {
        shared.waiting.delete(next);
        this.#candidates.add(next);
        return true;
      }
      this.#freed.delete(shared);
    }
    return false;
  }

  /** Another connection is worth opening when more waits than connections are on their way or idle. */
  #wantsConnection(queue: Queue): boolean {
    return queue.ready.size > queue.opening + queue.idle.size;
  }

  /** Puts a queue aside until what holds it changes. */
  #waitFor(queue: Queue, hold: HoldReason, now: number): void {
    this.#candidates.delete(queue);
    if (hold.kind === 'vmta-connections') queue.vmtaConnections.waiting.add(queue);
    else if (hold.kind === 'server-connections') this.#server.waiting.add(queue);
    else if (hold.freesAt !== null) this.#wake(queue, hold.freesAt);
    this.#wakeForHeld(queue, now);
  }

  #rest(queue: Queue, now: number): void {
    this.#candidates.delete(queue);
    this.#wakeForHeld(queue, now);
    if (queue.size > 0 || queue.connections > 0 || queue.retryAt > now) return;
    queue.retryPosition = 0;
    this.#forgetIfEmpty(queue);
  }

  #wakeForHeld(queue: Queue, now: number): void {
    // A queue in retry is woken for itself; its recipients' own times matter only after that.
    if (queue.held.size > 0 && queue.retryAt <= now) this.#wake(queue, queue.held.earliest);
  }

  #wake(queue: Queue, at: number): void {
    if (at >= queue.wakeAt) return;
    queue.wakeAt = at;
    this.#wakes.push(at, queue);
  }

  #enqueue(queue: Queue, item: QueuedRecipient, now: number): void {
    if (item.holdUntil > now) queue.held.push(item.holdUntil, item);
    else queue.ready.push(item);
    this.#changed(queue, now);
  }

  #changed(queue: Queue, now: number): void {
    this.#candidates.add(queue);
    // Each idle connection is told once per recipient that could use it.
    if (queue.ready.size > 0 && queue.retryAt <= now) {
      const [id] = queue.idle;
      if (id !== undefined) {
        queue.idle.delete(id);
        this.#resume(id);
      }
    }
  }

  #takeExpired(queue: Queue, now: number): QueuedRecipient[] {
    const items: QueuedRecipient[] = [];
    // Recipients stand in the order they came, nearly: looking at the head only keeps this cheap, and one that
    // stands behind a younger one is found when the younger is gone.
    for (let head = queue.ready.peek(); head && items.length < 100; head = queue.ready.peek()) {
      if (!this.#isExpired(queue, head, now)) break;
      items.push(queue.ready.shift()!);
    }
    queue.inDelivery += items.length;
    return items;
  }

  #isExpired(queue: Queue, item: QueuedRecipient, now: number): boolean {
    return now - item.receivedAt >= queue.limits.bounceAfter.value;
  }

  #queue(domain: string, vmta: string): Queue {
    const key = queueKey(domain, vmta);
    let queue = this.#queues.get(key);
    if (!queue) {
      let shared = this.#vmtas.get(vmta);
      if (!shared) {
        shared = new SharedLimit(() => this.#limits.vmtaConnections(vmta));
        this.#vmtas.set(vmta, shared);
      }
      queue = new Queue(domain, vmta, () => this.#limits.queue(domain, vmta), shared);
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #connection(id: number): Connection {
    const connection = this.#connections.get(id);
    if (!connection) throw new Error(`connection ${id} is unknown to the scheduler`);
    return connection;
  }

  /** A queue that holds nothing and knows nothing worth keeping is dropped; it is made anew when mail comes. */
  #forgetIfEmpty(queue: Queue): void {
    if (queue.size > 0 || queue.connections > 0 || queue.pausedBy !== null) return;
    if (queue.retryPosition > 0) {
      // Mail that comes meanwhile must not be tried before its time. Afterwards, see `#rest`.
      this.#wake(queue, queue.retryAt);
      return;
    }
    const key = queueKey(queue.domain, queue.vmta);
    if (this.#queues.get(key) === queue) this.#queues.delete(key);
    this.#candidates.delete(queue);
  }
}

function queueKey(domain: string, vmta: string): string {
  return `${domain}/${vmta}`;
}
