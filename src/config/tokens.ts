import { Fault } from './diagnostic.ts';

/** A word of a value: unquoted and unescaped text, and where it began in the value. */
export interface Word {
  readonly text: string;
  readonly offset: number;
  readonly quoted: boolean;
}

const isBlank = (c: string | undefined): boolean => c === ' ' || c === '\t';

/** The line without its comment. Nothing escapes `#`, quotes neither (config language: a regex writes \x23). */
export function withoutComment(line: string): string {
  const hash = line.indexOf('#');
  return hash < 0 ? line : line.slice(0, hash);
}

/** Backslash escapes `"`, `\`, `$` and a blank; before anything else it stands for itself (Windows paths). */
function isEscape(text: string, i: number): boolean {
  const next = text[i + 1];
  return text[i] === '\\' && (next === '"' || next === '\\' || next === '$' || next === ' ');
}

/**
 * Reads one word from `start` to where `stop` says, and tells where it ended. Double quotes make one word of text with
 * blanks. With `keepDollar`, `\\$` stays as written.
 */
function readWord(
  text: string,
  start: number,
  stop: (c: string) => boolean,
  keepDollar = false,
): [Word, number] | Fault {
  let out = '';
  let i = start;
  let quoted = false;
  const take = () => {
    if (isEscape(text, i) && keepDollar && text[i + 1] === '$') out += text[i++];
    else if (isEscape(text, i)) i++;
    out += text[i++];
  };
  while (i < text.length && !stop(text[i]!)) {
    if (text[i] === '"') {
      quoted = true;
      const open = i++;
      while (i < text.length && text[i] !== '"') take();
      if (i >= text.length) return new Fault('quote is not closed', { offset: open, text: text.slice(open) });
      i++;
    } else {
      take();
    }
  }
  return [{ text: out, offset: start, quoted }, i];
}

/** The words of a value, at blanks. */
export function words(text: string): Word[] | Fault {
  const found: Word[] = [];
  let i = 0;
  for (;;) {
    while (isBlank(text[i])) i++;
    if (i >= text.length) return found;
    const read = readWord(text, i, (c) => c === ' ' || c === '\t');
    if (read instanceof Fault) return read;
    found.push(read[0]);
    i = read[1];
  }
}

/** The items of a comma list; blanks around commas mean nothing, an empty item is a fault. */
export function listItems(text: string, base = 0): Word[] | Fault {
  const found: Word[] = [];
  let i = 0;
  for (;;) {
    while (isBlank(text[i])) i++;
    if (i >= text.length || text[i] === ',') {
      return new Fault(found.length || i < text.length ? 'empty item in list' : 'argument missing', {
        offset: base + i,
        hint: 'items are separated by single commas',
      });
    }
    const read = readWord(text, i, (c) => c === ',' || c === ' ' || c === '\t');
    if (read instanceof Fault) return read;
    found.push({ ...read[0], offset: base + i });
    i = read[1];
    while (isBlank(text[i])) i++;
    if (i >= text.length) return found;
    if (text[i] !== ',') {
      return new Fault(`surplus argument "${text.slice(i)}"`, {
        offset: base + i,
        text: text.slice(i),
        hint: 'items of a list are separated by commas',
      });
    }
    i++;
  }
}

/** Exactly one word. */
export function oneWord(text: string): Word | Fault {
  const all = words(text);
  if (all instanceof Fault) return all;
  const [first, second] = all;
  if (!first) return new Fault('argument missing');
  if (second) {
    return new Fault(`surplus argument "${second.text}"`, { offset: second.offset, text: second.text });
  }
  return first;
}

/**
 * Free text: the value as a whole. One quoted word loses its quotes; several words stay as written. `\$` keeps its
 * backslash, because the reader of `$macros` must still see which dollars are meant literally.
 */
export function freeText(text: string): string | Fault {
  const trimmed = text.trim();
  if (trimmed === '') return new Fault('argument missing');
  if (trimmed[0] !== '"') return trimmed;
  const read = readWord(trimmed, 0, isBlank, true);
  if (read instanceof Fault) return read;
  return read[1] === trimmed.length ? read[0].text : trimmed;
}

/**
 * A regex between slashes at the start of `text`: its source, where it ends, and what follows. Only `\/` is undone
 * here; every other backslash belongs to the regex.
 */
export function regexToken(text: string): { source: string; end: number } | Fault {
  if (text[0] !== '/')
    return new Fault('a regex must stand between slashes', { text: text.split(/[ \t]/)[0]! });
  let source = '';
  let i = 1;
  while (i < text.length && text[i] !== '/') {
    if (text[i] === '\\' && i + 1 < text.length) {
      source += text[i + 1] === '/' ? '/' : text.slice(i, i + 2);
      i += 2;
    } else {
      source += text[i++];
    }
  }
  if (i >= text.length) {
    return new Fault('regex is not closed by a slash', {
      text,
      hint: 'a # begins a comment even inside a regex; write \\x23',
    });
  }
  const after = text[i + 1];
  if (after !== undefined && !isBlank(after)) {
    return new Fault(`"${text.slice(i + 1).split(/[ \t]/)[0]}" follows the regex without a blank`, {
      offset: i + 1,
      text: text.slice(i + 1).split(/[ \t]/)[0]!,
      hint: 'no flags are taken; case is ignored unless the regex begins with (?-i)',
    });
  }
  return { source, end: i + 1 };
}
