import { Fault } from '../diagnostic.ts';
import {
  ANY,
  type CharSet,
  charSet,
  DIGIT,
  eitherCase,
  foldCase,
  HORIZONTAL,
  NEWLINE,
  negate,
  POSIX,
  rangesOf,
  SPACE,
  union,
  VERTICAL,
  WORD,
} from './char-set.ts';

/** A regex as a tree. */
export type Regex =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'sequence'; readonly items: readonly Regex[] }
  | { readonly kind: 'choice'; readonly items: readonly Regex[] }
  | {
      readonly kind: 'repeat';
      readonly item: Regex;
      readonly least: number;
      readonly most: number;
      readonly lazy: boolean;
    }
  | { readonly kind: 'capture'; readonly item: Regex; readonly name: string | null }
  | { readonly kind: 'at'; readonly place: Place }
  | { readonly kind: 'look'; readonly item: Regex; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'again'; readonly group: string };

/** Places without width. `end` is also just before a final newline, as in PCRE. */
export type Place = 'start' | 'end' | 'very-end' | 'line-start' | 'line-end' | 'word' | 'not-word';

const LONGEST_SOURCE = 10_000;
const DEEPEST = 100;
const MOST_REPEATS = 1000;

interface Flags {
  ignoreCase: boolean;
  multiline: boolean;
  dotAll: boolean;
}

const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, e: 27, a: 7 };

const CLASS: Readonly<Record<string, CharSet>> = {
  d: DIGIT,
  D: negate(DIGIT),
  w: WORD,
  W: negate(WORD),
  s: SPACE,
  S: negate(SPACE),
  h: HORIZONTAL,
  H: negate(HORIZONTAL),
  v: VERTICAL,
  V: negate(VERTICAL),
  N: negate(NEWLINE),
};

/** Reads the PCRE dialect as far as it is met in mail configurations; case is ignored unless (?-i) says otherwise. */
class Parser {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Regex | Fault {
    if (this.#source.length > LONGEST_SOURCE) return this.#fault('regex is too long', 0);
    const read = this.#choice({ ignoreCase: true, multiline: false, dotAll: false });
    if (read instanceof Fault) return read;
    if (this.#at < this.#source.length) return this.#fault('unmatched ")"');
    return read;
  }

  #fault(message: string, at = this.#at): Fault {
    return new Fault(`regex does not compile: ${message} at character ${at + 1}`, {
      text: this.#source.slice(at, at + 20) || this.#source,
    });
  }

  #eat(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #choice(flags: Flags): Regex | Fault {
    // Inline flags count until the group ends, further branches included.
    const own = { ...flags };
    const branches: Regex[] = [];
    do {
      const branch = this.#sequence(own);
      if (branch instanceof Fault) return branch;
      branches.push(branch);
    } while (this.#eat('|'));
    return branches.length === 1 ? branches[0]! : { kind: 'choice', items: branches };
  }

  #sequence(flags: Flags): Regex | Fault {
    const items: Regex[] = [];
    while (
      this.#at < this.#source.length &&
      this.#source[this.#at] !== '|' &&
      this.#source[this.#at] !== ')'
    ) {
      const atom = this.#atom(flags);
      if (atom instanceof Fault) return atom;
      if (atom === null) continue;
      const repeated = this.#repeats(atom);
      if (repeated instanceof Fault) return repeated;
      items.push(repeated);
    }
    return items.length === 1 ? items[0]! : { kind: 'sequence', items };
  }

  #repeats(atom: Regex): Regex | Fault {
    const bounds = this.#quantifier();
    if (!bounds) return atom;
    if (bounds instanceof Fault) return bounds;
    const lazy = this.#eat('?');
    // Possessive: what it may match is the same set or less; taking it for greedy never misses a match.
    if (!lazy) this.#eat('+');
    if (/[*+?]/.test(this.#source[this.#at] ?? '')) return this.#fault('nothing to repeat');
    return { kind: 'repeat', item: atom, least: bounds[0], most: bounds[1], lazy };
  }

  #quantifier(): [number, number] | null | Fault {
    if (this.#eat('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#eat('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#eat('?')) return [0, 1];
    if (this.#source[this.#at] !== '{') return null;
    const match = /^\{(\d{1,6})(?:(,)(\d{1,6})?)?\}/.exec(this.#source.slice(this.#at, this.#at + 20));
    if (!match) return null;
    const least = Number(match[1]);
    const most = match[2] ? (match[3] ? Number(match[3]) : Number.POSITIVE_INFINITY) : least;
    if (least > most) return this.#fault('numbers of a quantifier are out of order');
    if (least > MOST_REPEATS || (Number.isFinite(most) && most > MOST_REPEATS)) {
      return this.#fault(`more than ${MOST_REPEATS} repeats`);
    }
    this.#at += match[0].length;
    return [least, most];
  }

  #literal(unit: number, flags: Flags): Regex {
    return { kind: 'set', set: flags.ignoreCase ? eitherCase(unit) : [unit, unit] };
  }

  /** One atom; null for a comment or inline flags. */
  #atom(flags: Flags): Regex | null | Fault {
    const c = this.#source[this.#at]!;
    switch (c) {
      case '(':
        return this.#group(flags);
      case '[':
        return this.#bracket(flags);
      case '.':
        this.#at++;
        return { kind: 'set', set: flags.dotAll ? ANY : negate(NEWLINE) };
      case '^':
        this.#at++;
        return { kind: 'at', place: flags.multiline ? 'line-start' : 'start' };
      case '$':
        this.#at++;
        return { kind: 'at', place: flags.multiline ? 'line-end' : 'end' };
      case '\\':
        return this.#escape(flags);
      case '*':
      case '+':
      case '?':
        return this.#fault('nothing to repeat');
      default:
        this.#at++;
        return this.#literal(c.charCodeAt(0), flags);
    }
  }

  #group(flags: Flags): Regex | null | Fault {
    const start = this.#at++;
    if (this.#eat('?#')) {
      const end = this.#source.indexOf(')', this.#at);
      if (end < 0) return this.#fault('comment is not closed', start);
      this.#at = end + 1;
      return null;
    }
    let wrap = (item: Regex): Regex => ({ kind: 'capture', item, name: null });
    const own = { ...flags };
    const rest = this.#source.slice(this.#at, this.#at + 80);
    const named = /^\?(?:P?<([A-Za-z_]\w{0,31})>|'([A-Za-z_]\w{0,31})')/.exec(rest);
    const look = /^\?(<?)([=!])/.exec(rest);
    const again = /^\?P=(\w{1,32})\)/.exec(rest);
    const inline = /^\?([imsx]*)(?:-([imsx]*))?([:)])/.exec(rest);
    if (again) {
      this.#at += again[0].length;
      return { kind: 'again', group: again[1]! };
    }
    if (named) {
      this.#at += named[0].length;
      const name = named[1] ?? named[2]!;
      wrap = (item) => ({ kind: 'capture', item, name });
    } else if (look) {
      this.#at += look[0].length;
      wrap = (item) => ({ kind: 'look', item, behind: look[1] === '<', negative: look[2] === '!' });
    } else if (inline) {
      this.#at += inline[0].length;
      const [, on = '', off = '', end] = inline;
      if (/x/.test(on)) return this.#fault('(?x) is not supported', start);
      const target = end === ')' ? flags : own;
      for (const [letter, flag] of [
        ['i', 'ignoreCase'],
        ['m', 'multiline'],
        ['s', 'dotAll'],
      ] as const) {
        if (on.includes(letter)) target[flag] = true;
        if (off.includes(letter)) target[flag] = false;
      }
      if (end === ')') return null;
      wrap = (item) => item;
    } else if (this.#eat('?>')) {
      wrap = (item) => item;
    } else if (rest.startsWith('?') || rest.startsWith('*')) {
      return this.#fault('this kind of group is not supported', start);
    }
    if (++this.#depth > DEEPEST) return this.#fault('groups are nested too deeply', start);
    const inner = this.#choice(own);
    this.#depth--;
    if (inner instanceof Fault) return inner;
    if (!this.#eat(')')) return this.#fault('group is not closed', start);
    return wrap(inner);
  }

  #escape(flags: Flags): Regex | null | Fault {
    const start = this.#at++;
    const c = this.#source[this.#at];
    if (c === undefined) return this.#fault('backslash at the end', start);
    if (c === 'Q') {
      const end = this.#source.indexOf('\\E', this.#at);
      const text = this.#source.slice(this.#at + 1, end < 0 ? undefined : end);
      this.#at = end < 0 ? this.#source.length : end + 2;
      return { kind: 'sequence', items: [...text].map((l) => this.#literal(l.charCodeAt(0), flags)) };
    }
    if (c === 'E') {
      this.#at++;
      return null;
    }
    const places: Readonly<Record<string, Place>> = {
      b: 'word',
      B: 'not-word',
      A: 'start',
      Z: 'end',
      z: 'very-end',
    };
    const place = places[c];
    if (place) {
      this.#at++;
      return { kind: 'at', place };
    }
    if (c === 'R') {
      this.#at++;
      const crlf: Regex = {
        kind: 'sequence',
        items: [
          { kind: 'set', set: [13, 13] },
          { kind: 'set', set: [10, 10] },
        ],
      };
      return { kind: 'choice', items: [crlf, { kind: 'set', set: VERTICAL }] };
    }
    const group = /^(?:([1-9]\d?)|k(?:<(\w{1,32})>|\{(\w{1,32})\}|'(\w{1,32})'))/.exec(
      this.#source.slice(this.#at, this.#at + 40),
    );
    if (group) {
      this.#at += group[0].length;
      return { kind: 'again', group: (group[1] ?? group[2] ?? group[3] ?? group[4])! };
    }
    const set = CLASS[c];
    if (set) {
      this.#at++;
      return { kind: 'set', set };
    }
    const unit = this.#unit(start);
    return unit instanceof Fault ? unit : this.#literal(unit, flags);
  }

  /** The character of an escape; `#at` is behind the backslash. */
  #unit(start: number): number | Fault {
    const rest = this.#source.slice(this.#at, this.#at + 12);
    const hex = /^x(?:\{([0-9a-f]{1,4})\}|([0-9a-f]{0,2}))/i.exec(rest);
    if (hex) {
      this.#at += hex[0].length;
      return Number.parseInt(hex[1] ?? (hex[2] || '0'), 16);
    }
    const octal = /^0[0-7]{0,2}/.exec(rest);
    if (octal) {
      this.#at += octal[0].length;
      return Number.parseInt(octal[0], 8);
    }
    const control = /^c([\x20-\x7e])/.exec(rest);
    if (control) {
      this.#at += 2;
      return control[1]!.toUpperCase().charCodeAt(0) ^ 0x40;
    }
    const c = rest[0]!;
    if (CONTROL[c] !== undefined) {
      this.#at++;
      return CONTROL[c];
    }
    if (/[A-Za-z0-9]/.test(c)) return this.#fault(`\\${c} is not supported`, start);
    this.#at++;
    return c.charCodeAt(0);
  }

  #bracket(flags: Flags): Regex | Fault {
    const start = this.#at++;
    const negative = this.#eat('^');
    let set: CharSet = [];
    const ranges: [number, number][] = [];
    let first = true;
    for (;;) {
      const c = this.#source[this.#at];
      if (c === undefined) return this.#fault('character class is not closed', start);
      if (c === ']' && !first) break;
      first = false;
      const posix = /^\[:(\^?)([a-z]{1,10}):\]/.exec(this.#source.slice(this.#at, this.#at + 16));
      if (posix) {
        const named = POSIX.get(posix[2]!);
        if (!named) return this.#fault(`unknown class [:${posix[2]}:]`);
        set = union(set, posix[1] ? negate(named) : named);
        this.#at += posix[0].length;
        continue;
      }
      const from = this.#bracketUnit();
      if (from instanceof Fault) return from;
      if (typeof from !== 'number') {
        set = union(set, from);
        continue;
      }
      const dash = this.#source[this.#at] === '-' && (this.#source[this.#at + 1] ?? ']') !== ']';
      if (!dash) {
        ranges.push([from, from]);
        continue;
      }
      this.#at++;
      const to = this.#bracketUnit();
      if (to instanceof Fault) return to;
      if (typeof to !== 'number') {
        ranges.push([from, from], [0x2d, 0x2d], ...rangesOf(to));
      } else if (to < from) return this.#fault('range is out of order');
      else ranges.push([from, to]);
    }
    this.#at++;
    set = union(set, charSet(ranges));
    if (flags.ignoreCase) set = foldCase(set);
    return { kind: 'set', set: negative ? negate(set) : set };
  }

  #bracketUnit(): number | CharSet | Fault {
    const start = this.#at;
    const c = this.#source[this.#at++]!;
    if (c !== '\\') return c.charCodeAt(0);
    const escaped = this.#source[this.#at];
    if (escaped === undefined) return this.#fault('backslash at the end', start);
    if (escaped === 'b') {
      this.#at++;
      return 8;
    }
    const set = CLASS[escaped];
    if (set) {
      this.#at++;
      return set;
    }
    return this.#unit(start);
  }
}

/** The text between the slashes as a tree, or what is wrong with it. */
export function parseRegex(source: string): Regex | Fault {
  return new Parser(source).parse();
}
