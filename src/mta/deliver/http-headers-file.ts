/** The file of `http-delivery-extra-headers`: header lines for every request (guide section 3.3.10.98.2). */
import { readFile } from 'node:fs/promises';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { Config } from '../../config/index.ts';
import { reason } from '../../system/durable-file.ts';

export type HeaderLine = readonly [name: string, value: string];

const MOST_LINES = 100;
const LARGEST_FILE = 64 * 1024;

/** Ours to say, or they would change what a request is. */
const RESERVED = new Set([
  'connection',
  'content-length',
  'content-type',
  'expect',
  'host',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The lines of a file, `Name: value` each; empty lines and lines with `#` in front do not count. A sentence when it
 * cannot be used. The sentence holds no values: they are often keys.
 */
export function readHeaderLines(text: string): HeaderLine[] | string {
  const lines: HeaderLine[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    try {
      if (colon < 1) throw new Error();
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      return `line ${i + 1} is not "Name: value"`;
    }
    if (RESERVED.has(name.toLowerCase())) return `line ${i + 1}: ${name} cannot be set`;
    if (lines.length >= MOST_LINES) return `more than ${MOST_LINES} lines`;
    lines.push([name, value]);
  }
  return lines;
}

/** Reads each file once per configuration: a reload reads it anew. */
export class HeaderFiles {
  #config: Config | null = null;
  #files = new Map<string, HeaderLine[]>();

  /** The lines, or a sentence why not; what failed is read again the next time. */
  async lines(file: string, config: Config): Promise<HeaderLine[] | string> {
    if (config !== this.#config) {
      this.#config = config;
      this.#files = new Map();
    }
    const files = this.#files;
    const known = files.get(file);
    if (known) return known;
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      return `${file}: ${reason(error)}`;
    }
    const lines = text.length > LARGEST_FILE ? `larger than ${LARGEST_FILE} bytes` : readHeaderLines(text);
    if (typeof lines === 'string') return `${file}: ${lines}`;
    files.set(file, lines);
    return lines;
  }
}
