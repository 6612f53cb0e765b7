import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { secondsOf, timeFields } from './times.ts';

/** A record to be sorted: its key, then its columns' values. */
export interface Sortable {
  readonly key: string;
  readonly columns: readonly string[];
  readonly values: readonly string[];
}

const numbers: ReadonlySet<string> = new Set(['dlvsize', 'totalsecondsqueued', 'nrcpt']);

/** The order of a field's values: moments and numbers by size, everything else by letter. Values that are none come first. */
export function orderOf(fieldKey: string): (a: string, b: string) => number {
  const value = timeFields.has(fieldKey)
    ? (text: string) => secondsOf(text) ?? -1
    : numbers.has(fieldKey)
      ? (text: string) => (/^\d{1,15}$/.test(text) ? Number(text) : -1)
      : null;
  if (value) return (a, b) => value(a) - value(b);
  return (a, b) => (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * Sorts any number of records in bounded memory: runs of `runBytes` are sorted and put into temporary files, which
 * are then merged. Records with equal keys keep their order.
 */
export class RecordSorter {
  readonly #order: (a: string, b: string) => number;
  readonly #runBytes: number;
  #run: Sortable[] = [];
  #bytes = 0;
  #dir: string | null = null;
  readonly #files: string[] = [];

  constructor(order: (a: string, b: string) => number, runBytes = 64 * 1024 * 1024) {
    this.#order = order;
    this.#runBytes = runBytes;
  }

  async add(record: Sortable): Promise<void> {
    this.#run.push(record);
    this.#bytes += 200;
    for (const value of record.values) this.#bytes += 40 + 2 * value.length;
    if (this.#bytes > this.#runBytes) await this.#spill();
  }

  async *sorted(): AsyncGenerator<Sortable> {
    this.#sortRun();
    const sources = [...this.#files.map(readRun), listed(this.#run)];
    const heads: (Sortable | null)[] = [];
    for (const source of sources) heads.push(await next(source));
    for (;;) {
      let least = -1;
      for (let i = 0; i < heads.length; i++) {
        const head = heads[i];
        if (head && (least < 0 || this.#order(head.key, heads[least]!.key) < 0)) least = i;
      }
      if (least < 0) return;
      yield heads[least]!;
      heads[least] = await next(sources[least]!);
    }
  }

  /** Removes the temporary files. */
  async close(): Promise<void> {
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true });
  }

  #sortRun(): void {
    this.#run.sort((a, b) => this.#order(a.key, b.key));
  }

  async #spill(): Promise<void> {
    this.#sortRun();
    this.#dir ??= await mkdtemp(path.join(tmpdir(), 'posthorn-acct-'));
    const file = path.join(this.#dir, String(this.#files.length));
    const run = this.#run;
    await pipeline(
      (function* () {
        for (const record of run) yield `${JSON.stringify(record)}\n`;
      })(),
      // Accounting files are not for everybody to read.
      createWriteStream(file, { mode: 0o600 }),
    );
    this.#files.push(file);
    this.#run = [];
    this.#bytes = 0;
  }
}

async function* readRun(file: string): AsyncGenerator<Sortable> {
  const lines = createInterface({
    input: createReadStream(file, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  for await (const line of lines) yield JSON.parse(line);
}

async function* listed(records: readonly Sortable[]): AsyncGenerator<Sortable> {
  yield* records;
}

async function next(source: AsyncGenerator<Sortable>): Promise<Sortable | null> {
  const { done, value } = await source.next();
  return done ? null : value;
}
