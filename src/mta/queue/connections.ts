/**
 * The connections that were granted, from the grant until `closed`: what each is counted in, and that all of it is
 * given back.
 */
import { type Connection, type ConnectionGrant, newConnection } from './connection.ts';
import type { ConnectionCounter } from './connection-limits.ts';
import type { DispatchLine } from './dispatch-line.ts';
import type { HoldReason } from './hold.ts';
import type { Queue } from './queue.ts';
import type { Reservations, Reserved } from './reservations.ts';
import type { SourceAddress } from './source-pool.ts';

/** How long a queue is left alone that the caller held back without the scheduler's knowing why. */
const UNKNOWN_HOLD_MS = 60_000;

export class Connections {
  readonly #open: Map<number, Connection>;
  readonly #line: DispatchLine;
  readonly #reservations: Reservations;
  readonly #resume: (id: number) => void;
  #nextId = 1;

  /** `open`: the connections by id, which the line reads too. `resume`: a connection should ask for work again. */
  constructor(
    open: Map<number, Connection>,
    line: DispatchLine,
    reservations: Reservations,
    resume: (id: number) => void,
  ) {
    this.#open = open;
    this.#line = line;
    this.#reservations = reservations;
    this.#resume = resume;
  }

  get(id: number): Connection {
    const connection = this.#open.get(id);
    if (!connection) throw new Error(`connection ${id} is unknown to the scheduler`);
    return connection;
  }

  /** The queue's run that a connection belongs to; undefined when the connection is gone. */
  run(id: number): number | undefined {
    return this.#open.get(id)?.run;
  }

  grant(queue: Queue, now: number): ConnectionGrant {
    const grant = { id: this.#nextId++, queue };
    const connection = newConnection(grant);
    this.#open.set(grant.id, connection);
    queue.connections++;
    queue.opening++;
    queue.unreserved++;
    queue.lastGrantAt = now;
    for (const counter of this.#counters(queue)) {
      counter.inUse++;
      counter.holders.add(grant.id, connection.priority);
      counter.waiting.delete(queue);
    }
    const { letInBy } = queue;
    queue.letInBy = null;
    if (letInBy && letInBy !== this.#line.server && letInBy !== queue.vmtaUse.connections) {
      connection.ticket = letInBy;
      letInBy.tickets++;
    }
    for (const gate of queue.vmtaUse.gates) {
      if (!gate.limited) continue;
      connection.owed ||= gate.line.size > 0;
      gate.line.delete(queue);
      gate.promise(grant.id, now);
      this.#line.serve(gate, now);
    }
    this.#line.toTheBack(queue);
    return grant;
  }

  reserve(
    connection: Connection,
    target: { readonly host: string; readonly address: string },
    sources: readonly SourceAddress[],
    now: number,
  ): Reserved {
    this.#giveBack(connection);
    const reserved = this.#reservations.reserve(connection, target, sources, now);
    this.#giveTicketBack(connection);
    if (reserved.kind === 'source') this.#countConnect(connection, now);
    return reserved;
  }

  heldBack({ grant: { queue }, blockers }: Connection, hold: HoldReason, now: number): void {
    if (blockers.length > 0 && !blockers.every((blocker) => blocker.still(now))) {
      this.#line.changed(queue, now);
      return;
    }
    this.#line.unblock(queue);
    const counters = new Set(blockers.flatMap(({ counter }) => counter ?? []));
    const until =
      blockers.length === 0
        ? (hold.freesAt ?? now + UNKNOWN_HOLD_MS)
        : Math.min(...blockers.map((blocker) => blocker.hold.freesAt ?? Number.POSITIVE_INFINITY));
    const holds = new Map(blockers.map((blocker) => [blocker.hold.kind, blocker.hold]));
    holds.set(hold.kind, hold);
    this.#line.block(queue, { holds: [...holds.values()], counters, until });
  }

  opened(connection: Connection, now: number): void {
    connection.opened = true;
    connection.openedAt = now;
    connection.grant.queue.opening--;
    this.#countConnect(connection, now);
  }

  /** No transaction is under way any more; `bytes` were sent by the last one. */
  transferEnds(connection: Connection, bytes: number, now: number): void {
    if (connection.transfer.length === 0) return;
    for (const volume of connection.transfer) volume.end(bytes, now);
    connection.transfer = [];
    const { queue } = connection.grant;
    for (const [id, limiter] of queue.waiting) {
      if (limiter === queue.data.limiter) this.#resume(id);
    }
    this.#line.lookAt(queue);
    this.#line.serve(queue.vmtaUse.dataGate, now);
  }

  closed(connection: Connection, now: number): void {
    const { id, queue } = connection.grant;
    const reserved = connection.source !== null;
    this.#open.delete(id);
    this.#giveBack(connection);
    this.#giveTicketBack(connection);
    this.transferEnds(connection, 0, now);
    queue.idle.delete(id);
    queue.waiting.delete(id);
    if (!connection.opened) queue.opening--;
    if (!connection.connectCounted) queue.unreserved--;
    queue.connections--;
    for (const counter of this.#counters(queue)) {
      counter.inUse--;
      counter.holders.delete(id);
      this.#line.free(counter);
    }
    if (connection.endsFor) connection.endsFor.claims--;
    // One of its own connections was what the queue waited for, perhaps.
    if (reserved) this.#line.unblock(queue);
    this.#line.changed(queue, now);
    for (const gate of queue.vmtaUse.gates) {
      gate.keep(id);
      this.#line.serve(gate, now);
    }
  }

  /** Counters that count every connection of a queue. */
  #counters(queue: Queue): readonly ConnectionCounter[] {
    return [queue.vmtaUse.connections, this.#line.server];
  }

  #countConnect(connection: Connection, now: number): void {
    if (connection.connectCounted) return;
    const { queue } = connection.grant;
    connection.connectCounted = true;
    queue.unreserved--;
    queue.connects.spend(1, now);
    this.#line.lookAt(queue);
  }

  /** Gives back what was reserved for the last host. */
  #giveBack(connection: Connection): void {
    if (connection.source) connection.source.connections--;
    connection.source = null;
    for (const counter of connection.counted) {
      counter.inUse--;
      this.#line.free(counter);
    }
    connection.counted.length = 0;
  }

  #giveTicketBack(connection: Connection): void {
    if (!connection.ticket) return;
    connection.ticket.tickets--;
    this.#line.free(connection.ticket);
    connection.ticket = null;
  }
}
