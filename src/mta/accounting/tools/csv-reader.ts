import { StringDecoder } from 'node:string_decoder';

/** A record of a CSV file, or what is wrong with the line that it should be. */
export type CsvLine =
  | { readonly line: number; readonly values: readonly string[] }
  | { readonly line: number; readonly fault: string };

/** A record that is longer than this is a quote that was never closed, not a record. */
const LONGEST = 1024 * 1024;

/**
 * Records of RFC 4180 text of any length, in batches as they come; lines end with CRLF or LF. A line that is no
 * record is given as a fault, and reading goes on with the line after it.
 */
export async function* csvLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<CsvLine[]> {
  const reader = new CsvReader();
  for await (const chunk of chunks) {
    const lines = reader.read(chunk);
    if (lines.length > 0) yield lines;
  }
  const last = reader.end();
  if (last.length > 0) yield last;
}

class CsvReader {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #line = 1;
  /** Inside of a line that is too long: everything up to its end is thrown away. */
  #skipping = false;

  read(chunk: Buffer): CsvLine[] {
    this.#rest += this.#decoder.write(chunk);
    if (this.#line === 1 && this.#rest.startsWith('\ufeff')) this.#rest = this.#rest.slice(1);
    return this.#take(false);
  }

  end(): CsvLine[] {
    this.#rest += this.#decoder.end();
    return this.#take(true);
  }

  #take(ended: boolean): CsvLine[] {
    const text = this.#rest;
    const found: CsvLine[] = [];
    let at = 0;
    while (at < text.length) {
      const lineEnd = text.indexOf('\n', at);
      if (this.#skipping) {
        at = lineEnd < 0 ? text.length : lineEnd + 1;
        if (lineEnd < 0) break;
        this.#skipping = false;
        this.#line++;
        continue;
      }
      if (lineEnd < 0 && !ended) {
        if (text.length - at <= LONGEST) break;
        found.push({ line: this.#line, fault: `longer than ${LONGEST} characters` });
        this.#skipping = true;
        continue;
      }
      const end = lineEnd < 0 ? text.length : lineEnd;
      const quote = text.indexOf('"', at);
      if (quote < 0 || quote >= end) {
        const plain = text.slice(at, text[end - 1] === '\r' && end > at ? end - 1 : end);
        if (plain !== '') found.push({ line: this.#line, values: plain.split(',') });
        at = end + 1;
        this.#line++;
        continue;
      }
      const record = quoted(text, at, ended);
      if (record === 'more' && text.length - at <= LONGEST && !ended) break;
      if (typeof record === 'string') {
        const fault = record === 'more' ? 'a quote is not closed' : record;
        found.push({ line: this.#line, fault });
        at = end + 1;
        this.#line++;
      } else {
        found.push({ line: this.#line, values: record.values });
        at = record.next;
        this.#line += record.lines;
      }
    }
    this.#rest = at >= text.length ? '' : text.slice(at);
    return found;
  }
}

interface Quoted {
  readonly values: string[];
  /** Where the next record begins, and how many lines this one has. */
  readonly next: number;
  readonly lines: number;
}

/** One record with quotes in it; `more` if its end is not here yet, else a sentence about what is wrong. */
function quoted(text: string, from: number, ended: boolean): Quoted | string {
  const values: string[] = [];
  let lines = 1;
  let at = from;
  for (;;) {
    if (text[at] === '"') {
      let value = '';
      let start = at + 1;
      for (;;) {
        const close = text.indexOf('"', start);
        if (close < 0 || close - from > LONGEST) return 'more';
        value += text.slice(start, close);
        at = close + 1;
        if (text[at] !== '"') break;
        value += '"';
        start = at + 1;
      }
      for (let i = value.indexOf('\n'); i >= 0; i = value.indexOf('\n', i + 1)) lines++;
      values.push(value);
      if (text[at] === '\r' && (text[at + 1] === '\n' || (ended && at + 1 === text.length))) at++;
      if (at >= text.length) return ended ? { values, next: at, lines } : 'more';
      if (text[at] !== ',' && text[at] !== '\n') return 'text behind a closing quote';
    } else {
      let end = at;
      while (end < text.length && text[end] !== ',' && text[end] !== '\n') end++;
      if (end >= text.length && !ended) return 'more';
      const value = text.slice(at, end);
      values.push(text[end] !== ',' && value.endsWith('\r') ? value.slice(0, -1) : value);
      at = end;
      if (at >= text.length) return { values, next: at, lines };
    }
    if (text[at] === '\n') return { values, next: at + 1, lines };
    at++;
    if (at >= text.length && !ended) return 'more';
  }
}
