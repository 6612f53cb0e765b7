import { readdir } from 'node:fs/promises';
import path from 'node:path';

/** A dated file of one `<acct-file>`: `acct-2031-04-07-0003.csv` for `acct.csv`. */
export interface DatedFile {
  readonly name: string;
  readonly date: string;
  readonly number: number;
}

/** How the files of an `<acct-file PATH>` are called: the date and a counter go before the extension. */
export class AcctFileNames {
  readonly dir: string;
  readonly #stem: string;
  readonly #extension: string;

  constructor(file: string) {
    this.dir = path.dirname(file);
    this.#extension = path.extname(file);
    this.#stem = path.basename(file, this.#extension);
  }

  of(date: string, number: number): DatedFile {
    const name = `${this.#stem}-${date}-${String(number).padStart(4, '0')}${this.#extension}`;
    return { name, date, number };
  }

  /** `null` for any name that is not of this `<acct-file>`. */
  parse(name: string): DatedFile | null {
    if (!name.startsWith(`${this.#stem}-`) || !name.endsWith(this.#extension)) return null;
    const middle = name.slice(this.#stem.length + 1, name.length - this.#extension.length);
    const match = /^(\d{4}-\d\d-\d\d)-(\d{4,9})$/.exec(middle);
    return match ? { name, date: match[1]!, number: Number(match[2]) } : null;
  }

  /** Files of this `<acct-file>` in a folder, oldest first. */
  async list(dir: string): Promise<DatedFile[]> {
    const found = (await readdir(dir)).map((name) => this.parse(name)).filter((f) => f !== null);
    return found.sort(inOrder);
  }
}

/** By date, then by number: the order in which files are made. */
export function inOrder(a: DatedFile, b: DatedFile): number {
  if (a.date !== b.date) return a.date < b.date ? -1 : 1;
  return a.number - b.number;
}
