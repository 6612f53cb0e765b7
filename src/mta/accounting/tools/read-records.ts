import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { reason } from '../../../system/durable-file.ts';
import { columnKey } from '../columns.ts';
import { type CsvLine, csvLines } from './csv-reader.ts';

/** Column names of a file, and where to find each. */
export class Title {
  readonly columns: readonly string[];
  readonly #places: ReadonlyMap<string, number>;

  constructor(columns: readonly string[]) {
    this.columns = columns;
    // Of two columns with one name the first counts.
    this.#places = new Map(columns.map((name, i): [string, number] => [columnKey(name), i]).reverse());
  }

  /** `key` as from `fieldKey`; -1 if the file has no such column. */
  place(key: string): number {
    return this.#places.get(key) ?? -1;
  }
}

/** A line of an accounting file. */
export class AcctRecord {
  readonly title: Title;
  readonly values: readonly string[];

  constructor(title: Title, values: readonly string[]) {
    this.title = title;
    this.values = values;
  }

  get type(): string {
    return this.values[0]!;
  }

  /** Value of a field, `key` as from `fieldKey`; '' if the file does not have it. */
  get(key: string): string {
    return this.values[this.title.place(key)] ?? (key === 'nrcpt' ? '1' : '');
  }
}

const aliases: ReadonlyMap<string, string> = new Map([
  ['to', 'rcpt'],
  ['from', 'orig'],
  ['dstip', 'dlvdestinationip'],
  ['timedelivered', 'timelogged'],
  ['size', 'dlvsize'],
]);

/** What a field is looked up by: letter case does not count, and older names mean today's (guide 11.5). */
export function fieldKey(name: string): string {
  const key = columnKey(name.trim()).replace(/^header:/, 'header_');
  return aliases.get(key) ?? key;
}

/** Where lines that are no records are told. */
export class Complaints {
  readonly #write: (line: string) => void;
  #total = 0;
  #ofFile = 0;
  #failed = false;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Only the first of a file are named; a file of another kind must not fill the screen. */
  line(file: string, line: number, fault: string): void {
    this.#total++;
    this.#ofFile++;
    if (this.#ofFile <= 20) this.#write(`${file}:${line}: ${fault}; the line is left out`);
  }

  file(file: string, fault: string): void {
    this.#failed = true;
    this.#write(`${file}: ${fault}`);
  }

  endOfFile(file: string): void {
    if (this.#ofFile > 20) this.#write(`${file}: ${this.#ofFile - 20} more lines are left out`);
    this.#ofFile = 0;
  }

  get wrongLines(): number {
    return this.#total;
  }

  /** A file could not be read, or not to its end. */
  get failed(): boolean {
    return this.#failed;
  }
}

/**
 * Records of accounting files, in batches, one file after another; `-` is standard input, and compressed files
 * (gzip) are read as they are. What cannot be read is told and left out. Holds a few chunks in memory, whatever the
 * size of the files.
 */
export async function* acctRecords(
  files: readonly string[],
  stdin: AsyncIterable<Buffer>,
  complaints: Complaints,
): AsyncGenerator<AcctRecord[]> {
  for (const file of files) {
    const name = file === '-' ? 'standard input' : file;
    try {
      const bytes = file === '-' ? stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
      yield* recordsOfFile(name, csvLines(uncompressed(bytes)), complaints);
    } catch (error) {
      if (!isOfTheFile(error)) throw error;
      complaints.file(name, `cannot be read: ${reason(error)}`);
    }
    complaints.endOfFile(name);
  }
}

function isOfTheFile(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return code !== undefined && (code.startsWith('Z_') || syscall === 'open' || syscall === 'read');
}

async function* recordsOfFile(
  file: string,
  batches: AsyncIterable<CsvLine[]>,
  complaints: Complaints,
): AsyncGenerator<AcctRecord[]> {
  let title: Title | null = null;
  for await (const batch of batches) {
    const records: AcctRecord[] = [];
    for (const line of batch) {
      if ('fault' in line) complaints.line(file, line.line, line.fault);
      // A pipe's program gets a title at every start, and files may have been put behind one another.
      else if (line.values[0] === 'type') title = new Title(line.values);
      else if (title === null) complaints.line(file, line.line, 'no title line, which begins with "type"');
      else if (line.values.length !== title.columns.length)
        complaints.line(
          file,
          line.line,
          `${line.values.length} values, but the title names ${title.columns.length}`,
        );
      else records.push(new AcctRecord(title, line.values));
    }
    if (records.length > 0) yield records;
  }
}

async function* uncompressed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const whole = (async function* () {
    if (head.length > 0) yield head;
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) return;
      yield value as Buffer;
    }
  })();
  if (head[0] !== 0x1f || head[1] !== 0x8b) return yield* whole;
  const from = Readable.from(whole);
  const to = createGunzip();
  from.once('error', (error) => to.destroy(error));
  yield* from.pipe(to) as AsyncIterable<Buffer>;
}
