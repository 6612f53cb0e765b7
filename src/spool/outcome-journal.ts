/**
 * The journal of outcomes in the store. Those of one transaction are written together at its end: a record is an array
 * of outcomes, and its key the number of the last. (Before layout 3 each outcome was a record of its own.) What was
 * written lately is kept in memory too, so that the views, which follow at its heels, need not read and decode it
 * again, each for itself.
 */
import type { Database, RootDatabase } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { type ReadRecord, readRecords } from './read-records.ts';
import { outcomesFault } from './record-checks.ts';
import { openRecords } from './record-codec.ts';

export interface JournalEntry {
  readonly seq: number;
  readonly outcome: Outcome;
}

/** What a record of the journal holds. */
export type Outcomes = readonly Outcome[] | Outcome;

/** Outcomes that are written together. */
export interface Appended {
  readonly first: number;
  readonly outcomes: Outcome[];
  /** Their JSON. */
  readonly texts: string[];
  state: 'writing' | 'written' | 'refused';
}

/**
 * Octets of JSON in a record of several outcomes: it fits into one page of the file with its header, brackets and
 * checksum. A longer one needs pages in a row, which a file that is nearly full may not have.
 */
const FITS_A_PAGE = 4096 - 16 - 2 - 9;
/** Records read at a time. */
const SLICE = 16;

/** Outcomes kept in memory; a view that is further behind reads the disk. */
const MOST_KEPT = 10_000;

export class OutcomeJournal {
  readonly database: Database<Outcomes, number>;
  readonly #unusable: (record: ReadRecord<Outcomes, number>) => void;
  #nextSeq = 1;
  /** No record with a smaller key is on disk. */
  #oldest = 1;
  /** Every outcome on disk with a number above `#recentAfter`, in order. */
  #recent: JournalEntry[] = [];
  #recentAfter = 0;
  /** Their record is not written yet. */
  #gathering: Appended | null = null;
  /** In the order of their numbers, until it is known what the disk said. */
  readonly #appended: Appended[] = [];

  /** `unusable` is told of records that cannot be read. */
  constructor(root: RootDatabase, unusable: (record: ReadRecord<Outcomes, number>) => void) {
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

  /**
   * Takes these for the transaction of this turn; null when there are none. `write` must be called before that ends,
   * and `ended` with what this answers.
   */
  append(outcomes: readonly Outcome[]): Appended | null {
    if (outcomes.length === 0) return null;
    const texts = outcomes.map((outcome) => JSON.stringify(outcome));
    if (!this.#gathering) {
      this.#gathering = { first: this.#nextSeq, outcomes: [], texts: [], state: 'writing' };
      this.#appended.push(this.#gathering);
    }
    for (const outcome of outcomes) this.#gathering.outcomes.push(outcome);
    for (const text of texts) this.#gathering.texts.push(text);
    this.#nextSeq += outcomes.length;
    return this.#gathering;
  }

  /** Begins the writes of what was appended since the last call. */
  write(): Promise<boolean>[] {
    if (!this.#gathering) return [];
    const { first, texts } = this.#gathering;
    this.#gathering = null;
    const writes: Promise<boolean>[] = [];
    let together = '';
    let octets = 0;
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i]!;
      const more = Buffer.byteLength(text) + 1;
      if (octets > 0 && octets + more > FITS_A_PAGE) {
        writes.push(this.#put(first + i - 1, together));
        octets = 0;
      }
      together = octets === 0 ? text : `${together},${text}`;
      octets += more;
    }
    writes.push(this.#put(first + texts.length - 1, together));
    return writes;
  }

  #put(last: number, texts: string): Promise<boolean> {
    // The codec takes JSON that is made.
    return this.database.put(last, `[${texts}]` as unknown as Outcomes);
  }

  /**
   * What the disk said. Transactions end in the order of their numbers, but those who wait for them may be told in
   * another: an outcome is shown only when all before it are known, or a view would go past one and never see it.
   */
  ended(appended: Appended | null, written: boolean): void {
    // Several hear of the same ones.
    if (appended?.state !== 'writing') return;
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

  /** Outcomes on disk after `seq`, oldest first; also those that were dropped, while their record has others. */
  read(seq: number, limit: number): JournalEntry[] {
    if (seq >= this.#recentAfter) {
      const from = this.#placeAfter(seq);
      return this.#recent.slice(from, from + limit);
    }
    const entries: JournalEntry[] = [];
    for (let from = seq + 1; entries.length < limit; ) {
      const range = { start: from, limit: Math.min(SLICE, limit - entries.length) };
      const records = readRecords(this.database, range, outcomesFault);
      for (const record of records) {
        if (record.value !== undefined) addEntries(record.key, record.value, seq, limit, entries);
        else this.#unusable(record);
      }
      if (records.length < range.limit) break;
      from = records.at(-1)!.key + 1;
    }
    return entries;
  }

  /**
   * Adds the writes that take out everything through `seq`; call `dropped` when they are on disk. A record stays until
   * that covers its last outcome.
   */
  drop(seq: number, writes: Promise<boolean>[]): void {
    const end = Math.min(seq, this.#nextSeq - 1) + 1;
    if (end <= this.#oldest) return;
    for (const key of [...this.database.getKeys({ start: this.#oldest, end })]) {
      writes.push(this.database.remove(key));
    }
  }

  dropped(seq: number): void {
    this.#oldest = Math.max(this.#oldest, Math.min(seq, this.#nextSeq - 1) + 1);
    this.#forgetThrough(seq);
  }
}

/** Adds the outcomes of a record that come after `seq`, as long as there are fewer than `limit`. */
function addEntries(key: number, value: Outcomes, seq: number, limit: number, entries: JournalEntry[]): void {
  const outcomes = Array.isArray(value) ? (value as readonly Outcome[]) : [value as Outcome];
  const first = key - outcomes.length + 1;
  for (let i = Math.max(0, seq + 1 - first); i < outcomes.length && entries.length < limit; i++) {
    entries.push({ seq: first + i, outcome: outcomes[i]! });
  }
}
