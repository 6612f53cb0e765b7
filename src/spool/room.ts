/**
 * Keeps allocated space ahead of the store in its file, so that a full disk is met here, where it refuses one message,
 * and never by LMDB in the middle of a transaction: there the native library writes its error text behind the end of
 * its buffer (lmdb 3.5.6), which may end the process.
 */
import { open, stat, statfs } from 'node:fs/promises';
import type { Database } from 'lmdb';

/** Kept free for what must always be possible: writing down what became of messages, which frees their space. */
const MARGIN = 256 * 1024;
/** The store is measured when what was handed out comes to this: with a small step, for every few messages. */
const LEAST_STEP = 8 * 1024 * 1024;
const LARGEST_STEP = 64 * 1024 * 1024;

export class Room {
  readonly #file: string;
  readonly #usedBytes: () => number;
  readonly #freeBytes: () => number;
  /** Of the file, as far as we know. */
  #size = 0;
  /** What may be handed out before the store must be measured again. */
  #left = 0;
  #inFlight = 0;
  #growing: Promise<void> | null = null;

  /** `usedBytes` measures up to where the store uses its file, `freeBytes` what lies free before that. */
  constructor(file: string, usedBytes: () => number, freeBytes: () => number) {
    this.#file = file;
    this.#usedBytes = usedBytes;
    this.#freeBytes = freeBytes;
  }

  /** Null when there is room now; else resolves when there is, rejects with the system's error when there is none. */
  reserve(bytes: number): Promise<void> | null {
    if (this.#growing) return this.#reserveLater(bytes);
    if (this.#left < bytes) this.#measure();
    if (this.#left < bytes) return this.#reserveLater(bytes);
    this.#left -= bytes;
    this.#inFlight += bytes;
    return null;
  }

  /** What was reserved is written, or will not be. */
  release(bytes: number): void {
    this.#inFlight -= bytes;
  }

  async #reserveLater(bytes: number): Promise<void> {
    // One after the other; what another grew may do for this one too.
    while (this.#growing) await this.#growing.catch(() => {});
    this.#measure();
    if (this.#left < bytes) {
      this.#growing = this.#grow(bytes).finally(() => {
        this.#growing = null;
      });
      try {
        await this.#growing;
      } catch (error) {
        // What has gone out again makes room inside, though not all of it in one piece.
        this.#left += this.#freeBytes() / 2;
        if (this.#left < bytes) throw error;
      }
    }
    this.#left -= bytes;
    this.#inFlight += bytes;
  }

  #measure(): void {
    this.#left = this.#size - this.#usedBytes() - this.#inFlight - MARGIN;
  }

  async #grow(bytes: number): Promise<void> {
    const handle = await open(this.#file, 'a');
    try {
      this.#size = (await handle.stat()).size;
      this.#measure();
      let missing = bytes - this.#left;
      if (missing <= 0) return;
      const step = Math.min(Math.max(LEAST_STEP, this.#size / 8), LARGEST_STEP);
      const { bavail, bsize } = await statfs(this.#file);
      // The last of the disk is not taken for later.
      if (bavail * bsize > 4 * step) missing = Math.max(missing, step);
      // Appending cannot meet what the store writes: that lies before the end of the file, wherever the end is.
      const zeros = Buffer.alloc(Math.min(Math.ceil(missing), 1024 * 1024));
      while (missing > 0)
        missing -= (await handle.write(zeros, 0, Math.min(zeros.length, Math.ceil(missing)))).bytesWritten;
    } finally {
      await handle.close();
      this.#size = (await stat(this.#file)).size;
      this.#measure();
    }
  }
}

const PAGE = 4096;

/** Room in the file of a store with these tables, the only ones that are large. */
export function roomOf(file: string, tables: readonly Database[]): Room {
  const used = () => pagesOf(tables[0]!).last * PAGE;
  const free = () => used() - tables.reduce((sum, one) => sum + pagesOf(one).inUse * PAGE, 0);
  return new Room(file, used, free);
}

function pagesOf(table: Database): { inUse: number; last: number } {
  const stats = table.getStats() as Record<string, number>;
  const inUse = stats.treeBranchPageCount! + stats.treeLeafPageCount! + stats.overflowPages!;
  return { inUse, last: stats.lastPageNumber! + 1 };
}

/** What a message may take in the file at most, the pages that are written anew around it included; bytes. */
export function spaceFor(content: Buffer, recipients: number): number {
  return content.length + 64 * 1024 + recipients * 1024;
}
