/**
 * The journal of outcomes in the store. What was written lately is kept in memory too, so that the views, which follow
 * at its heels, need not read and decode it again, each for itself.
 */
import type { Database, RootDatabase } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { type ReadRecord, readRecords } from './read-records.ts';
import { outcomeFault } from './record-checks.ts';
import { openRecords } from './record-codec.ts';

export interface JournalEntry {
  readonly seq: number;
  readonly outcome: Outcome;
}

/** Outcomes whose transaction is being written. */
export interface Appended {
  readonly first: number;
  readonly outcomes: readonly Outcome[];
  state: 'writing' | 'written' | 'refused';
}

/** Outcomes kept in memory; a view that is further behind reads the disk. */
const MOST_KEPT = 10_000;

export class OutcomeJournal {
  readonly database: Database<Outcome, number>;
  readonly #unusable: (record: ReadRecord<Outcome, number>) => void;
  #nextSeq = 1;
  /** No outcome before this is on disk. */
  #oldest = 1;
  /** Every outcome on disk with a number above `#recentAfter`, in order. */
  #recent: JournalEntry[] = [];
  #recentAfter = 0;
  /** In the order of their numbers, until it is known what the disk said. */
  readonly #appended: Appended[] = [];

  /** `unusable` is told of records that cannot be read. */
  constructor(root: RootDatabase, unusable: (record: ReadRecord<Outcome, number>) => void) {
    this.database = openRecords(root, 'outcomes');
    this.#unusable = unusable;
  }

  /** The journal may be empty because every view has taken it all: numbers go on from where they had come to. */
  begin(told: readonly number[]): void {
    const [oldest] = [...this.database.getKeys({ limit: 1 })];
    const [newest] = [...this.database.getKeys({ reverse: true, limit: 1 })];
    this.#nextSeq = Math.max(newest ?? 0, ...told) + 1;
    this.#oldest = oldest ?? this.#nextSeq;
    this.#recentAfter = this.#nextSeq - 1;
  }

  /** Number of the latest outcome; 0 when there was none yet. */
  get newest(): number {
    return this.#nextSeq - 1;
  }

  /** Adds the writes of these outcomes; null when there are none. `ended` must be called with what it answers. */
  append(outcomes: readonly Outcome[], writes: Promise<boolean>[]): Appended | null {
    if (outcomes.length === 0) return null;
    const appended: Appended = { first: this.#nextSeq, outcomes, state: 'writing' };
    for (const outcome of outcomes) writes.push(this.database.put(this.#nextSeq++, outcome));
    this.#appended.push(appended);
    return appended;
  }

  /**
   * What the disk said. Transactions end in the order of their numbers, but those who wait for them may be told in
   * another: an outcome is shown only when all before it are known, or a view would go past one and never see it.
   */
  ended(appended: Appended | null, written: boolean): void {
    if (!appended) return;
    appended.state = written ? 'written' : 'refused';
    let known = 0;
    for (const { first, outcomes, state } of this.#appended) {
      if (state === 'writing') break;
      known++;
      if (state === 'refused') continue;
      for (let i = 0; i < outcomes.length; i++) this.#recent.push({ seq: first + i, outcome: outcomes[i]! });
    }
    if (known > 0) this.#appended.splice(0, known);
    if (this.#recent.length > MOST_KEPT) this.#forgetThrough(this.#recent[this.#recent.length >> 1]!.seq);
  }

  #forgetThrough(seq: number): void {
    const from = this.#placeAfter(seq);
    if (from > 0) this.#recent = this.#recent.slice(from);
    this.#recentAfter = Math.max(this.#recentAfter, seq);
  }

  /** Where in `#recent` the outcomes after `seq` begin. */
  #placeAfter(seq: number): number {
    const first = this.#recent[0]?.seq;
    if (first === undefined || seq < first) return 0;
    // Numbers of refused transactions are missing: the place is here or before.
    let at = Math.min(seq - first + 1, this.#recent.length);
    while (at > 0 && this.#recent[at - 1]!.seq > seq) at--;
    return at;
  }

  /** Outcomes on disk after `seq`, oldest first. */
  read(seq: number, limit: number): JournalEntry[] {
    if (seq >= this.#recentAfter) {
      const from = this.#placeAfter(seq);
      return this.#recent.slice(from, from + limit);
    }
    for (let from = seq + 1; ; ) {
      const entries: JournalEntry[] = [];
      const records = readRecords(this.database, { start: from, limit }, outcomeFault);
      for (const record of records) {
        if (record.value !== undefined) entries.push({ seq: record.key, outcome: record.value });
        else this.#unusable(record);
      }
      // A row of unusable records must not look like the end.
      if (entries.length > 0 || records.length === 0) return entries;
      from = records.at(-1)!.key + 1;
    }
  }

  /** Adds the writes that take out everything through `seq`; call `dropped` when they are on disk. */
  drop(seq: number, writes: Promise<boolean>[]): void {
    const last = Math.min(seq, this.#nextSeq - 1);
    for (let one = this.#oldest; one <= last; one++) writes.push(this.database.remove(one));
  }

  dropped(seq: number): void {
    this.#oldest = Math.max(this.#oldest, Math.min(seq, this.#nextSeq - 1) + 1);
    this.#forgetThrough(seq);
  }
}
