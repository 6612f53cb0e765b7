import type { Clock } from '../../system/clock.ts';
import { type Log, printable } from '../../system/log.ts';
import type { Engine } from '../store/engine.ts';
import type { Retention } from '../store/retention.ts';
import { defaultModel, type ScoreModel } from './model/score-model.ts';
import { type Refreshed, refresh } from './refresh/refresh.ts';

export interface ScoresOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly model?: ScoreModel | undefined;
  /** Milliseconds between the end of a refresh and the next. */
  readonly refreshMs?: number | undefined;
  readonly retention: Retention;
  /** Hours after which events are refused. */
  readonly eventAgeHours: number;
}

const REFRESH_MS = 60_000;
/** A refresh that took long is followed by a rest of so many times as long, so that ingest and readers come first. */
const REST = 3;

/** The scores: keeps the daily figures up to date and knows the model. */
export class Scores {
  readonly engine: Engine;
  readonly model: ScoreModel;
  readonly #options: ScoresOptions;
  #running: Promise<unknown> = Promise.resolve();
  #cancel = () => {};
  #closed = false;

  constructor(options: ScoresOptions) {
    this.#options = options;
    this.engine = options.engine;
    this.model = options.model ?? defaultModel;
    this.#wait(options.refreshMs ?? REFRESH_MS);
  }

  /** Brings the figures up to date with what is stored now. */
  refresh(): Promise<Refreshed> {
    const { clock, retention, eventAgeHours } = this.#options;
    const work = this.engine.background.inTurn(() =>
      refresh({ engine: this.engine, retention }, clock.now(), {
        eventAgeHours,
        isStopped: () => this.#closed,
      }),
    );
    this.#running = work.catch(() => {});
    return work;
  }

  /** Ends after the statement in hand; what was not done is done after the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#running;
  }

  #wait(ms: number): void {
    if (!this.#closed) this.#cancel = this.#options.clock.after(ms, () => void this.#turn());
  }

  async #turn(): Promise<void> {
    const { clock, log, refreshMs = REFRESH_MS } = this.#options;
    const began = clock.now();
    try {
      const { made } = await this.refresh();
      if (made.length > 0)
        log.info('daily figures are up to date', { days: made.join(' '), ms: clock.now() - began });
    } catch (error) {
      if (this.#closed) return;
      log.error('daily figures could not be brought up to date and will be tried again', {
        because: printable(error instanceof Error ? error.message : String(error)),
      });
    }
    this.#wait(Math.max(refreshMs, REST * (clock.now() - began)));
  }
}
