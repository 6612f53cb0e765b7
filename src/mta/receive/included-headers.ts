import { readFileSync } from 'node:fs';
import { type Config, formatOrigin } from '../../config/index.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';

const LARGEST = 64 * 1024;

/**
 * Header lines of `include-headers-from`. The files are read once for each configuration: a reload brings what they
 * hold then.
 */
export class IncludedHeaders {
  readonly #log: Log;
  readonly #read = new WeakMap<Config, Map<string, readonly string[]>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Complete fields of the files of the file level and of this VMTA, in that order. */
  fieldsFor(config: Config, vmta: string): readonly string[] {
    const files = config.includeHeaderFiles(vmta);
    if (files.length === 0) return [];
    let known = this.#read.get(config);
    if (!known) {
      known = new Map();
      this.#read.set(config, known);
    }
    const fields: string[] = [];
    for (const { file, origin } of files) {
      let lines = known.get(file);
      if (!lines) {
        lines = this.#readFile(file, formatOrigin(origin));
        known.set(file, lines);
      }
      fields.push(...lines);
    }
    return fields;
  }

  #readFile(file: string, where: string): readonly string[] {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
      if (text.length > LARGEST) throw new Error(`it is larger than ${LARGEST} bytes`);
    } catch (error) {
      this.#log.error(
        `${where}: include-headers-from ${file} cannot be read, mail goes without: ${reason(error)}`,
      );
      return [];
    }
    const fields: string[] = [];
    for (const line of text.split(/\r?\n/)) {
      if (/^[ \t]+\S/.test(line) && fields.length > 0) fields[fields.length - 1] += `${line}\r\n`;
      else if (/^[!-9;-~]+[ \t]*:/.test(line)) fields.push(`${line}\r\n`);
      else if (line.trim() !== '')
        this.#log.warn(`${where}: include-headers-from ${file} has a line that is no header`, { line });
    }
    return fields;
  }
}
