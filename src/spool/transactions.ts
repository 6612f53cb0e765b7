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

interface Batch {
  readonly writes: Set<Promise<boolean>>;
  /** When all its writes have their result. */
  readonly ended: PromiseWithResolvers<void>;
  /** When that may be acted upon; rejects with why they are not on disk. */
  readonly told: PromiseWithResolvers<void>;
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
  /** For those who want to write before that. */
  #freed: PromiseWithResolvers<void> | null = null;

  /** `gathered` begins the writes that were put off to the end of the turn, for all who write in it together. */
  constructor(root: RootDatabase, gathered: () => readonly Promise<boolean>[] = () => []) {
    this.#root = root;
    this.#gathered = gathered;
    root.on('beforecommit', () => this.#close());
  }

  /** Resolves when writes may be begun, in the turn in which that is so. */
  async free(): Promise<void> {
    if (this.#free) return;
    if (!this.#freed) {
      this.#freed = Promise.withResolvers();
      if (!this.#underWay) whenQuiet(this.#begin);
    }
    await this.#freed.promise;
  }

  readonly #begin = (): void => {
    this.#free = true;
    this.#freed?.resolve();
    this.#freed = null;
  };

  /**
   * Resolves when these writes, and what was put off with them, are on disk; they were begun in this turn, after
   * `free`. Rejects with why they are not.
   */
  async stored(writes: readonly Promise<boolean>[]): Promise<void> {
    const batch = this.#open ?? newBatch();
    for (const write of writes) batch.writes.add(write);
    // lmdb ends a batch only when it has begun one.
    if (batch.writes.size === 0) for (const write of this.#gathered()) batch.writes.add(write);
    if (batch.writes.size === 0) return;
    this.#open = batch;
    await batch.told.promise;
  }

  /** Resolves when nothing is under way or waits to be. */
  async idle(): Promise<void> {
    while (this.#open || this.#underWay || this.#freed) {
      await (this.#underWay?.ended.promise ?? this.#freed?.promise);
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

  /** Those who are told first have the more to write when the next is begun. */
  #ended(batch: Batch, results: readonly PromiseSettledResult<unknown>[]): void {
    this.#underWay = null;
    if (this.#freed) whenQuiet(this.#begin);
    batch.ended.resolve();
    const failed = results.find((result) => result.status === 'rejected');
    if (!failed) {
      batch.told.resolve();
      return;
    }
    batch.told.promise.catch(ignore);
    void causeOf(failed.reason).then(batch.told.reject);
  }
}

function newBatch(): Batch {
  return { writes: new Set(), ended: Promise.withResolvers(), told: Promise.withResolvers() };
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
