/**
 * Policies of MTA-STS on disk. A server that has forgotten them at its restart would take a domain whose record a
 * forger hides for one without a policy (RFC 8461 section 10.2), so those that are enforced outlive it.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Clock } from '../system/clock.ts';
import { writeFileDurably } from '../system/durable-file.ts';
import type { StsPolicy } from './sts-policy.ts';

export interface StoredPolicy {
  readonly domain: string;
  readonly policy: StsPolicy;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly fetchedAt: number;
}

const MOST_BYTES = 16 * 1024 * 1024;
/** Changes are gathered: after one is written, the next waits this long. */
const WRITE_EVERY_MS = 5_000;
const MOST_MX = 1_000;

export class StsStore {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #onError: (text: string) => void;
  #all: () => Iterable<StoredPolicy> = () => [];
  #dirty = false;
  #writing: Promise<void> | null = null;
  #cancel: (() => void) | null = null;

  constructor(file: string, clock: Clock, onError: (text: string) => void) {
    this.#file = file;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** What was kept; lines that make no sense are passed over. */
  async load(): Promise<StoredPolicy[]> {
    let text: string;
    try {
      if ((await stat(this.#file)).size > MOST_BYTES) throw new Error('it is too large to be ours');
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#onError(
          `${this.#file} cannot be read, MTA-STS policies are fetched anew: ${(error as Error).message}`,
        );
      }
      return [];
    }
    return text.split('\n').flatMap((line) => readLine(line) ?? []);
  }

  /** The policies have changed: `all` gives them, the ones most worth keeping first. */
  changed(all: () => Iterable<StoredPolicy>): void {
    this.#all = all;
    this.#dirty = true;
    if (this.#cancel === null && this.#writing === null) this.#write();
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    this.#rest();
    await this.#writing;
    if (this.#dirty) this.#write();
    await this.#writing;
    this.#rest();
  }

  #rest(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #write(): void {
    this.#dirty = false;
    const lines: string[] = [];
    let bytes = 0;
    for (const one of this.#all()) {
      const line = `${JSON.stringify(one)}\n`;
      bytes += Buffer.byteLength(line);
      if (bytes > MOST_BYTES) break;
      lines.push(line);
    }
    this.#writing = writeFileDurably(this.#file, lines.join(''))
      .catch((error: Error) => this.#onError(`${this.#file} cannot be written: ${error.message}`))
      .then(() => {
        this.#writing = null;
        this.#cancel = this.#clock.after(WRITE_EVERY_MS, () => {
          this.#cancel = null;
          if (this.#dirty) this.#write();
        });
      });
  }
}

function readLine(line: string): StoredPolicy | null {
  let given: unknown;
  try {
    given = JSON.parse(line);
  } catch {
    return null;
  }
  const { domain, id, fetchedAt, policy } = (given ?? {}) as Record<string, unknown>;
  const { mode, mx, maxAge } = (policy ?? {}) as Record<string, unknown>;
  if (typeof domain !== 'string' || typeof id !== 'string' || mode !== 'enforce') return null;
  if (!Number.isFinite(fetchedAt) || !Number.isFinite(maxAge)) return null;
  if (!Array.isArray(mx) || mx.length > MOST_MX || !mx.every((name) => typeof name === 'string')) return null;
  return { domain, id, fetchedAt: fetchedAt as number, policy: { mode, mx, maxAge: maxAge as number } };
}
