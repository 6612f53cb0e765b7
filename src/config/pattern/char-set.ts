/** A set of UTF-16 code units as flat, sorted, disjoint ranges: [from, to, from, to, …], both ends in it. */
export type CharSet = readonly number[];

export const LAST = 0xffff;

/** Sorted and merged. */
export function charSet(ranges: readonly (readonly [number, number])[]): CharSet {
  const sorted = ranges.toSorted((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [from, to] of sorted) {
    if (out.length > 0 && from <= out.at(-1)! + 1) out[out.length - 1] = Math.max(out.at(-1)!, to);
    else out.push(from, to);
  }
  return out;
}

export function rangesOf(set: CharSet): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i < set.length; i += 2) out.push([set[i]!, set[i + 1]!]);
  return out;
}

export function negate(set: CharSet): CharSet {
  const out: number[] = [];
  let next = 0;
  for (const [from, to] of rangesOf(set)) {
    if (from > next) out.push(next, from - 1);
    next = to + 1;
  }
  if (next <= LAST) out.push(next, LAST);
  return out;
}

export const union = (...sets: CharSet[]): CharSet => charSet(sets.flatMap(rangesOf));

export function contains(set: CharSet, unit: number): boolean {
  let low = 0;
  let high = set.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (unit < set[middle * 2]!) high = middle - 1;
    else if (unit > set[middle * 2 + 1]!) low = middle + 1;
    else return true;
  }
  return false;
}

const one = (text: string): CharSet => charSet([...text].map((c) => [c.charCodeAt(0), c.charCodeAt(0)]));

export const ANY: CharSet = [0, LAST];
export const NEWLINE: CharSet = one('\n');
export const DIGIT: CharSet = [0x30, 0x39];
export const WORD: CharSet = charSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
export const SPACE: CharSet = one(' \t\n\v\f\r');
export const HORIZONTAL: CharSet = one(' \t\u00a0');
export const VERTICAL: CharSet = one('\n\v\f\r\u0085\u2028\u2029');

const UPPER: CharSet = [0x41, 0x5a];
const LOWER: CharSet = [0x61, 0x7a];
const PUNCT = charSet([
  [0x21, 0x2f],
  [0x3a, 0x40],
  [0x5b, 0x60],
  [0x7b, 0x7e],
]);

/** The bracket names of POSIX, in ASCII as PCRE has them. */
export const POSIX: ReadonlyMap<string, CharSet> = new Map([
  ['alpha', union(UPPER, LOWER)],
  ['digit', DIGIT],
  ['alnum', union(UPPER, LOWER, DIGIT)],
  ['upper', UPPER],
  ['lower', LOWER],
  ['space', SPACE],
  ['blank', one(' \t')],
  ['punct', PUNCT],
  ['print', [0x20, 0x7e]],
  ['graph', [0x21, 0x7e]],
  [
    'cntrl',
    charSet([
      [0, 0x1f],
      [0x7f, 0x7f],
    ]),
  ],
  [
    'xdigit',
    charSet([
      [0x30, 0x39],
      [0x41, 0x46],
      [0x61, 0x66],
    ]),
  ],
  ['word', WORD],
  ['ascii', [0, 0x7f]],
]);

const letters = new Map<number, CharSet>();

/** One character in both cases; the same object for the same character. */
export function eitherCase(unit: number): CharSet {
  let set = letters.get(unit);
  if (!set) {
    set = foldCase([unit, unit]);
    letters.set(unit, set);
  }
  return set;
}

/** Ranges longer than this keep their case: they are classes such as "everything but a comma". */
const LONGEST_FOLD = 0x300;

/** The set with the other case of every letter in it. */
export function foldCase(set: CharSet): CharSet {
  const more: [number, number][] = rangesOf(set);
  for (const [from, to] of rangesOf(set)) {
    const last = to - from > LONGEST_FOLD ? Math.min(to, 0x7f) : to;
    for (let unit = from; unit <= last; unit++) {
      const c = String.fromCharCode(unit);
      for (const other of [c.toLowerCase(), c.toUpperCase()]) {
        if (other.length === 1 && other !== c) more.push([other.charCodeAt(0), other.charCodeAt(0)]);
      }
    }
  }
  return charSet(more);
}
