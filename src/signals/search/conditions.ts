import type { Parameters } from '../store/engine.ts';

/** Collects conditions of a WHERE clause; every value from outside is bound, its name made here. */
export class Conditions {
  readonly #texts: string[] = [];
  readonly #parameters: Record<string, unknown> = {};
  readonly #columns = new Set<string>();
  #count = 0;
  #patterns = 0;

  /** Binds a value; returns the placeholder. `type` is ClickHouse's. */
  bind(type: string, value: unknown): string {
    const name = `p${this.#count++}`;
    this.#parameters[name] = value;
    return `{${name}:${type}}`;
  }

  add(text: string): void {
    this.#texts.push(text);
  }

  /** Notes that a condition looks at this column. */
  uses(column: string): void {
    this.#columns.add(column);
  }

  /** Columns that conditions look at, as far as `uses` was told. */
  get columns(): ReadonlySet<string> {
    return this.#columns;
  }

  /** How many patterns `keywords` has added, which are what makes a statement long. */
  get patterns(): number {
    return this.#patterns;
  }

  /** `column` is one of these texts. */
  in(column: string, values: readonly string[]): void {
    this.uses(column);
    this.add(`${column} IN ${this.bind('Array(String)', values)}`);
  }

  numberIn(column: string, values: readonly number[]): void {
    this.uses(column);
    this.add(`${column} IN ${this.bind('Array(UInt32)', values)}`);
  }

  /** Milliseconds, `from` inclusive and `to` exclusive, on a DateTime64(3) column. */
  within(column: string, from: number, to: number): void {
    this.add(this.withinText(column, from, to));
  }

  /** The same as a text, not added. */
  withinText(column: string, from: number, to: number): string {
    const time = (ms: number) => `fromUnixTimestamp64Milli(${this.bind('Int64', ms)}, 'UTC')`;
    return `${column} >= ${time(from)} AND ${column} < ${time(to)}`;
  }

  /**
   * SparkPost's keyword search: a value matches when all its words stand as whole words in one of the columns, in any
   * order and letter case. Words end at blanks, dashes and underscores, with `periods` also there. The exact value
   * always matches.
   */
  keywords(columns: readonly string[], values: readonly string[], periods: boolean): void {
    const separators = periods ? /[\s\-_.]+/u : /[\s\-_]+/u;
    const edge = `[${BLANKS}\\-_${periods ? '.' : ''}]`;
    // The engine's regular expressions (RE2) take time linear in the text, whatever the words are.
    const pattern = (words: readonly string[]) => {
      const either = words.length === 1 ? literal(words[0]!) : `(?:${words.map(literal).join('|')})`;
      this.#patterns += columns.length;
      return this.bind('String', `(?i)(?:^|${edge})${either}(?:${edge}|$)`);
    };
    const wordsOf = values.map((value) => [...new Set(value.split(separators).filter((w) => w !== ''))]);
    const single = [...new Set(wordsOf.filter((words) => words.length === 1).flat())];
    // Each is all of the conditions that one column has to meet.
    const alternatives: ((column: string) => string)[] = [];
    for (let at = 0; at < single.length; at += WORDS_PER_PATTERN) {
      const any = pattern(single.slice(at, at + WORDS_PER_PATTERN));
      alternatives.push((column) => `match(${column}, ${any})`);
    }
    for (const [i, words] of wordsOf.entries()) {
      if (words.length === 1) continue;
      if (words.length === 0) {
        const exact = this.bind('String', values[i]);
        alternatives.push((column) => `${column} = ${exact}`);
        continue;
      }
      // The exact value has all its words.
      const all = words.map((word) => pattern([word]));
      alternatives.push((column) => `(${all.map((one) => `match(${column}, ${one})`).join(' AND ')})`);
    }
    // Where several columns are looked into, most events have none of them: that is seen from their sizes.
    if (columns.length > 1) this.add(`(${columns.map((column) => `notEmpty(${column})`).join(' OR ')})`);
    const either = alternatives.flatMap((alternative) => columns.map(alternative));
    this.add(`(${either.join(' OR ')})`);
  }

  /** The clause with its leading WHERE; empty if there are no conditions. */
  get where(): string {
    return this.#texts.length > 0 ? `WHERE ${this.all}` : '';
  }

  /** All conditions as one. */
  get all(): string {
    return this.#texts.length > 0 ? this.#texts.join('\n AND ') : '1';
  }

  get parameters(): Parameters {
    return this.#parameters;
  }
}

/** Of values that are one word each: a pattern costs more than the words in it. */
const WORDS_PER_PATTERN = 100;

/** JavaScript's `\s` as RE2 says it: subjects have blanks that are not ASCII, such as those before French marks. */
const BLANKS = '\\s\\v\\p{Z}\\x{feff}';

/** A pattern that matches this text and nothing else. */
function literal(text: string): string {
  return text.replace(/[^\p{L}\p{N}]/gu, (c) => `\\x{${c.codePointAt(0)!.toString(16)}}`);
}
