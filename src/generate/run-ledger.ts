import { type FileHandle, open, rename } from 'node:fs/promises';
import path from 'node:path';
import { reason, requireWritableFolder } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';

export type MessageOutcome = 'accepted' | 'rejected' | 'deferred' | 'lost' | 'unsent';

/** One line of the generator's ledger: what became of one message at the server that it was submitted to. */
export interface LedgerLine {
  readonly run: string;
  readonly n: number;
  /** Message-ID without angle brackets. */
  readonly id: string;
  /** When the first attempt began. */
  readonly time: string;
  readonly recipients: readonly string[];
  readonly stream: string;
  readonly campaign: string;
  readonly job: string;
  readonly subaccount: number;
  readonly structure: string;
  readonly size: number;
  /**
   * `accepted`: the server took it for all recipients that it did not refuse for good. `rejected`: it refused all.
   * `deferred`: it only said 4xx. `lost`: content was sent, no answer came. `unsent`: content was never sent whole.
   */
  readonly outcome: MessageOutcome;
  /** Last reply, or what went wrong. */
  readonly reply: string;
  readonly rejected: readonly { readonly address: string; readonly reply: string }[];
  /** Recipients without a final answer; none when the outcome is `accepted` or `rejected`. */
  readonly open: readonly string[];
  readonly attempts: number;
  /** How often the answer to the final dot was lost: so many more copies may exist. */
  readonly inDoubt: number;
}

const FILE = 'ledger.ndjson';
const OLD_FILE = 'ledger.1.ndjson';
const ROTATE_AT = 256 * 1024 * 1024;
const WRITE_AT = 64 * 1024;

/** Writes ledger lines to `DIR/ledger.ndjson`, in batches. */
export class RunLedger {
  readonly file: string;
  readonly #dir: string;
  #handle: FileHandle;
  #size: number;
  #text = '';
  #writing: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  private constructor(dir: string, handle: FileHandle, size: number) {
    this.#dir = dir;
    this.file = path.join(dir, FILE);
    this.#handle = handle;
    this.#size = size;
  }

  static async open(dir: string): Promise<RunLedger> {
    await requireWritableFolder(dir, "the generator's data folder");
    const handle = await open(path.join(dir, FILE), 'a', 0o640);
    return new RunLedger(dir, handle, (await handle.stat()).size);
  }

  add(line: LedgerLine): void {
    this.#text += `${JSON.stringify(line)}\n`;
    if (this.#text.length > WRITE_AT) void this.flush().catch(() => {});
  }

  /** Resolves when everything added is in the file; a `UserError` when the disk refuses. */
  async flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
    if (this.#failure) throw this.#failure;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#handle.close();
    }
  }

  async #write(): Promise<void> {
    if (this.#text === '' || this.#failure) return;
    const text = this.#text;
    this.#text = '';
    try {
      await this.#handle.appendFile(text);
      this.#size += Buffer.byteLength(text);
      if (this.#size > ROTATE_AT) {
        await this.#handle.close();
        await rename(this.file, path.join(this.#dir, OLD_FILE));
        this.#handle = await open(this.file, 'a', 0o640);
        this.#size = 0;
      }
    } catch (error) {
      this.#failure = new UserError(`${this.file} cannot be written: ${reason(error)}`, { cause: error });
    }
  }
}
