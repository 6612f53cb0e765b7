/**
 * Carries outcomes from the spool's journal to the views that keep them (accounting files, event files).
 *
 * Each view has its own pace and its own checkpoint, so one that cannot write (its disk is full, say) holds back
 * nobody; its outcomes stay in the journal until it can. After any failure, a crash of the process included, a view
 * is opened again with what was stored of it last and told everything after it once more; its `open` makes that exact,
 * either by taking back what came later, or by finding out how much of what it intended to write was written.
 */
import type { OutcomeView } from '../../events/outcome.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Clock } from '../../system/clock.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';

/** Outcomes told to a view between two of its syncs. */
const BATCH = 500;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;

export interface Publisher {
  /** There is more in the journal. Cheap; call it after every commit. */
  notify(): void;
  /** Outcomes in the journal that the slowest view has not on disk yet. */
  readonly backlog: number;
  /** Stores where a view stands, although it was told nothing new. */
  save(view: OutcomeView): void;
  /** Resolves when every view has on disk all that was journaled before the call; rejects after `withinMs`. */
  drain(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * `restMs`: pause of a view between two turns. Under load each turn then takes more at once, with one sync of its file
 * and one checkpoint for all of it.
 */
export async function startPublisher(
  spool: Spool,
  views: readonly OutcomeView[],
  clock: Clock,
  log: Log,
  restMs = 0,
): Promise<Publisher> {
  const pumps: Pump[] = [];
  let advancing: Promise<void> = Promise.resolve();
  /** Remembers a view's progress and lets the journal forget what all views have. One at a time, in order. */
  const advance = (pump: Pump, seq: number, state: unknown) => {
    // A refusal is for the view whose step it was; those of the others go on.
    const before = advancing.catch(() => {});
    advancing = before.then(() => {
      const behind = Math.min(...pumps.map((other) => (other === pump ? seq : other.seq)));
      return spool.advance(new Map([[pump.view.name, { seq, state }]]), behind);
    });
    return advancing;
  };
  for (const view of views) {
    pumps.push(new Pump(view, { spool, advance, clock, log, restMs }));
    await pumps.at(-1)!.open();
  }
  for (const pump of pumps) pump.notify();
  return {
    notify: () => {
      for (const pump of pumps) pump.notify();
    },
    save: (view) => pumps.find((pump) => pump.view === view)?.save(),
    get backlog() {
      const [oldest] = spool.journal(Math.min(...pumps.map((pump) => pump.seq)), 1);
      return oldest ? spool.newestOutcome - oldest.seq + 1 : 0;
    },
    drain: async (withinMs) => {
      await Promise.all(pumps.map((pump) => pump.drain(withinMs)));
    },
    close: async () => {
      await Promise.all(pumps.map((pump) => pump.close()));
      await advancing.catch(() => {});
    },
  };
}

interface PumpDeps {
  readonly spool: Spool;
  readonly advance: (pump: Pump, seq: number, state: unknown) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly restMs: number;
}

class Pump {
  readonly view: OutcomeView;
  /** The last outcome that this view has on disk. */
  seq: number;
  /** As far as it had come in a turn that was interrupted. */
  #found = 0;
  #save = false;
  readonly #spool: Spool;
  readonly #advance: PumpDeps['advance'];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #restMs: number;
  #running: Promise<void> | null = null;
  #again = false;
  #resting = false;
  #cancelRest = () => {};
  #closed = false;
  #failures = 0;
  #cancelRetry = () => {};

  constructor(view: OutcomeView, { spool, advance, clock, log, restMs }: PumpDeps) {
    this.view = view;
    this.seq = spool.checkpoint(view.name)?.seq ?? 0;
    this.#spool = spool;
    this.#advance = advance;
    this.#clock = clock;
    this.#log = log;
    this.#restMs = restMs;
  }

  async open(): Promise<void> {
    this.#found = await this.view.open(this.#spool.checkpoint(this.view.name)?.state ?? null);
  }

  notify(): void {
    if (this.#closed || this.#failures > 0) return;
    if (this.#running || this.#resting) {
      this.#again = true;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = null;
      this.#rest();
    });
  }

  save(): void {
    this.#save = true;
    this.#endRest();
    this.notify();
  }

  #rest(): void {
    if (this.#closed || this.#failures > 0) return;
    if (this.#restMs === 0) {
      this.#endRest();
      return;
    }
    this.#resting = true;
    this.#cancelRest = this.#clock.after(this.#restMs, () => this.#endRest());
  }

  #endRest(): void {
    this.#cancelRest();
    this.#resting = false;
    if (!this.#again) return;
    this.#again = false;
    this.notify();
  }

  async drain(withinMs: number): Promise<void> {
    let late = false;
    const cancel = this.#clock.after(withinMs, () => {
      late = true;
    });
    try {
      while (this.#spool.journal(this.seq, 1).length > 0) {
        if (late || this.#closed)
          throw new Error(`${this.view.name} did not take all outcomes in ${withinMs} ms`);
        this.#endRest();
        this.notify();
        if (this.#running) await this.#running;
        else await new Promise<void>((resolve) => this.#clock.after(20, resolve));
      }
    } finally {
      cancel();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    this.#cancelRest();
    await this.#running;
    await this.view.close();
  }

  async #run(): Promise<void> {
    try {
      if (this.#failures > 0) await this.open();
      if (this.#found > this.seq || this.#save) await this.#flush(Math.max(this.seq, this.#found));
      for (;;) {
        const entries = this.#spool.journal(this.seq, BATCH);
        if (entries.length === 0) break;
        for (const { seq, outcome } of entries) this.view.write(seq, outcome);
        const intent = this.view.intend?.() ?? null;
        if (intent !== null) await this.#advance(this, this.seq, intent);
        await this.#flush(entries.at(-1)!.seq);
        if (this.#failures > 0) this.#log.info(`${this.view.name} takes records again`);
        this.#failures = 0;
        if (this.#closed) break;
      }
      this.#failures = 0;
    } catch (error) {
      this.#retryLater(error);
    }
  }

  /** Everything up to `seq` gets on disk, and then into the checkpoint. */
  async #flush(seq: number): Promise<void> {
    this.#save = false;
    const state = await this.view.flush();
    await this.#advance(this, seq, state);
    this.seq = seq;
    this.view.stored?.();
  }

  #retryLater(error: unknown): void {
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS);
    this.#failures++;
    this.#log.error(
      `${this.view.name} cannot take records: ${reason(error)}; they are kept, next try in ${wait / 1000} s`,
    );
    if (this.#closed) return;
    this.#cancelRetry = this.#clock.after(wait, () => {
      this.#running = this.#run().finally(() => {
        this.#running = null;
        this.notify();
      });
    });
  }
}
