/**
 * Mail in the log: stored there, settled there, and gone. What is to stay longer, or has more done to it than that, is
 * moved into the store, and is the store's from then on. That is one transaction of the store with a mark in it
 * (`moved`), so that a start knows what of the log is not the log's any more; the marks go with the segment (`retired`).
 */
import { setTimeout as wait } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Database, RootDatabase } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { reason } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import type { CorruptFolder } from './corrupt-folder.ts';
import { FreshMail, type FreshMessage } from './fresh-mail.ts';
import { leftInLog, settleText, storeText } from './log-replay.ts';
import { type MailTables, putPending } from './mail-tables.ts';
import type { Appended, OutcomeJournal } from './outcome-journal.ts';
import type { Room } from './room.ts';
import type { SentMail } from './sent-mail.ts';
import { readLog, SpoolLog } from './spool-log.ts';
import type { NewMessage } from './stored-message.ts';

/** The store that it stands before. */
export interface StoreBehind {
  readonly dir: string;
  readonly root: RootDatabase;
  readonly tables: MailTables;
  readonly state: Database<string | number, string>;
  readonly journal: OutcomeJournal;
  readonly sent: SentMail;
  readonly room: Room;
  readonly corrupt: CorruptFolder;
  readonly log: Log;
  /** Numbers of the last outcomes that each view has. */
  readonly told: () => readonly number[];
  /** A message of this run comes into the tables. */
  readonly leaveOut: (spoolId: string) => void;
  /** Resolves when writes may be begun; throws when the store takes no more. */
  readonly free: () => Promise<void>;
  readonly commit: (writes: readonly Promise<boolean>[]) => Promise<void>;
  /** Throws when the store takes no more. */
  readonly refuseIfFailed: () => void;
  readonly refused: (cause: unknown) => Error;
}

/** Octets of the text of a message's record beside its content: what is ordinary. */
const TEXT_ROOM = 16 * 1024;
/** Octets in the store that a message takes at most beside its content, moved there with others. */
const LEAST_ROOM = 8 * 1024;
/** Messages moved in one transaction. */
const MOVED_TOGETHER = 100;
const RETRY_MS = 1000;

export class LoggedMail {
  readonly #store: StoreBehind;
  /** Messages that the log has and the store has taken over, each with the segment in which it stands. */
  readonly #moved: Database<number, string>;
  readonly #fresh = new FreshMail();
  readonly #log: SpoolLog;
  /** Messages being stored, and settlements. */
  #underWay = 0;
  #quiet: PromiseWithResolvers<void> | null = null;
  #retiring: Promise<void> = Promise.resolve();
  #closing = false;

  /** What an earlier run has left in the log comes into the store first. `fileSize` as in `SpoolLogOptions`. */
  constructor(store: StoreBehind, fileSize: number | undefined) {
    this.#store = store;
    this.#moved = store.root.openDB({ name: 'moved' });
    this.#log = this.#open(fileSize);
  }

  /** Messages that only the log has. */
  get size(): number {
    return this.#fresh.size;
  }

  get(spoolId: string): FreshMessage | undefined {
    return this.#fresh.get(spoolId);
  }

  /** Stores a message and journals its outcomes; null when it is not one for the log, or there is no room. */
  store(message: NewMessage, outcomes: readonly Outcome[]): Promise<void> | null {
    const { content, recipients } = message;
    if (!FreshMail.takes(recipients) || !this.#log.hasRoom(content.length + TEXT_ROOM)) return null;
    this.#underWay++;
    return this.#storeNow(message, outcomes).finally(this.#ended);
  }

  async #storeNow(
    { envelope, content, recipients }: NewMessage,
    outcomes: readonly Outcome[],
  ): Promise<void> {
    const { journal, room, refuseIfFailed } = this.#store;
    refuseIfFailed();
    const { spoolId } = envelope.facts;
    const { segment } = this.#log;
    const record = { ...envelope, contentChecksum: crc32(content) };
    const appended = journal.appendToLog(outcomes);
    const text = storeText(record, recipients, appended.first, appended.texts);
    await this.#written(this.#log.append(text, content), appended, segment);
    const reserved = content.length + LEAST_ROOM + recipients.length * 1024;
    room.hold(reserved);
    const waiting = new Map(recipients.map((recipient) => [recipient.index, recipient]));
    this.#fresh.keep({ spoolId, envelope: record, content, waiting, segment, reserved });
  }

  /** Settles recipients and journals outcomes; null when not all of them are the log's, or there is no room. */
  settle(
    done: readonly { readonly spoolId: string; readonly index: number }[],
    outcomes: readonly Outcome[],
  ): Promise<void> | null {
    const ids = new Set(done.map(({ spoolId }) => spoolId));
    if (!this.#fresh.allStay(ids) || !this.#log.hasRoom(outcomes.length * 2048 + done.length * 64))
      return null;
    this.#underWay++;
    return this.#settleNow(ids, done, outcomes).finally(this.#ended);
  }

  async #settleNow(
    ids: ReadonlySet<string>,
    done: readonly { readonly spoolId: string; readonly index: number }[],
    outcomes: readonly Outcome[],
  ): Promise<void> {
    const { journal, room, sent, refuseIfFailed } = this.#store;
    refuseIfFailed();
    const { segment } = this.#log;
    const { enabled } = sent;
    const appended = journal.appendToLog(outcomes);
    this.#fresh.settle(ids);
    try {
      const text = settleText(done, enabled, appended.first, appended.texts);
      await this.#written(this.#log.append(text, null), appended, segment);
      if (enabled) sent.rememberInLog(outcomes, segment);
      for (const { spoolId, index } of done) this.#fresh.settled(spoolId, index);
    } finally {
      for (const { reserved } of this.#fresh.settleEnded(ids)) room.release(reserved);
    }
  }

  async #written(append: Promise<void>, appended: Appended, segment: number): Promise<void> {
    const { journal, refused } = this.#store;
    try {
      await append;
    } catch (cause) {
      journal.ended(appended, false);
      throw refused(cause);
    }
    journal.endedInLog(appended, segment);
  }

  readonly #ended = (): void => {
    if (--this.#underWay === 0) this.#quiet?.resolve();
  };

  /**
   * Moves those of these messages that are the log's into the store, in the transaction that `write` begins and awaits:
   * it begins the writes that it is given before its own.
   */
  async withMoved(
    spoolIds: Iterable<string>,
    write: (begin: () => Promise<boolean>[]) => Promise<void>,
  ): Promise<void> {
    const messages = await this.#fresh.move(spoolIds);
    let stored = false;
    try {
      await write(() => this.#moveIntoStore(messages));
      stored = true;
    } finally {
      this.#fresh.moved(messages, stored);
      if (stored) for (const { reserved } of messages) this.#store.room.release(reserved);
    }
  }

  #moveIntoStore(messages: readonly FreshMessage[]): Promise<boolean>[] {
    const { tables, leaveOut } = this.#store;
    const writes: Promise<boolean>[] = [];
    for (const { spoolId, envelope, content, waiting, segment } of messages) {
      writes.push(this.#moved.put(spoolId, segment));
      if (waiting.size === 0) continue;
      leaveOut(spoolId);
      writes.push(tables.contents.put(spoolId, content), tables.envelopes.put(spoolId, envelope));
      for (const recipient of waiting.values()) writes.push(putPending(tables.pending, recipient));
    }
    return writes;
  }

  /** Moves what is left of a segment of the log, and of those before it, into the store. */
  async #retire(segment: number): Promise<void> {
    const { state, journal, sent, free, commit } = this.#store;
    for (;;) {
      const ids = this.#fresh.ofSegment(segment, MOVED_TOGETHER);
      if (ids.length === 0) break;
      await this.withMoved(ids, async (begin) => {
        await free();
        await commit(begin());
      });
    }
    await free();
    const marks = [...this.#moved.getRange()].filter(({ value }) => value <= segment);
    await commit([
      ...journal.leaveLog(segment),
      ...sent.leaveLog(segment),
      ...marks.map(({ key }) => this.#moved.remove(key)),
      state.put('retired', segment),
    ]);
    journal.leftLog(segment);
    sent.leftLog(segment);
  }

  /** Until that is done the store takes everything, when the other file is full. */
  async #retireInBackground(segment: number): Promise<void> {
    for (let warned = false; !this.#closing; ) {
      try {
        await this.#retire(segment);
        this.#log.retired();
        return;
      } catch (error) {
        if (!warned) this.#store.log.warn(`mail stays in the log: ${reason(error)}`);
        warned = true;
        await wait(RETRY_MS, undefined, { ref: false });
      }
    }
  }

  /** Moves everything into the store, where that works; else the next start does. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#underWay > 0) {
      this.#quiet = Promise.withResolvers();
      await this.#quiet.promise;
    }
    await this.#retiring;
    await this.#log.idle();
    if (this.#log.isUsed) {
      try {
        await this.#retire(this.#log.segment);
      } catch (error) {
        this.#store.log.warn(`mail stays in the log: ${reason(error)}`);
      }
    }
    this.#log.close();
  }

  #open(fileSize: number | undefined): SpoolLog {
    const { dir, state, corrupt } = this.#store;
    const retired = Number(state.get('retired') ?? 0);
    const key = String(state.get('log-key'));
    // Of two files no more can be left.
    const left = readLog(dir, [retired + 1, retired + 2], key);
    for (const { number, damaged } of left) {
      for (const { offset, octets } of damaged) {
        const fault = `${octets.length} octets of segment ${number} of the log, from ${offset} on, cannot be read`;
        corrupt.take({ name: `log-${number}-${offset}`, fault, found: octets });
      }
    }
    const newest = Math.max(retired, ...left.map(({ number }) => number));
    if (left.length > 0) this.#recover(left, newest);
    const retire = (segment: number) => {
      this.#retiring = this.#retireInBackground(segment);
    };
    return new SpoolLog(dir, newest + 1, key, { fileSize, retire });
  }

  #recover(segments: ReturnType<typeof readLog>, newest: number): void {
    const { root, tables, state, journal, sent, told } = this.#store;
    const { messages, outcomes, remembered } = leftInLog(segments, (id) => this.#moved.doesExist(id));
    const every = told();
    const through = every.length > 0 ? Math.min(...every) : 0;
    root.transactionSync(() => {
      for (const { envelope, content, waiting } of messages) {
        const { spoolId } = envelope.facts;
        tables.contents.putSync(spoolId, content);
        tables.envelopes.putSync(spoolId, envelope);
        for (const { spoolId: id, index, ...value } of waiting.values()) {
          tables.pending.putSync([id, index], value);
        }
      }
      journal.recover(outcomes.filter(({ first, outcomes: of }) => first + of.length > through + 1));
      sent.recover(remembered);
      for (const key of [...this.#moved.getKeys()]) this.#moved.removeSync(key);
      state.putSync('retired', newest);
    });
  }
}
