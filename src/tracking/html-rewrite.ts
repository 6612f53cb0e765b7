import { decodeReferences } from './html-references.ts';
import { type HtmlAttribute, walkHtml } from './html-tokens.ts';
import { type LinkPolicy, type LinkSkip, linkTarget } from './link-target.ts';
import { cutUtf8 } from './token.ts';

/** A link that gets a tracked URL. */
export interface LinkToWrap {
  readonly target: string;
  /** At most 63 octets; '' when the message names none. */
  readonly name: string;
  readonly unsubscribe: boolean;
  /** Path segment after `/f/`. */
  readonly sub: string;
}

/** A change of [start, end) of the text. Offsets count octets, or units of two octets in UTF-16. */
export type TextEdit =
  | { readonly start: number; readonly end: number; readonly kind: 'cut'; readonly blank: boolean }
  /** `quoted`: the new URL stands in double quotes. */
  | {
      readonly start: number;
      readonly end: number;
      readonly kind: 'link';
      readonly link: LinkToWrap;
      readonly quoted: boolean;
    }
  | { readonly start: number; readonly end: number; readonly kind: 'initial-pixel' | 'pixel' };

export interface HtmlOptions {
  readonly clicks: boolean;
  /** Links beyond this number stay as they are. */
  readonly mostLinks: number;
  readonly initialPixel: boolean;
  readonly pixel: boolean;
  readonly msoConditionals: boolean;
  readonly policy: LinkPolicy;
  /** The characters of [start, end) of the text in the part's charset; `null` if they cannot be decoded. */
  readonly decode: (start: number, end: number) => string | null;
}

export interface HtmlEdits {
  /** In order, not overlapping. */
  readonly edits: TextEdit[];
  readonly skipped: ReadonlyMap<LinkSkip, number>;
}

const SUBLINK = /^(?!\.+$)[A-Za-z0-9._-]{1,64}$/;
const LONGEST_LINK_NAME = 63;
/** Octets of an attribute, well above the longest target with every character written as a reference. */
const LONGEST_VALUE = 64 * 1024;

/**
 * Finds what tracking changes in an HTML part: `href` of `a` and `area`, our own `data-msys-*` attributes, and the
 * places of the pixels. Changes nothing itself; all other octets are never looked at again.
 */
export function findHtmlEdits(text: Uint8Array, options: HtmlOptions): HtmlEdits {
  const edits: TextEdit[] = [];
  const skipped = new Map<LinkSkip, number>();
  let wrapped = 0;
  let afterBody = -1;
  let afterHead = -1;
  let afterHtml = -1;
  let afterPrologue = byteOrderMark(text);
  let beforeBodyEnd = -1;
  let beforeHtmlEnd = -1;

  walkHtml(
    text,
    {
      startTag(name, attributes, end, conditional) {
        if (name === 'body' && afterBody < 0 && !conditional) afterBody = end;
        else if (name === 'html' && afterHtml < 0 && !conditional) afterHtml = end;
        if (attributes.length > 0) editTag(name, attributes);
      },
      endTag(name, start, end) {
        if (name === 'body') beforeBodyEnd = start;
        else if (name === 'html') beforeHtmlEnd = start;
        else if (name === 'head' && afterHead < 0) afterHead = end;
      },
      prologue(end) {
        afterPrologue = end;
      },
    },
    { msoConditionals: options.msoConditionals },
  );

  function editTag(name: string, attributes: readonly HtmlAttribute[]): void {
    let href: HtmlAttribute | undefined;
    let first: Map<string, string> | undefined;
    const isLink = name === 'a' || name === 'area' || (options.msoConditionals && name === 'v:');
    for (const attribute of attributes) {
      if (attribute.name === 'href') href ??= attribute;
      else {
        edits.push(cutAttribute(text, attribute));
        first ??= new Map();
        const key = attribute.name === 'data-msys-link-name' ? 'data-msys-linkname' : attribute.name;
        if (!first.has(key)) first.set(key, attributeText(attribute) ?? '');
      }
    }
    if (!isLink || !options.clicks || !href) return;
    const value = attributeText(href);
    const verdict =
      wrapped >= options.mostLinks
        ? 'too many'
        : first?.get('data-msys-clicktrack') === '0'
          ? 'switched off'
          : value === null
            ? 'unknown reference'
            : linkTarget(value, options.policy);
    if (typeof verdict === 'string') {
      skipped.set(verdict, (skipped.get(verdict) ?? 0) + 1);
      return;
    }
    const sub = first?.get('data-msys-sublink') ?? '';
    const link: LinkToWrap = {
      target: verdict.target,
      name: cutUtf8(first?.get('data-msys-linkname') ?? '', LONGEST_LINK_NAME),
      unsubscribe: first?.get('data-msys-unsubscribe') === '1',
      sub: SUBLINK.test(sub) ? sub : 'a',
    };
    edits.push({ start: href.quotedStart, end: href.quotedEnd, kind: 'link', link, quoted: true });
    wrapped++;
  }

  function attributeText(attribute: HtmlAttribute): string | null {
    if (attribute.valueEnd - attribute.valueStart > LONGEST_VALUE) return null;
    const decoded = options.decode(attribute.valueStart, attribute.valueEnd);
    return decoded === null ? null : decodeReferences(decoded);
  }

  if (options.initialPixel) {
    const at = [afterBody, afterHead, afterHtml].find((offset) => offset >= 0) ?? afterPrologue;
    edits.push({ start: at, end: at, kind: 'initial-pixel' });
  }
  if (options.pixel) {
    const at =
      [beforeBodyEnd, beforeHtmlEnd].find((offset) => offset >= afterBody && offset >= 0) ?? text.length;
    edits.push({ start: at, end: at, kind: 'pixel' });
  }
  // Attributes are found in the order of their tags but not within one, and pixels come last.
  edits.sort((a, b) => a.start - b.start || a.end - b.end);
  return { edits, skipped };
}

/** The attribute with the white space before it; one blank stays where two attributes would otherwise touch. */
function cutAttribute(text: Uint8Array, attribute: HtmlAttribute): TextEdit {
  let start = attribute.start;
  while (isSpace(text[start - 1]!)) start--;
  const next = text[attribute.end]!;
  const blank = !isSpace(next) && next !== 0x2f && next !== 0x3e;
  return { start, end: attribute.end, kind: 'cut', blank };
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09 || c === 0x0c;
}

/** Octets of a byte order mark: three of UTF-8, or the one unit that a wider charset was reduced to. */
function byteOrderMark(text: Uint8Array): number {
  if (text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf) return 3;
  return text[0] === 0xff ? 1 : 0;
}
