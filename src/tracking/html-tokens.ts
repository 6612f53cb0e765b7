/** An attribute of a start tag as offsets into the text; nothing is decoded. */
export interface HtmlAttribute {
  /** Lower case. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** The value without its quotes; `valueStart === valueEnd` for an empty or missing one. */
  readonly valueStart: number;
  readonly valueEnd: number;
  /** The value with its quotes; equal to `end` twice when there is no `=`. */
  readonly quotedStart: number;
  readonly quotedEnd: number;
}

/** What the tokeniser reports: only what rewriting has to know of. */
export interface HtmlVisitor {
  /** `name` in lower case; `end` is the offset after the tag; `conditional` says that it stands in a comment. */
  startTag(name: string, attributes: readonly HtmlAttribute[], end: number, conditional: boolean): void;
  /** Not told of conditional comments. */
  endTag(name: string, start: number, end: number): void;
  /** The offset after a doctype or a comment, while nothing but those and white space has been seen. */
  prologue(end: number): void;
}

const LT = 0x3c;
const GT = 0x3e;
const SLASH = 0x2f;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const DASH = 0x2d;
const BANG = 0x21;
const QUESTION = 0x3f;

/**
 * Elements whose content is text, so that no tag stands in it. `noscript` is one only for readers that run scripts,
 * which no mail program does; what is in there is left alone all the same.
 */
const RAW_TEXT: ReadonlySet<string> = new Set([
  'script',
  'style',
  'textarea',
  'title',
  'noscript',
  'xmp',
  'iframe',
  'noembed',
  'noframes',
]);

/** More attributes than any real tag has; the rest of them is not looked at. */
const MOST_ATTRIBUTES = 200;

/**
 * Walks HTML as a browser does (HTML standard, section 13.2.5), over octets of any charset that has ASCII in its
 * place. One pass: wherever a construct is not closed, the rest of the text belongs to it and the walk ends.
 *
 * With `msoConditionals` the content of `<!--[if …]>` comments is walked like the rest.
 */
export function walkHtml(
  text: Uint8Array,
  visitor: HtmlVisitor,
  options: { msoConditionals?: boolean } = {},
): void {
  const buffer = Buffer.from(text.buffer, text.byteOffset, text.length);
  let i = 0;
  let prologue = true;
  const cdata = { unclosed: false };
  for (;;) {
    const lt = buffer.indexOf(LT, i);
    if (lt < 0) return;
    if (prologue && !isBlank(buffer, i, lt)) prologue = false;
    const c = buffer[lt + 1];
    if (c === undefined) return;
    if (c === BANG) {
      const end = endOfMarkup(buffer, lt, cdata);
      if (end < 0) return;
      i = end;
      if (prologue) visitor.prologue(end);
      if (options.msoConditionals && ascii(buffer, lt, lt + 8).toLowerCase() === '<!--[if ') {
        walkConditional(buffer.subarray(0, end), lt + 8, visitor);
      }
    } else if (isLetter(c)) {
      prologue = false;
      const tag = readTag(buffer, lt + 1, true);
      if (!tag) return;
      visitor.startTag(tag.name, tag.attributes, tag.end, false);
      i = tag.end;
      if (tag.name === 'plaintext') return;
      if (RAW_TEXT.has(tag.name)) {
        i = endOfRawText(buffer, tag.end, tag.name);
        if (i < 0) return;
      }
    } else if (c === SLASH && isLetter(buffer[lt + 2] ?? 0)) {
      prologue = false;
      const tag = readTag(buffer, lt + 2, false);
      if (!tag) return;
      visitor.endTag(tag.name, lt, tag.end);
      i = tag.end;
    } else if (c === SLASH || c === QUESTION) {
      const gt = buffer.indexOf(GT, lt + 2);
      if (gt < 0) return;
      i = gt + 1;
    } else {
      i = lt + 1;
    }
  }
}

/** Reports the start tags in the comment that `text` ends with; its condition begins at `from`. */
function walkConditional(text: Buffer, from: number, visitor: HtmlVisitor): void {
  let i = text.indexOf(GT, from) + 1;
  for (;;) {
    const lt = text.indexOf(LT, i);
    if (lt < 0) return;
    if (!isLetter(text[lt + 1] ?? 0)) {
      i = lt + 1;
      continue;
    }
    const tag = readTag(text, lt + 1, true);
    if (!tag) return;
    visitor.startTag(tag.name, tag.attributes, tag.end, true);
    i = RAW_TEXT.has(tag.name) ? endOfRawText(text, tag.end, tag.name) : tag.end;
    if (i < 0) return;
  }
}

/** The offset after `<!…>` at `lt`, -1 if it never ends. */
function endOfMarkup(text: Buffer, lt: number, cdata: { unclosed: boolean }): number {
  if (text[lt + 2] === DASH && text[lt + 3] === DASH) {
    // `<!-->` and `<!--->` are whole comments.
    if (text[lt + 4] === GT) return lt + 5;
    if (text[lt + 4] === DASH && text[lt + 5] === GT) return lt + 6;
    let at = lt + 4;
    for (;;) {
      const end = text.indexOf('--', at, 'latin1');
      if (end < 0) return -1;
      if (text[end + 2] === GT) return end + 3;
      if (text[end + 2] === BANG && text[end + 3] === GT) return end + 4;
      at = end + 1;
    }
  }
  if (!cdata.unclosed && ascii(text, lt + 2, lt + 9) === '[CDATA[') {
    const end = text.indexOf(']]>', lt + 9, 'latin1');
    if (end >= 0) return end + 3;
    // Searched for once, so that a text full of openings still costs one pass.
    cdata.unclosed = true;
  }
  const gt = text.indexOf(GT, lt + 2);
  return gt < 0 ? -1 : gt + 1;
}

/** The offset of the end tag that closes a raw text element, -1 if there is none. */
function endOfRawText(text: Buffer, from: number, name: string): number {
  let at = from;
  for (;;) {
    const found = text.indexOf('</', at, 'latin1');
    if (found < 0) return -1;
    const after = found + 2 + name.length;
    const next = text[after];
    if (
      (next === undefined || isSpace(next) || next === SLASH || next === GT) &&
      ascii(text, found + 2, after).toLowerCase() === name
    ) {
      return found;
    }
    at = found + 2;
  }
}

interface Tag {
  readonly name: string;
  readonly attributes: HtmlAttribute[];
  readonly end: number;
}

/** Reads a tag whose name begins at `nameStart`; `null` if the text ends inside it. */
function readTag(text: Buffer, nameStart: number, keep: boolean): Tag | null {
  let i = nameStart;
  while (i < text.length && !isSpace(text[i]!) && text[i] !== SLASH && text[i] !== GT) i++;
  const name = ascii(text, nameStart, Math.min(i, nameStart + 64)).toLowerCase();
  const attributes: HtmlAttribute[] = [];
  for (;;) {
    while (i < text.length && (isSpace(text[i]!) || text[i] === SLASH)) i++;
    if (i >= text.length) return null;
    if (text[i] === GT) return { name, attributes, end: i + 1 };
    const start = i;
    // A `=` at the start of a name belongs to it.
    i++;
    while (i < text.length && !isSpace(text[i]!) && text[i] !== SLASH && text[i] !== GT && text[i] !== EQUALS)
      i++;
    const nameEnd = i;
    let next = i;
    while (next < text.length && isSpace(text[next]!)) next++;
    let valueStart = nameEnd;
    let valueEnd = nameEnd;
    let quotedStart = nameEnd;
    let end = nameEnd;
    if (text[next] === EQUALS) {
      i = next + 1;
      while (i < text.length && isSpace(text[i]!)) i++;
      const quote = text[i];
      quotedStart = i;
      if (quote === QUOTE || quote === APOSTROPHE) {
        valueStart = i + 1;
        valueEnd = text.indexOf(quote, valueStart);
        if (valueEnd < 0) return null;
        end = valueEnd + 1;
      } else {
        valueStart = i;
        while (i < text.length && !isSpace(text[i]!) && text[i] !== GT) i++;
        valueEnd = i;
        end = i;
      }
      i = end;
    }
    if (keep && attributes.length < MOST_ATTRIBUTES) {
      attributes.push({
        name: ascii(text, start, Math.min(nameEnd, start + 64)).toLowerCase(),
        start,
        end,
        valueStart,
        valueEnd,
        quotedStart,
        quotedEnd: end,
      });
    }
  }
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09 || c === 0x0c;
}

function isLetter(c: number): boolean {
  return (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a);
}

/** White space, or a byte order mark, which its charset may have made three octets or two. */
function isBlank(text: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text[i]!;
    if (!isSpace(c) && !(i < 3 && c >= 0x80)) return false;
  }
  return true;
}

function ascii(text: Buffer, start: number, end: number): string {
  return text.toString('latin1', start, end);
}
