import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppendFile, endOfLastLine, sizeOf } from '../../connector/append-file.ts';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import type { Clock } from '../../system/clock.ts';
import { reason, requireWritableFolder, syncFolder } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';
import { countRecords, forgetSecondNames, giveSecondName, readBytes } from './acct-file-disk.ts';
import { type AcctFileState, acctFileState, lastWritten, Unwritten } from './acct-file-intent.ts';
import { AcctFileNames, type DatedFile, inOrder } from './acct-file-names.ts';
import { type RecordOptions, type Rows, rowsOf } from './rows.ts';
import { localDate } from './values.ts';

export interface AcctFileOptions extends RecordOptions {
  /** As in `<acct-file PATH>`; date and counter are put into it. */
  readonly path: string;
  /** Closed files are renamed into this folder, on the same volume. */
  readonly moveTo?: string;
  /** With `moveTo`: age at which a file is closed; default 1 day. */
  readonly moveIntervalMs?: number;
  /** Bytes at which the next file is begun; default 250 MiB. */
  readonly maxSize?: number;
  /** Age at which old files are deleted when they are not moved away; `null` is never; default 8 days. */
  readonly deleteAfterMs?: number | null;
  /** Mode 0644 instead of 0640. */
  readonly worldReadable?: boolean;
  readonly countMovedRecords?: boolean;
}

export interface AcctFileSetting {
  readonly clock: Clock;
  readonly log: Log;
}

/** An accounting file as a view of outcomes. */
export interface AcctFileView extends OutcomeView {
  /** `pmta rotate acct`: the next record goes to a new file. */
  rotate(): Promise<void>;
  /** A file before the current one still waits for its last records. */
  readonly closing: boolean;
}

interface Part {
  readonly dated: DatedFile;
  readonly file: AppendFile;
  readonly createdAt: number;
  readonly unwritten: Unwritten;
  /** It was opened, and has its second name. */
  begun: boolean;
}

const DAY = 86_400_000;
/** How often it is looked whether files can be let go of that are complete. */
const SOON = 100;
const SWEEP_EVERY = 3_600_000;
const RETRY = 60_000;

/**
 * Keeps the records of one `<acct-file>` in dated CSV files (PowerMTA guide 11.3.1). A file is readable under its
 * full name while it is written; it holds only what `flush` has put on disk, so a reader that follows it sees whole
 * lines. It is moved away when the spool knows that its last record is in it, so that what a program has fetched is
 * never written again.
 */
export function createAcctFile(options: AcctFileOptions, setting: AcctFileSetting): AcctFileView {
  return new AcctFile(options, setting);
}

class AcctFile implements AcctFileView {
  readonly name: string;
  readonly #options: AcctFileOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #names: AcctFileNames;
  readonly #rows: Rows;
  readonly #title: string;
  #current: Part | null = null;
  #sealed: Part[] = [];
  /** Last file that was begun, also after it has gone. */
  #last: DatedFile | null = null;
  /** Complete files that are still to be moved. */
  #leftOver: DatedFile[] = [];
  #moveAfter = 0;
  /** The spool has what the last `flush` answered. */
  #stored = true;
  /** There may be second names of files that are complete. */
  #untidy = false;
  #turn: Promise<unknown> = Promise.resolve();
  #cancel = () => {};
  #nextSweep = 0;
  #opened = false;

  constructor(options: AcctFileOptions, { clock, log }: AcctFileSetting) {
    this.name = `acct-file ${options.path}`;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#names = new AcctFileNames(options.path);
    this.#rows = rowsOf(options);
    this.#title = `${this.#rows.title}\r\n`;
    for (const warning of this.#rows.warnings) log.warn(`${this.name}: ${warning}`);
  }

  open(stored: unknown): Promise<number> {
    return this.#inTurn(async () => {
      this.#opened = false;
      await this.#letGo();
      const { dir } = this.#names;
      await requireWritableFolder(dir, 'accounting files');
      await this.#checkMoveTo();
      const { file, closed, writing = [] } = acctFileState(stored);
      const last = await lastWritten(writing, dir, this.#moves ? this.#options.moveTo : undefined, this.#log);
      const here = await this.#names.list(dir);
      const moved = this.#moves ? await this.#names.list(this.#options.moveTo!) : [];
      const known = [file, ...writing.map((part) => part.file)].map((name) => this.#names.parse(name));
      this.#last = [...here, ...moved, ...known.filter((f) => f !== null)].sort(inOrder).at(-1) ?? null;
      if (!closed || this.#last?.name !== file) await this.#resume();
      // Closed files that a crash or an earlier configuration left behind.
      const current = this.#current?.dated.name;
      if (this.#moves) this.#leftOver = here.filter(({ name }) => name !== current);
      this.#stored = last === 0;
      this.#untidy = true;
      this.#opened = true;
      this.#arm();
      return last;
    });
  }

  write(seq: number, outcome: Outcome): void {
    if (!this.#opened) throw new Error(`${this.name} is not open`);
    const row = this.#rows.row(outcome);
    if (row === null) return;
    const record = `${row}\r\n`;
    if (this.#current && this.#isDue(Buffer.byteLength(record))) this.#seal();
    const text = this.#current ? record : this.#title + record;
    this.#current ??= this.#begin();
    const bytes = Buffer.byteLength(text);
    this.#current.file.append(text, bytes);
    this.#current.unwritten.add(seq, text, bytes);
  }

  intend(): AcctFileState | null {
    const writing = this.#parts()
      .filter(({ unwritten }) => unwritten.any)
      .map(({ dated, file, unwritten }) => unwritten.noted(dated.name, file.durable));
    if (writing.length === 0) return null;
    return { file: this.#last?.name ?? '', writing };
  }

  flush(): Promise<AcctFileState> {
    return this.#inTurn(async () => {
      this.#cancel();
      try {
        // What is whole on disk by now is so in the spool too, or this would not be called.
        await this.#release();
        this.#stored = false;
        let made = false;
        for (const part of this.#parts()) {
          if (!part.unwritten.any) continue;
          if (!part.begun) {
            made = (await part.file.open()) || made;
            await giveSecondName(this.#names.dir, part.dated.name);
            part.begun = true;
          }
          await part.file.sync();
          part.unwritten.clear();
        }
        if (made) await syncFolder(this.#names.dir);
        await this.#sweep();
        return { file: this.#last?.name ?? '', ...(this.#last && !this.#current && { closed: true }) };
      } finally {
        this.#arm();
      }
    });
  }

  stored(): void {
    this.#stored = true;
    this.#arm();
  }

  rotate(): Promise<void> {
    return this.#inTurn(async () => {
      this.#seal();
      await this.#release();
      this.#arm();
    });
  }

  get closing(): boolean {
    return this.#sealed.length > 0;
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#opened = false;
      await this.#letGo();
      if (this.#stored) await this.#tidy().catch(() => {});
    });
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(step, step);
    this.#turn = next.catch(() => {});
    return next;
  }

  #parts(): Part[] {
    return this.#current ? [...this.#sealed, this.#current] : this.#sealed;
  }

  async #letGo(): Promise<void> {
    this.#cancel();
    this.#cancel = () => {};
    for (const part of this.#parts()) await part.file.close();
    this.#current = null;
    this.#sealed = [];
    this.#leftOver = [];
  }

  async #checkMoveTo(): Promise<void> {
    const { moveTo } = this.#options;
    if (moveTo === undefined) return;
    await requireWritableFolder(moveTo, 'move-to of accounting files');
    if ((await stat(moveTo)).dev !== (await stat(this.#names.dir)).dev) {
      throw new UserError(
        `move-to ${moveTo} is on another volume than ${this.#options.path}; files are moved by rename, so name a folder on the same volume`,
      );
    }
  }

  /** The last file if it is of today and has the same title. */
  async #findResumable(): Promise<DatedFile | null> {
    const last = this.#last;
    if (!last || last.date !== localDate(this.#clock.now())) return null;
    const file = path.join(this.#names.dir, last.name);
    const title = Buffer.from(this.#title);
    if (((await sizeOf(file)) ?? 0) < title.length) return null;
    return (await readBytes(file, 0, title.length)).equals(title) ? last : null;
  }

  async #resume(): Promise<void> {
    const dated = await this.#findResumable();
    if (!dated) return;
    const file = path.join(this.#names.dir, dated.name);
    const size = (await sizeOf(file)) ?? 0;
    // A line that was not ended (by hand, by another program) must not swallow the next record.
    if ((await endOfLastLine(file)) === size) this.#current = this.#part(dated, size);
  }

  #part(dated: DatedFile, size: number): Part {
    return {
      dated,
      file: new AppendFile(path.join(this.#names.dir, dated.name), size, this.#mode),
      createdAt: this.#clock.now(),
      unwritten: new Unwritten(),
      begun: false,
    };
  }

  get #mode(): number {
    return this.#options.worldReadable ? 0o644 : 0o640;
  }

  #isDue(bytes: number): boolean {
    const { file, dated, createdAt } = this.#current!;
    const now = this.#clock.now();
    return (
      file.bytes + bytes > (this.#options.maxSize ?? 250 * 1024 * 1024) ||
      dated.date < localDate(now) ||
      (this.#options.moveTo !== undefined && now - createdAt >= (this.#options.moveIntervalMs ?? DAY))
    );
  }

  #seal(): void {
    if (this.#current) this.#sealed.push(this.#current);
    this.#current = null;
  }

  #begin(): Part {
    const today = localDate(this.#clock.now());
    const last = this.#last;
    // A clock that was set back must not give a later file the earlier name.
    const date = last && last.date > today ? last.date : today;
    const dated = this.#names.of(date, last?.date === date ? last.number + 1 : 0);
    this.#last = dated;
    return this.#part(dated, 0);
  }

  /** Lets go of files that are complete, and moves them. Only when the spool knows that they are. */
  async #release(): Promise<void> {
    if (!this.#stored) return;
    const whole = this.#sealed.filter(({ unwritten }) => !unwritten.any);
    if (whole.length === 0 && this.#leftOver.length === 0 && !this.#untidy) return;
    for (const part of whole) {
      await part.file.close();
      if (this.#moves) this.#leftOver.push(part.dated);
    }
    this.#sealed = this.#sealed.filter((part) => !whole.includes(part));
    await this.#tidy();
    if (this.#leftOver.length === 0 || this.#clock.now() < this.#moveAfter) return;
    try {
      for (let one = this.#leftOver[0]; one; one = this.#leftOver[0]) {
        await this.#move(one.name);
        this.#leftOver.shift();
      }
      await this.#syncMoved();
    } catch (error) {
      // Records go on into the next file.
      this.#moveAfter = this.#clock.now() + RETRY;
      this.#log.error(`${this.#leftOver[0]?.name} cannot be moved to ${this.#options.moveTo}`, {
        reason: reason(error),
      });
    }
  }

  async #tidy(): Promise<void> {
    await forgetSecondNames(this.#names, new Set(this.#parts().map(({ dated }) => dated.name)));
    this.#untidy = false;
  }

  get #moves(): boolean {
    const { moveTo } = this.#options;
    return moveTo !== undefined && path.resolve(moveTo) !== path.resolve(this.#names.dir);
  }

  async #move(name: string): Promise<void> {
    const from = path.join(this.#names.dir, name);
    const to = path.join(this.#options.moveTo!, name);
    if ((await sizeOf(to)) !== null) {
      this.#log.warn(`${name} is not moved: ${this.#options.moveTo} has a file of that name`);
      return;
    }
    // Somebody may have fetched it already.
    if ((await sizeOf(from)) === null) return;
    const records = this.#options.countMovedRecords ? await countRecords(from) : null;
    await rename(from, to);
    this.#log.info(
      `Moved ${name} to ${this.#options.moveTo}${records === null ? '' : ` (${records} records)`}`,
    );
  }

  async #syncMoved(): Promise<void> {
    await syncFolder(this.#options.moveTo!);
    await syncFolder(this.#names.dir);
  }

  async #sweep(): Promise<void> {
    const now = this.#clock.now();
    const age = this.#options.deleteAfterMs === undefined ? 8 * DAY : this.#options.deleteAfterMs;
    if (this.#moves || age === null || now < this.#nextSweep) return;
    this.#nextSweep = now + SWEEP_EVERY;
    const writing = new Set(this.#parts().map((p) => p.dated.name));
    for (const dated of await this.#names.list(this.#names.dir)) {
      const file = path.join(this.#names.dir, dated.name);
      const info = await stat(file).catch(() => null);
      if (!info || writing.has(dated.name) || now - info.mtimeMs < age) continue;
      await rm(file, { force: true });
      this.#log.info(`Deleted ${dated.name}, which is older than delete-after`);
    }
  }

  /** Wakes up to close a file without traffic: at midnight, at the move interval, or after a rotation. */
  #arm(least = SOON): void {
    this.#cancel();
    this.#cancel = () => {};
    if (!this.#opened) return;
    const now = this.#clock.now();
    let wait = SWEEP_EVERY;
    if (this.#stored && (this.#untidy || this.#sealed.length > 0)) wait = SOON;
    if (this.#leftOver.length > 0) wait = Math.max(SOON, Math.min(wait, this.#moveAfter - now));
    if (this.#current) {
      wait = Math.min(wait, new Date(now).setHours(24, 0, 0, 0) - now);
      if (this.#options.moveTo !== undefined) {
        wait = Math.min(wait, this.#current.createdAt + (this.#options.moveIntervalMs ?? DAY) - now);
      }
    }
    this.#cancel = this.#clock.after(Math.max(wait, least), () => {
      this.#inTurn(async () => {
        if (!this.#opened) return;
        // With records in memory a flush is on its way, and does all this.
        if (this.#parts().some(({ unwritten }) => unwritten.any)) return;
        if (this.#current && this.#isDue(0)) this.#seal();
        await this.#release();
        await this.#sweep();
      }).then(
        () => this.#arm(),
        (error: unknown) => {
          this.#log.error(`${this.name} cannot be closed or moved`, { reason: reason(error) });
          this.#arm(RETRY);
        },
      );
    });
  }
}
