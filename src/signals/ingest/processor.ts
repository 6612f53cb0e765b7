import { rm } from 'node:fs/promises';
import { setImmediate as others } from 'node:timers/promises';
import { checkIngestLine } from '../../events/check.ts';
import type { Clock } from '../../system/clock.ts';
import { type Log, printable } from '../../system/log.ts';
import type { Traps } from '../score/traps/traps.ts';
import { EngineError } from '../store/engine.ts';
import type { EventStore } from '../store/event-store.ts';
import type { BatchFiles, PendingBatch } from './batch-files.ts';
import { type BatchLimits, type BatchLine, openBatch, UnreadableBatch } from './batch-reader.ts';
import { FailuresFile } from './failures-file.ts';
import { Lags } from './lags.ts';
import { nodeOf, normalise } from './normalise.ts';
import { type BatchOutcome, type ErrorType, outcomeOf, storeOutcomes } from './outcome.ts';
import type { Providers } from './providers/providers.ts';
import { storeRound, type WaitingEvent } from './round.ts';

export interface ProcessorOptions {
  readonly store: EventStore;
  readonly files: BatchFiles;
  /** Batches that an earlier run left. */
  readonly left: readonly PendingBatch[];
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: BatchLimits;
  /** Events that were this old (milliseconds) when they arrived are refused. */
  readonly maxAgeMs: number;
  readonly traps: Traps;
  readonly providers: Providers;
  /** The label of a key, by which the batches of a node go that does not name itself. */
  readonly labelOf: (key: string) => Promise<string>;
}

/** A batch in hand: read, perhaps with events that wait to be stored. */
interface Work {
  readonly batch: PendingBatch;
  readonly failures: FailuresFile;
  succeeded: number;
  failed: number;
  duplicates: number;
  /** What the first of its lines that names a node calls it; '' if none does. */
  node: string;
  /** Label of its key: the node of what names none. */
  label: string;
  readonly lags: Lags;
  /** Set when the batch as a whole is lost. */
  error: ErrorType | null;
}

const ROWS_PER_INSERT = 20_000;
/** A round ends here even if more batches wait, so that outcomes are told in time. */
const ROWS_PER_ROUND = 200_000;
const BATCHES_PER_ROUND = 500;
const LONGEST_PAUSE_MS = 30_000;
/** While batches keep coming, a round begins no sooner than this after the last, unless so many bytes wait. */
const GATHER_MS = 500;
const GATHER_BYTES = 2 * 2 ** 20;

/** ClickHouse's codes for "these rows cannot be read", which no repetition mends. */
const unreadableRows = new Set([6, 26, 27, 41, 53, 72, 117, 130, 321, 349, 441]);

/**
 * Takes batches off the disk in the order of their arrival, as many at a time as make a good insert, and ends each
 * with an outcome. A fault of the engine or disk is repeated until it goes away; what was acknowledged stays on disk.
 */
export class Processor {
  readonly #options: ProcessorOptions;
  readonly #queue: PendingBatch[];
  #pendingBytes: number;
  #processed = 0;
  #running: Promise<void> | null = null;
  #closing = false;
  /**
   * Batches of the round that broke off; the next one takes exactly these. So their events come to the store in the same
   * blocks, and one that is stored already, though its answer was lost, is known by its token.
   */
  #broken = 0;
  #wake: (() => void) | null = null;

  constructor(options: ProcessorOptions) {
    this.#options = options;
    this.#queue = [...options.left];
    this.#pendingBytes = this.#queue.reduce((sum, batch) => sum + batch.size, 0);
    this.#start();
  }

  /** Batches that wait or are in hand. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Bytes of these. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Batches done since the program started. */
  get processed(): number {
    return this.#processed;
  }

  add(batch: PendingBatch): void {
    this.#queue.push(batch);
    this.#pendingBytes += batch.size;
    this.#start();
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** Ends after the round in hand; what waits stays on disk. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    await this.#running;
  }

  #start(): void {
    if (this.#running || this.#closing) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#queue.length > 0) this.#start();
    });
  }

  async #run(): Promise<void> {
    let pause = 250;
    while (this.#queue.length > 0 && !this.#closing) {
      const begun = this.#options.clock.now();
      try {
        await this.#round();
        pause = 250;
        await this.#gather(begun);
      } catch (error) {
        if (this.#closing) return;
        this.#options.log.error('batches could not be processed and will be tried again', {
          batches: this.#queue.length,
          seconds: pause / 1000,
          because: printable(error instanceof Error ? error.message : String(error)),
        });
        await this.#sleep(pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  /** What an insert costs hardly depends on its size: small batches that keep coming are worth a moment's wait. */
  async #gather(begun: number): Promise<void> {
    if (this.#queue.length === 0 || this.#pendingBytes >= GATHER_BYTES || this.#closing) return;
    const wait = GATHER_MS - Math.max(0, this.#options.clock.now() - begun);
    if (wait > 0) await this.#sleep(wait);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Processes the first batches of the queue and takes them off it. */
  async #round(): Promise<void> {
    const works: Work[] = [];
    const before = this.#processed;
    const stream = new StoreStream((waiting) => this.#store(works, waiting));
    try {
      const most = this.#broken || Math.min(this.#queue.length, BATCHES_PER_ROUND);
      for (let i = 0; i < most && !this.#closing; i++) {
        if (stream.rows >= ROWS_PER_ROUND) break;
        const work = this.#workOn(this.#queue[i]!);
        works.push(work);
        await this.#read(work, stream);
      }
      await stream.end();
      await this.#finish(works);
      this.#broken = 0;
    } catch (error) {
      const left = (this.#broken || works.length) - (this.#processed - before);
      await stream.settled();
      for (const work of works) {
        work.failures.discard();
        await rm(this.#options.files.failuresFile(work.batch), { force: true });
      }
      // Whatever of these was stored already must be looked for next time.
      for (let i = 0; i < left; i++) this.#queue[i] = { ...this.#queue[i]!, doubtful: true };
      this.#broken = left;
      throw error;
    }
  }

  #workOn(batch: PendingBatch): Work {
    return {
      batch,
      failures: new FailuresFile(this.#options.files.failuresFile(batch)),
      succeeded: 0,
      failed: 0,
      duplicates: 0,
      node: '',
      label: '',
      lags: new Lags(),
      error: null,
    };
  }

  /** Reads a batch to its end and hands its valid events on. */
  async #read(work: Work, stream: StoreStream): Promise<void> {
    const { limits, log, labelOf } = this.#options;
    const { batch } = work;
    if (batch.key !== '') work.label = await labelOf(batch.key);
    let lines: AsyncGenerator<readonly BatchLine[]>;
    try {
      lines = await openBatch(batch.file, batch.size, limits);
    } catch (error) {
      if (!(error instanceof UnreadableBatch)) throw error;
      work.error = 'decompress';
      log.warn('a batch cannot be inflated', { batch: batch.id, because: error.message });
      return;
    }
    const seen = new Set<string>();
    for await (const some of lines) {
      for (const line of some) {
        const wait = this.#take(work, line, seen, stream);
        if (wait) await wait;
      }
      // Requests are answered between two handfuls of lines.
      await others();
    }
  }

  /** One line: a failure, a duplicate within its batch, or an event to be stored. */
  #take(work: Work, line: BatchLine, seen: Set<string>, stream: StoreStream): Promise<void> | void {
    const { limits, maxAgeMs, traps } = this.#options;
    const { batch } = work;
    const { value, isJson } = line.tooLong ? { value: undefined, isJson: false } : parseLine(line.text);
    if (work.node === '') work.node = nodeOf(value);
    const checked = line.tooLong
      ? { ok: false as const, message: `The line is longer than ${limits.line} bytes` }
      : isJson
        ? checkIngestLine(value, { now: batch.arrivedAt, maxAgeMs })
        : { ok: false as const, message: 'The line is not JSON' };
    if (!checked.ok) {
      work.failed++;
      return work.failures.add(checked.message, line.text, isJson);
    }
    if (seen.has(checked.eventId)) {
      work.duplicates++;
      return;
    }
    seen.add(checked.eventId);
    return stream.add({ batchId: batch.id, event: normalise(checked, traps, work.label) });
  }

  /** Stores events of several batches and adds to their counts. */
  async #store(works: readonly Work[], waiting: readonly WaitingEvent[]): Promise<void> {
    if (waiting.length === 0) return;
    const byId = new Map(works.map((work) => [work.batch.id, work]));
    try {
      await this.#storeEvents(byId, waiting);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      // One batch must not stand in the way of the others: each alone, and the one that fails is given up.
      for (const [id, work] of byId) {
        const own = waiting.filter((w) => w.batchId === id);
        try {
          await this.#storeEvents(byId, own);
        } catch (inner) {
          if (!isUnreadable(inner)) throw inner;
          this.#options.log.error('the event store refuses a batch', {
            batch: id,
            because: (inner as Error).message,
          });
          work.error = 'system';
        }
      }
    }
  }

  async #storeEvents(works: ReadonlyMap<string, Work>, waiting: readonly WaitingEvent[]): Promise<void> {
    const { store, log, providers } = this.#options;
    const doubt = [...works.values()].some((work) => work.batch.doubtful);
    const result = await storeRound(store, waiting, doubt, providers, (message) => log.warn(message));
    for (const [id, times] of result.succeeded) {
      const work = works.get(id)!;
      work.succeeded += times.length;
      for (const at of times) work.lags.add(work.batch.arrivedAt - at);
    }
    for (const [id, n] of result.duplicates) works.get(id)!.duplicates += n;
  }

  async #finish(works: readonly Work[]): Promise<void> {
    const { store, files, clock } = this.#options;
    for (const work of works) {
      await work.failures.close();
      // Before the outcome, which tells its sender to fetch them.
      if (!work.failures.isEmpty) await files.keepFailures(work.batch);
    }
    const outcomes = works.map((work): BatchOutcome => {
      const { succeeded, failed, duplicates } = work;
      return {
        batchId: work.batch.id,
        at: clock.now(),
        arrivedAt: work.batch.arrivedAt,
        node: work.node || work.label,
        lags: work.lags.counts,
        keptDays: files.keepDays,
        succeeded,
        failed,
        duplicates,
        errorType: work.error ?? outcomeOf(work),
      };
    });
    await storeOutcomes(store.engine, outcomes, `outcome-${works[0]?.batch.id}-${clock.now()}`);
    for (const work of works) {
      await files.finish(work.batch);
      this.#queue.shift();
      this.#pendingBytes -= work.batch.size;
      this.#processed++;
    }
  }
}

/** Gathers events into inserts, and lets the next be read while one is being stored; never two at once. */
class StoreStream {
  readonly #store: (waiting: readonly WaitingEvent[]) => Promise<void>;
  #waiting: WaitingEvent[] = [];
  #storing: Promise<void> = Promise.resolve();
  /** Events handed in so far. */
  rows = 0;

  constructor(store: (waiting: readonly WaitingEvent[]) => Promise<void>) {
    this.#store = store;
  }

  /** Waits only when there is something to wait for. */
  add(event: WaitingEvent): Promise<void> | void {
    this.rows++;
    this.#waiting.push(event);
    if (this.#waiting.length >= ROWS_PER_INSERT) return this.#flush();
  }

  /** Stores what waits and resolves when all is stored; throws what storing has thrown. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#storing;
  }

  /** Resolves when nothing is being stored any more, however that ended. */
  async settled(): Promise<void> {
    await this.#storing.catch(() => {});
  }

  async #flush(): Promise<void> {
    await this.#storing;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#storing = this.#store(waiting);
    // Its failure is for whoever waits for it next, not for the process.
    this.#storing.catch(() => {});
  }
}

function isUnreadable(error: unknown): boolean {
  return error instanceof EngineError && unreadableRows.has(error.code);
}

function parseLine(text: string): { value: unknown; isJson: boolean } {
  try {
    return { value: JSON.parse(text), isJson: true };
  } catch {
    return { value: undefined, isJson: false };
  }
}
