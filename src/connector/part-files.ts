import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder, writeFileDurably } from '../system/durable-file.ts';
import { closedName, listEventFiles, partName } from './event-file-names.ts';

export interface EventFilesOptions {
  /** Folder of the event files; one writer per folder. It must exist. */
  readonly dir: string;
  /** A file is closed when it is this old and has content; default 1 s. */
  readonly maxAgeMs?: number;
  /** A file never grows past this many bytes (uncompressed); default 4 MiB, so that it fits one ingest request. */
  readonly maxBytes?: number;
}

/** Numbers are handed out from a block that is on disk, so most files cost no extra write. */
const BLOCK = 1024;
const STATE = 'event-files.state';

interface State {
  /** Every number below it may have been used. */
  readonly reserved: number;
  /** Whose checkpoints count, and the first number that this owner used. */
  readonly owner: string;
  readonly start: number;
}

interface Part {
  readonly number: number;
  readonly createdAt: number;
  handle: FileHandle | null;
  /** Lines that are not on disk yet, each with its line end. */
  lines: string[];
  /** Bytes on disk and synced. */
  durable: number;
  /** Bytes on disk and in `lines`. */
  bytes: number;
}

/**
 * Event files that are being written (`….json.part`): the mechanics that both kinds of writer share. Lines go to
 * the current part; a part is sealed when it is full or old, and released (renamed to `….json`, from when on the
 * uploader may take it) when its writer says so.
 */
export class PartFiles {
  readonly dir: string;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly #now: () => number;
  #current: Part | null = null;
  #sealed: Part[] = [];
  #next = 1;
  #state: State = { reserved: 1, owner: '', start: 1 };
  #last: { readonly file: number; readonly bytes: number } = { file: 0, bytes: 0 };
  #namesChanged = false;

  private constructor(options: EventFilesOptions, now: () => number) {
    this.dir = options.dir;
    this.maxAgeMs = options.maxAgeMs ?? 1000;
    this.maxBytes = options.maxBytes ?? 4 * 1024 * 1024;
    this.#now = now;
  }

  /** Finds the next free number; touches no event file. */
  static async open(options: EventFilesOptions, now: () => number): Promise<PartFiles> {
    const files = new PartFiles(options, now);
    files.#state = await readState(options.dir);
    const { closed, parts } = await listEventFiles(options.dir);
    files.#next = Math.max(files.#state.reserved, (closed.at(-1) ?? 0) + 1, (parts.at(-1) ?? 0) + 1);
    return files;
  }

  get owner(): string {
    return this.#state.owner;
  }

  /** First number used under the present owner. */
  get start(): number {
    return this.#state.start;
  }

  /** Records on disk whose files these are from the next number on. */
  async claim(owner: string): Promise<void> {
    this.#state = { owner, start: this.#next, reserved: this.#next };
    await this.#writeState();
  }

  /** Bytes that are not on disk yet. */
  get unsynced(): number {
    let bytes = this.#current ? this.#current.bytes - this.#current.durable : 0;
    for (const part of this.#sealed) bytes += part.bytes - part.durable;
    return bytes;
  }

  /** Whether a part is older than `maxAgeMs`. */
  get due(): boolean {
    return this.#current !== null && this.#now() - this.#current.createdAt >= this.maxAgeMs;
  }

  /** Whether there is a current part. */
  get open(): boolean {
    return this.#current !== null;
  }

  /** Milliseconds until the current part is due. */
  get dueIn(): number {
    return this.#current ? Math.max(0, this.#current.createdAt + this.maxAgeMs - this.#now()) : 0;
  }

  /** Takes a line without its line end. */
  add(line: string): void {
    const size = Buffer.byteLength(line) + 1;
    if (line === '' || line.includes('\n')) throw new Error('an event is one line');
    if (size > this.maxBytes) throw new Error(`an event of ${size} bytes is larger than an event file`);
    if (this.#current && this.#current.bytes + size > this.maxBytes) this.seal();
    this.#current ??= {
      number: this.#next++,
      createdAt: this.#now(),
      handle: null,
      lines: [],
      durable: 0,
      bytes: 0,
    };
    this.#current.lines.push(`${line}\n`);
    this.#current.bytes += size;
  }

  /** Goes on writing a part that is already there. */
  resume(number: number, bytes: number): void {
    this.#current = { number, createdAt: this.#now(), handle: null, lines: [], durable: bytes, bytes };
    this.#last = { file: number, bytes };
  }

  /** Begins after a file that is finished. */
  startAfter(last: { readonly file: number; readonly bytes: number }): void {
    this.#last = last;
  }

  /** The current part takes no more lines. */
  seal(): void {
    if (this.#current) this.#sealed.push(this.#current);
    this.#current = null;
  }

  /**
   * Writes and syncs every line added so far. On an error the lines stay in memory and the next call writes them
   * again at the same place.
   */
  async sync(): Promise<void> {
    if (this.#next > this.#state.reserved) await this.#writeState();
    const parts = [...this.#sealed, ...(this.#current ? [this.#current] : [])];
    for (const part of parts) {
      if (part.lines.length === 0) continue;
      const count = part.lines.length;
      const data = Buffer.from(part.lines.join(''));
      if (!part.handle) {
        const flags = part.durable > 0 ? 'r+' : 'wx+';
        part.handle = await open(path.join(this.dir, partName(part.number)), flags, 0o640);
        this.#namesChanged = true;
      }
      await writeAt(part.handle, data, part.durable);
      await part.handle.datasync();
      part.lines.splice(0, count);
      part.durable += data.length;
      this.#last = { file: part.number, bytes: part.durable };
    }
    await this.#syncNames();
  }

  /** Number and synced bytes of the last file that has content. */
  get last(): { readonly file: number; readonly bytes: number } {
    return this.#last;
  }

  /** Parts that are sealed now. */
  get sealed(): readonly object[] {
    return [...this.#sealed];
  }

  /** Renames sealed parts whose every line is on disk to their final name; only those in `which` if given. */
  async release(which?: readonly object[]): Promise<void> {
    for (const part of [...this.#sealed]) {
      if (part.lines.length > 0 || (which && !which.includes(part))) continue;
      await part.handle?.close();
      part.handle = null;
      await rename(path.join(this.dir, partName(part.number)), path.join(this.dir, closedName(part.number)));
      this.#sealed = this.#sealed.filter((p) => p !== part);
      this.#namesChanged = true;
    }
    await this.#syncNames();
  }

  /** Closes handles without a word about content. */
  async abandon(): Promise<void> {
    for (const part of [...this.#sealed, ...(this.#current ? [this.#current] : [])]) {
      await part.handle?.close();
      part.handle = null;
    }
  }

  async #syncNames(): Promise<void> {
    if (!this.#namesChanged) return;
    await syncFolder(this.dir);
    this.#namesChanged = false;
  }

  async #writeState(): Promise<void> {
    const state = { ...this.#state, reserved: this.#next + BLOCK };
    await writeFileDurably(path.join(this.dir, STATE), `${JSON.stringify(state)}\n`);
    this.#state = state;
  }
}

async function readState(dir: string): Promise<State> {
  const none: State = { reserved: 1, owner: '', start: 1 };
  try {
    const { reserved, owner, start } = JSON.parse(await readFile(path.join(dir, STATE), 'utf8'));
    const valid = Number.isSafeInteger(reserved) && Number.isSafeInteger(start) && typeof owner === 'string';
    return valid ? { reserved, owner, start } : none;
  } catch (error) {
    // The file is replaced atomically, so a broken one was edited by hand; the names in the folder still count.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return none;
    throw error;
  }
}

async function writeAt(handle: FileHandle, data: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, position + done);
    done += bytesWritten;
  }
}

/** Gives a left-over part its final name after cutting an unfinished last line; an empty one is removed. */
export async function closePart(dir: string, number: number): Promise<void> {
  const file = path.join(dir, partName(number));
  const size = await endOfLastLine(file);
  if (size === 0) await rm(file);
  else {
    await cut(file, size);
    await rename(file, path.join(dir, closedName(number)));
  }
}

/** Shortens a file on disk. */
export async function cut(file: string, size: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.truncate(size);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Size of a file, `null` if there is none. */
export async function sizeOf(file: string): Promise<number | null> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Bytes of a file up to and with its last line end. */
export async function endOfLastLine(file: string): Promise<number> {
  const handle = await open(file, 'r');
  try {
    let end = (await handle.stat()).size;
    const chunk = Buffer.alloc(65_536);
    while (end > 0) {
      const from = Math.max(0, end - chunk.length);
      const { bytesRead } = await handle.read(chunk, 0, end - from, from);
      const at = chunk.subarray(0, bytesRead).lastIndexOf(10);
      if (at >= 0) return from + at + 1;
      end = from;
    }
    return 0;
  } finally {
    await handle.close();
  }
}
