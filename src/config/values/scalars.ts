import path from 'node:path';
import { Fault } from '../diagnostic.ts';
import { nearest } from '../nearest.ts';
import { freeText, listItems, oneWord } from '../tokens.ts';
import type { ListType, ValueInput, ValueType } from './value-type.ts';

const YES = new Set(['yes', 'true']);
const NO = new Set(['no', 'false']);

/** A value that is one word, read by `read`. */
export function wordType<T>(
  kind: string,
  grammar: string,
  read: (word: string, input: ValueInput) => T | Fault,
  more: Partial<ValueType<T>> = {},
): ValueType<T> {
  return {
    kind,
    grammar,
    ...more,
    parse(input) {
      const word = oneWord(input.text);
      return word instanceof Fault ? word : read(word.text, input);
    },
  };
}

/** A list whose items are words, each read by `read`; a fault says where its item stands. */
export function listType<T>(
  kind: string,
  grammar: string,
  read: (word: string) => T | Fault,
): ListType<readonly T[]> {
  return {
    kind,
    grammar,
    empty: [],
    parse(input) {
      const items = listItems(input.text);
      if (items instanceof Fault) return items;
      const out: T[] = [];
      for (const item of items) {
        const value = read(item.text);
        if (value instanceof Fault) return new Fault(value.message, { ...value, offset: item.offset });
        out.push(value);
      }
      return out;
    },
  };
}

export const boolean: ValueType<boolean> = wordType(
  'boolean',
  'BOOL',
  (word) => {
    const lower = word.toLowerCase();
    if (YES.has(lower)) return true;
    if (NO.has(lower)) return false;
    return new Fault(`"${word}" is not a boolean`, { text: word, hint: 'write yes, no, true or false' });
  },
  { words: ['yes', 'no', 'true', 'false'] },
);

/** Decimal digits, within bounds, as a number; or the fault. */
export function readInteger(word: string, least: number, most: number): number | Fault {
  if (!/^\d{1,15}$/.test(word)) {
    return new Fault(`"${word}" is not a whole number`, { text: word, hint: 'decimal digits only' });
  }
  const value = Number(word);
  if (value < least || value > most) {
    return new Fault(`${word} is out of range`, { text: word, hint: `allowed are ${least} to ${most}` });
  }
  return value;
}

/** A whole number from `least` to `most`. */
export function integer(least = 0, most = 999_999_999_999_999): ValueType<number> {
  const bounded = least !== 0 || most !== 999_999_999_999_999;
  return wordType('integer', bounded ? `INT(${least}..${most})` : 'INT', (w) => readInteger(w, least, most));
}

export const port: ValueType<number> = wordType('integer', 'PORT', (w) => readInteger(w, 0, 65535));

/** A whole number or a word that stands for "as the server sees fit" (null). */
export function integerOr(word: string): ValueType<number | null> {
  return wordType<number | null>(
    'integer',
    `{ INT | '${word}' }`,
    (w) => (w.toLowerCase() === word ? null : readInteger(w, 0, 999_999_999_999_999)),
    { words: [word] },
  );
}

/** A count, or Infinity for `unlimited`; with `zeroIsNone` also for 0. */
export function limit(options: { zeroIsNone: boolean }): ValueType<number> {
  return wordType(
    'limit',
    "{ INT | 'unlimited' }",
    (w) => {
      if (w.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY;
      const value = readInteger(w, 0, 999_999_999_999_999);
      return value === 0 && options.zeroIsNone ? Number.POSITIVE_INFINITY : value;
    },
    { words: ['unlimited'] },
  );
}

/** One of the listed words, in any case. */
export function oneOf<const W extends string>(...listed: readonly W[]): ValueType<W> {
  return wordType<W>(
    'enum',
    `{ ${listed.map((w) => `'${w}'`).join(' | ')} }`,
    (word) => {
      const lower = word.toLowerCase();
      const found = listed.find((w) => w === lower);
      if (found !== undefined) return found;
      const meant = nearest(lower, listed);
      return new Fault(`"${word}" is not one of ${listed.join(', ')}`, {
        text: word,
        ...(meant ? { hint: `did you mean ${meant}?` } : {}),
      });
    },
    { words: listed },
  );
}

/** A boolean that knows further words: `yes`, `no` (for every spelling of a boolean) or one of the words. */
export function booleanOr<const W extends string>(...listed: readonly W[]): ValueType<'yes' | 'no' | W> {
  const inner: ValueType<'yes' | 'no' | W> = oneOf<'yes' | 'no' | W>('yes', 'no', ...listed);
  return {
    kind: 'enum',
    grammar: `{ BOOL | ${listed.map((w) => `'${w}'`).join(' | ')} }`,
    words: ['yes', 'no', 'true', 'false', ...listed],
    parse(input) {
      const asBoolean = boolean.parse(input);
      return asBoolean instanceof Fault ? inner.parse(input) : asBoolean ? 'yes' : 'no';
    },
  };
}

/** Text: one quoted word, or the rest of the line as it stands. */
export function text(grammar = 'STRING'): ValueType<string> {
  return {
    kind: 'string',
    grammar,
    parse: (input) => (/^""$/.test(input.text.trim()) ? '' : freeText(input.text)),
  };
}

/** One word of text. */
export const string: ValueType<string> = wordType('string', 'STRING', (w) => w);

/** One word that must never be shown. */
export const secret: ValueType<string> = wordType('string', 'STRING', (w) => w, { secret: true });

/** A key of the given alphabet and length. */
export function keyText(grammar: string, pattern: RegExp, rule: string): ValueType<string> {
  return wordType(
    'string',
    grammar,
    (w) => (pattern.test(w) ? w : new Fault('key is malformed', { text: '', hint: rule })),
    { secret: true },
  );
}

/** A name of something defined elsewhere in the configuration; spelled as written, looked up without case. */
export function name(refersTo?: string): ValueType<string> {
  return wordType('name', 'NAME', (w) => w, refersTo ? { refersTo } : {});
}

/** Several such names, in order. */
export function names(refersTo: string): ListType<readonly string[]> {
  return {
    kind: 'list',
    grammar: 'NAME_LIST',
    refersTo,
    empty: [],
    parse(input) {
      const items = listItems(input.text);
      return items instanceof Fault ? items : items.map((w) => w.text);
    },
  };
}

const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,998}$/;

/** A header field's name, in lower case (names are compared without case); a colon at its end is a fault. */
export function readHeaderName(word: string): string | Fault {
  return FIELD_NAME.test(word)
    ? word.toLowerCase()
    : new Fault(`"${word}" is not a header field name`, { text: word, hint: 'write it without the colon' });
}

export const header: ValueType<string> = wordType('name', 'HEADER', readHeaderName);

export const headers = listType('list', 'HEADER_LIST', readHeaderName);

/** An absolute path; a relative one begins at the folder of the main configuration file. */
export const resolvePath = (word: string, folder: string): string =>
  /^[A-Za-z]:[\\/]|^\\\\/.test(word) ? word : path.resolve(folder, word);

export const file: ValueType<string> = wordType('file', 'FILE', (w, input) => resolvePath(w, input.folder));
export const directory: ValueType<string> = wordType('directory', 'DIR', (w, input) =>
  resolvePath(w, input.folder),
);

/** The key of the web monitor and of the HTTP submission API. */
export const accessKey = keyText(
  '[A-Za-z0-9_]{32,128}',
  /^[A-Za-z0-9_]{32,128}$/,
  '32 to 128 letters, digits and underscores',
);

/** The key of the event collector. */
export const collectorKey = keyText('HEX{40}', /^[0-9a-f]{40}$/i, 'exactly 40 hexadecimal digits');

/** Who tracks opens and clicks: nobody (`no`), something elsewhere (`yes`), or this MTA (`sparkpost`). */
export const engagementTracking: ValueType<'yes' | 'no' | 'sparkpost'> = {
  ...booleanOr('sparkpost', 'builtin'),
  parse(input) {
    const word = booleanOr('sparkpost', 'builtin').parse(input);
    return word === 'builtin' ? 'sparkpost' : word;
  },
};
