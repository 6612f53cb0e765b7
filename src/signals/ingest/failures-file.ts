import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGzip, type Gzip } from 'node:zlib';

const MOST_BYTES = 16 * 2 ** 20;
const LONGEST_EVENT = 64 * 1024;

/**
 * The refused events of a batch, gzipped NDJSON, one `{"error":…,"event":…}` per line. `event` is the line as it came
 * when that was JSON, else its text as a string. Begins on disk with the first failure.
 */
export class FailuresFile {
  readonly #file: string;
  #gzip: Gzip | null = null;
  #out: WriteStream | null = null;
  #bytes = 0;
  #error: unknown = null;

  constructor(file: string) {
    this.#file = file;
  }

  get isEmpty(): boolean {
    return this.#gzip === null;
  }

  /** Notes a failure; beyond a sensible size of the file further ones are only counted by the caller. */
  async add(message: string, line: string, isJson: boolean): Promise<void> {
    if (this.#bytes > MOST_BYTES) return;
    const whole = line.length <= LONGEST_EVENT;
    const event = isJson && whole ? line.trim() : JSON.stringify(line.slice(0, LONGEST_EVENT).toWellFormed());
    const text = `{"error":${JSON.stringify(message.toWellFormed())},"event":${event}}\n`;
    this.#bytes += text.length;
    if (!this.#gzip) {
      this.#gzip = createGzip();
      this.#out = createWriteStream(this.#file, { mode: 0o640 });
      const failed = (error: unknown) => {
        this.#error = error;
      };
      this.#gzip.on('error', failed);
      this.#out.on('error', failed);
      this.#gzip.pipe(this.#out);
    }
    if (!this.#gzip.write(text) && !this.#error) await once(this.#gzip, 'drain');
  }

  /** Completes the file and syncs it. */
  async close(): Promise<void> {
    if (!this.#gzip || !this.#out) return;
    const closed = once(this.#out, 'close');
    this.#gzip.end();
    await closed;
    if (this.#error) throw this.#error;
    const handle = await open(this.#file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Gives the file up. */
  discard(): void {
    this.#gzip?.destroy();
    this.#out?.destroy();
  }
}
