/**
 * Decides what may be sent when. A pure machine: it has no clock, no sockets and no disk; every call is told the
 * time, so a test can run days of it in a second. It hands out connections to queues and recipients to connections,
 * keeps every limit exactly (it is the only one that counts), and can say for everything that waits why it does.
 *
 * Work per call does not grow with the size of a queue or the number of queues: a queue is looked at when something
 * about it changed, when a limit that it waits for frees, or when a time that it waits for has come. What an operator
 * asks for (removing, moving, priorities) may look at every recipient.
 */
import { connectionHolds } from './admission.ts';
import { disableAddress, enterMode, returnAddresses } from './backoff.ts';
import { type Connection, type ConnectionGrant, newConnection, type Work } from './connection.ts';
import { ConnectionCounter } from './connection-limits.ts';
import { Expiries } from './expiries.ts';
import { type ExplainSources, explainJob, explainQueue, explainRecipient } from './explain.ts';
import type { HoldReason } from './hold.ts';
import { connectionsToTake } from './interruption.ts';
import { Jobs } from './jobs.ts';
import type { LimitSource } from './limits.ts';
import type { SchedulerOwner } from './owner.ts';
import { PriorityLine } from './priority-line.ts';
import { type Mode, Queue } from './queue.ts';
import { nextOpening, type QueuedRecipient } from './queued-recipient.ts';
import type { RateGate } from './rate-gate.ts';
import { Reroutes } from './reroute.ts';
import { Reservations, type Reserved } from './reservations.ts';
import type { SourceAddress } from './source-pool.ts';
import { takeWork } from './take-work.ts';
import { TimeHeap } from './time-heap.ts';
import { VmtaUse } from './vmta-use.ts';

export type { ConnectionGrant, Work } from './connection.ts';
export type { SchedulerOwner } from './owner.ts';
export type { Reserved } from './reservations.ts';
export type { SourceAddress } from './source-pool.ts';

/** Which recipients an operator's command is about; what is left out matches all. */
export interface RecipientFilter {
  readonly queue?: Queue | ((domain: string, vmta: string) => boolean);
  readonly recipient?: (item: QueuedRecipient) => boolean;
}

/** Recipients with the queue that they wait in. */
export interface QueueItems {
  readonly queue: Queue;
  readonly items: readonly QueuedRecipient[];
}

export interface FailedRun {
  /** When the queue is tried again. */
  readonly until: number;
  /** False: another connection of the same run has failed before, and told so. */
  readonly newRun: boolean;
}

/** Recipients that are handed out for bouncing at once. */
const EXPIRED_BATCH = 100;
/** How long a queue is left alone that the caller held back without the scheduler's knowing why. */
const UNKNOWN_HOLD_MS = 60_000;

export class Scheduler {
  readonly #limits: LimitSource;
  readonly #owner: SchedulerOwner;
  readonly #queues = new Map<string, Queue>();
  readonly #vmtas = new Map<string, VmtaUse>();
  readonly #server: ConnectionCounter;
  /** Queues that may be able to use another connection. */
  readonly #candidates = new PriorityLine<Queue>();
  readonly #wakes = new TimeHeap<Queue>();
  readonly #expiries = new Expiries();
  readonly #connections = new Map<number, Connection>();
  /** Counters that may have room for somebody who waits. */
  readonly #freed = new Set<ConnectionCounter>();
  readonly #jobs = new Jobs();
  readonly #reservations: Reservations;
  readonly #reroutes: Reroutes;
  #nextId = 1;
  #stopping = false;
  #dispatching = false;

  constructor(limits: LimitSource, owner: SchedulerOwner) {
    this.#limits = limits;
    this.#owner = owner;
    this.#server = new ConnectionCounter('server-connections', () => limits.serverConnections(), '');
    this.#reservations = new Reservations(limits);
    this.#reroutes = new Reroutes(
      (domain, vmta) => (this.find(domain, vmta)?.modeLimits ?? limits.queue(domain, vmta).normal).rerouteTo,
      (queues) => owner.onRerouteLoop?.(queues),
    );
  }

  /** Puts a recipient into its queue, or the one that takes its mail. */
  add(domain: string, vmta: string, item: QueuedRecipient, now: number): void {
    const target = this.#reroutes.target(domain, vmta);
    const queue = this.#queue(domain, target);
    if (queue.retry.retryAt > now && queue.limits.retryUponNewMail) queue.retry.wake();
    this.#enqueue(queue, item, now);
    if (target !== vmta) this.#owner.onMoved?.([item], queue);
  }

  /** The next connection that may be opened now, or null when none may. */
  nextConnection(now: number): ConnectionGrant | null {
    this.#dispatching = true;
    try {
      for (let queue = this.#wakes.popDue(now); queue; queue = this.#wakes.popDue(now))
        this.#woken(queue, now);
      do {
        for (let queue = this.#candidates.first(); queue; queue = this.#candidates.first()) {
          this.#putAside(queue, now);
          if (!this.#wantsConnection(queue)) {
            this.#rest(queue, now);
            continue;
          }
          const [hold] = connectionHolds(queue, this.#server, this.#stopping, now);
          if (hold) this.#waitFor(queue, hold, now);
          else if (!this.#standInLine(queue, now)) return this.#grant(queue, now);
        }
      } while (this.#admitWaiting());
      return null;
    } finally {
      this.#dispatching = false;
    }
  }

  /**
   * Leave to connect from here to there, for the connection of a grant; what an earlier call for it reserved is given
   * back. `sources`: the VMTA's addresses of the target's family in their order, empty when it names none at all.
   */
  reserve(
    id: number,
    target: { readonly host: string; readonly address: string },
    sources: readonly SourceAddress[],
    now: number,
  ): Reserved {
    const connection = this.#connection(id);
    const { queue } = connection.grant;
    this.#giveBack(connection);
    const reserved = this.#reservations.reserve(connection, target, sources, now);
    this.#giveTicketBack(connection);
    if (reserved.kind === 'source') this.#countConnect(connection, now);
    else if (queue.sources.allDisabled) this.#withoutSources(queue, now);
    return reserved;
  }

  /** No host could be reserved: the queue waits for what held them, not in retry mode (D5.8). `closed` follows. */
  heldBack(id: number, hold: HoldReason, now: number): void {
    const { grant, blockers } = this.#connection(id);
    const { queue } = grant;
    if (blockers.length > 0 && !blockers.every((blocker) => blocker.still(now))) {
      this.#changed(queue, now);
      return;
    }
    this.#unblock(queue);
    const counters = new Set(blockers.flatMap(({ counter }) => counter ?? []));
    const until =
      blockers.length === 0
        ? (hold.freesAt ?? now + UNKNOWN_HOLD_MS)
        : Math.min(...blockers.map((blocker) => blocker.hold.freesAt ?? Number.POSITIVE_INFINITY));
    const holds = new Map(blockers.map((blocker) => [blocker.hold.kind, blocker.hold]));
    holds.set(hold.kind, hold);
    queue.block = { holds: [...holds.values()], counters, until };
    for (const counter of counters) {
      counter.waiting.add(queue, queue.limits.priority);
      this.#freed.add(counter);
    }
    if (until < Number.POSITIVE_INFINITY) this.#wake(queue, until);
  }

  /** The connection stands and may ask for work. */
  opened(id: number, now: number): void {
    const connection = this.#connection(id);
    connection.opened = true;
    connection.grant.queue.opening--;
    this.#countConnect(connection, now);
  }

  /** Work for an open connection. `atMost` bounds the recipients of one transaction. Spends what rates count. */
  take(id: number, now: number, atMost = Number.POSITIVE_INFINITY): Work {
    const connection = this.#connection(id);
    const { queue } = connection.grant;
    queue.idle.delete(id);
    queue.waiting.delete(id);
    this.#transferEnds(connection, 0, now);
    this.#tick(queue, now);
    const expired = this.takeExpired(queue, now);
    if (expired.length > 0) return { kind: 'expired', items: expired };
    this.#putAside(queue, now);
    const close = this.#stopping || queue.pausedBy !== null || queue.stopUntil > now;
    const work = close ? { kind: 'close' as const } : takeWork(connection, atMost, now);
    // What was claimed is taken now: how long others wait can be told.
    if (queue.ready.size > 0) this.#candidates.add(queue, queue.limits.priority);
    for (const gate of queue.vmtaUse.gates) this.#serve(gate, now);
    if (work.kind !== 'idle' && work.kind !== 'wait') connection.owed = false;
    return work;
  }

  /** A transaction succeeded for at least one recipient: its bytes count against data volume limits. */
  transferred(id: number, bytes: number, now: number): void {
    this.#transferEnds(this.#connection(id), bytes, now);
  }

  /** A recipient that was taken has a final outcome, stored durably. `delivered` ends the queue's retry series. */
  done(queue: Queue, delivered: boolean, now: number): void {
    queue.inDelivery--;
    if (delivered) {
      queue.retry.delivered();
      if (queue.mode === 'backoff' && queue.limits.backoffToNormalAfterDelivery) {
        this.setMode(queue, 'normal', 'a delivery', now);
      }
    }
    this.#forgetIfEmpty(queue, now);
  }

  /** A recipient that was taken was refused temporarily: it waits by itself, the queue goes on. */
  hold(queue: Queue, item: QueuedRecipient, now: number): void {
    queue.inDelivery--;
    item.attempts++;
    item.holdUntil = this.holdTime(queue, now);
    const target = this.#keeper(queue);
    this.#enqueue(target, item, now);
    if (target !== queue) this.#leave(queue, [item], target, now);
  }

  /** When a recipient refused at `now` may be tried again. */
  holdTime(queue: Queue, now: number): number {
    return now + queue.limits.retryRecipientsAfter.value;
  }

  /** Recipients that were taken were not tried after all (the connection broke before); they are next again. */
  putBack(queue: Queue, items: readonly QueuedRecipient[], now: number): void {
    queue.inDelivery -= items.length;
    for (const item of items) item.holdUntil = 0;
    const target = this.#keeper(queue);
    target.ready.prepend(items);
    this.#mayExpire(target, items);
    this.#changed(target, now);
    if (target !== queue) this.#leave(queue, items, target, now);
  }

  /**
   * The queue as a whole failed an attempt: it waits for the next step of `retry-after`. `id` is the connection that
   * failed. Connections that are open go on, unless `stopOpen` (a rule's `defer-queue`).
   */
  failed(
    queue: Queue,
    now: number,
    error: string,
    { id, stopOpen = false }: { readonly id?: number; readonly stopOpen?: boolean } = {},
  ): FailedRun {
    const run = (id === undefined ? undefined : this.#connections.get(id)?.run) ?? queue.retry.run;
    const newRun = queue.retry.failed(queue.modeLimits.retryAfter.steps, run, now);
    if (stopOpen) queue.stopUntil = queue.retry.retryAt;
    queue.noteError(error, now);
    return { until: queue.retry.retryAt, newRun };
  }

  /** Takes everything that waits in a queue, a batch at a time, held or not: for bouncing all of it. */
  takeAll(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    queue.release(Number.POSITIVE_INFINITY);
    queue.ready.prepend(this.#jobs.extract(queue, () => true));
    return this.#taken(queue, atMost, now);
  }

  /** Takes what may be tried now, of any messages: for ways of delivery without connections. */
  takeReady(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    const items: QueuedRecipient[] = [];
    if (queue.pausedBy !== null || this.#stopping) return items;
    while (items.length < atMost) {
      this.#putAside(queue, now);
      const item = queue.ready.shift();
      if (!item) break;
      items.push(item);
    }
    queue.inDelivery += items.length;
    return items;
  }

  /** Takes what has outlived its time in a queue, wherever it waits, a batch at a time (D7.6). */
  takeExpired(queue: Queue, now: number): QueuedRecipient[] {
    const items = queue.expiry.take(queue.limits.bounceAfter.value, now, EXPIRED_BATCH);
    for (const item of items) {
      if (item.place === 'ready') queue.ready.strike(item);
      else if (item.place === 'held') queue.held.strike(item);
      else this.#jobs.strike(queue, item);
    }
    if (items.length > 0) {
      queue.inDelivery += items.length;
      this.#expiries.forget(queue);
      this.#expiries.note(queue, this.#queues);
    }
    return items;
  }

  /**
   * What has outlived its time in any queue, a batch at a time; null when nothing has. A queue that nobody handles,
   * because it is paused, in retry or held back, loses its old mail all the same (D7.6).
   */
  nextExpired(now: number): QueueItems | null {
    for (let queue = this.#expiries.popDue(now); queue; queue = this.#expiries.popDue(now)) {
      if (this.find(queue.domain, queue.vmta) !== queue) continue;
      const items = this.takeExpired(queue, now);
      this.#expiries.note(queue, this.#queues);
      if (items.length > 0) return { queue, items };
    }
    return null;
  }

  /** The connection is gone; its leave ends. */
  closed(id: number, now: number): void {
    const connection = this.#connection(id);
    const { queue } = connection.grant;
    const reserved = connection.source !== null;
    this.#connections.delete(id);
    this.#giveBack(connection);
    this.#giveTicketBack(connection);
    this.#transferEnds(connection, 0, now);
    queue.idle.delete(id);
    queue.waiting.delete(id);
    if (!connection.opened) queue.opening--;
    if (!connection.connectCounted) queue.unreserved--;
    queue.connections--;
    for (const counter of [queue.vmtaUse.connections, this.#server]) {
      counter.inUse--;
      counter.holders.delete(id);
      this.#freed.add(counter);
    }
    if (connection.endsFor) connection.endsFor.claims--;
    // One of its own connections was what the queue waited for, perhaps.
    if (reserved) this.#unblock(queue);
    this.#changed(queue, now);
    for (const gate of queue.vmtaUse.gates) {
      gate.keep(id);
      this.#serve(gate, now);
    }
    this.#forgetIfEmpty(queue, now);
  }

  /** When `nextExpired` and `nextConnection` should be asked again although nothing else happens; Infinity for never. */
  get nextWake(): number {
    return Math.min(this.#wakes.earliest, this.#expiries.earliest);
  }

  setMode(queue: Queue, mode: Mode, why: string, now: number): void {
    if (!enterMode(queue, mode, why, this.#owner, now)) return;
    if (queue.modeEndsAt < Number.POSITIVE_INFINITY) this.#wake(queue, queue.modeEndsAt);
    this.#reroute(queue, now);
    this.#stir(queue, now);
  }

  /** No connection of this queue comes from this address until then; null: until somebody enables it (D8.14). */
  disableSource(queue: Queue, address: string, until: number | null, why: string, now: number): void {
    const last = disableAddress(queue, address, until, why, this.#owner);
    if (until !== null) this.#wake(queue, until);
    for (const id of [...queue.idle, ...queue.waiting.keys()]) this.#owner.resume(id);
    if (last) this.#withoutSources(queue, now);
  }

  /** Ends no backoff mode (D8.5). */
  enableSource(queue: Queue, address: string, why: string, now: number): void {
    if (!queue.sources.enable(address)) return;
    this.#owner.onSource?.(queue, address, false, why, null);
    this.#stir(queue, now);
  }

  pause(queue: Queue, by: string): void {
    queue.pausedBy = by;
    for (const id of [...queue.idle, ...queue.waiting.keys()]) this.#owner.resume(id);
  }

  resume(queue: Queue, now: number): void {
    queue.pausedBy = null;
    this.#changed(queue, now);
    this.#forgetIfEmpty(queue, now);
  }

  pauseJob(job: string, by: string): void {
    this.#jobs.pause(job, by);
  }

  resumeJob(job: string, now: number): void {
    for (const [queue, items] of this.#jobs.resume(job)) {
      const keeper = this.#keeper(queue);
      keeper.ready.prepend(items);
      this.#mayExpire(keeper, items);
      this.#changed(keeper, now);
      if (keeper !== queue) this.#leave(queue, items, keeper, now);
    }
  }

  jobPausedBy(job: string): string | null {
    return this.#jobs.pausedBy(job);
  }

  /** Everything that waits in a queue, what is in delivery left out. */
  *items(queue: Queue): Generator<QueuedRecipient> {
    yield* queue.ready;
    yield* queue.held;
    yield* this.#jobs.parkedItems(queue);
  }

  get pausedJobs(): string[] {
    return [...this.#jobs.names()];
  }

  /** Ends the wait of a queue (`pmta schedule`); with `recipients` that of each of its recipients too (D7.4). */
  schedule(queue: Queue, recipients: boolean, now: number): void {
    queue.retry.wake();
    queue.stopUntil = 0;
    if (recipients) {
      for (const item of queue.held) item.holdUntil = 0;
      queue.release(Number.POSITIVE_INFINITY);
    }
    this.#stir(queue, now);
  }

  /** Recipient priority of what waits (`pmta set priority`); answers what was changed. */
  setPriority(filter: RecipientFilter, priority: number): QueueItems[] {
    return this.#each(filter, (queue, chosen) => {
      const ready = queue.ready.extract(chosen);
      for (const item of ready) item.priority = priority;
      for (const item of ready) queue.ready.push(item);
      const others = [...queue.held, ...this.#jobs.parkedItems(queue)].filter(chosen);
      for (const item of others) item.priority = priority;
      return [...ready, ...others];
    });
  }

  /**
   * Takes out what waits (`pmta delete`). It counts as in delivery until `done`, when its outcome is on disk. What a
   * connection has taken is not among it.
   */
  remove(filter: RecipientFilter, now: number): QueueItems[] {
    return this.#each(filter, (queue, chosen) => {
      const items = this.#extract(queue, chosen);
      queue.inDelivery += items.length;
      this.#changed(queue, now);
      return items;
    });
  }

  /** Moves everything that waits to another queue; answers what moved, so that it can be written down. */
  move(queue: Queue, toDomain: string, toVmta: string, now: number): QueuedRecipient[] {
    const target = this.#queue(toDomain, toVmta);
    if (target === queue) return [];
    const items = this.#extract(queue, () => true);
    for (const item of items) this.#enqueue(target, item, now);
    this.#leave(queue, items, target, now);
    return items;
  }

  /** The limits may have changed (a reload): everything that waits for one is looked at anew. */
  refresh(now: number): void {
    for (const vmta of this.#vmtas.values()) this.#freed.add(vmta.connections);
    this.#freed.add(this.#server);
    for (const queue of [...this.#queues.values()]) {
      if (queue.mode === 'backoff') {
        queue.modeEndsAt = queue.modeSince + queue.limits.backoffToNormalAfter.value;
        if (queue.modeEndsAt < Number.POSITIVE_INFINITY) this.#wake(queue, queue.modeEndsAt);
      }
      this.#mayExpire(queue, []);
      this.#reroute(queue, now);
      this.#stir(queue, now);
    }
  }

  /** No new work from now on; connections close after the transaction in hand. */
  stop(): void {
    this.#stopping = true;
    for (const queue of this.#queues.values()) {
      for (const id of [...queue.idle, ...queue.waiting.keys()]) this.#owner.resume(id);
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

  /** What keeps a queue from being delivered faster right now, the longest lasting first; empty when nothing waits. */
  explain(queue: Queue, now: number): HoldReason[] {
    return explainQueue(queue, this.#explainSources, now);
  }

  explainRecipient(queue: Queue, item: QueuedRecipient, now: number): HoldReason[] {
    return explainRecipient(queue, item, this.#explainSources, now);
  }

  explainJob(job: string): HoldReason[] {
    return explainJob(job, this.#explainSources);
  }

  get #explainSources(): ExplainSources {
    return { server: this.#server, jobs: this.#jobs, stopping: this.#stopping };
  }

  #grant(queue: Queue, now: number): ConnectionGrant {
    const grant = { id: this.#nextId++, queue };
    const connection = newConnection(grant);
    this.#connections.set(grant.id, connection);
    queue.connections++;
    queue.opening++;
    queue.unreserved++;
    queue.lastGrantAt = now;
    for (const counter of [queue.vmtaUse.connections, this.#server]) {
      counter.inUse++;
      counter.holders.add(grant.id, connection.priority);
      counter.waiting.delete(queue);
    }
    const { letInBy } = queue;
    queue.letInBy = null;
    if (letInBy && letInBy !== this.#server && letInBy !== queue.vmtaUse.connections) {
      connection.ticket = letInBy;
      letInBy.tickets++;
    }
    for (const gate of queue.vmtaUse.gates) {
      if (!gate.limited) continue;
      connection.owed ||= gate.line.size > 0;
      gate.line.delete(queue);
      gate.promise(grant.id, now);
      this.#serve(gate, now);
    }
    // To the back of the line: queues take turns.
    this.#candidates.delete(queue);
    this.#candidates.add(queue, queue.limits.priority);
    return grant;
  }

  /** Lets one queue that waited for a counter try again, if there is room; says whether there was one. */
  #admitWaiting(): boolean {
    for (const counter of this.#freed) {
      const next = counter.hasRoom ? counter.waiting.first() : undefined;
      if (next) {
        counter.waiting.delete(next);
        if (next.block?.counters.has(counter)) this.#unblock(next);
        next.letInBy = counter;
        this.#candidates.add(next, next.limits.priority);
        return true;
      }
      this.#freed.delete(counter);
      this.#reservations.forgetUnused(counter);
    }
    return false;
  }

  /** Another connection is worth opening when more waits than connections are on their way or idle. */
  #wantsConnection(queue: Queue): boolean {
    return queue.ready.size > queue.opening + queue.idle.size + queue.waiting.size;
  }

  /** Puts a queue aside until what holds it changes. */
  #waitFor(queue: Queue, hold: HoldReason, now: number): void {
    this.#passOn(queue);
    this.#leaveLines(queue, now);
    if (hold.kind === 'vmta-connections') this.#waitForCounter(queue, queue.vmtaUse.connections);
    else if (hold.kind === 'server-connections') this.#waitForCounter(queue, this.#server);
    else if (hold.freesAt !== null) this.#wake(queue, hold.freesAt);
    this.#wakeForHeld(queue, now);
  }

  #waitForCounter(queue: Queue, counter: ConnectionCounter): void {
    counter.waiting.add(queue, queue.limits.priority);
    if (counter.hasRoom) {
      this.#freed.add(counter);
      return;
    }
    const missing = queue.ready.size - queue.opening - queue.idle.size;
    const allowed = queue.modeLimits.maxConnections.value - queue.connections;
    const wanted = Math.min(missing, allowed) - queue.claims;
    for (const connection of connectionsToTake(counter, this.#connections, queue, wanted)) {
      const { id, queue: owner } = connection.grant;
      connection.endsFor = queue;
      queue.claims++;
      if (owner.idle.has(id) || owner.waiting.has(id)) this.#owner.resume(id);
      else if (owner.limits.allowInterruptionDuringTransfer) this.#owner.interrupt?.(id);
    }
  }

  /** Puts a queue into the line of a rate of its VMTA that gives it nothing now; says whether there is one. */
  #standInLine(queue: Queue, now: number): boolean {
    const gate = queue.vmtaUse.gates.find((one) => !one.admits(queue, now));
    if (!gate) return false;
    this.#passOn(queue);
    gate.line.add(queue, 0);
    // Only the first of a line looks again by itself; `#serve` tells the others when they are.
    if (gate.line.first() === queue) this.#wake(queue, gate.freesAt(now));
    this.#wakeForHeld(queue, now);
    return true;
  }

  /** A queue is no candidate any more; what let it in may let in somebody else. */
  #passOn(queue: Queue): void {
    this.#candidates.delete(queue);
    if (queue.letInBy) this.#freed.add(queue.letInBy);
    queue.letInBy = null;
  }

  /** A queue cannot use its turn in the lines of its VMTA; one with a connection that waits there can. */
  #leaveLines(queue: Queue, now: number): void {
    for (const gate of queue.vmtaUse.gates) {
      if (!gate.line.has(queue) || [...queue.waiting.values()].includes(gate.limiter)) continue;
      gate.line.delete(queue);
      this.#serve(gate, now);
    }
  }

  /** Tells the next in line of a rate that it may go, or when to look again. */
  #serve(gate: RateGate, now: number): void {
    const next = gate.line.first();
    if (!next) return;
    if (!gate.hasTurn(now)) {
      this.#wake(next, gate.freesAt(now));
      return;
    }
    for (const [id, limiter] of next.waiting) {
      if (limiter !== gate.limiter) continue;
      next.waiting.delete(id);
      this.#owner.resume(id);
      return;
    }
    this.#candidates.add(next, next.limits.priority);
    if (!this.#dispatching) this.#owner.wake?.();
  }

  #rest(queue: Queue, now: number): void {
    this.#passOn(queue);
    this.#leaveLines(queue, now);
    this.#wakeForHeld(queue, now);
    this.#forgetIfEmpty(queue, now);
  }

  #wakeForHeld(queue: Queue, now: number): void {
    // A queue in retry is woken for itself; its recipients' own times matter only after that.
    if (queue.held.size > 0 && queue.retry.retryAt <= now) this.#wake(queue, queue.held.earliest);
  }

  #wake(queue: Queue, at: number): void {
    if (at >= queue.wakeAt || at === Number.POSITIVE_INFINITY) return;
    const sooner = at < this.#wakes.earliest;
    queue.wakeAt = at;
    this.#wakes.push(at, queue);
    if (sooner && !this.#dispatching) this.#owner.wake?.();
  }

  /** A time that a queue waited for has come. */
  #woken(queue: Queue, now: number): void {
    if (queue.wakeAt <= now) queue.wakeAt = Number.POSITIVE_INFINITY;
    if (this.find(queue.domain, queue.vmta) !== queue) return;
    this.#tick(queue, now);
    if (queue.block && queue.block.until <= now) this.#unblock(queue);
    // One wake is noted at a time: the times that come later are noted again.
    for (const at of [
      queue.modeEndsAt,
      queue.sources.nextReturn,
      queue.block?.until ?? 0,
      queue.retry.retryAt,
    ]) {
      if (at > now) this.#wake(queue, at);
    }
    this.#candidates.add(queue, queue.limits.priority);
    for (const gate of queue.vmtaUse.gates) if (gate.line.first() === queue) this.#serve(gate, now);
  }

  /** What time alone ends: backoff mode, disabled addresses. */
  #tick(queue: Queue, now: number): void {
    if (queue.modeEndsAt <= now) this.setMode(queue, 'normal', 'backoff-to-normal-after', now);
    if (returnAddresses(queue, this.#owner, now)) this.#stir(queue, now);
  }

  /** Something that held a queue may be gone: it is looked at anew, and so are its connections that wait. */
  #stir(queue: Queue, now: number): void {
    this.#unblock(queue);
    for (const id of queue.waiting.keys()) this.#owner.resume(id);
    this.#changed(queue, now);
  }

  #unblock(queue: Queue): void {
    if (!queue.block) return;
    for (const counter of queue.block.counters) {
      counter.waiting.delete(queue);
      this.#freed.add(counter);
    }
    queue.block = null;
    this.#candidates.add(queue, queue.limits.priority);
  }

  /** Every address of the queue is disabled (D8.16). */
  #withoutSources(queue: Queue, now: number): void {
    if (queue.limits.backoffUponAllSourcesDisabled) {
      this.setMode(queue, 'backoff', 'all source addresses are disabled', now);
    }
  }

  /** The queue that takes this queue's mail. */
  #keeper(queue: Queue): Queue {
    const vmta = this.#reroutes.target(queue.domain, queue.vmta);
    return vmta === queue.vmta ? queue : this.#queue(queue.domain, vmta);
  }

  #reroute(queue: Queue, now: number): void {
    if (queue.waitingSize === 0) return;
    const vmta = this.#reroutes.target(queue.domain, queue.vmta);
    if (vmta !== queue.vmta) this.move(queue, queue.domain, vmta, now);
  }

  /** Recipients of one queue wait in another from now on. */
  #leave(queue: Queue, items: readonly QueuedRecipient[], target: Queue, now: number): void {
    if (items.length > 0) this.#owner.onMoved?.(items, target);
    this.#forgetIfEmpty(queue, now);
  }

  #extract(queue: Queue, chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    return [
      ...this.#jobs.extract(queue, chosen),
      ...queue.ready.extract(chosen),
      ...queue.held.extract(chosen),
    ];
  }

  #each(
    filter: RecipientFilter,
    change: (queue: Queue, chosen: (item: QueuedRecipient) => boolean) => readonly QueuedRecipient[],
  ): QueueItems[] {
    const changed: QueueItems[] = [];
    const { queue: which = () => true } = filter;
    for (const queue of typeof which === 'function' ? [...this.#queues.values()] : [which]) {
      if (queue.waitingSize === 0) continue;
      if (typeof which === 'function' && !which(queue.domain, queue.vmta)) continue;
      const items = change(queue, filter.recipient ?? (() => true));
      if (items.length > 0) changed.push({ queue, items });
    }
    return changed;
  }

  #taken(queue: Queue, atMost: number, now: number): QueuedRecipient[] {
    const items: QueuedRecipient[] = [];
    while (items.length < atMost) {
      const item = queue.ready.shift();
      if (!item) break;
      items.push(item);
    }
    queue.inDelivery += items.length;
    if (items.length === 0) this.#forgetIfEmpty(queue, now);
    return items;
  }

  #enqueue(queue: Queue, item: QueuedRecipient, now: number): void {
    const at = Math.max(item.holdUntil, nextOpening(item, now));
    // One whose last window has passed waits for nothing: it is found and bounced.
    if (at > now && at < Number.POSITIVE_INFINITY) queue.held.push(at, item);
    else queue.ready.push(item);
    this.#mayExpire(queue, [item]);
    this.#changed(queue, now);
  }

  /** Recipients have come into a queue: it is looked at when the first of its recipients expires. */
  #mayExpire(queue: Queue, items: readonly QueuedRecipient[]): void {
    for (const item of items) queue.expiry.add(item, queue.size);
    const sooner = this.#expiries.note(queue, this.#queues);
    if (sooner && !this.#dispatching) this.#owner.wake?.();
  }

  /** Puts aside what stands first and may not be tried: its job is paused, or its window is closed. */
  #putAside(queue: Queue, now: number): void {
    queue.release(now);
    for (let item = queue.ready.peek(); item; item = queue.ready.peek()) {
      if (this.#jobs.isPaused(item)) this.#jobs.park(queue, queue.ready.shift()!);
      else {
        const opening = item.windows === null ? now : nextOpening(item, now);
        if (opening === now || opening === Number.POSITIVE_INFINITY) return;
        queue.held.push(opening, queue.ready.shift()!);
      }
    }
  }

  #changed(queue: Queue, now: number): void {
    this.#candidates.add(queue, queue.limits.priority);
    // Each idle connection is told once per recipient that could use it.
    if (queue.ready.size > 0 && queue.retry.retryAt <= now) {
      const [id] = queue.idle;
      if (id !== undefined) {
        queue.idle.delete(id);
        this.#owner.resume(id);
      }
    }
  }

  #countConnect(connection: Connection, now: number): void {
    if (connection.connectCounted) return;
    const { queue } = connection.grant;
    connection.connectCounted = true;
    queue.unreserved--;
    queue.connects.spend(1, now);
    this.#candidates.add(queue, queue.limits.priority);
  }

  /** Gives back what was reserved for the last host. */
  #giveBack(connection: Connection): void {
    if (connection.source) connection.source.connections--;
    connection.source = null;
    for (const counter of connection.counted) {
      counter.inUse--;
      this.#freed.add(counter);
    }
    connection.counted.length = 0;
  }

  #giveTicketBack(connection: Connection): void {
    if (!connection.ticket) return;
    connection.ticket.tickets--;
    this.#freed.add(connection.ticket);
    connection.ticket = null;
  }

  #transferEnds(connection: Connection, bytes: number, now: number): void {
    if (connection.transfer.length === 0) return;
    for (const volume of connection.transfer) volume.end(bytes, now);
    connection.transfer = [];
    const { queue } = connection.grant;
    for (const [id, limiter] of queue.waiting) {
      if (limiter === queue.data.limiter) this.#owner.resume(id);
    }
    this.#candidates.add(queue, queue.limits.priority);
    this.#serve(queue.vmtaUse.dataGate, now);
  }

  #queue(domain: string, vmta: string): Queue {
    const key = queueKey(domain, vmta);
    let queue = this.#queues.get(key);
    if (!queue) {
      let use = this.#vmtas.get(vmta);
      if (!use) {
        use = new VmtaUse(vmta, () => this.#limits.vmta(vmta));
        this.#vmtas.set(vmta, use);
      }
      queue = new Queue(domain, vmta, () => this.#limits.queue(domain, vmta), use);
      queue.pausedBy = this.#owner.pausedBy?.(domain, vmta) ?? null;
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
  #forgetIfEmpty(queue: Queue, now: number): void {
    if (queue.size > 0) return;
    queue.expiry.clear();
    this.#expiries.forget(queue);
    if (queue.connections > 0) return;
    const at = queue.forgettableAt;
    if (at > now) {
      // Mail that comes meanwhile must find what was counted, and must not be tried before its time.
      this.#wake(queue, at);
      return;
    }
    const key = queueKey(queue.domain, queue.vmta);
    if (this.#queues.get(key) === queue) this.#queues.delete(key);
    this.#unblock(queue);
    this.#passOn(queue);
    for (const counter of [queue.vmtaUse.connections, this.#server]) counter.waiting.delete(queue);
    this.#leaveLines(queue, now);
  }
}

function queueKey(domain: string, vmta: string): string {
  return `${domain}/${vmta}`;
}
