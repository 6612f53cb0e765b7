import type { Config } from '../../config/index.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';

/** Whether anybody reads reports, so that sent mail is worth remembering. */
export function readsReports({ bounceProcessor, feedbackLoopProcessor }: Config): boolean {
  return bounceProcessor !== null || feedbackLoopProcessor !== null;
}

const EVERY_MS = 60_000;
/** Batches of 2,000 in one round: more than can be sent in a minute, and still only a moment. */
const MOST_BATCHES = 500;

/** Forgets, a little every minute, what was sent so long ago that no report about it is matched any more. */
export class SentMailKeeper {
  readonly #spool: Spool;
  readonly #clock: Clock;
  readonly #log: Log;
  #cancel = () => {};
  #stopped = false;
  #working: Promise<void> = Promise.resolve();

  constructor(spool: Spool, clock: Clock, log: Log) {
    this.#spool = spool;
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    this.#cancel = this.#clock.after(EVERY_MS, () => {
      this.#working = this.#forget().finally(() => {
        if (!this.#stopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#working;
  }

  async #forget(): Promise<void> {
    try {
      for (let n = 0; n < MOST_BATCHES && !this.#stopped; n++) {
        if (!(await this.#spool.forgetSent(this.#clock.now()))) return;
      }
    } catch (error) {
      this.#log.warn(`old sent mail could not be forgotten: ${(error as Error).message}`);
    }
  }
}
