/**
 * A rate that all queues of a VMTA share, and the line in which they wait for it. One turn is a fair share of what is
 * free; who waits longest is next, whether it has a connection already or must be given one. A connection that
 * was granted by turn comes before the line when it is open, so a slow host does not lose its queue's turn, and the
 * others do not wait for it meanwhile.
 */
import type { HoldKind, HoldReason } from './hold.ts';
import { PriorityLine } from './priority-line.ts';
import type { Queue } from './queue.ts';
import type { RateLimiter } from './rate-limit.ts';

/** A new connection counts against what is free until it took its first message, but no longer than this. */
const PROMISE_MS = 30_000;
/** Whoever is next and does nothing for so long is passed by. */
const TURN_MS = 1000;
const BEHIND_MS = 10_000;

export class RateGate {
  readonly kind: HoldKind;
  readonly limiter: RateLimiter;
  readonly line = new PriorityLine<Queue>();
  readonly #free: (now: number) => number;
  readonly #promises = new Map<number, number>();
  #next: Queue | null = null;
  #nextSince = 0;

  /** `free` says how many transactions' worth may begin now; Infinity without a limit. */
  constructor(kind: HoldKind, limiter: RateLimiter, free: (now: number) => number) {
    this.kind = kind;
    this.limiter = limiter;
    this.#free = free;
  }

  get limited(): boolean {
    return this.limiter.limit.value !== Number.POSITIVE_INFINITY;
  }

  /** How much a queue may take now; 0 when it must wait its turn. `owed`: its connection was granted by turn. */
  share(queue: Queue, owed: boolean, now: number): number {
    const free = this.#free(now);
    if (free === Number.POSITIVE_INFINITY || free < 1) return free < 1 ? 0 : free;
    const others = this.#others(queue);
    if (!owed && others > 0 && this.line.first() !== queue && free <= others && !this.#skipIdle(queue, now))
      return 0;
    return Math.max(1, Math.floor(free / (this.#others(queue) + 1)));
  }

  /** Whether a queue may be given another connection for what is free. */
  admits(queue: Queue, now: number): boolean {
    const free = this.#free(now);
    if (free === Number.POSITIVE_INFINITY) return true;
    const unpromised = free - this.#promised(now);
    if (unpromised < 1) return false;
    const others = this.#others(queue);
    return others === 0 || this.line.first() === queue || unpromised > others;
  }

  /** A new connection will want its share. */
  promise(connection: number, now: number): void {
    if (this.limited) this.#promises.set(connection, now + PROMISE_MS);
  }

  /** It took it, or is gone. Says whether there was a promise. */
  keep(connection: number): boolean {
    return this.#promises.delete(connection);
  }

  /** Whether the next in line may go. */
  hasTurn(now: number): boolean {
    return this.line.size > 0 && this.#free(now) >= 1;
  }

  /** When it is worth while to look again. */
  freesAt(now: number): number {
    const at = this.limiter.freesAt(1, now);
    if (at > now) return at;
    const [first] = this.#promises.values();
    return first !== undefined && this.#promised(now) > 0 ? first : now + TURN_MS;
  }

  /** When a connection of a queue in the line should ask again. Those behind the first are told of their turn. */
  waitUntil(queue: Queue, now: number): number {
    const at = this.freesAt(now);
    return this.line.first() === queue ? at : Math.max(at, now + BEHIND_MS);
  }

  hold(now: number): HoldReason {
    const { limit } = this.limiter;
    const freesAt = this.limiter.freesAt(1, now);
    return {
      kind: this.kind,
      limit,
      current: this.limiter.spent(now),
      freesAt: freesAt > now ? freesAt : this.freesAt(now),
      remedy: `raise ${limit.directive} of the VMTA, or wait`,
    };
  }

  #others(queue: Queue): number {
    return this.line.size - (this.line.has(queue) ? 1 : 0);
  }

  #promised(now: number): number {
    for (const [connection, until] of this.#promises) {
      if (until > now) break;
      this.#promises.delete(connection);
    }
    return this.#promises.size;
  }

  /** Takes those out of the line whose turn it was for too long; says whether the queue is next now. */
  #skipIdle(queue: Queue, now: number): boolean {
    const first = this.line.first() ?? null;
    if (first !== this.#next) {
      this.#next = first;
      this.#nextSince = now;
    }
    if (first === null || now - this.#nextSince < TURN_MS) return false;
    this.line.delete(first);
    this.#next = null;
    const next = this.line.first();
    return next === undefined || next === queue;
  }
}
