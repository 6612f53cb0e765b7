/**
 * The durable message store of one MTA, on LMDB.
 *
 * One environment holds the messages, what each recipient waits for, and the journal of outcomes, so that "this
 * recipient is done" and "this is what became of it" are one transaction: an outcome can be neither lost nor told
 * twice. Every write resolves after its transaction is on disk; writes of the same moment share one transaction and
 * one sync (group commit), which is what makes durability cheap under load.
 *
 * A write that the disk refuses rejects with `SpoolWriteError`, changes nothing, and the next one is tried afresh.
 * A record that cannot be used is set aside (`SetAside`), and everything else goes on.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { reason } from '../system/durable-file.ts';
import { type Log, silentLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { CorruptFolder } from './corrupt-folder.ts';
import { Departures } from './departures.ts';
import { EnvelopeCache } from './envelope-cache.ts';
import { type PendingKey, type PendingValue, recipientsOf } from './mail-tables.ts';
import { type Appended, type JournalEntry, OutcomeJournal } from './outcome-journal.ts';
import { RecentMessages } from './recent-messages.ts';
import { envelopeFault } from './record-checks.ts';
import { openRecords } from './record-codec.ts';
import { RecoveryScan } from './recovery-scan.ts';
import { type Room, roomOf, spaceFor } from './room.ts';
import { type ReportMark, SentMail } from './sent-mail.ts';
import { SetAside } from './set-aside.ts';
import { SpoolWriteError } from './spool-write-error.ts';
import type { Envelope, PendingRecipient } from './stored-message.ts';
import { Transactions } from './transactions.ts';

/** What has changed for a recipient: done (with its outcome in the same transaction) or waiting anew. */
export type Settlement =
  | { readonly spoolId: string; readonly index: number; readonly state: 'done' }
  | { readonly spoolId: string; readonly index: number; readonly state: PendingRecipient };

type DelayKey = [at: number, spoolId: string, index: number];

/** Where a view of the outcomes stands: see `OutcomeView.flush`. */
export interface Checkpoint {
  readonly seq: number;
  readonly state: unknown;
}

/** A message that is stored together with what caused it. */
export interface NewMessage {
  readonly envelope: Envelope;
  readonly content: Buffer;
  /** At least one. */
  readonly recipients: readonly PendingRecipient[];
}

/** What is stored in the same transaction as a message. */
export interface AlsoStored {
  readonly created: readonly NewMessage[];
  readonly reported: readonly ReportMark[];
}

const NOTHING_ELSE: AlsoStored = { created: [], reported: [] };

/** A recipient whose sender asked to hear of delay, and when it is to be looked at for that. */
export interface DelayNotice {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly spoolId: string;
  readonly index: number;
}

export interface SpoolOptions {
  /** Upper bound of the store in bytes; address space, not disk. Default 1 TiB. */
  readonly mapSize?: number;
  readonly log?: Log;
  /** Delete records that cannot be used instead of setting them aside (`spool-delete-corrupted`). */
  readonly deleteCorrupted?: boolean;
  /**
   * The disk failed in a way that leaves nothing to be done here: the store takes no more writes until the program is
   * started anew. All that was acknowledged is on disk.
   */
  readonly onFailed?: (error: SpoolWriteError) => void;
}

/**
 * The layout of the records: 1 has envelopes and outcomes in MessagePack, 2 in JSON (`record-codec.ts`), 3 has the
 * outcomes of a transaction in one record (`outcome-journal.ts`). A store without a number was written before there
 * was one, in layout 1.
 */
const FORMAT = 3;

export function openSpool(dir: string, options: SpoolOptions = {}): Spool {
  let root: RootDatabase;
  try {
    // Not `overlappingSync`: it makes a transaction visible before it is on disk, and one whose sync fails stays.
    root = open({ path: dir, maxDbs: 16, mapSize: options.mapSize, noSubdir: false, overlappingSync: false });
  } catch (error) {
    throw new UserError(`the spool in ${dir} cannot be opened: ${reason(error)}`, { cause: error });
  }
  // Other people's mail: LMDB makes its files readable for everyone.
  for (const name of ['data.mdb', 'lock.mdb']) chmodSync(path.join(dir, name), 0o600);
  return new Spool(dir, root, options);
}

export class Spool {
  readonly dir: string;
  /** Made with the store and kept with it: outcome numbers are unique only together with this. */
  readonly id: string;
  readonly #root: RootDatabase;
  readonly #envelopes: Database<Envelope, string>;
  readonly #contents: Database<Buffer, string>;
  readonly #pending: Database<PendingValue, PendingKey>;
  readonly #journal: OutcomeJournal;
  readonly #checkpoints: Database<Checkpoint, string>;
  readonly #claims: Database<number, string>;
  /** Ordered by time, so that what is due is found without a look at the rest. */
  readonly #delays: Database<true, DelayKey>;
  readonly #departures: Departures;
  /** What reports that come later are compared with. */
  readonly sent: SentMail;
  readonly #decoded = new EnvelopeCache();
  readonly #recent = new RecentMessages();
  readonly #aside: SetAside;
  readonly #scan: RecoveryScan;
  readonly #room: Room;
  readonly #log: Log;
  readonly #onFailed: (error: SpoolWriteError) => void;
  #failed: SpoolWriteError | null = null;
  readonly #transactions: Transactions;

  constructor(dir: string, root: RootDatabase, options: SpoolOptions) {
    this.dir = dir;
    this.#root = root;
    this.#transactions = new Transactions(root, () => this.#journal.write());
    this.#log = options.log ?? silentLog;
    this.#onFailed = options.onFailed ?? (() => {});
    const state: Database<string | number, string> = root.openDB({ name: 'state' });
    const format = state.get('format') ?? 1;
    if (typeof format !== 'number' || format > FORMAT) {
      throw new UserError(
        `the spool in ${dir} was written by a newer version (layout ${format}, this one knows ${FORMAT}); start that version, let it empty the spool, then come back`,
      );
    }
    this.#envelopes = openRecords(root, 'envelopes');
    this.#contents = root.openDB({ name: 'contents', encoding: 'binary' });
    this.#pending = root.openDB({ name: 'pending' });
    this.#journal = new OutcomeJournal(root, (record) => this.#aside.outcomes(record));
    this.#checkpoints = root.openDB({ name: 'checkpoints' });
    this.#claims = root.openDB({ name: 'claims' });
    this.#delays = root.openDB({ name: 'delays' });
    this.sent = new SentMail(root);
    this.id = (state.get('id') as string | undefined) ?? randomUUID();
    // Before the first record of this layout: a program that knows only the one before must not meet it.
    if (state.get('format') !== FORMAT) {
      root.transactionSync(() => {
        state.putSync('id', this.id);
        state.putSync('format', FORMAT);
      });
    }
    this.#departures = new Departures(
      (spoolId) =>
        this.#recent.waiting(spoolId)?.length ??
        this.#reading(() => this.#pending.getKeysCount(recipientsOf(spoolId))),
      (spoolId, index) =>
        this.#recent.waiting(spoolId)?.includes(index) ??
        this.#reading(() => this.#pending.doesExist([spoolId, index])),
    );
    const databases = [this.#envelopes, this.#contents, this.#pending, this.#journal.database];
    this.#room = roomOf(path.join(dir, 'data.mdb'), databases as Database[]);
    const tables = { envelopes: this.#envelopes, contents: this.#contents, pending: this.#pending };
    this.#aside = new SetAside(
      {
        tables,
        outcomes: () => this.#journal.database,
        envelope: (spoolId) => this.envelope(spoolId),
        forget: (spoolId) => {
          this.#decoded.forget(spoolId);
          this.#recent.forget(spoolId);
        },
        settle: (spoolId, index) => this.settle([{ spoolId, index, state: 'done' }], []),
        commit: (begin) =>
          this.#write((writes) => {
            for (const write of begin()) writes.push(write);
          }),
      },
      new CorruptFolder(dir, !options.deleteCorrupted, this.#log),
      this.#log,
    );
    this.#scan = new RecoveryScan(tables, this.#aside);
    this.#journal.begin([...this.#checkpoints.getRange()].map(({ value }) => value.seq));
  }

  /**
   * Stores a message for its recipients and journals its outcomes; resolves when all of it is on disk. `claim` names
   * what the message was taken from (a pickup file) and is kept with it, so that it is not taken again if it could
   * not be removed in time: see `wasTaken`. In the same transaction: messages that this one causes, and what was
   * reported of messages sent before.
   */
  store(
    envelope: Envelope,
    content: Buffer,
    recipients: readonly PendingRecipient[],
    outcomes: readonly Outcome[],
    claim?: string,
    also: AlsoStored = NOTHING_ELSE,
  ): Promise<void> {
    let bytes = spaceFor(content, recipients.length) + outcomes.length * 2048;
    for (const message of also.created) bytes += spaceFor(message.content, message.recipients.length);
    const write = () =>
      this.#write(
        (writes) => {
          if (claim !== undefined) writes.push(this.#claims.put(claim, envelope.facts.receivedAt));
          if (recipients.length > 0) this.#create({ envelope, content, recipients }, writes);
          for (const message of also.created) this.#create(message, writes);
          this.sent.mark(also.reported, writes);
        },
        outcomes,
        (written) => {
          this.#room.release(bytes);
          if (written && recipients.length > 0) this.#recent.keep(envelope, content, recipients, Date.now());
        },
      );
    const refused = (error: unknown) => Promise.reject(this.#refused(error));
    try {
      const later = this.#room.reserve(bytes);
      return later ? later.then(write, refused) : write();
    } catch (error) {
      return refused(error);
    }
  }

  /** Whether a message was stored from what this names. */
  wasTaken(claim: string): boolean {
    return this.#claims.doesExist(claim);
  }

  /** What these name is gone for good: they will not be asked about again. */
  forgetTaken(claims: readonly string[]): Promise<void> {
    return this.#write((writes) => {
      for (const claim of claims) writes.push(this.#claims.remove(claim));
    });
  }

  /**
   * Records what became of recipients, with the outcomes that tell it, in one transaction. A message leaves the disk
   * with its last recipient. In the same transaction: messages that this causes (reports, copies), and delay notices
   * that were told, each due again at `next` or forgotten.
   */
  settle(
    settlements: readonly Settlement[],
    outcomes: readonly Outcome[],
    created: readonly NewMessage[] = [],
    told: readonly { readonly notice: DelayNotice; readonly next: number | null }[] = [],
  ): Promise<void> {
    const done = settlements.filter(({ state }) => state === 'done');
    const busy = this.#departures.busy(done);
    if (busy) return busy.then(() => this.settle(settlements, outcomes, created, told));
    let departure: ReturnType<Departures['begin']>;
    try {
      // From here on they are leaving, though nothing is written yet.
      departure = this.#departures.begin(done);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#write(
      (writes) => {
        for (const { spoolId, state } of settlements) {
          if (state === 'done') continue;
          writes.push(this.#putPending(state));
          // It will wait a while.
          this.#recent.forget(spoolId);
        }
        for (const { spoolId, index } of done) writes.push(this.#pending.remove([spoolId, index]));
        for (const spoolId of departure.emptied) {
          this.#decoded.forget(spoolId);
          writes.push(this.#envelopes.remove(spoolId), this.#contents.remove(spoolId));
        }
        for (const message of created) this.#create(message, writes);
        for (const { notice, next } of told) {
          const { at, spoolId, index } = notice;
          writes.push(this.#delays.remove([at, spoolId, index]));
          if (next !== null) writes.push(this.#delays.put([next, spoolId, index], true));
        }
      },
      outcomes,
      (written) => {
        departure.end(written);
        if (written) for (const { spoolId, index } of done) this.#recent.settled(spoolId, index);
      },
    );
  }

  /** Where a recipient waits, as stored last; undefined when it is settled. */
  pending(spoolId: string, index: number): PendingRecipient | undefined {
    const value = this.#pending.get([spoolId, index]);
    return value && { spoolId, index, ...value };
  }

  /** Whether this recipient is done and that is not on disk yet; `pending` still answers it. */
  isLeaving(spoolId: string, index: number): boolean {
    return this.#departures.isLeaving(spoolId, index);
  }

  /** Delay notices due at `now`, earliest first. A recipient that is settled meanwhile may still be among them. */
  delayNotices(now: number, limit: number): DelayNotice[] {
    const due = this.#delays.getKeys({ end: [now + 1] as unknown as DelayKey, limit });
    return [...due].map(([at, spoolId, index]) => ({ at, spoolId, index }));
  }

  /** When the next delay notice is due; Infinity when there is none. */
  get nextDelayNotice(): number {
    const [first] = this.#delays.getKeys({ limit: 1 });
    return first ? first[0] : Number.POSITIVE_INFINITY;
  }

  /** The unchanging part of a stored message; undefined when it is not (or no longer) here. */
  envelope(spoolId: string): Envelope | undefined {
    const kept = this.#recent.get(spoolId)?.envelope ?? this.#decoded.get(spoolId);
    if (kept) return kept;
    let fault: string | null;
    try {
      const envelope = this.#envelopes.get(spoolId);
      if (envelope === undefined) return undefined;
      fault = envelopeFault(envelope, spoolId);
      if (fault === null) {
        this.#decoded.keep(spoolId, envelope);
        return envelope;
      }
    } catch (error) {
      // Throws when it is the store that cannot be read, not this record.
      this.#reading(() => this.#envelopes.getBinary(spoolId));
      fault = `cannot be decoded (${reason(error)})`;
    }
    this.#aside.message(spoolId, `the envelope ${fault}`);
    return undefined;
  }

  /** The message as stored, for reading only; undefined when it is not (or no longer) here. */
  content(spoolId: string): Buffer | undefined {
    const recent = this.#recent.get(spoolId);
    if (recent) return recent.content;
    const content = this.#contents.get(spoolId);
    const envelope = content && this.envelope(spoolId);
    if (!content || !envelope) return undefined;
    const { contentChecksum } = envelope;
    if (contentChecksum === undefined || contentChecksum === crc32(content)) return content;
    this.#aside.message(spoolId, 'the text of the message is not what was stored, its checksum is wrong');
    return undefined;
  }

  /**
   * Every recipient that was waiting when the spool was opened, oldest message first, in batches; a message is in one
   * batch with all its recipients. Between two batches mail may be stored and settled: what was stored since is in
   * none, and no reader stays open that would keep old pages. What cannot be used is set aside on the way.
   */
  recover(batchSize = 500): Generator<PendingRecipient[]> {
    return this.#scan.batches(batchSize);
  }

  /** Messages with at least one recipient still waiting. */
  get messageCount(): number {
    return (this.#envelopes.getStats() as { entryCount: number }).entryCount;
  }

  /** Number of the latest outcome; 0 when there was none yet. */
  get newestOutcome(): number {
    return this.#journal.newest;
  }

  /** Journaled outcomes after `seq`, oldest first. */
  journal(afterSeq: number, limit: number): JournalEntry[] {
    return this.#journal.read(afterSeq, limit);
  }

  checkpoint(view: string): Checkpoint | null {
    return this.#checkpoints.get(view) ?? null;
  }

  /** Names of the views of which something is stored. */
  viewsWithCheckpoint(): string[] {
    return [...this.#checkpoints.getKeys()];
  }

  /** Gives new views their first checkpoint and forgets those of views that have gone, all or nothing. */
  succeed(fresh: ReadonlyMap<string, Checkpoint>, gone: readonly string[]): Promise<void> {
    return this.#write((writes) => {
      for (const [view, checkpoint] of fresh) writes.push(this.#checkpoints.put(view, checkpoint));
      for (const view of gone) writes.push(this.#checkpoints.remove(view));
    });
  }

  /** Remembers how far each view has come and drops the outcomes that all of them have on disk. */
  async advance(checkpoints: ReadonlyMap<string, Checkpoint>, dropThrough: number): Promise<void> {
    await this.#write((writes) => {
      for (const [view, checkpoint] of checkpoints) writes.push(this.#checkpoints.put(view, checkpoint));
      this.#journal.drop(dropThrough, writes);
    });
    this.#journal.dropped(dropThrough);
  }

  /** Forgets mail that was sent before the time of `SentMail.outdated`, a batch at a time; whether there is more. */
  async forgetSent(now: number): Promise<boolean> {
    let more = false;
    await this.#write((writes) => {
      const outdated = this.#reading(() => this.sent.outdated(now));
      more = outdated.more;
      for (const write of outdated.writes) writes.push(write);
    });
    return more;
  }

  async close(): Promise<void> {
    await this.#aside.ended();
    if (!this.#failed) await this.#transactions.idle();
    // The writing thread of a store that has failed never ends.
    if (!this.#failed) await this.#root.close();
  }

  #putPending(recipient: PendingRecipient): Promise<boolean> {
    const { spoolId, index, delayNoticeAt: _, ...value } = recipient;
    return this.#pending.put([spoolId, index], value);
  }

  #create({ envelope, content, recipients }: NewMessage, writes: Promise<boolean>[]): void {
    const { spoolId } = envelope.facts;
    this.#scan.leaveOut(spoolId);
    const record = { ...envelope, contentChecksum: crc32(content) };
    writes.push(this.#contents.put(spoolId, content), this.#envelopes.put(spoolId, record));
    for (const recipient of recipients) {
      writes.push(this.#putPending(recipient));
      const { delayNoticeAt: at, index } = recipient;
      if (at !== undefined) writes.push(this.#delays.put([at, spoolId, index], true));
    }
  }

  /**
   * Writes in one transaction: `begin` adds the writes, in the turn in which that may be done, and the outcomes are
   * journaled with them. Resolves when all is on disk; rejects when the store takes no more, or not this. Before either
   * `ended` hears whether it was `written`.
   */
  #write(
    begin: (writes: Promise<boolean>[]) => void,
    outcomes: readonly Outcome[] = [],
    ended?: (written: boolean) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let begun = false;
      let appended: Appended | null = null;
      this.#transactions.write({
        begin: () => {
          if (this.#failed) throw this.#failed;
          const writes: Promise<boolean>[] = [];
          begin(writes);
          this.sent.remember(outcomes, writes);
          appended = this.#journal.append(outcomes);
          begun = true;
          return writes;
        },
        ended: (failure) => {
          const written = failure === null;
          try {
            this.#journal.ended(appended, written);
            ended?.(written);
            if (written) resolve();
            else if (!begun) reject(failure);
            else reject(this.#readable() ? this.#refused(failure) : this.#fail(failure));
          } catch (error) {
            reject(error);
          }
        },
      });
    });
  }

  #refused(cause: unknown): SpoolWriteError {
    return new SpoolWriteError(`the spool in ${this.dir} refused a write: ${reason(cause)}`, { cause });
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw this.#readable() ? error : this.#fail(error);
    }
  }

  /** After a failure to write its first page LMDB takes no further transaction, not even one that reads. */
  #readable(): boolean {
    try {
      this.#root.resetReadTxn();
      this.#checkpoints.get('');
      return true;
    } catch {
      return false;
    }
  }

  #fail(cause: unknown): SpoolWriteError {
    if (!this.#failed) {
      const why = 'the first page of its store could not be written, so it takes no more';
      this.#failed = new SpoolWriteError(`the disk of the spool in ${this.dir} has failed: ${why}`, {
        cause,
      });
      this.#onFailed(this.#failed);
    }
    return this.#failed;
  }
}
