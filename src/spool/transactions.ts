/**
 * The transactions of an LMDB store: writes that are begun in one turn of the event loop are one of them, so they are
 * all stored or none is, and one transaction is on its way at a time. Those who wait for it share the next.
 *
 * lmdb (3.5.6) would take more. But among three whose end it has not told yet it forgets the second, whose writes then
 * have the result of the third, so that what a failed sync undid would pass for stored. Two are not safe either: it
 * counts the one that comes next before there is one.
 */
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { RootDatabase } from 'lmdb';

interface Batch {
  readonly writes: Set<Promise<boolean>>;
  /** When all its writes have their result. */
  readonly ended: PromiseWithResolvers<void>;
  /** When that may be acted upon. */
  readonly told: PromiseWithResolvers<void>;
}

/** It comes at once when it comes. */
const LONGEST_FOR_CAUSE_MS = 100;

export class Transactions {
  readonly #root: RootDatabase;
  /** Takes the writes of this turn. */
  #open: Batch | null = null;
  /** Its result is not known yet. */
  #underWay: Batch | null = null;
  /** Ended, and not told. */
  #untold: Batch | null = null;
  #waiting = 0;

  constructor(root: RootDatabase) {
    this.#root = root;
  }

  /** Resolves when writes may be begun, in the turn in which that is so. */
  async free(): Promise<void> {
    if (!this.#underWay || this.#open) return;
    this.#waiting++;
    while (this.#underWay && !this.#open) await this.#underWay.ended.promise;
    this.#waiting--;
  }

  /** Resolves when these writes are on disk; they were begun in this turn, after `free`. Rejects with why they are not. */
  async stored(writes: readonly Promise<boolean>[]): Promise<void> {
    const [first] = writes;
    if (!first) return;
    this.#open ??= this.#begin();
    const { told } = this.#open;
    for (const write of writes) this.#open.writes.add(write);
    try {
      // lmdb has one promise for the writes of a batch, nearly always.
      if (writes.every((write) => write === first)) await first;
      else {
        const results = await Promise.allSettled(new Set(writes));
        const failed = results.find((result) => result.status === 'rejected');
        if (failed) throw failed.reason;
      }
    } catch (error) {
      throw await causeOf(error);
    }
    await told.promise;
  }

  /** Resolves when nothing is under way or waits to be. */
  async idle(): Promise<void> {
    while (this.#open || this.#underWay) await (this.#underWay?.ended.promise ?? turn());
  }

  #begin(): Batch {
    const batch: Batch = {
      writes: new Set(),
      ended: Promise.withResolvers(),
      told: Promise.withResolvers(),
    };
    // After lmdb's own, which has ended the batch by then and begun to write.
    setImmediate(() => {
      this.#open = null;
      this.#underWay = batch;
      this.#tell();
      // It ends a batch with an instruction of its own, whose promise is to be had only now; when the commit fails it
      // rejects too, and unheard it would end the process.
      void this.#root.committed.then(ignore, ignore);
      void Promise.allSettled(batch.writes).then(() => this.#ended(batch));
    });
    return batch;
  }

  /**
   * First those who wait begin to write, then the ones that are stored are told so: the disk works while they are
   * answered and delivered.
   */
  #ended(batch: Batch): void {
    this.#underWay = null;
    this.#untold = batch;
    batch.ended.resolve();
    if (this.#waiting === 0) this.#tell();
    // Should none of them write after all.
    else setImmediate(() => setImmediate(() => this.#tell()));
  }

  #tell(): void {
    this.#untold?.told.resolve();
    this.#untold = null;
  }
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
