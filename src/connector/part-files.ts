import { readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder, writeFileDurably } from '../system/durable-file.ts';
import { AppendFile, cut, endOfLastLine } from './append-file.ts';
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
  readonly file: AppendFile;
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
    return this.#parts().reduce((sum, { file }) => sum + file.bytes - file.durable, 0);
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
    if (this.#current && this.#current.file.bytes + size > this.maxBytes) this.seal();
    this.#current ??= this.#part(this.#next++, 0);
    this.#current.file.append(`${line}\n`, size);
  }

  /** Goes on writing a part that is already there. */
  resume(number: number, bytes: number): void {
    this.#current = this.#part(number, bytes);
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
    for (const part of this.#parts()) {
      if (part.file.bytes === part.file.durable) continue;
      this.#namesChanged ||= part.file.durable === 0;
      await part.file.sync();
      this.#last = { file: part.number, bytes: part.file.durable };
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
      if (part.file.bytes > part.file.durable || (which && !which.includes(part))) continue;
      await part.file.close();
      await rename(part.file.path, path.join(this.dir, closedName(part.number)));
      this.#sealed = this.#sealed.filter((p) => p !== part);
      this.#namesChanged = true;
    }
    await this.#syncNames();
  }

  /** Closes handles without a word about content. */
  async abandon(): Promise<void> {
    for (const part of this.#parts()) await part.file.close();
  }

  #parts(): Part[] {
    return this.#current ? [...this.#sealed, this.#current] : this.#sealed;
  }

  #part(number: number, bytes: number): Part {
    const file = new AppendFile(path.join(this.dir, partName(number)), bytes, 0o640);
    return { number, createdAt: this.#now(), file };
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

/**
 * Gives a left-over part its final name after cutting an unfinished last line; an empty one is removed. Lines with a
 * zero in them are left out: a power cut leaves zeros where a part of the file did not reach the disk, and JSON has
 * none. Answers how many lines that were.
 */
export async function closePart(dir: string, number: number): Promise<number> {
  const file = path.join(dir, partName(number));
  const holes = await takeOutHoles(file);
  const size = await endOfLastLine(file);
  if (size === 0) await rm(file);
  else {
    await cut(file, size);
    await rename(file, path.join(dir, closedName(number)));
  }
  return holes;
}

/** Never a line that `sync` was done for: only what had not reached the disk can be zeros. */
async function takeOutHoles(file: string): Promise<number> {
  const content = await readFile(file);
  if (!content.includes(0)) return 0;
  const kept: Buffer[] = [];
  let holes = 0;
  for (let from = 0; from < content.length; ) {
    const at = content.indexOf(0x0a, from);
    const end = at < 0 ? content.length : at + 1;
    const line = content.subarray(from, end);
    if (line.includes(0)) holes++;
    else kept.push(line);
    from = end;
  }
  await writeFileDurably(file, Buffer.concat(kept), 0o640);
  return holes;
}
