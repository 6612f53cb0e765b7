import { readdirSync, statSync } from 'node:fs';
import { readFile, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Clock } from '../system/clock.ts';
import { reason, syncFolder } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import { closedName, listEventFiles, numberIn } from './event-file-names.ts';
import { type Answer, post } from './ingest-request.ts';

export interface UploaderOptions {
  /** Folder of the event files. */
  readonly dir: string;
  /** Ingest end point, `https://HOST/api/v1/ingest/events`. */
  readonly url: string;
  /** Sent as `Authorization`; never written to the log. */
  readonly apiKey: string;
  readonly log: Log;
  readonly clock: Clock;
  /** `log-verbose`: every upload is logged, else a summary at intervals. */
  readonly verbose?: boolean;
  /** `min-free-space` in bytes: below it, files are deleted unsent, oldest first. 0 turns that off. */
  readonly minFreeSpace?: number;
  readonly fetch?: typeof fetch;
  /** Whole request, answer included; default 60 s. */
  readonly timeoutMs?: number;
  /** How often the folder is looked at; default 500 ms. */
  readonly pollMs?: number;
  /** First wait after a failure, doubled up to `maxRetryMs`; defaults 1 s and 60 s. */
  readonly retryMs?: number;
  readonly maxRetryMs?: number;
  /** Wait after an answer that somebody must mend first (a refused key); default 5 min. */
  readonly mendMs?: number;
  /** Bytes free to ordinary users on the file system of `dir`. */
  readonly freeSpace?: (dir: string) => Promise<number>;
  /** Number in [0,1) that spreads retries. */
  readonly random?: () => number;
}

export interface Uploader {
  /** Event files with content that are still in the folder, unfinished ones included. */
  pending(): number;
  /** Nothing left to send. */
  idle(): boolean;
  /** Ends after the request in hand. */
  close(): Promise<void>;
}

const DISCOVERED_EVERY = 60_000;
const SUMMARY_EVERY = 600_000;
/** An event file is at most 4 MiB; whatever is much larger in the folder is not ours. */
const LARGEST_FILE = 64 * 1024 * 1024;

const compress = promisify(gzip);

/**
 * Sends the closed event files of a folder to the ingest API, oldest first, one at a time, and deletes each when
 * the service has taken it. Sending again is harmless (ingest knows the events by their ids), so whenever the
 * outcome is unknown the same file goes out again: after a lost connection, 5xx or 429 with growing delay; after
 * an answer that somebody has to mend, slowly.
 */
export function startUploader(options: UploaderOptions): Uploader {
  const { dir, clock } = options;
  const log = options.log.named('Signals');
  const random = options.random ?? Math.random;
  const freeSpace = options.freeSpace ?? freeFor;
  const retryMs = options.retryMs ?? 1000;
  const mendMs = options.mendMs ?? 300_000;
  const minFree = options.minFreeSpace ?? 0;

  const stop = new AbortController();
  /** Files that the service refused for themselves, until when. */
  const held = new Map<number, number>();
  let pausedUntil = 0;
  let failures = 0;
  let folderFailing = false;
  const counts = { success: 0, failure: 0, discarded: 0 };
  let lastDiscovered = Number.NEGATIVE_INFINITY;
  let lastSummary = clock.now();
  let cancel: (() => void) | null = null;
  let running: Promise<void> = Promise.resolve();

  const remove = async (number: number) => {
    await rm(path.join(dir, closedName(number)), { force: true });
    await syncFolder(dir);
    held.delete(number);
  };

  const spread = (ms: number) => Math.round(ms * (0.75 + random() / 2));

  /** Makes room by dropping the oldest files; returns those that stay. */
  const makeRoom = async (numbers: number[]): Promise<number[]> => {
    if (minFree === 0) return numbers;
    const left = [...numbers];
    while (left.length > 0 && (await freeSpace(dir)) < minFree) {
      const number = left.shift()!;
      await remove(number);
      counts.discarded++;
      log.warn(
        `Discarded ${closedName(number)} without sending it: less than min-free-space is left on its disk`,
        { minFreeSpace: minFree },
      );
    }
    return left;
  };

  /** Sends one file; `false` when no other should be tried now. */
  const transfer = async (number: number): Promise<boolean> => {
    const name = closedName(number);
    const file = path.join(dir, name);
    let answer: Answer;
    try {
      const size = statSync(file).size;
      if (size === 0) {
        await remove(number);
        return true;
      }
      if (size > LARGEST_FILE) answer = { kind: 'file', why: `the file has ${size} bytes` };
      else answer = await post(options, await compress(await readFile(file)), stop.signal);
    } catch (error) {
      // Taken away under our hands: by the operator, or by the rule for free space of another process.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
      throw error;
    }
    if (answer.kind === 'taken') {
      await remove(number);
      failures = 0;
      counts.success++;
      if (options.verbose) log.info(`Transferred ${name} successfully.`);
      return true;
    }
    if (stop.signal.aborted) return false;
    counts.failure++;
    const wait =
      answer.kind === 'later'
        ? Math.max(
            spread(Math.min(retryMs * 2 ** Math.min(failures, 20), options.maxRetryMs ?? 60_000)),
            Math.min(answer.retryAfterMs, mendMs),
          )
        : spread(mendMs);
    failures++;
    log.warn(
      `Transfer of ${name} failed: ${answer.why}; the file is kept and sent again in ${Math.ceil(wait / 1000)} s`,
    );
    if (answer.kind === 'file') {
      held.set(number, clock.now() + wait);
      return true;
    }
    pausedUntil = clock.now() + wait;
    return false;
  };

  const round = async () => {
    const found = await makeRoom((await listEventFiles(dir)).closed);
    for (const number of held.keys()) if (!found.includes(number)) held.delete(number);
    const now = clock.now();
    const ready = now < pausedUntil ? [] : found.filter((n) => (held.get(n) ?? 0) <= now);
    if (options.verbose && ready.length === 0 && now - lastDiscovered >= DISCOVERED_EVERY) {
      lastDiscovered = now;
      log.info(`Discovered ${files(found.length)}`);
    }
    if (ready.length === 0) return;
    if (options.verbose) for (const number of ready) log.info(`Discovered ${closedName(number)}`);
    const before = counts.success;
    for (const number of ready) {
      if (stop.signal.aborted || !(await transfer(number))) break;
      if (minFree > 0 && (await freeSpace(dir)) < minFree) break;
    }
    if (options.verbose) {
      lastDiscovered = clock.now();
      const sent = counts.success - before;
      log.info(
        `Discovered ${files(ready.length)}, transferred ${files(sent)}${sent === ready.length ? ' successfully' : ''}`,
      );
    }
  };

  const summarise = () => {
    lastSummary = clock.now();
    if (options.verbose || counts.success + counts.failure + counts.discarded === 0) return;
    log.info(
      `Transfer-Summary-API-key="${masked(options.apiKey)}": success:${counts.success}, failure:${counts.failure}, discarded:${counts.discarded}`,
    );
    counts.success = 0;
    counts.failure = 0;
    counts.discarded = 0;
  };

  const tick = () => {
    cancel = null;
    running = round()
      .then(
        () => {
          folderFailing = false;
        },
        (error: unknown) => {
          if (!folderFailing) log.error('event files cannot be read', { folder: dir, reason: reason(error) });
          folderFailing = true;
        },
      )
      .then(() => {
        if (clock.now() - lastSummary >= SUMMARY_EVERY) summarise();
        if (!stop.signal.aborted) cancel = clock.after(options.pollMs ?? 500, tick);
      });
  };
  tick();

  const pending = () => countPending(dir);
  let closing: Promise<void> | null = null;
  return {
    pending,
    idle: () => pending() === 0,
    close: () => {
      closing ??= (async () => {
        stop.abort();
        cancel?.();
        await running;
        cancel?.();
        summarise();
      })();
      return closing;
    },
  };
}

function files(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}

/** Enough of a key to tell it from another. */
function masked(key: string): string {
  return `${key.slice(0, 4)}${'*'.repeat(Math.max(4, key.length - 4))}`;
}

async function freeFor(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

function countPending(dir: string): number {
  let count = 0;
  for (const name of readdirSync(dir)) {
    if (numberIn(name, 'closed') !== null) count++;
    else if (numberIn(name, 'part') !== null) {
      if ((statSync(path.join(dir, name), { throwIfNoEntry: false })?.size ?? 1) > 0) count++;
    }
  }
  return count;
}
