/**
 * Turns the scheduler's leave into connections: asks for the next one whenever something may have changed, runs a
 * delivery for each, and sets one timer for the time at which the scheduler wants to be asked again.
 */
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { ConnectionGrant, QueueItems, Scheduler } from '../queue/scheduler.ts';

/** Batches of expired recipients that are bounced before anything else gets its turn. */
const EXPIRED_AT_ONCE = 10;

export class Dispatcher {
  readonly #scheduler: Scheduler;
  readonly #deliver: (grant: ConnectionGrant) => Promise<void>;
  readonly #expire: (expired: QueueItems) => void;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #running = new Set<Promise<void>>();
  #kicked = false;
  #ended = false;
  #cancelTimer = () => {};
  #timerAt = Number.POSITIVE_INFINITY;

  /**
   * `deliver` uses one connection grant up; `expire` bounces what outlived its time. Neither may throw for anything the
   * outside world does.
   */
  constructor(
    scheduler: Scheduler,
    deliver: (grant: ConnectionGrant) => Promise<void>,
    expire: (expired: QueueItems) => void,
    clock: Clock,
    log: Log,
  ) {
    this.#scheduler = scheduler;
    this.#deliver = deliver;
    this.#expire = expire;
    this.#clock = clock;
    this.#log = log;
  }

  /** Something may be possible that was not: new mail, an outcome, a closed connection. Cheap. */
  kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    // Once per turn of the event loop, however many recipients came in it.
    setImmediate(() => {
      this.#kicked = false;
      this.#dispatch();
    });
  }

  /** Resolves when no connection is open any more, and opens none after; `scheduler.stop()` makes them close. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#ended = true;
    this.#cancelTimer();
  }

  #dispatch(): void {
    if (this.#ended) return;
    for (let batches = 1; ; batches++) {
      const expired = this.#scheduler.nextExpired(this.#clock.now());
      if (!expired) break;
      this.#expire(expired);
      if (batches < EXPIRED_AT_ONCE) continue;
      this.kick();
      break;
    }
    for (;;) {
      const grant = this.#scheduler.nextConnection(this.#clock.now());
      if (!grant) break;
      const running: Promise<void> = this.#run(grant).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
    this.#arm();
  }

  async #run(grant: ConnectionGrant): Promise<void> {
    try {
      await this.#deliver(grant);
    } catch (error) {
      // A fault of ours in one delivery must not stop the others; the queue waits, and the log has the stack.
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.error(`delivery to ${grant.queue.name} met a fault of the program: ${stack}`);
      this.#scheduler.failed(grant.queue, this.#clock.now(), 'internal fault, see the log', {
        id: grant.id,
      });
    } finally {
      this.#scheduler.closed(grant.id, this.#clock.now());
      this.kick();
    }
  }

  #arm(): void {
    const at = this.#scheduler.nextWake;
    if (at === this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = () => {};
    if (at === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#clock.after(Math.max(1, at - this.#clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#dispatch();
    });
  }
}
