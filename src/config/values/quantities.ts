import { Fault } from '../diagnostic.ts';
import { listItems, oneWord } from '../tokens.ts';
import { wordType } from './scalars.ts';
import type { ValueType } from './value-type.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `1w2d12h` in milliseconds. A bare number counts seconds. */
export function readInterval(word: string): number | Fault {
  const lower = word.toLowerCase();
  if (/^\d{1,12}$/.test(lower)) return Number(lower) * 1000;
  if (!/^(?:\d{1,9}[wdhms]){1,10}$/.test(lower)) {
    return new Fault(`"${word}" is not a time interval`, {
      text: word,
      hint: 'numbers with the units w, d, h, m, s and no blanks, as in 1d12h',
    });
  }
  let total = 0;
  for (const [, count, unit] of lower.matchAll(/(\d+)([wdhms])/g)) total += Number(count) * UNIT_MS[unit!]!;
  return total;
}

/** An interval as people write it on a command line, in milliseconds; null when it is none. */
export function parseInterval(text: string): number | null {
  const ms = readInterval(text);
  return ms instanceof Fault ? null : ms;
}

/** A time span in milliseconds; `never` is Infinity where it is allowed. */
export function interval(options: { never?: boolean; most?: string } = {}): ValueType<number> {
  const most = options.most === undefined ? Number.POSITIVE_INFINITY : (readInterval(options.most) as number);
  const plain = options.most ? `INTERVAL(max ${options.most})` : 'INTERVAL';
  return wordType(
    'interval',
    options.never ? `{ ${plain} | 'never' }` : plain,
    (w) => {
      if (options.never && w.toLowerCase() === 'never') return Number.POSITIVE_INFINITY;
      const ms = readInterval(w);
      if (typeof ms === 'number' && ms > most) {
        return new Fault(`${w} is too long`, { text: w, hint: `at most ${options.most}` });
      }
      return ms;
    },
    options.never ? { words: ['never'] } : {},
  );
}

/** Time spans in milliseconds, in order; at most 30 (User's Guide 10.15). */
export const intervals: ValueType<readonly number[]> = {
  kind: 'interval-list',
  grammar: 'INTERVAL_LIST(max 30)',
  parse(input) {
    const items = listItems(input.text);
    if (items instanceof Fault) return items;
    if (items.length > 30)
      return new Fault('list is too long', { offset: items[30]!.offset, hint: 'at most 30 intervals' });
    const out: number[] = [];
    for (const item of items) {
      const ms = readInterval(item.text);
      if (ms instanceof Fault) return new Fault(ms.message, { ...ms, offset: item.offset });
      out.push(ms);
    }
    return out;
  },
};

const SIZE_FACTOR: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

function readSize(word: string): number | Fault {
  const match = /^(\d{1,12})([bkmgt])$/.exec(word.toLowerCase());
  if (!match) {
    return new Fault(`"${word}" is not a size`, {
      text: word,
      hint: 'a number with one of the units b, k, m, g, t, as in 20M',
    });
  }
  return Number(match[1]) * SIZE_FACTOR[match[2]!]!;
}

/**
 * Bytes; units count in 1024. `zero` says what a bare 0 stands for: no limit (Infinity), off (0), or nothing legal.
 * `bare` is the factor of a number without a unit where old files write one.
 */
export function size(
  options: { zero?: 'none' | 'off'; unlimited?: boolean; least?: string; bare?: number } = {},
): ValueType<number> {
  const least = options.least ? (readSize(options.least) as number) : 0;
  const forms = [
    options.least ? `SIZE(min ${options.least})` : 'SIZE',
    ...(options.zero ? ["'0'"] : []),
    ...(options.unlimited ? ["'unlimited'"] : []),
    ...(options.bare ? ['INT'] : []),
  ];
  return wordType(
    'size',
    forms.length > 1 ? `{ ${forms.join(' | ')} }` : forms[0]!,
    (w) => {
      if (options.unlimited && w.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY;
      if (options.zero && /^0[bkmgt]?$/i.test(w))
        return options.zero === 'none' ? Number.POSITIVE_INFINITY : 0;
      const bytes = options.bare && /^\d{1,12}$/.test(w) ? Number(w) * options.bare : readSize(w);
      if (typeof bytes === 'number' && bytes < least) {
        return new Fault(`${w} is too small`, { text: w, hint: `at least ${options.least}` });
      }
      return bytes;
    },
    options.unlimited ? { words: ['unlimited'] } : {},
  );
}

/** So many (messages, recipients, connections, bytes) per so many milliseconds. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

const RATE_UNIT: Readonly<Record<string, number>> = {
  d: 86_400_000,
  day: 86_400_000,
  h: 3_600_000,
  hr: 3_600_000,
  m: 60_000,
  min: 60_000,
  s: 1000,
  sec: 1000,
};

/** `N/[M]unit`, N with a size suffix for data rates; `0` and `unlimited` are null. */
export function readRate(word: string, data: boolean): Rate | null | Fault {
  const lower = word.toLowerCase();
  if (lower === 'unlimited' || lower === '0') return null;
  const match = /^(\d{1,12})([bkmgt]?)\/(\d{0,9})(day|d|hr|h|min|m|sec|s)$/.exec(lower);
  if (!match || (!data && match[2])) {
    return new Fault(`"${word}" is not a ${data ? 'data rate' : 'rate'}`, {
      text: word,
      hint: `write unlimited, or as ${data ? '20M/h' : '500/h'}; units of time: d day h hr m min s sec`,
    });
  }
  const count = Number(match[1]) * SIZE_FACTOR[match[2] || 'b']!;
  const perMs = (match[3] ? Number(match[3]) : 1) * RATE_UNIT[match[4]!]!;
  if (count === 0 || perMs === 0) {
    return new Fault(`"${word}" has a zero in it`, { text: word, hint: 'write unlimited for no limit' });
  }
  return { count, perMs };
}

/** Occurrences per time; null is no limit. */
export const rate: ValueType<Rate | null> = wordType<Rate | null>(
  'rate',
  "{ 'unlimited' | '0' | RATE }",
  (w) => readRate(w, false),
  { words: ['unlimited'] },
);

/** Bytes per time; null is no limit. */
export const dataRate: ValueType<Rate | null> = wordType<Rate | null>(
  'data-rate',
  "{ 'unlimited' | '0' | DATARATE }",
  (w) => readRate(w, true),
  { words: ['unlimited'] },
);

/** Messages per day, one number per day of a warm-up; the last repeats. Here 0 means none. */
export const dailyCounts: ValueType<readonly number[]> = {
  kind: 'compound',
  grammar: "INT '/' ('d'|'day') {',' INT '/' ('d'|'day')}",
  parse(input) {
    const items = listItems(input.text);
    if (items instanceof Fault) return items;
    const out: number[] = [];
    for (const item of items) {
      const match = /^(\d{1,12})\/d(?:ay)?$/i.exec(item.text);
      if (!match) {
        return new Fault(`"${item.text}" is not a number per day`, {
          offset: item.offset,
          text: item.text,
          hint: 'write as 100/d, 200/d',
        });
      }
      out.push(Number(match[1]));
    }
    return out;
  },
};

/** Whole days with the unit, in milliseconds, or Infinity for `never`. */
export const days: ValueType<number> = wordType(
  'compound',
  "{ INT 'd' | 'never' }",
  (w) => {
    if (w.toLowerCase() === 'never') return Number.POSITIVE_INFINITY;
    const match = /^(\d{1,6})d$/i.exec(w);
    return match
      ? Number(match[1]) * UNIT_MS.d!
      : new Fault(`"${w}" is not a number of days`, { text: w, hint: 'write as 8d, or never' });
  },
  { words: ['never'] },
);

/** A boolean or a span: how long a message must have waited, in milliseconds; `true` is 0, `false` and `never` Infinity. */
export const booleanOrInterval: ValueType<number> = {
  kind: 'boolean-or-interval',
  grammar: "{ BOOL | INTERVAL | 'never' }",
  words: ['yes', 'no', 'true', 'false', 'never'],
  parse(input) {
    const word = oneWord(input.text);
    if (word instanceof Fault) return word;
    const lower = word.text.toLowerCase();
    if (lower === 'true' || lower === 'yes') return 0;
    if (lower === 'false' || lower === 'no' || lower === 'never') return Number.POSITIVE_INFINITY;
    return readInterval(word.text);
  },
};
