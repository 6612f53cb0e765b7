/**
 * A world for the scheduler in a test: queues, hosts that answer, refuse, hang and break, operators who meddle, all
 * by a seed and under a simulated clock. It writes down every grant, host and transaction; the checker reads only that.
 */

import type { LimitSource } from './limits.ts';
import type { Queue } from './queue.ts';
import { isExpired, type QueuedRecipient, queuedRecipient } from './queued-recipient.ts';
import { type ConnectionGrant, Scheduler } from './scheduler.ts';
import { TimeHeap } from './time-heap.ts';

/** What happened, in the words of the outside. Counts are of things that are limited. */
export type TraceEvent =
  | {
      readonly kind: 'open' | 'close';
      readonly at: number;
      readonly id: number;
      readonly queue: string;
      readonly vmta: string;
      readonly mode: string;
    }
  | {
      readonly kind: 'reserve' | 'free';
      readonly at: number;
      readonly id: number;
      readonly queue: string;
      readonly host: string;
      readonly address: string;
      readonly source: string;
    }
  | {
      readonly kind: 'send';
      readonly at: number;
      readonly id: number;
      readonly queue: string;
      readonly vmta: string;
      readonly source: string;
      readonly recipients: number;
      readonly mode: string;
    }
  | {
      readonly kind: 'bytes';
      readonly at: number;
      readonly id: number;
      readonly queue: string;
      readonly vmta: string;
      readonly source: string;
      readonly bytes: number;
      readonly mode: string;
    };

/** Numbers from 0 to 1 by a seed (a linear congruential generator; good enough to mix things up). */
export function randomBy(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export interface World {
  readonly limits: LimitSource;
  readonly random: () => number;
  /** Hosts of a domain, in the order they are tried. */
  readonly hosts: (domain: string) => readonly { readonly host: string; readonly address: string }[];
  readonly sources: (vmta: string) => readonly { readonly address: string; readonly host: string }[];
  /** Whether a host answers at all now. */
  readonly alive: (host: string, now: number) => boolean;
  /** Part of recipients that are refused temporarily. */
  readonly deferring: number;
  /** Part of connections that break in the middle of work. */
  readonly breaking: number;
  /** Part of transactions with a refusal at which a rule puts the queue into retry. */
  readonly ruled?: number;
  readonly until: number;
}

export class Simulation {
  readonly scheduler: Scheduler;
  readonly trace: TraceEvent[] = [];
  /** Final outcomes, by recipient. */
  readonly outcomes = new Map<string, number>();
  delivered = 0;
  added = 0;
  now = 0;
  readonly deliveredBy = new Map<string, number>();
  readonly faults: string[] = [];
  readonly #world: World;
  readonly #events = new TimeHeap<() => void>();
  /** Connections that wait or idle, with what goes on when they are told to. */
  readonly #resting = new Map<number, () => void>();
  #kicked = false;

  constructor(world: World) {
    this.#world = world;
    this.scheduler = new Scheduler(world.limits, {
      // Never within the scheduler's own call.
      resume: (id) => this.at(this.now, () => this.#resume(id)),
      wake: () => this.kick(),
    });
  }

  at(time: number, what: () => void): void {
    this.#events.push(time, what);
  }

  add(domain: string, vmta: string, given: Partial<QueuedRecipient> = {}): void {
    const id = `s${this.added++}`;
    this.scheduler.add(
      domain,
      vmta,
      queuedRecipient({ spoolId: id, index: 0, receivedAt: this.now, ...given }),
      this.now,
    );
    this.kick();
  }

  kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    this.at(this.now, () => {
      this.#kicked = false;
      this.dispatch();
    });
  }

  /** Runs until nothing more happens or the world ends. */
  run(): void {
    while (this.now < this.#world.until) {
      const wake = this.scheduler.nextWake;
      const next = Math.min(this.#events.earliest, wake);
      if (next === Number.POSITIVE_INFINITY) break;
      // As timers do: never before, and at least a moment later.
      this.now = Math.max(this.now, next);
      if (this.now >= this.#world.until) break;
      const event = this.#events.popDue(this.now);
      if (event) event();
      else this.dispatch();
    }
  }

  finish(queue: Queue, items: readonly QueuedRecipient[], delivered: boolean): void {
    for (const item of items) {
      const key = `${item.spoolId}/${item.index}`;
      this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
      this.scheduler.done(queue, delivered, this.now);
      if (!delivered) continue;
      this.delivered++;
      this.deliveredBy.set(queue.domain, (this.deliveredBy.get(queue.domain) ?? 0) + 1);
    }
    this.kick();
  }

  #resume(id: number): void {
    const go = this.#resting.get(id);
    this.#resting.delete(id);
    go?.();
  }

  dispatch(): void {
    for (;;) {
      const expired = this.scheduler.nextExpired(this.now);
      if (!expired) break;
      this.finish(expired.queue, expired.items, false);
    }
    for (
      let grant = this.scheduler.nextConnection(this.now);
      grant;
      grant = this.scheduler.nextConnection(this.now)
    ) {
      this.#connect(grant);
    }
  }

  #connect(grant: ConnectionGrant): void {
    const { id, queue } = grant;
    const { domain, vmta } = queue;
    this.trace.push({ kind: 'open', at: this.now, id, queue: queue.name, vmta, mode: queue.mode });
    const hosts = this.#world.hosts(domain);
    const tryHost = (n: number, tried: boolean) => {
      const target = hosts[n];
      if (!target) {
        this.#failed(grant, 'no answer');
        return;
      }
      const { scheduler } = this;
      const reserved = scheduler.reserve(id, target, this.#world.sources(vmta), this.now);
      if (reserved.kind === 'held') {
        if (n + 1 < hosts.length) tryHost(n + 1, tried);
        else if (tried) this.#failed(grant, 'no answer');
        else {
          scheduler.heldBack(id, reserved.hold, this.now);
          this.#close(grant, null);
        }
        return;
      }
      const use = { ...target, source: reserved.source?.address ?? '' };
      this.trace.push({ kind: 'reserve', at: this.now, id, queue: queue.name, ...use });
      const alive = this.#world.alive(target.host, this.now);
      this.at(this.now + (alive ? 20 + Math.floor(this.#world.random() * 200) : 30_000), () => {
        if (!alive) {
          this.trace.push({ kind: 'free', at: this.now, id, queue: queue.name, ...use });
          tryHost(n + 1, true);
          return;
        }
        scheduler.opened(id, this.now);
        this.#work(grant, use);
      });
    };
    // A look-up takes a moment.
    this.at(this.now + Math.floor(this.#world.random() * 20), () => tryHost(0, false));
  }

  #work(grant: ConnectionGrant, use: { host: string; address: string; source: string }): void {
    const { id, queue } = grant;
    const { scheduler } = this;
    const work = scheduler.take(id, this.now);
    switch (work.kind) {
      case 'close':
        this.#close(grant, use);
        return;
      case 'expired':
        this.finish(queue, work.items, false);
        this.at(this.now, () => this.#work(grant, use));
        return;
      case 'idle':
      case 'wait': {
        if (work.kind === 'wait' && work.until - this.now > 30_000) {
          this.#close(grant, use);
          return;
        }
        let over = false;
        const go = (on: boolean) => {
          if (over) return;
          over = true;
          this.#resting.delete(id);
          if (on) this.#work(grant, use);
          else this.#close(grant, use);
        };
        this.#resting.set(id, () => go(true));
        this.at(work.until, () => go(work.kind === 'wait'));
        return;
      }
      case 'deliver':
        break;
    }
    const { mode } = queue;
    const facts = { id, queue: queue.name, vmta: queue.vmta, source: use.source, mode };
    this.trace.push({ kind: 'send', at: this.now, ...facts, recipients: work.items.length });
    const bounceAfter = queue.limits.bounceAfter.value;
    for (const item of work.items) {
      if (item.windows && !item.windows.some(({ start, end }) => start <= this.now && this.now < end)) {
        this.faults.push(`${item.spoolId} was tried outside its windows`);
      }
      if (isExpired(item, bounceAfter, this.now))
        this.faults.push(`${item.spoolId} was tried after its time`);
    }
    this.at(this.now + 50 + Math.floor(this.#world.random() * 400), () => {
      const { random, deferring, breaking, ruled = 0 } = this.#world;
      if (random() < breaking) {
        scheduler.putBack(queue, work.items, this.now);
        this.#close(grant, use);
        return;
      }
      const done: QueuedRecipient[] = [];
      for (const item of work.items) {
        if (random() < deferring) scheduler.hold(queue, item, this.now);
        else done.push(item);
      }
      if (done.length > 0) {
        const bytes = 2000 + Math.floor(random() * 3000);
        this.trace.push({ kind: 'bytes', at: this.now, ...facts, bytes });
        scheduler.transferred(id, bytes, this.now);
      }
      this.finish(queue, done, true);
      if (done.length < work.items.length && random() < ruled) {
        scheduler.failed(queue, this.now, 'a rule says defer-queue', { id, stopOpen: true });
        this.#close(grant, use);
        return;
      }
      this.#work(grant, use);
    });
  }

  #failed(grant: ConnectionGrant, why: string): void {
    const { scheduler } = this;
    scheduler.failed(grant.queue, this.now, why, { id: grant.id });
    for (;;) {
      const expired = scheduler.takeExpired(grant.queue, this.now);
      if (expired.length === 0) break;
      this.finish(grant.queue, expired, false);
    }
    this.#close(grant, null);
  }

  #close(grant: ConnectionGrant, use: { host: string; address: string; source: string } | null): void {
    const { id, queue } = grant;
    if (use) this.trace.push({ kind: 'free', at: this.now, id, queue: queue.name, ...use });
    this.trace.push({
      kind: 'close',
      at: this.now,
      id,
      queue: queue.name,
      vmta: queue.vmta,
      mode: queue.mode,
    });
    this.scheduler.closed(id, this.now);
    this.kick();
  }
}
