/**
 * The log in front of the store: what is gone within seconds is written here, one behind the other and with one sync for
 * what comes together, and never comes into the store's trees. Two files take turns; while one fills, what is left of
 * the other is moved into the store (`retire`). Nothing depends on there being room: the store takes what the log does
 * not.
 *
 * The files are written in space that was allocated before, through O_DSYNC: a write that ends is on the disk, and a full
 * disk is met when a file grows, which nobody waits for.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  write,
  writeSync,
  writev,
} from 'node:fs';
import path from 'node:path';
import {
  beginningOf,
  HEADER,
  type ReadSegment,
  readSegment,
  recordOctets,
  sealRecord,
} from './log-records.ts';

export const LOG_FILES = ['log-0', 'log-1'] as const;

/** Octets of a file at most. */
const LARGEST_FILE = 32 * 1024 * 1024;
/** By which a file grows, at least. */
const STEP = 1024 * 1024;
/** A larger message would fill the log with what is written once anyway. */
const LARGEST_RECORD = 1024 * 1024;
/** Octets and records that are written together at most. */
const MOST_TOGETHER = 4 * 1024 * 1024;
const MOST_RECORDS = 250;

interface Segment {
  readonly number: number;
  /** Of each of its records. */
  readonly beginning: Buffer;
  readonly file: File;
  /** Up to where it is written. */
  end: number;
  /** Octets that are promised a place in it and not written yet. */
  queued: number;
  groups: number;
}

interface File {
  readonly handle: number;
  /** Octets that are allocated. */
  size: number;
  growing: boolean;
  /** Its disk has no more. */
  grown: boolean;
}

interface Queued {
  readonly segment: Segment;
  readonly octets: Buffer;
  readonly content: Buffer | null;
  readonly bytes: number;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

export interface SpoolLogOptions {
  /** Octets of a file at most, 0 for no log; default 32 MiB. */
  readonly fileSize?: number;
  /** A segment is to be moved into the store, so that its file can be written anew; `retired` tells that it was. */
  readonly retire: (segment: number) => void;
}

/** What the log's files hold of these segments, in their order. */
export function readLog(dir: string, numbers: readonly number[], key: string): ReadSegment[] {
  const files = LOG_FILES.flatMap((name) => {
    try {
      return [readFileSync(path.join(dir, name))];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
  return numbers.flatMap((number) => {
    const beginning = beginningOf(number, key);
    return files.flatMap((file) => readSegment(file, number, beginning) ?? []);
  });
}

export class SpoolLog {
  readonly #files: readonly File[];
  readonly #key: string;
  readonly #fileSize: number;
  readonly #retire: (segment: number) => void;
  #current: Segment;
  /** The one before, until it is retired. */
  #full: Segment | null = null;
  #retiring = false;
  readonly #queue: Queued[] = [];
  #writing = false;
  #idle: PromiseWithResolvers<void> | null = null;
  /** A write failed, and what it may have left could not be wiped out: nothing is written here any more. */
  #broken = false;

  /** `number` of the first segment: greater than that of any before. Both files are written anew. `key`: of its own. */
  constructor(
    dir: string,
    number: number,
    key: string,
    { fileSize = LARGEST_FILE, retire }: SpoolLogOptions,
  ) {
    this.#key = key;
    this.#fileSize = fileSize;
    this.#retire = retire;
    this.#files = LOG_FILES.map((name) => {
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
      const handle = openSync(path.join(dir, name), flags, 0o600);
      return { handle, size: fstatSync(handle).size, growing: false, grown: false };
    });
    const folder = openSync(dir, 'r');
    fsyncSync(folder);
    closeSync(folder);
    const [first] = this.#files as [File, File];
    // The first messages are not to wait for it.
    const missing = Math.min(STEP, fileSize) - first.size;
    if (missing > 0) {
      try {
        writeSync(first.handle, Buffer.alloc(missing), 0, missing, first.size);
        first.size += missing;
      } catch {
        first.grown = true;
      }
    }
    this.#current = this.#newSegment(number, first);
  }

  #newSegment(number: number, file: File): Segment {
    return { number, beginning: beginningOf(number, this.#key), file, end: 0, queued: 0, groups: 0 };
  }

  get segment(): number {
    return this.#current.number;
  }

  /** Something stands in it that may not be in the store. */
  get isUsed(): boolean {
    return this.#full !== null || this.#current.end > 0;
  }

  /** Whether a record of so many octets, text and content, may be appended in this turn. */
  hasRoom(bytes: number): boolean {
    const needed = bytes + HEADER;
    if (this.#broken || needed > LARGEST_RECORD || this.#fileSize === 0) return false;
    const { file, end, queued } = this.#current;
    if (end + queued + needed <= file.size) return true;
    if (file.size < this.#fileSize && !file.grown) {
      this.#grow(file);
      return false;
    }
    if (this.#full) return false;
    const next = this.#files.find((one) => one !== file)!;
    if (needed > next.size) {
      this.#grow(next);
      return false;
    }
    this.#full = this.#current;
    this.#current = this.#newSegment(this.#current.number + 1, next);
    return true;
  }

  /** Appends a record; `hasRoom` was asked in this turn. Resolves when it is on disk, rejects when it is not. */
  append(text: string, content: Buffer | null): Promise<void> {
    const octets = recordOctets(text);
    const bytes = octets.length + (content?.length ?? 0);
    const segment = this.#current;
    segment.queued += bytes;
    const { promise, resolve: done, reject: failed } = Promise.withResolvers<void>();
    this.#queue.push({ segment, octets, content, bytes, done, failed });
    if (!this.#writing && this.#queue.length === 1) setImmediate(this.#write);
    this.#lookAhead();
    return promise;
  }

  /** Room for what comes: a larger file, and the other one free again. */
  #lookAhead(): void {
    const { file, end, queued } = this.#current;
    if (end + queued < file.size / 2) return;
    if (file.size < this.#fileSize) this.#grow(file);
    // Once something of the current segment is written, so is all of the one before.
    if (!this.#full || this.#retiring || end === 0) return;
    this.#retiring = true;
    this.#retire(this.#full.number);
  }

  /** The segment before the current one is in the store: its file is free. */
  retired(): void {
    this.#full = null;
    this.#retiring = false;
    for (const file of this.#files) file.grown = false;
  }

  /** Resolves when nothing waits to be written. */
  async idle(): Promise<void> {
    while (this.#writing || this.#queue.length > 0) {
      this.#idle ??= Promise.withResolvers();
      await this.#idle.promise;
    }
  }

  /** Nothing may be under way. */
  close(): void {
    this.#broken = true;
    for (const { handle } of this.#files) closeSync(handle);
  }

  readonly #write = (): void => {
    if (this.#writing || this.#queue.length === 0) return;
    this.#writing = true;
    const { segment } = this.#queue[0]!;
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < MOST_RECORDS) {
      const next = this.#queue[count]!;
      if (next.segment !== segment || (count > 0 && bytes + next.bytes > MOST_TOGETHER)) break;
      bytes += next.bytes;
      count++;
    }
    const group = this.#queue.splice(0, count);
    const parts: Buffer[] = [];
    for (const [place, { octets, content }] of group.entries()) {
      sealRecord(octets, segment.beginning, content?.length ?? 0, { group: segment.groups, place, count });
      parts.push(octets);
      if (content) parts.push(content);
    }
    segment.groups++;
    writev(segment.file.handle, parts, segment.end, (error, written) => {
      const fault =
        error ?? (written < bytes ? new Error(`${written} of ${bytes} octets were written`) : null);
      if (fault) this.#refused(segment, group, bytes, fault);
      else this.#written(segment, group, bytes);
    });
  };

  /** First those who wait are written, then the others are told: the disk works while they are answered. */
  #written(segment: Segment, group: readonly Queued[], bytes: number): void {
    segment.end += bytes;
    segment.queued -= bytes;
    this.#goOn();
    for (const { done } of group) done();
  }

  /** Octets that the disk has all the same must not come back at the next start. */
  #refused(segment: Segment, group: readonly Queued[], bytes: number, fault: Error): void {
    write(segment.file.handle, Buffer.alloc(bytes), 0, bytes, segment.end, (error, written) => {
      if (error || written < bytes) this.#broken = true;
      segment.queued -= bytes;
      for (const { failed } of group) failed(fault);
      // What was promised a place behind it has none any more.
      if (this.#broken) for (const { failed } of this.#queue.splice(0)) failed(fault);
      this.#goOn();
    });
  }

  #goOn(): void {
    this.#writing = false;
    if (this.#queue.length > 0) this.#write();
    else {
      this.#idle?.resolve();
      this.#idle = null;
    }
  }

  #grow(file: File): void {
    if (file.growing || file.grown || file.size >= this.#fileSize) return;
    file.growing = true;
    const step = Math.min(Math.max(STEP, file.size), this.#fileSize - file.size);
    write(file.handle, Buffer.alloc(step), 0, step, file.size, (error, written = 0) => {
      file.growing = false;
      file.size += written;
      if (error || written < step) file.grown = true;
    });
  }
}
