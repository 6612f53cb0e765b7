import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppendFile, endOfLastLine, sizeOf } from '../../connector/append-file.ts';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import type { Clock } from '../../system/clock.ts';
import { reason, requireWritableFolder, syncFolder } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';
import {
  countRecords,
  isPosition,
  type Position,
  readBytes,
  readStart,
  type Start,
  writeStart,
} from './acct-file-disk.ts';
import { AcctFileNames, type DatedFile, inOrder } from './acct-file-names.ts';
import { Tail } from './acct-file-tail.ts';
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
  /** Names the journal that keeps the checkpoints; it changes when the journal begins anew. */
  readonly owner: string;
}

/** An accounting file as a view of outcomes. */
export interface AcctFileView extends OutcomeView {
  /** `pmta rotate acct`: the next record goes to a new file. */
  rotate(): Promise<void>;
}

interface Part {
  readonly dated: DatedFile;
  readonly file: AppendFile;
  readonly createdAt: number;
}

const DAY = 86_400_000;
/** How long after a flush its checkpoint has surely been stored. */
const SETTLED = 1000;
const SWEEP_EVERY = 3_600_000;
const RETRY = 60_000;

/**
 * Keeps the records of one `<acct-file>` in dated CSV files (PowerMTA guide 11.3.1). A file is readable under its
 * full name while it is written; it holds only what `flush` has put on disk, so a reader that follows it sees whole
 * lines. A file is moved away one flush after its last record, when the checkpoint that covers it has been stored,
 * so that what a program has fetched is never written again.
 */
export function createAcctFile(options: AcctFileOptions, setting: AcctFileSetting): AcctFileView {
  return new AcctFile(options, setting);
}

class AcctFile implements AcctFileView {
  readonly name: string;
  readonly #options: AcctFileOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #owner: string;
  readonly #names: AcctFileNames;
  readonly #rows: Rows;
  readonly #title: string;
  #current: Part | null = null;
  #sealed: Part[] = [];
  #covered: Part[] = [];
  /** Last file that was written, also after it has gone. */
  #last: DatedFile | null = null;
  #position: Position = { file: '', bytes: 0 };
  #tail: Tail | null = null;
  /** The last file, if records may be added to it. */
  #resumable: DatedFile | null = null;
  #start: Start = { owner: '', position: { file: '', bytes: 0 }, made: [] };
  #turn: Promise<unknown> = Promise.resolve();
  #cancel = () => {};
  #nextSweep = 0;
  #opened = false;

  constructor(options: AcctFileOptions, { clock, log, owner }: AcctFileSetting) {
    this.name = `acct-file ${options.path}`;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#owner = owner;
    this.#names = new AcctFileNames(options.path);
    this.#rows = rowsOf(options);
    this.#title = `${this.#rows.title}\r\n`;
    for (const warning of this.#rows.warnings) log.warn(`${this.name}: ${warning}`);
  }

  open(checkpoint: unknown): Promise<void> {
    return this.#inTurn(async () => {
      this.#opened = false;
      await this.#letGo();
      const { dir } = this.#names;
      await requireWritableFolder(dir, 'accounting files');
      await this.#checkMoveTo();
      const base = await this.#base(checkpoint);
      const kept = await this.#takeBack(base);
      this.#position = base;
      const moved = this.#moves ? await this.#names.list(this.#options.moveTo!) : [];
      const at = this.#names.parse(base.file);
      this.#last = [...kept, ...moved, ...(at ? [at] : [])].sort(inOrder).at(-1) ?? null;
      this.#tail = at ? await Tail.after(path.join(dir, at.name), base.bytes, this.#log) : null;
      this.#resumable = await this.#findResumable();
      if (!this.#tail) await this.#resume();
      await this.#moveLeftOver();
      this.#opened = true;
      this.#arm();
    });
  }

  write(_seq: number, outcome: Outcome): void {
    if (!this.#opened) throw new Error(`${this.name} is not open`);
    const row = this.#rows.row(outcome);
    if (row === null) return;
    const text = `${row}\r\n`;
    if (this.#tail && this.#wasWritten(this.#tail, text)) return;
    const bytes = Buffer.byteLength(text);
    if (this.#current && this.#isDue(bytes)) this.#seal();
    this.#current ??= this.#begin();
    this.#current.file.append(text, bytes);
  }

  flush(): Promise<Position> {
    return this.#inTurn(async () => {
      this.#cancel();
      try {
        await this.#release(this.#covered);
        await this.#announce();
        let made = false;
        for (const part of this.#parts()) {
          if (part.file.bytes === part.file.durable) continue;
          made = (await part.file.sync()) || made;
          this.#position = { file: part.dated.name, bytes: part.file.durable };
        }
        if (made) await syncFolder(this.#names.dir);
        this.#covered = [...this.#sealed];
        await this.#sweep();
        return this.#position;
      } finally {
        this.#arm();
      }
    });
  }

  rotate(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#tail) this.#seal();
      this.#arm();
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#opened = false;
      await this.#letGo();
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
    this.#covered = [];
    this.#tail = null;
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

  get #startFile(): string {
    return path.join(this.#names.dir, `.${path.basename(this.#options.path)}.start`);
  }

  /** Where the journal's records end: the checkpoint, or where this journal found the folder when it was new. */
  async #base(checkpoint: unknown): Promise<Position> {
    const start = await readStart(this.#startFile);
    if (start?.owner === this.#owner) {
      this.#start = start;
    } else {
      const last = (await this.#names.list(this.#names.dir)).at(-1);
      const size = last ? ((await sizeOf(path.join(this.#names.dir, last.name))) ?? 0) : 0;
      this.#start = { owner: this.#owner, position: { file: last?.name ?? '', bytes: size }, made: [] };
      await writeStart(this.#startFile, this.#start);
    }
    return isPosition(checkpoint) && checkpoint.file !== '' ? checkpoint : this.#start.position;
  }

  /** Puts on disk the names of files that are about to be made. */
  async #announce(): Promise<void> {
    const fresh = this.#parts()
      .filter((p) => p.file.durable === 0 && !this.#start.made.includes(p.dated.name))
      .map((p) => p.dated.name);
    if (fresh.length === 0) return;
    const start = { ...this.#start, made: [...this.#start.made, ...fresh].slice(-64) };
    await writeStart(this.#startFile, start);
    this.#start = start;
  }

  /** Removes the files that this journal made after `base`; returns those that stay. */
  async #takeBack(base: Position): Promise<DatedFile[]> {
    const { dir } = this.#names;
    const at = this.#names.parse(base.file);
    const kept: DatedFile[] = [];
    for (const dated of await this.#names.list(dir)) {
      const later = !at || inOrder(dated, at) > 0;
      if (later && this.#start.made.includes(dated.name)) await rm(path.join(dir, dated.name));
      else kept.push(dated);
    }
    if (kept.length > 0) await syncFolder(dir);
    return kept;
  }

  /** Whether the record is in the file already, from before a crash. */
  #wasWritten(tail: Tail, record: string): boolean {
    const written = tail.take(record);
    this.#position = { ...this.#position, bytes: tail.end };
    if (written && !tail.done) return true;
    this.#tail = null;
    const size = written ? tail.end : tail.placeFor(record);
    if (size !== null && this.#resumable?.name === this.#position.file) this.#goOn(this.#resumable, size);
    return written;
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
    if (!this.#resumable) return;
    const file = path.join(this.#names.dir, this.#resumable.name);
    const size = (await sizeOf(file)) ?? 0;
    // A line that was not ended (by hand, by another program) must not swallow the next record.
    if ((await endOfLastLine(file)) === size) this.#goOn(this.#resumable, size);
  }

  #goOn(dated: DatedFile, size: number): void {
    const file = new AppendFile(path.join(this.#names.dir, dated.name), size, this.#mode);
    this.#current = { dated, file, createdAt: this.#clock.now() };
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
    const file = new AppendFile(path.join(this.#names.dir, dated.name), 0, this.#mode);
    file.append(this.#title);
    return { dated, file, createdAt: this.#clock.now() };
  }

  /** Lets go of sealed parts that are wholly on disk, and moves them. */
  async #release(parts: readonly Part[]): Promise<void> {
    let moved = false;
    for (const part of parts) {
      if (!this.#sealed.includes(part) || part.file.bytes > part.file.durable) continue;
      await part.file.close();
      if (this.#moves) {
        await this.#move(part.dated.name);
        moved = true;
      }
      this.#sealed = this.#sealed.filter((p) => p !== part);
    }
    if (moved) await this.#syncMoved();
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

  /** Closed files that a crash or an earlier configuration left behind. */
  async #moveLeftOver(): Promise<void> {
    if (!this.#moves) return;
    const left = (await this.#names.list(this.#names.dir)).filter(
      (d) => d.name !== this.#current?.dated.name,
    );
    for (const dated of left) await this.#move(dated.name);
    if (left.length > 0) await this.#syncMoved();
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
  #arm(least = SETTLED): void {
    this.#cancel();
    this.#cancel = () => {};
    if (!this.#opened) return;
    const now = this.#clock.now();
    let wait = SWEEP_EVERY;
    if (this.#sealed.length > 0) wait = SETTLED;
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
        const waiting = this.#parts().some((p) => p.file.bytes > p.file.durable);
        if (!waiting) {
          if (this.#current && this.#isDue(0)) this.#seal();
          await this.#release([...this.#sealed]);
          await this.#sweep();
        }
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
