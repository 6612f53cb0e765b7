import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { cut, endOfLastLine, sizeOf } from '../../connector/append-file.ts';
import type { Log } from '../../system/log.ts';
import { readBytes } from './acct-file-disk.ts';

/** More than a journal's records between two checkpoints can be. */
const LONGEST = 64 * 1024 * 1024;

/**
 * What an accounting file has beyond the checkpoint after a crash. It is not cut off but compared with what the
 * journal tells again: equal records are taken as written, anything else belongs to another program and stays.
 */
export class Tail {
  readonly #file: string;
  readonly #from: number;
  readonly #bytes: Buffer;
  readonly #log: Log;
  #told = 0;

  private constructor(file: string, from: number, bytes: Buffer, log: Log) {
    this.#file = file;
    this.#from = from;
    this.#bytes = bytes;
    this.#log = log;
  }

  /** `null` if the file ends where the checkpoint says, or is not there any more. */
  static async after(file: string, from: number, log: Log): Promise<Tail | null> {
    const size = await sizeOf(file);
    if (size === null || size === from) return null;
    if (size < from) {
      log.error('accounting file is shorter than it was; records of it are lost', {
        file,
        bytes: size,
        expected: from,
      });
      await cut(file, await endOfLastLine(file));
      return null;
    }
    if (size - from > LONGEST) return null;
    // A killed process leaves its writes in the system's cache; a checkpoint over them needs them on disk.
    await cut(file, size);
    return new Tail(file, from, await readBytes(file, from, size), log);
  }

  /** Where the records that were told again end. */
  get end(): number {
    return this.#from + this.#told;
  }

  /** Whether every record of the tail was told again. */
  get done(): boolean {
    return this.#told === this.#bytes.length;
  }

  /** Takes a record that is told again; `false` if it is not the next one of the tail, which is then of no more use. */
  take(record: string): boolean {
    const wanted = Buffer.from(record);
    const there = this.#bytes.subarray(this.#told, this.#told + wanted.length);
    if (!there.equals(wanted)) return false;
    this.#told += wanted.length;
    return true;
  }

  /**
   * Where a record can be added that is not in the tail: behind what was told again if the crash cut that record in
   * the middle or left a hole in it, else behind all that is there; `null` if that is the middle of a line of another program.
   */
  placeFor(record: string): number | null {
    const rest = this.#bytes.subarray(this.#told);
    const wanted = Buffer.from(record);
    const differs = rest.findIndex((byte, i) => byte !== wanted[i]);
    // A power cut leaves zeros where a part of the file did not reach the disk; whatever comes behind them is ours too.
    const hole = differs >= 0 && rest[differs] === 0;
    if (hole || (rest.length < wanted.length && differs < 0)) {
      const handle = openSync(this.#file, 'r+');
      try {
        ftruncateSync(handle, this.end);
      } finally {
        closeSync(handle);
      }
      return this.end;
    }
    this.#log.warn('accounting file has records of another program; they are kept', { file: this.#file });
    return rest.at(-1) === 0x0a ? this.#from + this.#bytes.length : null;
  }
}
