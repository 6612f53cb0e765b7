/**
 * What is about to be written into accounting files: stored in the spool, with the file's place in the journal, before
 * the first byte of it is written.
 *
 * A crash in the middle, or a full disk, leaves a beginning of it in the files. By lengths and checksums we know at the
 * next start which outcomes that beginning is, whatever columns, types or format the records have from then on, and
 * without a reader ever seeing a whole line taken back.
 */
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { cut, sizeOf } from '../../connector/append-file.ts';
import { syncFolder } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { readBytes, removeBoth, secondName } from './acct-file-disk.ts';

/** Records that go to the end of one file. */
export interface Writing {
  readonly file: string;
  /** Size of the file before them; 0 makes it, and the title counts with the first record. */
  readonly from: number;
  /** For each record three numbers: its outcome's, where it ends after `from`, and the CRC-32 from `from` to there. */
  readonly records: readonly number[];
}

/** Where an accounting file stands, as the spool keeps it. */
export interface AcctFileState {
  /** The dated file that was written last; '' when there is none. */
  readonly file: string;
  /** It gets no more records, as after `pmta rotate acct`. */
  readonly closed?: boolean;
  /** What was about to be written, in this order; absent when all is written. */
  readonly writing?: readonly Writing[];
}

export function acctFileState(value: unknown): AcctFileState {
  const { file, closed, writing } = (value ?? {}) as Partial<AcctFileState>;
  return {
    file: typeof file === 'string' ? file : '',
    closed: closed === true,
    ...(Array.isArray(writing) && { writing }),
  };
}

/** Records in memory, as they are to be noted. */
export class Unwritten {
  #records: number[] = [];
  #end = 0;
  #sum = 0;

  get any(): boolean {
    return this.#records.length > 0;
  }

  add(seq: number, text: string, bytes: number): void {
    this.#end += bytes;
    this.#sum = crc32(text, this.#sum);
    this.#records.push(seq, this.#end, this.#sum);
  }

  noted(file: string, from: number): Writing {
    return { file, from, records: this.#records };
  }

  clear(): void {
    this.#records = [];
    this.#end = 0;
    this.#sum = 0;
  }
}

/**
 * The number of the last outcome that an interrupted write has put into the files, 0 if none; what it cut in the middle
 * is taken away. What another program has put there meanwhile stays. A file that is neither in its folder nor under
 * its second name is looked for in `moveTo`.
 */
export async function lastWritten(
  writing: readonly Writing[],
  dir: string,
  moveTo: string | undefined,
  log: Log,
): Promise<number> {
  let last = 0;
  let broken = false;
  for (const part of writing) {
    const file = await whereIs(part.file, dir, moveTo);
    const size = file === null ? null : await sizeOf(file);
    if (file === null || size === null) {
      if (part.from > 0 && !broken)
        log.warn('accounting file was taken away; its last records may be written again', {
          file: path.join(dir, part.file),
        });
      continue;
    }
    const found = await foundIn(part, file, size, log);
    if (broken) {
      // Parts are synced one after the other, but a power cut may keep a later one: it is told again after the gap.
      if (found.seq > 0 || found.torn) await removeBoth(dir, part.file);
      continue;
    }
    if (found.seq > 0) last = found.seq;
    broken = !found.whole;
    if (found.torn && part.from + found.end === 0) await removeBoth(dir, part.file);
    // Also without a change: a killed process leaves its writes in the system's cache, and what counts as written must be on disk.
    else await cut(file, found.torn ? part.from + found.end : size);
    await syncFolder(dir);
  }
  return last;
}

async function whereIs(name: string, dir: string, moveTo: string | undefined): Promise<string | null> {
  const places = [secondName(dir, name), path.join(dir, name)];
  if (moveTo !== undefined) places.push(path.join(moveTo, name));
  for (const place of places) if ((await sizeOf(place)) !== null) return place;
  return null;
}

interface Found {
  /** Outcome of the last whole record; 0 when there is none. */
  readonly seq: number;
  /** Where it ends after `from`. */
  readonly end: number;
  readonly whole: boolean;
  /** What follows is the beginning of the next record, or a hole. */
  readonly torn: boolean;
}

async function foundIn({ from, records }: Writing, file: string, size: number, log: Log): Promise<Found> {
  if (size < from) {
    log.error('accounting file is shorter than it was; records of it are lost', {
      file,
      bytes: size,
      expected: from,
    });
    return { seq: 0, end: 0, whole: false, torn: false };
  }
  const there = await readBytes(file, from, Math.min(size, from + (records.at(-2) ?? 0)));
  let [seq, end, sum] = [0, 0, 0];
  for (let at = 0; at < records.length; at += 3) {
    const [number, next, expected] = [records[at]!, records[at + 1]!, records[at + 2]!];
    if (next > there.length) break;
    const now = crc32(there.subarray(end, next), sum);
    if (now !== expected) break;
    [seq, end, sum] = [number, next, now];
  }
  const all = records.at(-2) ?? 0;
  const whole = end === all;
  const torn = !whole && isTorn(there.subarray(end), there.length < all);
  if (!whole && !torn) log.warn('accounting file has records of another program; they are kept', { file });
  return { seq, end, whole, torn };
}

/**
 * Whether bytes in the place of a record are a beginning of it, and not whole lines of another program: they end in
 * the middle of a line or inside quotes. A power cut leaves zeros where a part of the file did not reach the disk.
 */
function isTorn(bytes: Buffer, isEnd: boolean): boolean {
  if (bytes.includes(0) || bytes.length === 0) return true;
  if (!isEnd) return false;
  if (bytes.at(-1) !== 0x0a) return true;
  let quotes = 0;
  for (const byte of bytes) if (byte === 0x22) quotes++;
  return quotes % 2 === 1;
}
