import { type FileHandle, open, stat } from 'node:fs/promises';

/**
 * A file that only grows. Text is taken at once and kept in memory until `sync` has put it on disk; where a write
 * fails (full disk) the text stays and the next `sync` writes it again at the same place, so the file never has a
 * hole or a repetition. A file that another program cuts goes on at its new end.
 */
export class AppendFile {
  readonly path: string;
  readonly #mode: number;
  #handle: FileHandle | null = null;
  #text: string[] = [];
  #durable: number;
  #bytes: number;

  /** `size`: what the file has already; 0 makes a new one, which must not exist. */
  constructor(path: string, size: number, mode: number) {
    this.path = path;
    this.#mode = mode;
    this.#durable = size;
    this.#bytes = size;
  }

  /** Bytes on disk and synced. */
  get durable(): number {
    return this.#durable;
  }

  /** Bytes on disk and in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  append(text: string, bytes = Buffer.byteLength(text)): void {
    this.#text.push(text);
    this.#bytes += bytes;
  }

  /** Opens or makes the file; `true` if it was made, so that its folder needs a sync too. */
  async open(): Promise<boolean> {
    if (this.#handle) return false;
    const made = this.#durable === 0;
    this.#handle = await open(this.path, made ? 'wx+' : 'r+', this.#mode);
    // The mode of `open` is cut by the umask.
    if (made) await this.#handle.chmod(this.#mode);
    return made;
  }

  /** Puts everything on disk; `true` if the file was made by it. */
  async sync(): Promise<boolean> {
    const count = this.#text.length;
    if (count === 0) return false;
    const data = Buffer.from(this.#text.join(''));
    const made = await this.open();
    const handle = this.#handle!;
    // Somebody has emptied it, as log rotation by copying does: written where it was, it would begin with a hole.
    const { size } = await handle.stat();
    if (size < this.#durable) {
      this.#bytes -= this.#durable - size;
      this.#durable = size;
    }
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await handle.write(data, done, data.length - done, this.#durable + done);
      done += bytesWritten;
    }
    await handle.datasync();
    this.#text.splice(0, count);
    this.#durable += data.length;
    return made;
  }

  /** Lets go of the file; text that is not on disk is forgotten. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
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
