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
  /** Their records are not written yet. */
  #gathered: Appended[] = [];
  /** Takes what comes next, as long as its numbers follow. */
  #gathering: Appended | null = null;
  /** Key of the first record that comes from the log into the store. */
  #leaving = Number.POSITIVE_INFINITY;
  /** On disk in the log, and not in the store. */
  readonly #inLog: { readonly segment: number; readonly appended: Appended }[] = [];
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
      this.#gathered.push(this.#gathering);
      this.#appended.push(this.#gathering);
    }
    for (const outcome of outcomes) this.#gathering.outcomes.push(outcome);
    for (const text of texts) this.#gathering.texts.push(text);
    this.#nextSeq += outcomes.length;
    return this.#gathering;
  }

  /**
   * Takes these for the log, where they stand in a record of their own: `texts`. `endedInLog` or `ended` must be called
   * with what this answers.
   */
  appendToLog(outcomes: readonly Outcome[]): Appended {
    const texts = outcomes.map((outcome) => JSON.stringify(outcome));
    const appended: Appended = { first: this.#nextSeq, outcomes: [...outcomes], texts, state: 'writing' };
    this.#appended.push(appended);
    this.#nextSeq += outcomes.length;
    this.#gathering = null;
    return appended;
  }

  /** Begins the writes of what was appended since the last call. */
  write(): Promise<boolean>[] {
    this.#gathering = null;
    return this.#gathered
      .splice(0)
      .flatMap(({ first, texts }) => recordsOf(first, texts))
      .map(({ last, record }) => this.database.put(last, record));
  }

  /** They are on disk, in this segment of the log. */
  endedInLog(appended: Appended, segment: number): void {
    if (appended.outcomes.length > 0) this.#inLog.push({ segment, appended });
    this.ended(appended, true);
  }

  /** Begins the writes of those that stand in a segment of the log; call `leftLog` when they are on disk. */
  leaveLog(segment: number): Promise<boolean>[] {
    const leaving = this.#inLog
      .filter((one) => one.segment <= segment)
      .map(({ appended }) => appended)
      .reduce(inRows, [])
      .flatMap(({ first, texts }) => recordsOf(first, texts))
      .filter(({ last }) => last >= this.#oldest);
    this.#leaving = leaving[0]?.last ?? Number.POSITIVE_INFINITY;
    return leaving.map(({ last, record }) => this.database.put(last, record));
  }

  leftLog(segment: number): void {
    // What was dropped while they were on their way is dropped again, with the next.
    this.#oldest = Math.min(this.#oldest, this.#leaving);
    const left = this.#inLog.findIndex((one) => one.segment > segment);
    this.#inLog.splice(0, left === -1 ? this.#inLog.length : left);
  }

  /** What the log had when the store was opened, in order; within a transaction, before `begin`. */
  recover(found: readonly { readonly first: number; readonly outcomes: readonly Outcome[] }[]): void {
    const rows = found
      .map(({ first, outcomes }) => ({ first, texts: outcomes.map((outcome) => JSON.stringify(outcome)) }))
      .reduce(inRows, []);
    for (const { first, texts } of rows) {
      for (const { last, record } of recordsOf(first, texts)) this.database.putSync(last, record);
    }
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
    if (this.#recent.length > MOST_KEPT) {
      // What stands in the log can be read here only.
      const inLog = this.#inLog[0]?.appended.first ?? Number.POSITIVE_INFINITY;
      this.#forgetThrough(Math.min(this.#recent[this.#recent.length >> 1]!.seq, inLog - 1));
    }
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
        if (record.value === undefined) this.#unusable(record);
        else addEntries(record.key, record.value, seq, this.#recentAfter, limit, entries);
        // From there on the log may have some between those in the store.
        if (record.key > this.#recentAfter) return this.#andRecent(entries, limit);
      }
      if (records.length < range.limit) return this.#andRecent(entries, limit);
      from = records.at(-1)!.key + 1;
    }
    return entries;
  }

  #andRecent(entries: JournalEntry[], limit: number): JournalEntry[] {
    entries.push(...this.#recent.slice(0, limit - entries.length));
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
    const left = this.#inLog.findIndex(({ appended }) => appended.first + appended.texts.length - 1 > seq);
    this.#inLog.splice(0, left === -1 ? this.#inLog.length : left);
  }
}

interface Row {
  readonly first: number;
  readonly texts: string[];
}

/** Puts outcomes to those that they follow by number. */
function inRows(rows: Row[], { first, texts }: { first: number; texts: readonly string[] }): Row[] {
  const row = rows.at(-1);
  if (row && row.first + row.texts.length === first) for (const text of texts) row.texts.push(text);
  else rows.push({ first, texts: [...texts] });
  return rows;
}

/** The records that these outcomes are written as, each as JSON; `last` is the number of its last one, and its key. */
function recordsOf(first: number, texts: readonly string[]): { last: number; record: Outcomes }[] {
  const records: { last: number; record: Outcomes }[] = [];
  // The codec takes JSON that is made.
  const add = (last: number) => records.push({ last, record: `[${together}]` as unknown as Outcomes });
  let together = '';
  let octets = 0;
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    const more = Buffer.byteLength(text) + 1;
    if (octets > 0 && octets + more > FITS_A_PAGE) {
      add(first + i - 1);
      octets = 0;
    }
    together = octets === 0 ? text : `${together},${text}`;
    octets += more;
  }
  if (octets > 0) add(first + texts.length - 1);
  return records;
}

/** Adds the outcomes of a record that come after `seq` and not after `through`, as long as there are fewer than `limit`. */
function addEntries(
  key: number,
  value: Outcomes,
  seq: number,
  through: number,
  limit: number,
  entries: JournalEntry[],
): void {
  const outcomes = Array.isArray(value) ? (value as readonly Outcome[]) : [value as Outcome];
  const first = key - outcomes.length + 1;
  const end = Math.min(outcomes.length, through - first + 1);
  for (let i = Math.max(0, seq + 1 - first); i < end && entries.length < limit; i++) {
    entries.push({ seq: first + i, outcome: outcomes[i]! });
  }
}
