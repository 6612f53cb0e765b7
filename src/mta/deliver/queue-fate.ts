/** What happens to a queue as a whole, whatever the transport: it waits, bounces, or loses what is too old. */
import type { Config } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { type Envelope, REFUSED_QUEUE } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { ConnectionAttempt } from './attempt.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import { localStatus } from './status.ts';

/** Recipients bounced in one transaction of the spool. */
const BATCH = 100;

export class QueueFate {
  readonly #scheduler: Scheduler;
  readonly #outcomes: OutcomeWriter;
  readonly #clock: Clock;

  constructor(scheduler: Scheduler, outcomes: OutcomeWriter, clock: Clock) {
    this.#scheduler = scheduler;
    this.#outcomes = outcomes;
    this.#clock = clock;
  }

  /**
   * The queue waits for its next retry; what has outlived its time meanwhile bounces. `error` is for people. Several
   * connections that fail in one run are one failure of the queue, with one record. `id`: the connection that failed;
   * `stopOpen`: the others end too.
   */
  defer(
    queue: Queue,
    attempt: ConnectionAttempt,
    result: StatusFacts,
    error: string,
    config: Config,
    how: { readonly id?: number; readonly stopOpen?: boolean } = {},
  ): void {
    const now = this.#clock.now();
    if (this.#scheduler.failed(queue, now, error, how).newRun) {
      const facts = { ...attempt, retries: 0 };
      this.#outcomes.queueDeferred({ kind: 'queue-deferred', at: now, attempt: facts, result });
    }
    for (;;) {
      const expired = this.#scheduler.takeExpired(queue, now);
      if (expired.length === 0) break;
      this.expire(queue, expired, config);
    }
  }

  /** Everything that waits in the queue bounces now. */
  bounce(queue: Queue, attempt: ConnectionAttempt | null, result: StatusFacts): void {
    for (;;) {
      const items = this.#scheduler.takeAll(queue, this.#clock.now(), BATCH);
      if (items.length === 0) return;
      this.#outcomes.bounced(queue, items, attempt, result);
    }
  }

  /** The queue of recipients that were taken only to be bounced. */
  bounceRefused(queue: Queue): void {
    for (;;) {
      const items = this.#scheduler.takeAll(queue, this.#clock.now(), BATCH);
      if (items.length === 0) return;
      this.#outcomes.refused(queue, items);
    }
  }

  /** These were taken from the queue because they are older than `bounce-after`. */
  expire(queue: Queue, items: readonly QueuedRecipient[], config: Config): void {
    if (queue.domain === REFUSED_QUEUE) {
      this.#outcomes.refused(queue, items);
      return;
    }
    this.#outcomes.expired(queue, items, localStatus('4.4.7', 'delivery time expired', config));
  }

  /** These were taken, and a fault of ours kept them from being tried: each waits by itself. */
  deferItems(
    queue: Queue,
    envelope: Envelope,
    items: readonly QueuedRecipient[],
    attempt: ConnectionAttempt,
    status: StatusFacts,
  ): void {
    const result = { kind: 'deferred' as const, status };
    this.#outcomes.attempted(
      queue,
      envelope,
      items.map((item) => ({ item, result })),
      attempt,
      0,
    );
  }
}
