/** An attribute of a start tag as offsets into the text; nothing is decoded. */
export interface HtmlAttribute {
  /** `href` or one of our own `data-msys-…`; no others are reported. */
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
  /**
   * `name` in lower case, `v:` for all elements with that prefix, '' for those that do not matter; `end` is the offset
   * after the tag; `conditional` says that it stands in a comment.
   */
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
const RAW_TEXT = ['script', 'style', 'textarea', 'title', 'noscript', 'xmp', 'iframe', 'noembed', 'noframes'];

/**
 * The elements and attributes that rewriting has to know of, by the length of their names: so a name in the text is
 * recognised without making a string of it.
 */
const ELEMENTS = byLength(['a', 'area', 'body', 'head', 'html', 'plaintext', ...RAW_TEXT]);
const ATTRIBUTES = byLength([
  'href',
  'data-msys-clicktrack',
  'data-msys-linkname',
  'data-msys-link-name',
  'data-msys-unsubscribe',
  'data-msys-sublink',
]);
/** Stands for every element of Outlook's vector graphics. */
const VML = 'v:';

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
  const tag = new Tag(buffer);
  let i = 0;
  let prologue = true;
  const cdata = { unclosed: false };
  for (;;) {
    const lt = seek(buffer, LT, i);
    if (lt < 0) return;
    if (prologue && !isBlank(buffer, i, lt)) prologue = false;
    const c = buffer[lt + 1];
    if (c === undefined) return;
    if (c === BANG) {
      const end = endOfMarkup(buffer, lt, cdata);
      if (end < 0) return;
      i = end;
      if (prologue) visitor.prologue(end);
      if (options.msoConditionals && matches(buffer, lt, '<!--[if ')) {
        walkConditional(buffer.subarray(0, end), lt + 8, visitor);
      }
    } else if (isLetter(c)) {
      prologue = false;
      i = tag.read(lt + 1, true);
      if (i < 0) return;
      visitor.startTag(tag.name, tag.attributes, i, false);
      if (tag.name === 'plaintext') return;
      if (RAW_TEXT.includes(tag.name)) {
        i = endOfRawText(buffer, i, tag.name);
        if (i < 0) return;
      }
    } else if (c === SLASH && isLetter(buffer[lt + 2] ?? 0)) {
      prologue = false;
      i = tag.read(lt + 2, false);
      if (i < 0) return;
      visitor.endTag(tag.name, lt, i);
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
  const tag = new Tag(text);
  let i = text.indexOf(GT, from) + 1;
  for (;;) {
    const lt = text.indexOf(LT, i);
    if (lt < 0) return;
    if (!isLetter(text[lt + 1] ?? 0)) {
      i = lt + 1;
      continue;
    }
    i = tag.read(lt + 1, true);
    if (i < 0) return;
    visitor.startTag(tag.name, tag.attributes, i, true);
    if (RAW_TEXT.includes(tag.name)) i = endOfRawText(text, i, tag.name);
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
      let end = text.indexOf('--', at, 'latin1');
      if (end < 0) return -1;
      // A line of dashes: only its last two can end the comment.
      while (text[end + 2] === DASH) end++;
      if (text[end + 2] === GT) return end + 3;
      if (text[end + 2] === BANG && text[end + 3] === GT) return end + 4;
      at = end + 1;
    }
  }
  if (!cdata.unclosed && text.toString('latin1', lt + 2, lt + 9) === '[CDATA[') {
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
      matches(text, found + 2, name)
    ) {
      return found;
    }
    at = found + 2;
  }
}

const NONE: readonly HtmlAttribute[] = [];

/** The tag that was read last. One for a whole text: most tags leave nothing to be kept. */
class Tag {
  readonly #text: Buffer;
  name = '';
  attributes = NONE;

  constructor(text: Buffer) {
    this.#text = text;
  }

  /** Reads a tag whose name begins at `nameStart`; the offset after it, -1 if the text ends inside it. */
  read(nameStart: number, keep: boolean): number {
    const text = this.#text;
    let i = skipTo(text, nameStart, SPACE | SLASH_SIGN | GT_SIGN);
    this.name = isVml(text, nameStart) ? VML : known(ELEMENTS, text, nameStart, i);
    this.attributes = NONE;
    let kept: HtmlAttribute[] | null = null;
    for (let count = 0; ; count++) {
      while (i < text.length && (CLASS[text[i]!]! & (SPACE | SLASH_SIGN)) !== 0) i++;
      if (i >= text.length) return -1;
      if (text[i] === GT) return i + 1;
      const start = i;
      // A `=` at the start of a name belongs to it.
      i = skipTo(text, i + 1, SPACE | SLASH_SIGN | GT_SIGN | EQUALS_SIGN);
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
          valueEnd = seek(text, quote, valueStart);
          if (valueEnd < 0) return -1;
          end = valueEnd + 1;
        } else {
          valueStart = i;
          valueEnd = skipTo(text, i, SPACE | GT_SIGN);
          end = valueEnd;
        }
        i = end;
      }
      if (!keep || count >= MOST_ATTRIBUTES) continue;
      const name = known(ATTRIBUTES, text, start, nameEnd);
      if (name === '') continue;
      kept ??= [];
      kept.push({ name, start, end, valueStart, valueEnd, quotedStart, quotedEnd: end });
      this.attributes = kept;
    }
  }
}

/** What an octet means in a tag. */
const SPACE = 1;
const SLASH_SIGN = 2;
const GT_SIGN = 4;
const EQUALS_SIGN = 8;
const CLASS = new Uint8Array(256);
for (const c of [0x20, 0x0a, 0x0d, 0x09, 0x0c]) CLASS[c] = SPACE;
CLASS[SLASH] = SLASH_SIGN;
CLASS[GT] = GT_SIGN;
CLASS[EQUALS] = EQUALS_SIGN;

/** The first offset from `i` on whose octet is of one of the classes, the text's end if there is none. */
function skipTo(text: Buffer, i: number, classes: number): number {
  while (i < text.length && (CLASS[text[i]!]! & classes) === 0) i++;
  return i;
}

/** As `indexOf`, whose call costs more than looking at a few octets: most values and gaps between tags are short. */
function seek(text: Buffer, octet: number, from: number): number {
  const near = Math.min(from + 48, text.length);
  for (let i = from; i < near; i++) if (text[i] === octet) return i;
  return text.indexOf(octet, near);
}

function byLength(names: readonly string[]): readonly (readonly string[])[] {
  const longest = Math.max(...names.map((name) => name.length));
  return Array.from({ length: longest + 1 }, (_, length) => names.filter((name) => name.length === length));
}

/** Which of the names stands there, in whatever case; '' for none. */
function known(names: readonly (readonly string[])[], text: Uint8Array, start: number, end: number): string {
  const candidates = names[end - start];
  if (candidates === undefined) return '';
  for (let i = 0; i < candidates.length; i++) if (matches(text, start, candidates[i]!)) return candidates[i]!;
  return '';
}

/** Whether `name`, which has no capitals, stands there in whatever case. */
function matches(text: Uint8Array, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const c = text[start + i]!;
    if (c !== name.charCodeAt(i) && !(c >= 0x41 && c <= 0x5a && c + 0x20 === name.charCodeAt(i)))
      return false;
  }
  return true;
}

function isVml(text: Uint8Array, start: number): boolean {
  return text[start + 1] === 0x3a && matches(text, start, VML);
}

function isSpace(c: number): boolean {
  return CLASS[c] === SPACE;
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
