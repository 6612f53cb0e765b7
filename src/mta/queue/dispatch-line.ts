/**
 * Whose turn it is: the queues that may be able to use another connection, those that wait in the line of a counter
 * or of a rate, and those that wait for a time. A queue is in here only while something about it may change, so the
 * work of a call does not grow with the number of queues.
 */
import type { Connection } from './connection.ts';
import type { ConnectionCounter } from './connection-limits.ts';
import type { HoldReason } from './hold.ts';
import { connectionsToTake, turnGoesTo } from './interruption.ts';
import type { SchedulerOwner } from './owner.ts';
import { PriorityLine } from './priority-line.ts';
import type { Block, Queue } from './queue.ts';
import type { RateGate } from './rate-gate.ts';
import type { Reservations } from './reservations.ts';
import { TimeHeap } from './time-heap.ts';

export class DispatchLine {
  readonly server: ConnectionCounter;
  readonly #owner: SchedulerOwner;
  readonly #connections: ReadonlyMap<number, Connection>;
  /** Queues that may be able to use another connection. */
  readonly #candidates = new PriorityLine<Queue>();
  readonly #wakes = new TimeHeap<Queue>();
  /** Counters that may have room for somebody who waits. */
  readonly #freed = new Set<ConnectionCounter>();
  /** The owner is asking for the next connection: it need not be told to. */
  dispatching = false;

  constructor(
    server: ConnectionCounter,
    connections: ReadonlyMap<number, Connection>,
    owner: SchedulerOwner,
  ) {
    this.server = server;
    this.#connections = connections;
    this.#owner = owner;
  }

  /** When the first queue is to be looked at although nothing else happens; Infinity for never. */
  get earliest(): number {
    return this.#wakes.earliest;
  }

  /** A queue for which a time that it waited for has come. */
  popDue(now: number): Queue | undefined {
    return this.#wakes.popDue(now);
  }

  first(): Queue | undefined {
    return this.#candidates.first();
  }

  /** The queue is looked at with the next question for a connection. */
  lookAt(queue: Queue): void {
    this.#candidates.add(queue, queue.limits.priority);
  }

  /** To the back of the line: queues take turns. */
  toTheBack(queue: Queue): void {
    this.#candidates.delete(queue);
    this.lookAt(queue);
  }

  /** A counter may have room for somebody who waits. */
  free(counter: ConnectionCounter): void {
    this.#freed.add(counter);
  }

  tellOwner(): void {
    if (!this.dispatching) this.#owner.wake?.();
  }

  /**
   * Lets one queue that waited for a counter try again, if there is room; says whether there was one. Counters that
   * can let in nobody may be forgotten.
   */
  admitWaiting(reservations: Reservations): boolean {
    for (const counter of this.#freed) {
      const next = counter.hasRoom ? counter.waiting.first() : undefined;
      if (next) {
        counter.waiting.delete(next);
        if (next.block?.counters.has(counter)) this.unblock(next);
        next.letInBy = counter;
        this.lookAt(next);
        return true;
      }
      this.#freed.delete(counter);
      reservations.forgetUnused(counter);
    }
    return false;
  }

  /** Puts a queue aside until what holds it changes. */
  waitFor(queue: Queue, hold: HoldReason, now: number): void {
    this.#passOn(queue);
    this.#leaveLines(queue, now);
    if (hold.kind === 'vmta-connections') this.#waitForCounter(queue, queue.vmtaUse.connections);
    else if (hold.kind === 'server-connections') this.#waitForCounter(queue, this.server);
    else if (hold.freesAt !== null) this.wake(queue, hold.freesAt);
    this.#wakeForHeld(queue);
  }

  /** Puts a queue into the line of a rate of its VMTA that gives it nothing now; says whether there is one. */
  standInLine(queue: Queue, now: number): boolean {
    const gate = queue.vmtaUse.gates.find((one) => !one.admits(queue, now));
    if (!gate) return false;
    this.#passOn(queue);
    gate.line.add(queue, 0);
    // Only the first of a line looks again by itself; `serve` tells the others when they are.
    if (gate.line.first() === queue) this.wake(queue, gate.freesAt(now));
    this.#wakeForHeld(queue);
    return true;
  }

  /** A queue wants no connection now. */
  rest(queue: Queue, now: number): void {
    this.#passOn(queue);
    this.#leaveLines(queue, now);
    this.#wakeForHeld(queue);
  }

  /** A queue is dropped: it waits nowhere any more. */
  drop(queue: Queue, now: number): void {
    this.unblock(queue);
    this.#passOn(queue);
    for (const counter of [queue.vmtaUse.connections, this.server]) counter.waiting.delete(queue);
    this.#leaveLines(queue, now);
  }

  /** A queue waits for what kept every host from being reserved. */
  block(queue: Queue, block: Block): void {
    queue.block = block;
    for (const counter of block.counters) {
      counter.waiting.add(queue, queue.limits.priority);
      this.#freed.add(counter);
    }
    if (block.until < Number.POSITIVE_INFINITY) this.wake(queue, block.until);
  }

  unblock(queue: Queue): void {
    if (!queue.block) return;
    for (const counter of queue.block.counters) {
      counter.waiting.delete(queue);
      this.#freed.add(counter);
    }
    queue.block = null;
    this.lookAt(queue);
  }

  /** Tells the next in line of a rate that it may go, or when to look again. */
  serve(gate: RateGate, now: number): void {
    const next = gate.line.first();
    if (!next) return;
    if (!gate.hasTurn(now)) {
      this.wake(next, gate.freesAt(now));
      return;
    }
    for (const [id, limiter] of next.waiting) {
      if (limiter !== gate.limiter) continue;
      next.waiting.delete(id);
      this.#owner.resume(id);
      return;
    }
    this.lookAt(next);
    this.tellOwner();
  }

  /** The queue is looked at again at this time, or before. */
  wake(queue: Queue, at: number): void {
    if (at >= queue.wakeAt || at === Number.POSITIVE_INFINITY) return;
    const sooner = at < this.#wakes.earliest;
    queue.wakeAt = at;
    this.#wakes.push(at, queue);
    if (sooner) this.tellOwner();
  }

  /** A time that a queue waited for has come, and what time alone ends has ended. */
  woken(queue: Queue, now: number): void {
    if (queue.block && queue.block.until <= now) this.unblock(queue);
    // One wake is noted at a time: the times that come later are noted again.
    for (const at of [
      queue.modeEndsAt,
      queue.sources.nextReturn,
      queue.block?.until ?? 0,
      queue.retry.retryAt,
    ]) {
      if (at > now) this.wake(queue, at);
    }
    this.lookAt(queue);
    for (const gate of queue.vmtaUse.gates) if (gate.line.first() === queue) this.serve(gate, now);
  }

  /** Something that held a queue may be gone: it is looked at anew, and so are its connections that wait. */
  stir(queue: Queue, now: number): void {
    this.unblock(queue);
    for (const id of queue.waiting.keys()) this.#owner.resume(id);
    this.changed(queue, now);
  }

  /** What waits in a queue, or may be tried, has changed. */
  changed(queue: Queue, now: number): void {
    this.lookAt(queue);
    // Each idle connection is told once per recipient that could use it.
    if (queue.ready.size > 0 && queue.retry.retryAt <= now) {
      const id = queue.idle.pop();
      if (id !== undefined) this.#owner.resume(id);
    }
  }

  /** An open connection that has had its turn ends for a queue that waits for its place. */
  endTurn(connection: Connection, now: number): void {
    if (connection.endsFor) return;
    const next = turnGoesTo(connection, this.server, now);
    if (!next) return;
    connection.endsFor = next;
    next.claims++;
  }

  /** Connections of a queue that have no work now ask again: the answer may be another now. */
  rouse(queue: Queue): void {
    for (const id of [...queue.idle, ...queue.waiting.keys()]) this.#owner.resume(id);
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
      this.serve(gate, now);
    }
  }

  #wakeForHeld(queue: Queue): void {
    // In retry, a recipient's own time matters only after the queue's; nobody else wakes a queue that has only such.
    if (queue.held.size > 0) this.wake(queue, Math.max(queue.held.earliest, queue.retry.retryAt));
  }
}
