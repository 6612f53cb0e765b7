/**
 * What is about to be written into an accounting file, noted beside it before the first byte of it is written.
 *
 * A crash between the file's sync and the checkpoint leaves records in the file that the journal will tell again. The
 * note says which outcome each of them is, in the bytes that were written, so they are recognised whatever columns,
 * types or format the next start is configured with, and without a reader ever seeing a line taken back.
 */
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { cut, endOfLastLine, sizeOf } from '../../connector/append-file.ts';
import { syncFolder } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { readBytes } from './acct-file-disk.ts';

/** Records that go to the end of one file. */
export interface NotedPart {
  readonly file: string;
  /** Size of the file before them; 0 makes it, and then the first record's text begins with the title. */
  readonly from: number;
  /** Number of the outcome, and its text with line ends. */
  readonly records: readonly (readonly [seq: number, text: string])[];
}

export interface Note {
  /** The journal that the numbers are of. */
  readonly owner: string;
  /** Which of two notes is the newer. */
  readonly turn: number;
  /** Outcomes up to this one were on disk before. */
  readonly through: number;
  readonly parts: readonly NotedPart[];
}

/** What the files had of a note. */
export interface Found {
  /** Number of the last outcome on disk. */
  readonly through: number;
  /** Files of the note, in order; they may have gone since. */
  readonly files: readonly string[];
}

/**
 * Two places that are written in turn, so that one torn by a crash or a full disk leaves the one before. They are
 * overwritten where they are, which costs one sync and no change of the folder.
 */
export class Notes {
  readonly #places: readonly [string, string];
  readonly #owner: string;
  readonly #handles: [FileHandle | null, FileHandle | null] = [null, null];
  #turn = 0;

  constructor(acctFile: string, owner: string) {
    const place = (n: number) => path.join(path.dirname(acctFile), `.${path.basename(acctFile)}.note-${n}`);
    this.#places = [place(0), place(1)];
    this.#owner = owner;
  }

  /** The last note of this journal that was written whole. */
  async read(): Promise<Note | null> {
    const notes = [];
    for (const place of this.#places) {
      const note = await readNote(place);
      if (note?.owner === this.#owner) notes.push(note);
    }
    const last = notes.sort((a, b) => a.turn - b.turn).at(-1) ?? null;
    this.#turn = last?.turn ?? 0;
    return last;
  }

  async write(through: number, parts: readonly NotedPart[]): Promise<void> {
    const turn = this.#turn + 1;
    const which = turn % 2 === 0 ? 0 : 1;
    const note: Note = { owner: this.#owner, turn, through, parts };
    const body = Buffer.from(JSON.stringify(note));
    const head = Buffer.alloc(HEAD);
    head.writeUInt32BE(body.length, 0);
    head.writeUInt32BE(crc32(body), 4);
    const handle = this.#handles[which] ?? (await this.#open(which));
    this.#handles[which] = handle;
    await handle.write(Buffer.concat([head, body]), 0, HEAD + body.length, 0);
    await handle.datasync();
    this.#turn = turn;
  }

  async #open(which: 0 | 1): Promise<FileHandle> {
    const place = this.#places[which];
    if ((await sizeOf(place)) !== null) return open(place, 'r+');
    const handle = await open(place, 'wx+', 0o600);
    await syncFolder(path.dirname(place));
    return handle;
  }

  async close(): Promise<void> {
    for (const which of [0, 1] as const) {
      await this.#handles[which]?.close();
      this.#handles[which] = null;
    }
  }

  /** Forgets the notes of an accounting file that is not configured any more. */
  async remove(): Promise<void> {
    for (const place of this.#places) await rm(place, { force: true });
  }
}

/** Bytes before a note: its length and its CRC-32, most significant byte first. */
const HEAD = 8;

async function readNote(place: string): Promise<Note | null> {
  const size = await sizeOf(place);
  if (size === null || size < HEAD) return null;
  const data = await readFile(place);
  const body = data.subarray(HEAD, HEAD + data.readUInt32BE(0));
  if (body.length < data.readUInt32BE(0) || crc32(body) !== data.readUInt32BE(4)) return null;
  return JSON.parse(body.toString()) as Note;
}

/**
 * Finds out how much of a note the files have, and takes away what a crash cut in the middle. What another program
 * has put there meanwhile stays. Looks for a file in `moveTo` too if it is not in its folder any more.
 */
export async function findNoted(
  note: Note,
  dir: string,
  moveTo: string | undefined,
  log: Log,
): Promise<Found> {
  let through = note.through;
  for (const part of note.parts) {
    // Parts are written one after the other: a record of a later one was written after all of an earlier one.
    through = Math.max(through, (await findPart(part, dir, moveTo, log)) ?? 0);
  }
  return { through, files: note.parts.map((part) => part.file) };
}

async function findPart(
  part: NotedPart,
  dir: string,
  moveTo: string | undefined,
  log: Log,
): Promise<number | null> {
  let file = path.join(dir, part.file);
  let size = await sizeOf(file);
  if (size === null && moveTo !== undefined) {
    file = path.join(moveTo, part.file);
    size = await sizeOf(file);
  }
  if (size === null) {
    if (part.from > 0)
      log.warn('accounting file was taken away; its last records may be written again', { file });
    return null;
  }
  if (size < part.from) {
    log.error('accounting file is shorter than it was; records of it are lost', {
      file,
      bytes: size,
      expected: part.from,
    });
    await cut(file, await endOfLastLine(file));
    return null;
  }
  const there = await readBytes(file, part.from, Math.min(size, part.from + lengthOf(part)));
  let last: number | null = null;
  let end = 0;
  for (const [seq, text] of part.records) {
    const wanted = Buffer.from(text);
    const rest = there.subarray(end, end + wanted.length);
    if (rest.equals(wanted)) {
      last = seq;
      end += wanted.length;
      continue;
    }
    if (isTorn(rest, wanted)) {
      if (part.from + end === 0) await rm(file);
      else await cut(file, part.from + end);
      await syncFolder(path.dirname(file));
      return last;
    }
    log.warn('accounting file has records of another program; they are kept', { file });
    break;
  }
  // A killed process leaves its writes in the system's cache; what counts as written must be on disk.
  if (last !== null) await cut(file, size);
  return last;
}

const lengthOf = (part: NotedPart) =>
  part.records.reduce((sum, [, text]) => sum + Buffer.byteLength(text), 0);

/** Whether `there` is a beginning of `wanted`, or has a hole of zeros, as a power cut leaves where a part of the file did not reach the disk. */
function isTorn(there: Buffer, wanted: Buffer): boolean {
  const differs = there.findIndex((byte, i) => byte !== wanted[i]);
  return differs < 0 ? there.length < wanted.length : there[differs] === 0;
}
