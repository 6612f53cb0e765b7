import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../system/clock.ts';
import { reason, requireWritableFolder, syncFolder } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import { cut, endOfLastLine, sizeOf } from './append-file.ts';
import { closedName, listEventFiles, partName } from './event-file-names.ts';
import { closePart, type EventFilesOptions, PartFiles } from './part-files.ts';

export type { EventFilesOptions } from './part-files.ts';

/** Event files for a program that has no journal of its own (the tracker, the agent). */
export interface EventFiles {
  /**
   * Takes one event line, without its line end. It is on disk within `syncMs`. `false`: the disk has failed for so
   * long that no more is kept in memory; the line is dropped, and the log says so.
   */
  add(line: string): boolean;
  /** Resolves when every line added so far is on disk; rejects while the disk refuses. */
  sync(): Promise<void>;
  /** Writes and closes everything. */
  close(): Promise<void>;
}

export interface TimedOptions extends EventFilesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Longest time that a line waits for the disk; default 200 ms. */
  readonly syncMs?: number;
  /** Bytes kept in memory while the disk refuses; default 32 MiB. */
  readonly maxUnsynced?: number;
}

/** Makes each step wait for the one before it. */
function inTurn(): <T>(step: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (step) => {
    const next = last.then(step, step);
    last = next.catch(() => {});
    return next;
  };
}

/**
 * Opens a folder of event files that are synced and closed by the clock. Files that a crash left unfinished are
 * closed and kept, less an unfinished last line. Throws UserError when the folder cannot be written.
 */
export async function openEventFiles(options: TimedOptions): Promise<EventFiles> {
  const { dir, clock, log } = options;
  const syncMs = options.syncMs ?? 200;
  const maxUnsynced = options.maxUnsynced ?? 32 * 1024 * 1024;
  await requireWritableFolder(dir, 'event files');
  const files = await PartFiles.open(options, () => clock.now());
  const { parts } = await listEventFiles(dir);
  for (const number of parts) await closeLeftOver(dir, number, log);
  if (parts.length > 0) await syncFolder(dir);

  const turn = inTurn();
  let failing = false;
  let dropped = 0;
  let closed = false;
  let cancel: (() => void) | null = null;

  const write = (all: boolean) =>
    turn(async () => {
      if (all || files.due) files.seal();
      await files.sync();
      await files.release();
      if (failing) log.info('event files can be written again', { folder: dir, dropped });
      failing = false;
      dropped = 0;
    });

  const tick = () => {
    cancel = null;
    write(false)
      .catch((error: unknown) => {
        if (!failing) {
          log.error('event files cannot be written; events are kept in memory', {
            folder: dir,
            reason: reason(error),
          });
        }
        failing = true;
      })
      .then(arm);
  };

  /** The timer runs only while there is something to sync or to close. */
  const arm = () => {
    if (cancel || closed || (files.unsynced === 0 && !files.open && files.sealed.length === 0)) return;
    cancel = clock.after(files.unsynced > 0 ? syncMs : Math.max(syncMs, files.dueIn), tick);
  };

  return {
    add(line) {
      if (closed) throw new Error('the event files are closed');
      if (files.unsynced > maxUnsynced) {
        if (dropped === 0) log.error('events are dropped until the disk takes them again', { folder: dir });
        dropped++;
        return false;
      }
      files.add(line);
      if (cancel && files.unsynced === Buffer.byteLength(line) + 1) {
        // The timer was waiting for the file's age; a new line must not wait that long.
        cancel();
        cancel = null;
      }
      arm();
      return true;
    },
    async sync() {
      await write(false);
    },
    async close() {
      closed = true;
      cancel?.();
      cancel = null;
      try {
        await write(true);
      } finally {
        await files.abandon();
      }
    },
  };
}

async function closeLeftOver(dir: string, number: number, log: Log): Promise<void> {
  const lines = await closePart(dir, number);
  if (lines > 0) {
    log.warn('the power went before lines of an event file were on disk; they are left out', {
      folder: dir,
      file: closedName(number),
      lines,
    });
  }
}

/** Where a writer stood: the last file with content, and its bytes. */
export interface EventFilesCheckpoint {
  readonly file: number;
  readonly bytes: number;
}

/** Event files behind a journal: what is written after a checkpoint is taken back when the checkpoint is opened. */
export interface CheckpointedEventFiles {
  add(line: string): void;
  /**
   * Resolves when every line added so far is on disk, with the checkpoint to remember. The caller has stored it
   * before it calls `flush` again: a file is closed, and so may be uploaded, only one flush after its last line.
   */
  flush(): Promise<EventFilesCheckpoint>;
  /** Closes files that are wholly on disk; call `flush` and store its checkpoint before. */
  close(): Promise<void>;
  /** Lets go without closing any file, for opening again at a checkpoint. */
  abandon(): Promise<void>;
}

export interface CheckpointedOptions extends EventFilesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Names the journal that keeps the checkpoints; another journal's files in the folder are kept. */
  readonly owner: string;
}

function isCheckpoint(value: unknown): value is EventFilesCheckpoint {
  const { file, bytes } = (value ?? {}) as EventFilesCheckpoint;
  return Number.isSafeInteger(file) && Number.isSafeInteger(bytes) && file >= 0 && bytes >= 0;
}

/**
 * Opens the folder at a checkpoint (`null` or `undefined`: the beginning) and takes back every line written later.
 * Open it before the uploader starts, which might otherwise take a file that is about to be cut.
 */
export async function openCheckpointedEventFiles(
  options: CheckpointedOptions,
  checkpoint: unknown,
): Promise<CheckpointedEventFiles> {
  const { dir, clock, log, owner } = options;
  await requireWritableFolder(dir, 'event files');
  const files = await PartFiles.open(options, () => clock.now());
  await takeBack(files, checkpoint, owner, log);

  const turn = inTurn();
  let covered: readonly object[] = [];
  let cancel: (() => void) | null = null;
  let closed = false;

  /** With no more traffic there is no next flush: then the checkpoint has long been stored. */
  const idle = () => {
    cancel = null;
    turn(async () => {
      if (closed || files.unsynced > 0) return;
      files.seal();
      await files.release();
    }).catch((error: unknown) => {
      log.error('event file cannot be closed', { folder: dir, reason: reason(error) });
      if (!closed) cancel ??= clock.after(files.maxAgeMs, idle);
    });
  };

  return {
    add(line) {
      if (closed) throw new Error('the event files are closed');
      files.add(line);
    },
    flush: () =>
      turn(async () => {
        cancel?.();
        cancel = null;
        await files.release(covered);
        if (files.due) files.seal();
        await files.sync();
        covered = files.sealed;
        if (!closed && (files.open || covered.length > 0)) cancel = clock.after(files.maxAgeMs, idle);
        return files.last;
      }),
    async abandon() {
      closed = true;
      cancel?.();
      cancel = null;
      await turn(() => files.abandon());
    },
    async close() {
      closed = true;
      cancel?.();
      cancel = null;
      await turn(async () => {
        try {
          if (files.unsynced === 0) {
            files.seal();
            await files.release();
          }
        } finally {
          await files.abandon();
        }
      });
    },
  };
}

async function takeBack(files: PartFiles, checkpoint: unknown, owner: string, log: Log): Promise<void> {
  const { dir } = files;
  const { closed, parts } = await listEventFiles(dir);
  const own = files.owner === owner;
  // What is older than this journal, or belongs to another (a spool that was replaced), nobody writes again: keep it.
  const at = own && isCheckpoint(checkpoint) && checkpoint.file >= files.start ? checkpoint : null;
  const keepUpTo = at ? at.file : own ? files.start - 1 : Number.POSITIVE_INFINITY;

  for (const number of closed.filter((n) => n > keepUpTo)) await rm(path.join(dir, closedName(number)));
  for (const number of parts.filter((n) => n > keepUpTo)) await rm(path.join(dir, partName(number)));
  for (const number of parts.filter((n) => n <= keepUpTo && n !== at?.file))
    await closeLeftOver(dir, number, log);

  if (at) {
    const part = path.join(dir, partName(at.file));
    const done = path.join(dir, closedName(at.file));
    if (((await sizeOf(done)) ?? 0) > at.bytes) await rename(done, part);
    const size = await sizeOf(part);
    if (size !== null && size < at.bytes) {
      log.error('event file is shorter than it was; lines of it are lost', { file: part, bytes: size });
    }
    if (size !== null && at.bytes > 0) {
      const keep = size < at.bytes ? await endOfLastLine(part) : at.bytes;
      await cut(part, keep);
      files.resume(at.file, keep);
    } else {
      files.startAfter(at);
    }
  }
  await syncFolder(dir);
  if (!own) await files.claim(owner);
}
