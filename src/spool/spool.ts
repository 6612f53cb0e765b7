/**
 * The durable message store of one MTA, on LMDB.
 *
 * One environment holds the messages, what each recipient waits for, and the journal of outcomes, so that "this
 * recipient is done" and "this is what became of it" are one transaction: an outcome can be neither lost nor told
 * twice. Every write resolves after its transaction is on disk; writes of the same moment share one transaction and
 * one sync (group commit), which is what makes durability cheap under load.
 *
 * A write that the disk refuses rejects with `SpoolWriteError`, changes nothing, and the next one is tried afresh.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { reason } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';
import type { Envelope, PendingRecipient } from './stored-message.ts';

/** The disk did not take a transaction; nothing of it is stored. The message says where and why. */
export class SpoolWriteError extends Error {
  override readonly name = 'SpoolWriteError';
}

/** What has changed for a recipient: done (with its outcome in the same transaction) or waiting anew. */
export type Settlement =
  | { readonly spoolId: string; readonly index: number; readonly state: 'done' }
  | { readonly spoolId: string; readonly index: number; readonly state: PendingRecipient };

type PendingKey = [spoolId: string, index: number];
type PendingValue = Omit<PendingRecipient, 'spoolId' | 'index'>;

/** Where a view of the outcomes stands: see `OutcomeView.flush`. */
interface Checkpoint {
  readonly seq: number;
  readonly state: unknown;
}

export interface JournalEntry {
  readonly seq: number;
  readonly outcome: Outcome;
}

export interface SpoolOptions {
  /** Upper bound of the store in bytes; address space, not disk. Default 1 TiB. */
  readonly mapSize?: number;
}

export function openSpool(dir: string, options: SpoolOptions = {}): Spool {
  let root: RootDatabase;
  try {
    root = open({ path: dir, name: undefined, maxDbs: 8, mapSize: options.mapSize, noSubdir: false });
  } catch (error) {
    throw new UserError(`the spool in ${dir} cannot be opened: ${reason(error)}`, { cause: error });
  }
  // Other people's mail: LMDB makes its files readable for everyone.
  for (const name of ['data.mdb', 'lock.mdb']) chmodSync(path.join(dir, name), 0o600);
  return new Spool(dir, root);
}

export class Spool {
  readonly dir: string;
  /** Made with the store and kept with it: outcome numbers are unique only together with this. */
  readonly id: string;
  readonly #root: RootDatabase;
  readonly #envelopes: Database<Envelope, string>;
  readonly #contents: Database<Buffer, string>;
  readonly #pending: Database<PendingValue, PendingKey>;
  readonly #journal: Database<Outcome, number>;
  readonly #checkpoints: Database<Checkpoint, string>;
  /** Recipients still to be settled, per message; a message leaves the disk with its last recipient. */
  readonly #open = new Map<string, number>();
  #nextSeq: number;

  constructor(dir: string, root: RootDatabase) {
    this.dir = dir;
    this.#root = root;
    this.#envelopes = root.openDB({ name: 'envelopes' });
    this.#contents = root.openDB({ name: 'contents', encoding: 'binary' });
    this.#pending = root.openDB({ name: 'pending' });
    this.#journal = root.openDB({ name: 'outcomes' });
    this.#checkpoints = root.openDB({ name: 'checkpoints' });
    const state: Database<string, string> = root.openDB({ name: 'state' });
    let id = state.get('id');
    if (id === undefined) {
      id = randomUUID();
      state.putSync('id', id);
    }
    this.id = id;
    const newest = [...this.#journal.getKeys({ reverse: true, limit: 1 })][0] ?? 0;
    // The journal may be empty because every view has taken it all; numbers go on from where they had come to.
    const told = [...this.#checkpoints.getRange()].map(({ value }) => value.seq);
    this.#nextSeq = Math.max(newest, 0, ...told) + 1;
  }

  /** Stores a message for its recipients and journals its outcomes; resolves when all of it is on disk. */
  async store(
    envelope: Envelope,
    content: Buffer,
    recipients: readonly PendingRecipient[],
    outcomes: readonly Outcome[],
  ): Promise<void> {
    const { spoolId } = envelope.facts;
    const writes: Promise<boolean>[] = [];
    if (recipients.length > 0) {
      writes.push(this.#contents.put(spoolId, content), this.#envelopes.put(spoolId, envelope));
      for (const recipient of recipients) writes.push(this.#putPending(recipient));
    }
    this.#append(outcomes, writes);
    // Before the write, so that `recover` never takes a message of this run for one of the last.
    if (recipients.length > 0) this.#open.set(spoolId, recipients.length);
    try {
      await this.#commit(writes);
    } catch (error) {
      this.#open.delete(spoolId);
      throw error;
    }
  }

  /** Records what became of recipients, with the outcomes that tell it, in one transaction. */
  async settle(settlements: readonly Settlement[], outcomes: readonly Outcome[]): Promise<void> {
    const writes: Promise<boolean>[] = [];
    for (const settlement of settlements) {
      if (settlement.state !== 'done') {
        writes.push(this.#putPending(settlement.state));
        continue;
      }
      const { spoolId, index } = settlement;
      writes.push(this.#pending.remove([spoolId, index]));
      const left = (this.#open.get(spoolId) ?? 1) - 1;
      if (left > 0) {
        this.#open.set(spoolId, left);
        continue;
      }
      this.#open.delete(spoolId);
      writes.push(this.#envelopes.remove(spoolId), this.#contents.remove(spoolId));
    }
    this.#append(outcomes, writes);
    try {
      await this.#commit(writes);
    } catch (error) {
      for (const { spoolId, state } of settlements) {
        if (state === 'done') this.#open.set(spoolId, (this.#open.get(spoolId) ?? 0) + 1);
      }
      throw error;
    }
  }

  /** The unchanging part of a stored message; undefined when it is not (or no longer) here. */
  envelope(spoolId: string): Envelope | undefined {
    return this.#envelopes.get(spoolId);
  }

  /** The message as stored; undefined when it is not (or no longer) here. */
  content(spoolId: string): Buffer | undefined {
    return this.#contents.get(spoolId);
  }

  /**
   * Every recipient that was waiting when the spool was opened, oldest message first, in batches. Call it once,
   * after opening; it also counts the recipients of each message, which `settle` needs to know when one is empty.
   * Between two batches mail may be stored and settled: a message is in one batch with all its recipients, and one
   * that was stored since is in none.
   */
  *recover(batchSize = 1000): Generator<PendingRecipient[]> {
    let batch: PendingRecipient[] = [];
    let message = '';
    let ours = false;
    for (const { key, value } of this.#pending.getRange({ snapshot: false })) {
      const [spoolId, index] = key;
      if (spoolId !== message) {
        if (batch.length >= batchSize) {
          yield batch;
          batch = [];
        }
        message = spoolId;
        ours = !this.#open.has(spoolId);
      }
      if (!ours) continue;
      this.#open.set(spoolId, (this.#open.get(spoolId) ?? 0) + 1);
      batch.push({ spoolId, index, ...value });
    }
    if (batch.length > 0) yield batch;
  }

  /** Messages with at least one recipient still waiting. */
  get messageCount(): number {
    return this.#open.size;
  }

  /** Number of the latest outcome; 0 when there was none yet. */
  get newestOutcome(): number {
    return this.#nextSeq - 1;
  }

  /** Journaled outcomes after `seq`, oldest first. */
  journal(afterSeq: number, limit: number): JournalEntry[] {
    const entries: JournalEntry[] = [];
    for (const { key, value } of this.#journal.getRange({ start: afterSeq + 1, limit })) {
      entries.push({ seq: key, outcome: value });
    }
    return entries;
  }

  checkpoint(view: string): Checkpoint | null {
    return this.#checkpoints.get(view) ?? null;
  }

  /** Remembers how far each view has come and drops the outcomes that all of them have on disk. */
  async advance(checkpoints: ReadonlyMap<string, Checkpoint>, dropThrough: number): Promise<void> {
    const writes: Promise<boolean>[] = [];
    for (const [view, checkpoint] of checkpoints) writes.push(this.#checkpoints.put(view, checkpoint));
    for (const seq of this.#journal.getKeys({ end: dropThrough + 1 })) writes.push(this.#journal.remove(seq));
    await this.#commit(writes);
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  #putPending(recipient: PendingRecipient): Promise<boolean> {
    const { spoolId, index, ...value } = recipient;
    return this.#pending.put([spoolId, index], value);
  }

  #append(outcomes: readonly Outcome[], writes: Promise<boolean>[]): void {
    for (const outcome of outcomes) writes.push(this.#journal.put(this.#nextSeq++, outcome));
  }

  /** Writes begun in one turn of the event loop are one LMDB transaction, so they are all stored or none is. */
  async #commit(writes: readonly Promise<boolean>[]): Promise<void> {
    if (writes.length === 0) return;
    // lmdb ends a batch with an instruction of its own, whose promise is to be had only here; when the commit fails
    // it rejects too, and unheard it would end the process.
    setImmediate(() => void this.#root.committed.then(ignore, ignore));
    const results = await Promise.allSettled(writes);
    const failed = results.find((result) => result.status === 'rejected');
    if (!failed) return;
    // lmdb puts the cause into a second promise, which must be awaited or it counts as unhandled.
    let cause: unknown = failed.reason;
    try {
      await (failed.reason as { commitError?: Promise<unknown> }).commitError;
    } catch (error) {
      cause = error;
    }
    throw new SpoolWriteError(`the spool in ${this.dir} refused a write: ${reason(cause)}`, { cause });
  }
}

function ignore(): void {}
