import type { Clock } from '../system/clock.ts';

/** A message on its way to an outcome. Its content is not kept: it can be made again from its number. */
export interface Job {
  readonly n: number;
  readonly date: Date;
  /** Recipients without a final answer. */
  open: string[];
  readonly accepted: string[];
  readonly rejected: { address: string; reply: string }[];
  attempts: number;
  inDoubt: number;
  readonly firstAt: number;
  lastReply: string;
}

export interface ScheduleOptions {
  readonly clock: Clock;
  /** Messages to send; Infinity for no end. */
  readonly total: number;
  /** Messages a second by the plan; 0 is as fast as the connections allow. */
  readonly rate: number;
  /** Told when a message is handed out, with its lateness against the plan in milliseconds. */
  readonly onLate: (ms: number) => void;
}

/**
 * Hands out messages when they are due: an open loop, whose plan does not wait for the server. The plan is a number,
 * so a server that stalls for an hour costs no memory here; the messages come late, and that is measured.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #startedAt: number;
  readonly #retries: { due: number; job: Job }[] = [];
  readonly #idle: ((job: Job | null) => void)[] = [];
  #next = 1;
  #out = 0;
  #stopped = false;
  #heldUntil = 0;
  #cancel: (() => void) | null = null;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  /** Messages handed out for the first time. */
  get started(): number {
    return this.#next - 1;
  }

  /** The next message; waits until one is due. null when there will be none. */
  take(): Promise<Job | null> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#serve();
    });
  }

  /** The message has its outcome. */
  finish(): void {
    this.#out--;
    this.#serve();
  }

  /** The message is to be tried again in `ms`. */
  retry(job: Job, ms: number): void {
    this.#out--;
    const due = this.#options.clock.now() + ms;
    const at = this.#retries.findIndex((other) => other.due > due);
    this.#retries.splice(at < 0 ? this.#retries.length : at, 0, { due, job });
    this.#serve();
  }

  /** Hands out nothing for `ms`: the server is not there. */
  hold(ms: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, this.#options.clock.now() + ms);
  }

  /** Hands out nothing more; returns the messages that were waiting for another try. */
  stop(): Job[] {
    this.#stopped = true;
    const waiting = this.#retries.splice(0).map(({ job }) => job);
    this.#serve();
    return waiting;
  }

  #serve(): void {
    this.#cancel?.();
    this.#cancel = null;
    const { clock } = this.#options;
    while (this.#idle.length > 0) {
      const fresh = !this.#stopped && this.#next <= this.#options.total;
      if (!fresh && this.#retries.length === 0) {
        // Messages that are out may come back for another try.
        if (this.#out > 0) return;
        for (const resolve of this.#idle.splice(0)) resolve(null);
        return;
      }
      const retryDue = this.#retries[0]?.due ?? Number.POSITIVE_INFINITY;
      const freshDue = fresh ? this.#planned(this.#next) : Number.POSITIVE_INFINITY;
      const due = Math.max(this.#heldUntil, Math.min(retryDue, freshDue));
      const now = clock.now();
      if (due > now) {
        this.#cancel = clock.after(due - now, () => {
          this.#cancel = null;
          this.#serve();
        });
        return;
      }
      this.#out++;
      this.#idle.shift()!(retryDue <= now ? this.#retries.shift()!.job : this.#fresh(now));
    }
  }

  #planned(n: number): number {
    const { rate } = this.#options;
    return rate > 0 ? this.#startedAt + ((n - 1) / rate) * 1000 : 0;
  }

  #fresh(now: number): Job {
    const n = this.#next++;
    if (this.#options.rate > 0) this.#options.onLate(now - this.#planned(n));
    return {
      n,
      date: new Date(now),
      open: [],
      accepted: [],
      rejected: [],
      attempts: 0,
      inDoubt: 0,
      firstAt: now,
      lastReply: '',
    };
  }
}
