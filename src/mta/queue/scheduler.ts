/**
 * Decides what may be sent when. A pure machine: it has no clock, no sockets and no disk; every call is told the
 * time, so a test can run days of it in a second. It hands out connections to queues and recipients to connections,
 * keeps every limit exactly (it is the only one that counts), and can say for everything that waits why it does.
 *
 * Work per call does not grow with the size of a queue or the number of queues: a queue is looked at when something
 * about it changed, when a limit that it waits for frees, or when a time that it waits for has come. What an operator
 * asks for (removing, moving, priorities) may look at every recipient.
 *
 * The class itself is the door: the parts behind it share the queues (`queue-table.ts`) and the line of those that
 * want connections (`dispatch-line.ts`). Each part keeps its own counts.
 */
import { connectionHolds } from './admission.ts';
import type { Connection, ConnectionGrant, Work } from './connection.ts';
import { ConnectionCounter } from './connection-limits.ts';
import { Connections } from './connections.ts';
import { DispatchLine } from './dispatch-line.ts';
import { ExpiredMail } from './expired-mail.ts';
import { type ExplainSources, explainJob, explainQueue, explainRecipient } from './explain.ts';
import type { HoldReason } from './hold.ts';
import { Jobs } from './jobs.ts';
import type { LimitSource } from './limits.ts';
import { Moves } from './moves.ts';
import { OperatorActions, type QueueItems, type RecipientFilter } from './operator-actions.ts';
import type { SchedulerOwner } from './owner.ts';
import type { Mode, Queue } from './queue.ts';
import { QueueModes } from './queue-modes.ts';
import { QueueTable } from './queue-table.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import { Reservations, type Reserved } from './reservations.ts';
import type { SourceAddress } from './source-pool.ts';
import { takeWork } from './take-work.ts';
import { WaitingMail } from './waiting-mail.ts';

export type { ConnectionGrant, Work } from './connection.ts';
export type { QueueItems, RecipientFilter } from './operator-actions.ts';
export type { SchedulerOwner } from './owner.ts';
export type { Reserved } from './reservations.ts';
export type { SourceAddress } from './source-pool.ts';

export interface FailedRun {
  /** When the queue is tried again. */
  readonly until: number;
  /** False: another connection of the same run has failed before, and told so. */
  readonly newRun: boolean;
}

export class Scheduler {
  readonly #owner: SchedulerOwner;
  readonly #server: ConnectionCounter;
  readonly #queues: QueueTable;
  readonly #jobs = new Jobs();
  readonly #reservations: Reservations;
  readonly #line: DispatchLine;
  readonly #connections: Connections;
  readonly #expired: ExpiredMail;
  readonly #mail: WaitingMail;
  readonly #moves: Moves;
  readonly #modes: QueueModes;
  readonly #operators: OperatorActions;
  #stopping = false;

  constructor(limits: LimitSource, owner: SchedulerOwner) {
    this.#owner = owner;
    this.#server = new ConnectionCounter('server-connections', () => limits.serverConnections(), '');
    this.#queues = new QueueTable(limits, owner);
    this.#reservations = new Reservations(limits);
    const open = new Map<number, Connection>();
    this.#line = new DispatchLine(this.#server, open, owner);
    this.#connections = new Connections(open, this.#line, this.#reservations, (id) => owner.resume(id));
    this.#expired = new ExpiredMail(this.#queues, this.#jobs, this.#line);
    this.#mail = new WaitingMail(this.#queues, this.#jobs, this.#line, this.#expired);
    this.#moves = new Moves(this.#queues, this.#mail, limits, owner);
    this.#modes = new QueueModes(this.#line, this.#moves, owner);
    this.#operators = new OperatorActions({
      queues: this.#queues,
      jobs: this.#jobs,
      line: this.#line,
      mail: this.#mail,
      moves: this.#moves,
    });
  }

  /** Puts a recipient into its queue, or the one that takes its mail. */
  add(domain: string, vmta: string, item: QueuedRecipient, now: number): void {
    const target = this.#moves.target(domain, vmta);
    const queue = this.#queues.get(domain, target);
    if (queue.retry.retryAt > now && queue.limits.retryUponNewMail) queue.retry.wake();
    this.#mail.enqueue(queue, item, now);
    if (target !== vmta) this.#owner.onMoved?.([item], queue);
  }

  /** The next connection that may be opened now, or null when none may. */
  nextConnection(now: number): ConnectionGrant | null {
    const line = this.#line;
    line.dispatching = true;
    try {
      for (let queue = line.popDue(now); queue; queue = line.popDue(now)) this.#woken(queue, now);
      do {
        for (let queue = line.first(); queue; queue = line.first()) {
          this.#mail.putAside(queue, now);
          if (!wantsConnection(queue)) {
            line.rest(queue, now);
            this.#mail.forgetIfEmpty(queue, now);
            continue;
          }
          const [hold] = connectionHolds(queue, this.#server, this.#stopping, now);
          if (hold) line.waitFor(queue, hold, now);
          else if (!line.standInLine(queue, now)) return this.#connections.grant(queue, now);
        }
      } while (line.admitWaiting(this.#reservations));
      return null;
    } finally {
      line.dispatching = false;
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
    const connection = this.#connections.get(id);
    const { queue } = connection.grant;
    const reserved = this.#connections.reserve(connection, target, sources, now);
    if (reserved.kind === 'held' && queue.sources.allDisabled) this.#modes.withoutSources(queue, now);
    return reserved;
  }

  /** No host could be reserved: the queue waits for what held them, not in retry mode (D5.8). `closed` follows. */
  heldBack(id: number, hold: HoldReason, now: number): void {
    this.#connections.heldBack(this.#connections.get(id), hold, now);
  }

  /** The connection stands and may ask for work. */
  opened(id: number, now: number): void {
    this.#connections.opened(this.#connections.get(id), now);
  }

  /** Work for an open connection. `atMost` bounds the recipients of one transaction. Spends what rates count. */
  take(id: number, now: number, atMost = Number.POSITIVE_INFINITY): Work {
    const connection = this.#connections.get(id);
    const { queue } = connection.grant;
    queue.idle.delete(id);
    queue.waiting.delete(id);
    this.#connections.transferEnds(connection, 0, now);
    this.#modes.tick(queue, now);
    const expired = this.takeExpired(queue, now);
    if (expired.length > 0) return { kind: 'expired', items: expired };
    this.#mail.putAside(queue, now);
    this.#line.endTurn(connection, now);
    const close = this.#stopping || queue.pausedBy !== null || queue.stopUntil > now;
    const work = close ? { kind: 'close' as const } : takeWork(connection, atMost, now);
    // What was claimed is taken now: how long others wait can be told.
    if (queue.ready.size > 0) this.#line.lookAt(queue);
    for (const gate of queue.vmtaUse.gates) this.#line.serve(gate, now);
    if (work.kind !== 'idle' && work.kind !== 'wait') connection.owed = false;
    return work;
  }

  /** A transaction succeeded for at least one recipient: its bytes count against data volume limits. */
  transferred(id: number, bytes: number, now: number): void {
    this.#connections.transferEnds(this.#connections.get(id), bytes, now);
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
    this.#mail.forgetIfEmpty(queue, now);
  }

  /** A recipient that was taken was refused temporarily: it waits by itself, the queue goes on. */
  hold(queue: Queue, item: QueuedRecipient, now: number): void {
    queue.inDelivery--;
    item.attempts++;
    item.holdUntil = this.holdTime(queue, now);
    this.#moves.hold(queue, item, now);
  }

  /** When a recipient refused at `now` may be tried again. */
  holdTime(queue: Queue, now: number): number {
    return now + queue.limits.retryRecipientsAfter.value;
  }

  /** Recipients that were taken were not tried after all (the connection broke before); they are next again. */
  putBack(queue: Queue, items: readonly QueuedRecipient[], now: number): void {
    queue.inDelivery -= items.length;
    for (const item of items) item.holdUntil = 0;
    this.#moves.putBack(queue, items, now);
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
    const run = (id === undefined ? undefined : this.#connections.run(id)) ?? queue.retry.run;
    const newRun = queue.retry.failed(queue.modeLimits.retryAfter.steps, run, now);
    if (stopOpen) queue.stopUntil = queue.retry.retryAt;
    queue.noteError(error, now);
    return { until: queue.retry.retryAt, newRun };
  }

  /** Takes everything that waits in a queue, a batch at a time, held or not: for bouncing all of it. */
  takeAll(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    return this.#mail.takeAll(queue, now, atMost);
  }

  /** Takes what may be tried now, of any messages: for ways of delivery without connections. */
  takeReady(queue: Queue, now: number, atMost: number): QueuedRecipient[] {
    if (queue.pausedBy !== null || this.#stopping) return [];
    return this.#mail.takeReady(queue, now, atMost);
  }

  /** Takes what has outlived its time in a queue, wherever it waits, a batch at a time (D7.6). */
  takeExpired(queue: Queue, now: number): QueuedRecipient[] {
    return this.#expired.take(queue, now);
  }

  /**
   * What has outlived its time in any queue, a batch at a time; null when nothing has. A queue that nobody handles,
   * because it is paused, in retry or held back, loses its old mail all the same (D7.6).
   */
  nextExpired(now: number): QueueItems | null {
    return this.#expired.next(now);
  }

  /** The connection is gone; its leave ends. */
  closed(id: number, now: number): void {
    const connection = this.#connections.get(id);
    this.#connections.closed(connection, now);
    this.#mail.forgetIfEmpty(connection.grant.queue, now);
  }

  /** When `nextExpired` and `nextConnection` should be asked again although nothing else happens; Infinity for never. */
  get nextWake(): number {
    return Math.min(this.#line.earliest, this.#expired.earliest);
  }

  setMode(queue: Queue, mode: Mode, why: string, now: number): void {
    this.#modes.set(queue, mode, why, now);
  }

  /** No connection of this queue comes from this address until then; null: until somebody enables it (D8.14). */
  disableSource(queue: Queue, address: string, until: number | null, why: string, now: number): void {
    this.#modes.disableSource(queue, address, until, why, now);
  }

  /** Ends no backoff mode (D8.5). */
  enableSource(queue: Queue, address: string, why: string, now: number): void {
    this.#modes.enableSource(queue, address, why, now);
  }

  pause(queue: Queue, by: string): void {
    this.#operators.pause(queue, by);
  }

  resume(queue: Queue, now: number): void {
    this.#operators.resume(queue, now);
  }

  pauseJob(job: string, by: string): void {
    this.#jobs.pause(job, by);
  }

  resumeJob(job: string, now: number): void {
    this.#operators.resumeJob(job, now);
  }

  jobPausedBy(job: string): string | null {
    return this.#jobs.pausedBy(job);
  }

  /** Everything that waits in a queue, what is in delivery left out. */
  items(queue: Queue): Generator<QueuedRecipient> {
    return this.#mail.items(queue);
  }

  get pausedJobs(): string[] {
    return [...this.#jobs.names()];
  }

  /** Ends the wait of a queue (`pmta schedule`); with `recipients` that of each of its recipients too (D7.4). */
  schedule(queue: Queue, recipients: boolean, now: number): void {
    this.#operators.schedule(queue, recipients, now);
  }

  /** Recipient priority of what waits (`pmta set priority`); answers what was changed. */
  setPriority(filter: RecipientFilter, priority: number): QueueItems[] {
    return this.#operators.setPriority(filter, priority);
  }

  /**
   * Takes out what waits (`pmta delete`). It counts as in delivery until `done`, when its outcome is on disk. What a
   * connection has taken is not among it.
   */
  remove(filter: RecipientFilter, now: number): QueueItems[] {
    return this.#operators.remove(filter, now);
  }

  /** Moves everything that waits to another queue; answers what moved, so that it can be written down. */
  move(queue: Queue, toDomain: string, toVmta: string, now: number): QueuedRecipient[] {
    return this.#moves.move(queue, toDomain, toVmta, now);
  }

  /** The limits may have changed (a reload): everything that waits for one is looked at anew. */
  refresh(now: number): void {
    for (const vmta of this.#queues.vmtas()) this.#line.free(vmta.connections);
    this.#line.free(this.#server);
    for (const queue of [...this.#queues.values()]) {
      this.#modes.refresh(queue);
      this.#expired.mayExpire(queue, []);
      this.#moves.reroute(queue, now);
      this.#line.stir(queue, now);
    }
  }

  /** No new work from now on; connections close after the transaction in hand. */
  stop(): void {
    this.#stopping = true;
    for (const queue of this.#queues.values()) this.#line.rouse(queue);
  }

  queues(): IterableIterator<Queue> {
    return this.#queues.values();
  }

  find(domain: string, vmta: string): Queue | undefined {
    return this.#queues.find(domain, vmta);
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

  /** A time that a queue waited for has come. */
  #woken(queue: Queue, now: number): void {
    if (queue.wakeAt <= now) queue.wakeAt = Number.POSITIVE_INFINITY;
    if (!this.#queues.knows(queue)) return;
    this.#modes.tick(queue, now);
    this.#line.woken(queue, now);
  }
}

/** Another connection is worth opening when more waits than connections are on their way or idle. */
function wantsConnection(queue: Queue): boolean {
  return queue.ready.size > queue.opening + queue.idle.size + queue.waiting.size;
}
