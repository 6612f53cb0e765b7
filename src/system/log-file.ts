/**
 * The log on disk, with generations: `pmta.log`, `pmta.log.1` (the newest old one) to `.N` (management guide, section
 * 9). It begins a new generation at local midnight and when it is told to. A log that cannot be written does not stop
 * the mail: the fault is told once on standard error, and writing is tried again.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { Clock } from './clock.ts';
import { reason } from './durable-file.ts';
import { UserError } from './user-error.ts';

export interface LogFileSettings {
  readonly file: string;
  /** For people, when the file cannot be opened: "pmta.conf:3". */
  readonly origin: string;
  /** Generations kept, the live one included; 1 keeps no old one, 0 never rotates. */
  readonly generations: number;
  /** A new generation at each local midnight. */
  readonly atMidnight: boolean;
  readonly worldReadable: boolean;
}

/** What cannot be written at once waits here; beyond, lines are dropped and counted. */
const MOST_WAITING = 16 * 1024 * 1024;

export class LogFile extends Writable {
  readonly #clock: Clock;
  #settings: LogFileSettings;
  #stream: WriteStream;
  #cancelMidnight = () => {};
  #dropped = 0;
  #complained = false;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(settings: LogFileSettings, stream: WriteStream, clock: Clock) {
    super({ decodeStrings: false });
    this.#settings = settings;
    this.#stream = stream;
    this.#clock = clock;
    this.#watch(stream);
    this.#armMidnight();
  }

  /** Opens the file for appending; a UserError when it cannot be. */
  static async open(settings: LogFileSettings, clock: Clock): Promise<LogFile> {
    return new LogFile(settings, await openStream(settings), clock);
  }

  override _write(line: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#stream.writableLength > MOST_WAITING) this.#dropped++;
    else {
      if (this.#dropped > 0) {
        this.#stream.write(`(${this.#dropped} lines were dropped: the disk was too slow)\n`);
        this.#dropped = 0;
      }
      this.#stream.write(line);
    }
    done();
  }

  /** Other settings from now on; another file is opened before the old one is let go. */
  async apply(settings: LogFileSettings): Promise<void> {
    await this.#inTurn(async () => {
      const moved = settings.file !== this.#settings.file;
      const stream = moved ? await openStream(settings) : null;
      this.#settings = settings;
      if (stream) this.#replace(stream);
      else await chmod(settings.file, modeOf(settings)).catch(() => {});
    });
    this.#armMidnight();
  }

  /** Begins a new generation. */
  async rotate(): Promise<void> {
    await this.#inTurn(async () => {
      const { file, generations } = this.#settings;
      if (generations === 0) return;
      const last = generations - 1;
      try {
        if (last === 0) await rm(file, { force: true });
        else {
          await rm(`${file}.${last}`, { force: true });
          for (let n = last - 1; n >= 1; n--) await moveIfThere(`${file}.${n}`, `${file}.${n + 1}`);
          await moveIfThere(file, `${file}.1`);
        }
        // Until here lines go on into the file that was moved; none is lost.
        this.#replace(await openStream(this.#settings));
      } catch (error) {
        this.#complain(error as Error);
      }
    });
  }

  async close(): Promise<void> {
    this.#cancelMidnight();
    await this.#turn;
    await new Promise<void>((resolve) => this.#stream.end(() => resolve()));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #replace(stream: WriteStream): void {
    this.#stream.end();
    this.#stream = stream;
    this.#complained = false;
    this.#watch(stream);
  }

  #watch(stream: WriteStream): void {
    stream.on('error', (error) => {
      this.#complain(error);
      if (stream !== this.#stream) return;
      // A broken stream takes nothing more; the next one may.
      this.#clock.after(10_000, () => {
        if (stream !== this.#stream) return;
        openStream(this.#settings).then(
          (next) => this.#replace(next),
          (again: Error) => this.#complain(again),
        );
      });
    });
  }

  #complain(error: Error): void {
    if (this.#complained) return;
    this.#complained = true;
    process.stderr.write(`the log ${this.#settings.file} failed: ${error.message}\n`);
  }

  #armMidnight(): void {
    this.#cancelMidnight();
    if (!this.#settings.atMidnight) return;
    const now = this.#clock.now();
    const at = nextMidnight(now);
    this.#cancelMidnight = this.#clock.after(at - now, () => {
      void this.rotate();
      this.#armMidnight();
    });
  }
}

/** The first moment of the next local day; days of 23 and 25 hours included. */
export function nextMidnight(now: number): number {
  const day = new Date(now);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1).getTime();
}

function modeOf({ worldReadable }: LogFileSettings): number {
  return worldReadable ? 0o644 : 0o640;
}

async function openStream(settings: LogFileSettings): Promise<WriteStream> {
  const { file, origin } = settings;
  try {
    await mkdir(path.dirname(file), { recursive: true });
    const stream = createWriteStream(file, { flags: 'a', mode: modeOf(settings) });
    await new Promise<void>((resolve, reject) => {
      stream.once('open', () => resolve());
      stream.once('error', reject);
    });
    return stream;
  } catch (error) {
    throw new UserError(`the log file ${file} (${origin}) cannot be written: ${reason(error)}`, {
      cause: error,
    });
  }
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
