import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../system/durable-file.ts';

const ID = /^[a-z0-9][a-z0-9.-]{0,80}$/;

/**
 * Whole messages on disk: those that will be sent back inside a bounce or complaint until that is done, and, when
 * asked for, the latest ones to look at.
 */
export class MailFiles {
  readonly #originals: string;
  readonly #store: string;
  readonly #keep: number;
  #kept: string[] = [];

  private constructor(dir: string, keep: number) {
    this.#originals = path.join(dir, 'originals');
    this.#store = path.join(dir, 'store');
    this.#keep = keep;
  }

  /** `keep`: how many of the latest messages to keep; 0 keeps none. */
  static async open(dir: string, keep: number): Promise<MailFiles> {
    const files = new MailFiles(dir, keep);
    await mkdir(files.#originals, { recursive: true, mode: 0o750 });
    await mkdir(files.#store, { recursive: true, mode: 0o750 });
    // Names begin with the time in a fixed number of digits, so their order is that of arrival.
    files.#kept = (await readdir(files.#store)).filter((name) => name.endsWith('.eml')).sort();
    return files;
  }

  /** Keeps a message until `forgetOriginal`; resolves when it is on disk. */
  async keepOriginal(id: string, content: Buffer): Promise<void> {
    const handle = await open(this.#file(this.#originals, id), 'w', 0o640);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(this.#originals);
  }

  /** The message, or null when it is gone. */
  original(id: string): Promise<Buffer | null> {
    return readFile(this.#file(this.#originals, id)).catch(() => null);
  }

  async forgetOriginal(id: string): Promise<void> {
    await rm(this.#file(this.#originals, id), { force: true });
  }

  /** Removes originals that nobody will send back any more. */
  async keepOnly(ids: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#originals)) {
      if (!ids.has(name.replace(/\.eml$/, ''))) await rm(path.join(this.#originals, name), { force: true });
    }
  }

  /** Adds a message to the ring of the latest ones; a no-op when none are kept. */
  async keep(transaction: string, content: Buffer): Promise<void> {
    if (this.#keep === 0) return;
    const file = this.#file(this.#store, transaction);
    const handle = await open(file, 'w', 0o640);
    try {
      await handle.writeFile(content);
    } finally {
      await handle.close();
    }
    this.#kept.push(path.basename(file));
    for (const old of this.#kept.splice(0, Math.max(0, this.#kept.length - this.#keep))) {
      await rm(path.join(this.#store, old), { force: true });
    }
  }

  /** A kept message by transaction or by the id of one of its copies; null when it is not (or no longer) there. */
  async kept(id: string): Promise<Buffer | null> {
    if (!ID.test(id)) return null;
    return readFile(this.#file(this.#store, id.split('.')[0]!)).catch(() => null);
  }

  #file(dir: string, id: string): string {
    if (!ID.test(id)) throw new Error(`"${id}" names no message`);
    return path.join(dir, `${id}.eml`);
  }
}
