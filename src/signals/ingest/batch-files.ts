import { randomUUID } from 'node:crypto';
import { closeSync, fsync, openSync, writeFileSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { syncFolder } from '../../system/durable-file.ts';

/** A batch that was acknowledged and is not processed yet. */
export interface PendingBatch {
  readonly id: string;
  readonly file: string;
  /** Bytes as received, compressed. */
  readonly size: number;
  /** Milliseconds since the epoch; the age of events is measured at arrival, however late they are processed. */
  readonly arrivedAt: number;
  /** Id of the key that it was sent with; '' where an earlier program did not note it. */
  readonly key: string;
  /** It was there when the program started, so an earlier run may have stored part of it. */
  readonly doubtful: boolean;
}

const sync = promisify(fsync);
const DAY = 86_400_000;
/** SparkPost's. */
const BATCH_DAYS = 10;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Joins all who want the same folder synced into as few syncs as give each what it asked for. */
class GroupSync {
  readonly #dir: string;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Resolves when a sync that began after this call has ended. */
  sync(): Promise<void> {
    if (!this.#running) {
      this.#running = syncFolder(this.#dir).finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = null;
        return this.sync();
      });
    return this.#next;
  }
}

/**
 * The batches on disk: `pending/` holds what was acknowledged and waits, `done/YYYY-MM-DD/` what was processed, for
 * as long as senders may fetch it. A name in `pending/` sorts by arrival.
 */
export class BatchFiles {
  readonly #pending: string;
  readonly #done: string;
  readonly #now: () => number;
  readonly #sync: GroupSync;
  readonly #keepDone: boolean;
  /** Days that a processed batch can be fetched. */
  readonly keepDays: number;
  #sequence = 0;

  private constructor(dir: string, now: () => number, keepDone: boolean, keepDays: number) {
    this.#keepDone = keepDone;
    this.keepDays = keepDays;
    this.#pending = path.join(dir, 'pending');
    this.#done = path.join(dir, 'done');
    this.#now = now;
    this.#sync = new GroupSync(this.#pending);
  }

  /** Opens the folder and lists what an earlier run left, in order of arrival. */
  static async open(
    dir: string,
    now: () => number,
    options: { readonly keepDone?: boolean; readonly keepDays?: number } = {},
  ): Promise<{ files: BatchFiles; left: PendingBatch[] }> {
    const files = new BatchFiles(dir, now, options.keepDone ?? true, options.keepDays ?? BATCH_DAYS);
    await mkdir(files.#pending, { recursive: true, mode: 0o750 });
    await mkdir(files.#done, { recursive: true, mode: 0o750 });
    const left: PendingBatch[] = [];
    for (const name of (await readdir(files.#pending)).sort()) {
      const file = path.join(files.#pending, name);
      const id = name.slice(-39, -3);
      if (name.endsWith('.gz') && uuid.test(id)) {
        const { size } = await stat(file);
        const [arrivedAt, key] = [Number(name.slice(0, 14)), name.slice(25, -40)];
        left.push({ id, file, size, arrivedAt, key, doubtful: true });
      } else if (name.endsWith('.tmp')) await rm(file, { force: true });
    }
    return { files, left };
  }

  /** Keeps a batch that was sent with this key; when this resolves, it survives a crash of the machine. */
  async accept(chunks: readonly Uint8Array[], key: string): Promise<PendingBatch> {
    const id = randomUUID();
    const arrivedAt = this.#now();
    const order = `${String(arrivedAt).padStart(14, '0')}-${String(this.#sequence++).padStart(9, '0')}`;
    const file = path.join(this.#pending, `${order}-${key === '' ? '' : `${key}-`}${id}.gz`);
    const temporary = `${file}.tmp`;
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const size = bytes.length;
    try {
      if (size <= SMALL) await writeSmall(temporary, bytes);
      else {
        const handle = await open(temporary, 'wx', 0o640);
        try {
          await handle.writeFile(bytes);
          await handle.sync();
        } finally {
          await handle.close();
        }
      }
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await this.#sync.sync();
    return { id, file, size, arrivedAt, key, doubtful: false };
  }

  /** Where the failures of a batch are being gathered; taken over by `keepFailures`. */
  failuresFile(batch: PendingBatch): string {
    return `${batch.file}.failures.tmp`;
  }

  /** Moves the failures of a batch, complete now, to where senders fetch them. */
  async keepFailures(batch: PendingBatch): Promise<void> {
    await this.#keep(this.failuresFile(batch), `${batch.id}.failures.gz`);
  }

  /** Moves a processed batch to where senders fetch it. */
  async finish(batch: PendingBatch): Promise<void> {
    await this.#keep(batch.file, `${batch.id}.gz`);
  }

  async #keep(file: string, name: string): Promise<void> {
    if (!this.#keepDone) {
      await rm(file, { force: true });
      return;
    }
    const dir = path.join(this.#done, new Date(this.#now()).toISOString().slice(0, 10));
    const to = path.join(dir, name);
    await rename(file, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      // The first of its day, or the folder was taken away.
      await mkdir(dir, { recursive: true, mode: 0o750 });
      await rename(file, to);
    });
  }

  /** A stored batch, or its failures, to read from; `null` when there is none or it has expired. */
  async open(id: string, what: 'batch' | 'failures'): Promise<FileHandle | null> {
    for (;;) {
      const file = await this.find(id, what);
      if (file === null) return null;
      try {
        return await open(file, 'r');
      } catch (error) {
        // It was moved, or expired, between the two.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  /** Path of a stored batch, or of its failures; `null` when there is none or it has expired. */
  async find(id: string, what: 'batch' | 'failures'): Promise<string | null> {
    if (!uuid.test(id)) return null;
    if (what === 'batch') {
      // Looked for before what is done, so that one that is being moved is in one of the two.
      const pending = (await readdir(this.#pending)).find((n) => n.endsWith(`${id}.gz`));
      if (pending) return path.join(this.#pending, pending);
    }
    const name = what === 'batch' ? `${id}.gz` : `${id}.failures.gz`;
    for (const day of (await readdir(this.#done)).sort().reverse()) {
      const file = path.join(this.#done, day, name);
      if (await exists(file)) return file;
    }
    return null;
  }

  /** Removes processed batches that have been kept long enough. */
  async expire(): Promise<void> {
    const oldest = new Date(this.#now() - (this.keepDays + 1) * DAY).toISOString().slice(0, 10);
    for (const day of await readdir(this.#done)) {
      if (/^\d{4}-\d\d-\d\d$/.test(day) && day < oldest) {
        await rm(path.join(this.#done, day), { recursive: true, force: true });
      }
    }
  }
}

/** Up to this size, writing into the system's cache takes less time than handing it to another thread. */
const SMALL = 128 * 1024;

async function writeSmall(file: string, bytes: Uint8Array): Promise<void> {
  const fd = openSync(file, 'wx', 0o640);
  try {
    writeFileSync(fd, bytes);
    await sync(fd);
  } finally {
    closeSync(fd);
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
