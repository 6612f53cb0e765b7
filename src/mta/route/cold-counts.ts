/**
 * How much of today's share of a cold VMTA has been used, per queue domain: on disk in a store of its own in the state
 * folder. A count is on disk before the message it was counted for is answered with 250, so a restart at any moment
 * neither forgets a diverted message nor gives a cold address more than its share.
 *
 * Its own store and not the spool: counts outlive messages, and there may be several spools.
 */
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import { Transactions } from '../../spool/transactions.ts';
import { reason } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';

/** Days are numbers: calendar days since 1970, in the server's local time. */
export interface ColdCount {
  /** Day on which the plan of this pair began. */
  readonly first: number;
  /** Day that `count` belongs to. */
  readonly day: number;
  readonly count: number;
  /** The plan has several steps, so `first` matters after today. */
  readonly steps: boolean;
}

type Key = [coldVmta: string, domain: string];

/** A pair that was not used for so long begins its plan anew. */
const FORGOTTEN_AFTER_DAYS = 400;
const BATCH = 1000;

export class ColdCounts {
  readonly #dir: string;
  readonly #root: RootDatabase;
  readonly #counts: Database<ColdCount, Key>;
  readonly #transactions: Transactions;
  /** Written and not yet on disk: what the next message must see. */
  readonly #unwritten = new Map<string, ColdCount>();
  #closed = false;

  constructor(dir: string, root: RootDatabase) {
    this.#dir = dir;
    this.#root = root;
    this.#counts = root.openDB({ name: 'counts' });
    this.#transactions = new Transactions(root);
  }

  get(cold: string, domain: string): ColdCount | undefined {
    return this.#unwritten.get(`${cold} ${domain}`) ?? this.#counts.get([cold, domain]);
  }

  /** Takes effect at once; resolves when it is on disk. */
  async set(cold: string, domain: string, count: ColdCount): Promise<void> {
    const key = `${cold} ${domain}`;
    this.#unwritten.set(key, count);
    try {
      await this.#write(() => [this.#counts.put([cold, domain], count)]);
    } finally {
      if (this.#unwritten.get(key) === count) this.#unwritten.delete(key);
    }
  }

  /** Drops what no plan needs any more; in small steps, it may be called while mail comes in. */
  async purge(today: number): Promise<void> {
    let start: Key | undefined;
    let more = true;
    while (more && !this.#closed) {
      const step = () => {
        if (this.#closed) return [];
        const range = this.#counts.getRange(start ? { start, limit: BATCH } : { limit: BATCH });
        const entries = [...range].map(({ key, value }) => ({ key, value }));
        const removed: Promise<boolean>[] = [];
        for (const { key, value } of entries) {
          const age = today - value.day;
          if (age <= 0 || this.#unwritten.has(key.join(' '))) continue;
          if (!value.steps || age > FORGOTTEN_AFTER_DAYS) removed.push(this.#counts.remove(key));
        }
        start = entries.at(-1)?.key;
        more = entries.length === BATCH;
        return removed;
      };
      // What could not be removed now is removed another day.
      await this.#write(step).catch(() => {});
    }
  }

  /** Resolves when what `begin` begins to write is on disk. */
  #write(begin: () => readonly Promise<boolean>[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const ended = (cause: unknown) => {
        if (cause === null) resolve();
        else reject(new SpoolWriteError(`${this.#dir} refused a write: ${reason(cause)}`, { cause }));
      };
      this.#transactions.write({ begin, ended });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#transactions.idle();
    await this.#root.close();
  }
}

/** Opens (and makes, if need be) the store in the state folder. */
export function openColdCounts(stateDir: string): ColdCounts {
  const dir = path.join(stateDir, 'cold-virtual-mta');
  let root: RootDatabase;
  try {
    root = open({ path: dir, name: undefined, maxDbs: 2, noSubdir: false });
  } catch (error) {
    throw new UserError(`the counts of cold VMTAs in ${dir} cannot be opened: ${reason(error)}`, {
      cause: error,
    });
  }
  for (const name of ['data.mdb', 'lock.mdb']) chmodSync(path.join(dir, name), 0o600);
  return new ColdCounts(dir, root);
}
