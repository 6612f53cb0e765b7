/**
 * The files of a pickup folder and who has them. A file is claimed by a rename into a folder of ours beside the
 * others, under a name that never comes again; the rename is what only one taker can do. What lies there after a
 * kill was claimed and not removed: whether its message was stored is known by its name (`Spool.wasTaken`).
 */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, opendir, readdir, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../../../system/durable-file.ts';
import type { FileLocks } from './file-locks.ts';

/** A file that is ours. */
export interface ClaimedFile {
  /** Unique for ever: names the file to the spool. */
  readonly claim: string;
  /** Name it came under, perhaps shortened. */
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

/** A file must have been left alone for this long: not every writer locks or renames. */
export const SETTLE_MS = 1_000;

const CLAIM_BYTES = 8;
const CLAIM_NAME = /^([0-9a-f]{16})\.(.+)$/s;
const LONGEST_KEPT_NAME = 200;
const MOST_REMEMBERED = 10_000;

interface Sighting {
  readonly size: bigint;
  readonly mtime: bigint;
  readonly since: number;
}

export class PickupFolder {
  readonly directory: string;
  readonly bad: string;
  readonly #claims: string;
  #seen = new Map<string, Sighting>();

  /** `owner` is part of the name of the folder of claims: two servers with spools of their own may share a folder. */
  constructor(directory: string, badDirectory: string, owner: string) {
    this.directory = directory;
    this.bad = badDirectory;
    this.#claims = path.join(directory, `.claimed-${owner.replace(/[^A-Za-z0-9-]/g, '').slice(0, 40)}`);
  }

  async prepare(): Promise<void> {
    await mkdir(this.#claims, { recursive: true, mode: 0o750 });
  }

  /** Whether a name is left alone: hidden files are how people park what is not ready. */
  static isHidden(name: string): boolean {
    return name.startsWith('.');
  }

  /**
   * Claims up to `most` files that are ready; it is on disk that they are ours when this resolves. `odd` gets what is
   * no regular file: links, pipes, devices.
   */
  async claim(
    most: number,
    locks: FileLocks,
    now: number,
    odd: (name: Buffer) => Promise<void>,
  ): Promise<number> {
    let claimed = 0;
    const seen = new Map<string, Sighting>();
    // Names are octets: whoever wrote a file need not have written its name in UTF-8.
    const options = { encoding: 'buffer' as never };
    for await (const entry of await opendir(this.directory, options)) {
      if (claimed >= most) break;
      const name = Buffer.from(entry.name);
      if (PickupFolder.isHidden(name.toString('latin1'))) continue;
      const file = this.pathOf(name);
      const stats = await lstat(file, { bigint: true }).catch(() => null);
      if (!stats || stats.isDirectory()) continue;
      if (!stats.isFile()) {
        await odd(name);
        continue;
      }
      if (!this.#isSettled(name, stats, now, seen) || locks.holds(stats)) continue;
      if (await this.#take(name)) claimed++;
    }
    this.#seen = seen;
    if (claimed > 0) {
      await syncFolder(this.#claims);
      await syncFolder(this.directory);
    }
    return claimed;
  }

  #isSettled(octets: Buffer, stats: BigIntStats, now: number, seen: Map<string, Sighting>): boolean {
    const name = octets.toString('latin1');
    if (now - Number(stats.mtimeMs) >= SETTLE_MS) return true;
    // A time in the future, or a clock that differs from the file system's: two looks tell.
    const before = this.#seen.get(name);
    const same = before?.size === stats.size && before?.mtime === stats.mtimeNs;
    const since = same ? before.since : now;
    if (seen.size < MOST_REMEMBERED) seen.set(name, { size: stats.size, mtime: stats.mtimeNs, since });
    return now - since >= SETTLE_MS;
  }

  async #take(octets: Buffer): Promise<boolean> {
    const name = printable(octets);
    const kept = Buffer.byteLength(name) <= LONGEST_KEPT_NAME ? name : name.slice(-60);
    const claim = randomBytes(CLAIM_BYTES).toString('hex');
    try {
      await rename(this.pathOf(octets), path.join(this.#claims, `${claim}.${kept}`));
      return true;
    } catch (error) {
      // Somebody else was quicker, or changed their mind.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Everything that was claimed and not removed. */
  async claimed(): Promise<ClaimedFile[]> {
    const files: ClaimedFile[] = [];
    for (const entry of await readdir(this.#claims)) {
      const match = CLAIM_NAME.exec(entry);
      if (!match) continue;
      const file = path.join(this.#claims, entry);
      const stats = await lstat(file).catch(() => null);
      if (stats) files.push({ claim: match[1]!, name: match[2]!, path: file, size: stats.size });
    }
    return files;
  }

  /** The file's bytes; text when it cannot be taken: it is no file, or has more than `most` bytes. */
  async read(file: ClaimedFile, most: number): Promise<Buffer | string> {
    // A link may have been put in its place before it was claimed; a pipe would make the opening wait for ever.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(file.path, flags);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ELOOP' || code === 'ENXIO') return 'it is no regular file';
      if (code === 'EACCES') return 'this user may not read it';
      throw error;
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return 'it is no regular file';
      if (stats.size > most) return `it has ${stats.size} bytes, more than the ${most} that a file may have`;
      const content = Buffer.allocUnsafe(stats.size);
      let used = 0;
      while (used < content.length) {
        const { bytesRead } = await handle.read(content, used, content.length - used, used);
        if (bytesRead === 0) break;
        used += bytesRead;
      }
      return content.subarray(0, used);
    } finally {
      await handle.close();
    }
  }

  /** Takes files away whose messages are stored; on disk when this resolves. */
  async remove(files: readonly ClaimedFile[]): Promise<void> {
    for (const file of files) await rm(file.path, { force: true });
    if (files.length > 0) await syncFolder(this.#claims);
  }

  /** Moves a claimed file, or something still in the folder, to the bad ones, under a name that is free; answers it. */
  async moveToBad(from: string | Buffer, name: string, tag: string): Promise<string> {
    const free = (await lstat(path.join(this.bad, name)).catch(() => null)) === null;
    const to = path.join(this.bad, free ? name : `${name.slice(0, 150)}.${tag}`);
    try {
      await rename(from, to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
      await moveAcross(from, to);
    }
    return to;
  }

  pathOf(name: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.directory}${path.sep}`), name]);
  }
}

/** A file's name as text; octets that are no UTF-8 show as U+FFFD. */
export function printable(name: Buffer): string {
  return name.toString('utf8');
}

/** To another file system: there whole and on disk before it is gone here. */
async function moveAcross(from: string | Buffer, to: string): Promise<void> {
  if ((await lstat(from)).isFile()) {
    const part = `${to}.${randomBytes(4).toString('hex')}.tmp`;
    await copyFile(from, part, constants.COPYFILE_EXCL);
    const handle = await open(part, 'r');
    await handle.sync();
    await handle.close();
    await link(part, to);
    await unlink(part);
    await syncFolder(path.dirname(to));
  }
  await unlink(from);
}
