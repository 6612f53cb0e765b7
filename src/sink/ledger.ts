import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, truncate } from 'node:fs/promises';
import path from 'node:path';
import { reason, requireWritableFolder, syncFolder } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';
import type { LedgerRecord } from './records.ts';

const FILE = 'ledger.ndjson';
const OLD_FILE = 'ledger.1.ndjson';
const LONGEST_LINE = 4 * 1024 * 1024;

export interface LedgerOptions {
  readonly dir: string;
  /** Called for each record, oldest first, at start and then as each becomes durable. */
  readonly apply: (record: LedgerRecord) => void;
  /** Bytes after which a new file is begun; the one before it is kept, older ones are removed. */
  readonly rotateAt: number;
  /** What the new file must begin with so that nothing that still counts is lost with the old one. */
  readonly carryOver: () => LedgerRecord;
}

/**
 * An append-only file with group commit: all records that arrive while one write is on its way share the next sync.
 * The promise of `append` is kept when the record is on disk.
 */
export class Ledger {
  readonly file: string;
  readonly #options: LedgerOptions;
  #handle: FileHandle;
  #size: number;
  #waiting: { record: LedgerRecord; resolve: () => void; reject: (error: Error) => void }[] = [];
  #writing: Promise<void> | null = null;
  #closed = false;

  private constructor(options: LedgerOptions, handle: FileHandle, size: number) {
    this.#options = options;
    this.#handle = handle;
    this.#size = size;
    this.file = path.join(options.dir, FILE);
  }

  /** Reads what is there, takes back a line that a crash tore, and opens for appending. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    await requireWritableFolder(options.dir, "the sink's data folder");
    const file = path.join(options.dir, FILE);
    const whole = await replay(file, options.apply);
    try {
      await truncate(file, whole);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const handle = await open(file, 'a', 0o640);
    await syncFolder(options.dir);
    return new Ledger(options, handle, whole);
  }

  /** Resolves when the record is on disk; rejects when the disk refuses it (then it does not count). */
  append(record: LedgerRecord): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the ledger is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** Begins anew: the records so far stop counting (their file is kept as the old one). */
  async restart(): Promise<void> {
    while (this.#writing) await this.#writing;
    this.#writing = this.#rotate([]).finally(() => {
      this.#writing = this.#waiting.length > 0 ? this.#write() : null;
    });
    await this.#writing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#writing) await this.#writing;
    await this.#handle.close();
  }

  async #write(): Promise<void> {
    // Records that come in this same turn of the event loop join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const text = batch.map((entry) => `${JSON.stringify(entry.record)}\n`).join('');
      const bytes = Buffer.from(text);
      try {
        await this.#handle.appendFile(bytes);
        await this.#handle.datasync();
        this.#size += bytes.length;
      } catch (error) {
        // A part of the batch may stand in the file: take it back, or a restart would count what was refused.
        await this.#handle.truncate(this.#size).catch(() => {});
        const failure = new Error(`the sink's ledger ${this.file} cannot be written: ${reason(error)}`);
        for (const entry of batch) entry.reject(failure);
        continue;
      }
      for (const entry of batch) {
        this.#options.apply(entry.record);
        entry.resolve();
      }
      if (this.#size > this.#options.rotateAt) {
        // A failure leaves the present file in use; the next batch tries again.
        await this.#rotate([this.#options.carryOver()]).catch(() => {});
      }
    }
    this.#writing = null;
  }

  async #rotate(first: LedgerRecord[]): Promise<void> {
    const next = `${this.file}.new`;
    const handle = await open(next, 'w', 0o640);
    const bytes = Buffer.from(first.map((record) => `${JSON.stringify(record)}\n`).join(''));
    try {
      await handle.appendFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(this.file, path.join(this.#options.dir, OLD_FILE));
    await rename(next, this.file);
    const old = this.#handle;
    this.#handle = await open(this.file, 'a', 0o640);
    this.#size = bytes.length;
    await old.close();
    await syncFolder(this.#options.dir);
  }
}

/** Hands each whole line to `apply`; returns the length of the part of the file that holds whole lines. */
async function replay(file: string, apply: (record: LedgerRecord) => void): Promise<number> {
  let rest: Buffer = Buffer.alloc(0);
  let whole = 0;
  let line = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18 })) {
      let bytes: Buffer = rest.length > 0 ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer);
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
        line++;
        apply(parse(bytes.subarray(0, end).toString(), file, line));
        whole += end + 1;
        bytes = bytes.subarray(end + 1);
      }
      if (bytes.length > LONGEST_LINE) throw damaged(file, line + 1);
      rest = bytes;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
  return whole;
}

function parse(text: string, file: string, line: number): LedgerRecord {
  try {
    const record = JSON.parse(text) as LedgerRecord;
    if (typeof record.k === 'string') return record;
  } catch {
    // Said below with file and line.
  }
  throw damaged(file, line);
}

function damaged(file: string, line: number): UserError {
  return new UserError(
    `${file} line ${line} is not a record of the sink's ledger; move the file away to begin a new one`,
  );
}
