/**
 * Mail merge's language (delivery guide, section 17): `[name]` stands for the value of a variable, `[[` for `[`;
 * everything else, a lone `]` included, stands for itself. Works on octets: no encoding is applied to values.
 */

/** Values by name; names in lower case, reserved ones with their `*`; values with one character per octet. */
export type MergeValues = ReadonlyMap<string, string>;

const OPEN = 0x5b;
const CLOSE = 0x5d;
const STAR = 0x2a;
const UNDERSCORE = 0x5f;

export const LONGEST_VARIABLE_NAME = 64;

/** One hit of the scan: `name` null is `[[`. */
type Hit = (name: string | null, start: number, end: number) => void;

/** Calls `hit` for every `[name]` and `[[`; what looks otherwise is text. Linear in the template, keeps nothing. */
function scan(template: Buffer, hit: Hit): void {
  for (let at = template.indexOf(OPEN); at !== -1; at = template.indexOf(OPEN, at)) {
    if (template[at + 1] === OPEN) {
      hit(null, at, at + 2);
      at += 2;
      continue;
    }
    const end = endOfName(template, at + 1);
    if (end === -1) {
      at++;
      continue;
    }
    hit(template.toString('latin1', at + 1, end).toLowerCase(), at, end + 1);
    at = end + 1;
  }
}

/** Offset of the `]` after a name that begins at `from`; -1 when no name stands there. */
function endOfName(template: Buffer, from: number): number {
  const first = template[from] === STAR ? from + 1 : from;
  const last = Math.min(template.length, first + LONGEST_VARIABLE_NAME + 1);
  for (let i = first; i < last; i++) {
    const c = template[i]!;
    if (c === CLOSE) return i > first ? i : -1;
    const letter = (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a);
    const later = (c >= 0x30 && c <= 0x39) || c === UNDERSCORE;
    if (!letter && !(later && i > first)) return -1;
  }
  return -1;
}

export interface MergeOptions {
  /** An undefined variable becomes empty text; otherwise it stays as it stands. */
  readonly expandUndefined: boolean;
  /** Most octets of the result. */
  readonly limit: number;
}

/** Octets that `mergeText` makes of a template. */
export function mergedLength(template: Buffer, values: MergeValues, expandUndefined: boolean): number {
  let length = template.length;
  scan(template, (name, start, end) => {
    if (name === null) length--;
    else {
      const value = values.get(name);
      if (value !== undefined) length += value.length - (end - start);
      else if (expandUndefined) length -= end - start;
    }
  });
  return length;
}

/** The template with every variable replaced; null when that is more than `limit` octets. */
export function mergeText(template: Buffer, values: MergeValues, options: MergeOptions): Buffer | null {
  const { expandUndefined, limit } = options;
  const length = mergedLength(template, values, expandUndefined);
  if (length > limit) return null;
  const out = Buffer.allocUnsafe(length);
  let used = 0;
  let from = 0;
  scan(template, (name, start, end) => {
    const value = name === null ? '[' : (values.get(name) ?? (expandUndefined ? '' : null));
    if (value === null) return;
    used += template.copy(out, used, from, start);
    used += out.write(value, used, 'latin1');
    from = end;
  });
  template.copy(out, used, from);
  return out;
}

/** Text in the template language that stands for exactly this text. */
export function escapeMerge(text: string): string {
  return text.replaceAll('[', '[[');
}

/** Most names that `namesIn` lists. */
const MOST_NAMES = 1000;

/** The variables that a template mentions; null when they are more than anybody means to use. */
export function namesIn(template: Buffer): Set<string> | null {
  const names = new Set<string>();
  scan(template, (name) => {
    if (name !== null && names.size <= MOST_NAMES) names.add(name);
  });
  return names.size > MOST_NAMES ? null : names;
}

/** A part of a stored template: numbers are positive; offsets into the stored content. */
export interface MergePart {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/**
 * One recipient's message: the parts of its list in that order (all of them, ascending, when it has none), merged.
 * `head` octets at the beginning of `content` belong to no part and come first. Null when it exceeds the limit or the
 * list names a part that there is not.
 */
export function mergeMessage(
  content: Buffer,
  template: { readonly head: number; readonly parts: readonly MergePart[] },
  order: readonly number[] | null,
  values: MergeValues,
  options: MergeOptions,
): Buffer | null {
  const parts = partsIn(template.parts, order);
  if (!parts) return null;
  const pieces: Buffer[] = [];
  let left = options.limit;
  for (const { start, end } of [{ start: 0, end: template.head }, ...parts]) {
    const piece = mergeText(content.subarray(start, end), values, { ...options, limit: left });
    if (!piece) return null;
    left -= piece.length;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The parts in the order asked for; null when one of them is missing. */
export function partsIn<T extends { readonly number: number }>(
  parts: readonly T[],
  order: readonly number[] | null,
): T[] | null {
  if (order === null) return [...parts].sort((a, b) => a.number - b.number);
  const found: T[] = [];
  for (const number of order) {
    const part = parts.find((one) => one.number === number);
    if (!part) return null;
    found.push(part);
  }
  return found;
}
