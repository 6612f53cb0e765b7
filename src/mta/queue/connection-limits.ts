/** Counters of open connections that several queues share: the server's, a VMTA's, a host's, an address's. */
import type { HoldKind, HoldReason, Limit } from './hold.ts';
import type { LimitSource } from './limits.ts';
import { PriorityLine } from './priority-line.ts';
import type { Queue } from './queue.ts';

export class ConnectionCounter {
  readonly kind: HoldKind;
  readonly limit: () => Limit;
  /** What is counted, for people: `mx.example from 192.0.2.1`. No two of a kind have the same. */
  readonly about: string;
  inUse = 0;
  /** Room that is kept for queues that were let in and have not reserved yet. */
  tickets = 0;
  /** Queues that wanted a connection and met this limit. */
  readonly waiting = new PriorityLine<Queue>();
  /** Ids of connections by their queue's priority; kept where more urgent queues may take them. */
  readonly holders = new PriorityLine<number>();

  constructor(kind: HoldKind, limit: () => Limit, about: string) {
    this.kind = kind;
    this.limit = limit;
    this.about = about;
  }

  get hasRoom(): boolean {
    return this.inUse + this.tickets < this.limit().value;
  }

  /** Whether a queue may have one more: there is room, and nobody waits for it who is not less urgent. */
  admits(queue: Queue): boolean {
    if (!this.hasRoom) return false;
    if (this.waiting.size === 0 || queue.letInBy === this) return true;
    const first = this.waiting.first()!;
    return first === queue || first.limits.priority < queue.limits.priority;
  }

  /** Whether a connection of a queue may be counted here: room is kept for it, or left by all who wait. */
  admitsConnection(ticket: ConnectionCounter | null, queue: Queue): boolean {
    const limit = this.limit().value;
    if (ticket === this) return this.inUse + this.tickets - 1 < limit;
    const others = this.waiting.size - (this.waiting.has(queue) ? 1 : 0);
    return this.inUse + this.tickets + others < limit;
  }

  get hold(): HoldReason {
    const limit = this.limit();
    return {
      kind: this.kind,
      limit,
      current: this.inUse,
      freesAt: null,
      remedy: `raise ${limit.directive}${this.about === '' ? '' : ` for ${this.about}`}, or wait for a connection to close`,
    };
  }

  get unused(): boolean {
    return this.inUse === 0 && this.tickets === 0 && this.waiting.size === 0;
  }
}

/** Counters of connections by MX host and local address, and by remote address (D5.6); only limited ones exist. */
export class RemoteCounters {
  readonly #limits: LimitSource;
  readonly #hosts = new Map<string, ConnectionCounter>();
  readonly #addresses = new Map<string, ConnectionCounter>();

  constructor(limits: LimitSource) {
    this.#limits = limits;
  }

  host(host: string, source: string): ConnectionCounter | null {
    const about = source === '' ? host : `${host} from ${source}`;
    return this.#find(this.#hosts, 'host-connections', () => this.#limits.hostConnections(host), about);
  }

  address(address: string): ConnectionCounter | null {
    const limit = () => this.#limits.addressConnections(address);
    return this.#find(this.#addresses, 'address-connections', limit, address);
  }

  /** Forgets a counter that counts nothing: host names come from outside. */
  forgetUnused(counter: ConnectionCounter): void {
    if (!counter.unused) return;
    for (const map of [this.#hosts, this.#addresses]) {
      if (map.get(counter.about) === counter) map.delete(counter.about);
    }
  }

  #find(
    map: Map<string, ConnectionCounter>,
    kind: HoldKind,
    limit: () => Limit,
    about: string,
  ): ConnectionCounter | null {
    const known = map.get(about);
    if (known) return known;
    if (limit().value === Number.POSITIVE_INFINITY) return null;
    const counter = new ConnectionCounter(kind, limit, about);
    map.set(about, counter);
    return counter;
  }
}
