/**
 * The transactions of an LMDB store: writes that are begun in one turn of the event loop are one of them, so they are
 * all stored or none is, and one transaction is on its way at a time. The next is begun when the event loop has little
 * else to do, for all who want to write by then: on a busy server one sync is for many.
 *
 * lmdb (3.5.6) would take more. But among three whose end it has not told yet it forgets the second, whose writes then
 * have the result of the third, so that what a failed sync undid would pass for stored. Two are not safe either: it
 * counts the one that comes next before there is one.
 */
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { RootDatabase } from 'lmdb';
import { whenQuiet } from '../system/event-loop.ts';

/** Writes that are to be stored in one transaction, or not at all. */
export interface Writing {
  /** Begins them: called once, in the turn in which that may be done. What is put off to its end goes with them. */
  begin(): readonly Promise<boolean>[];
  /** They are on disk (`null`), or why they are not: also what `begin` threw. Must not throw. */
  ended(failure: unknown): void;
}

interface Batch {
  readonly writes: Set<Promise<boolean>>;
  /** Who is to hear of its end. */
  readonly writings: Writing[];
  /** When all its writes have their result. */
  readonly ended: PromiseWithResolvers<void>;
}

/** It comes at once when it comes. */
const LONGEST_FOR_CAUSE_MS = 100;

export class Transactions {
  readonly #root: RootDatabase;
  readonly #gathered: () => readonly Promise<boolean>[];
  /** Takes the writes of this turn. */
  #open: Batch | null = null;
  /** On its way: its result is not known yet. */
  #underWay: Batch | null = null;
  /** Writes may be begun: nothing is on its way. */
  #free = false;
  /** Who wants to write when that is so. */
  #waiting: Writing[] = [];

  /** `gathered` begins the writes that were put off to the end of the turn, for all who write in it together. */
  constructor(root: RootDatabase, gathered: () => readonly Promise<boolean>[] = () => []) {
    this.#root = root;
    this.#gathered = gathered;
    root.on('beforecommit', () => this.#close());
  }

  /** Begins these writes when that may be done: now, or later. */
  write(writing: Writing): void {
    if (this.#free) {
      this.#run(writing);
      return;
    }
    // Whoever is the first; when a transaction ends, it is looked who waits.
    if (this.#waiting.length === 0 && !this.#underWay) whenQuiet(this.#begin);
    this.#waiting.push(writing);
  }

  readonly #begin = (): void => {
    this.#free = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const writing of waiting) this.#run(writing);
  };

  #run(writing: Writing): void {
    const batch = this.#open ?? newBatch();
    try {
      for (const write of writing.begin()) batch.writes.add(write);
      // lmdb ends a batch only when it has begun one.
      if (batch.writes.size === 0) for (const write of this.#gathered()) batch.writes.add(write);
    } catch (error) {
      writing.ended(error);
      return;
    }
    if (batch.writes.size === 0) {
      writing.ended(null);
      return;
    }
    batch.writings.push(writing);
    this.#open = batch;
  }

  /** Resolves when nothing is under way or waits to be. */
  async idle(): Promise<void> {
    while (this.#open || this.#underWay || this.#waiting.length > 0) {
      await this.#underWay?.ended.promise;
      // Those who waited for it begin to write.
      await turn();
    }
  }

  /**
   * lmdb is about to end its batch, in an instruction of its own: what is written here is still part of it, and what
   * is written later is not.
   */
  #close(): void {
    // None where somebody began to write and then threw.
    const batch = this.#open ?? newBatch();
    this.#open = null;
    this.#free = false;
    this.#underWay = batch;
    try {
      for (const write of this.#gathered()) batch.writes.add(write);
    } catch (error) {
      batch.writes.add(Promise.reject(error));
    }
    // When lmdb has begun to write, and before it can know how that ended.
    queueMicrotask(() => {
      // The promise of that instruction is to be had only now; it rejects too, and unheard it would end the process.
      const committed = this.#root.committed.then(ignore, ignore);
      void Promise.allSettled([...batch.writes, committed]).then((results) => this.#ended(batch, results));
    });
  }

  /** Those who are told now have the more to write when the next is begun. */
  #ended(batch: Batch, results: readonly PromiseSettledResult<unknown>[]): void {
    this.#underWay = null;
    if (this.#waiting.length > 0) whenQuiet(this.#begin);
    batch.ended.resolve();
    const failed = results.find((result) => result.status === 'rejected');
    const tell = (failure: unknown) => {
      for (const writing of batch.writings) writing.ended(failure);
    };
    if (failed) void causeOf(failed.reason).then(tell);
    else tell(null);
  }
}

function newBatch(): Batch {
  return { writes: new Set(), writings: [], ended: Promise.withResolvers() };
}

/**
 * Why a commit failed. lmdb puts that into a second promise, which must be heard or it counts as unhandled, and which may
 * stay open for ever: nobody settles it when the transaction behind the failed one succeeds before lmdb has told of either.
 */
async function causeOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  if (!commitError) return error;
  return await Promise.race([
    commitError.then(
      () => error,
      (cause: unknown) => cause,
    ),
    wait(LONGEST_FOR_CAUSE_MS, new Error('the transaction was not written, and lmdb does not say why')),
  ]);
}

function ignore(): void {}
