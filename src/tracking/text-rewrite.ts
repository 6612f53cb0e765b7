import type { LinkToWrap, TextEdit } from './html-rewrite.ts';
import { type LinkPolicy, type LinkSkip, linkTarget } from './link-target.ts';

/** Octets that a URL in running text goes on with: RFC 3986's, and the braces and bars of templates. */
const URL_OCTET = new Uint8Array(256);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%{}|") {
  URL_OCTET[c.charCodeAt(0)] = 1;
}

const LONGEST_NOTATION = 512;
const NOTATION =
  /^\[\[((?:\s{0,8}data-msys-(?:clicktrack|unsubscribe|sublink)\s{0,8}=\s{0,8}"[^"\]\r\n]{0,128}")+)\s{0,8}\]\]/i;
const SUBLINK = /^(?!\.+$)[A-Za-z0-9._-]{1,64}$/;

export interface TextOptions {
  /** Wrap links; without it only the `[[data-msys-…]]` notation is taken out. */
  readonly links: boolean;
  /** Links beyond this number stay as they are. */
  readonly mostLinks: number;
  readonly policy: LinkPolicy;
}

/**
 * Finds URLs and SparkPost's `[[data-msys-…="…"]]` notation after them in a plain text part. The notation goes in any
 * case, recipients would read it; links in quoted lines are not wrapped.
 */
export function findTextEdits(
  text: Uint8Array,
  options: TextOptions,
): { edits: TextEdit[]; skipped: Map<LinkSkip, number> } {
  const buffer = Buffer.from(text.buffer, text.byteOffset, text.length);
  const edits: TextEdit[] = [];
  const skipped = new Map<LinkSkip, number>();
  let at = 0;
  let wrapped = 0;
  let lineStart = 0;
  let lineEnd = -1;
  for (;;) {
    const colon = buffer.indexOf('://', at, 'latin1');
    if (colon < 0) break;
    at = colon + 3;
    const start = startOfScheme(buffer, colon);
    if (start < 0) continue;
    const end = endOfUrl(buffer, start, at);
    at = end;
    const notation = readNotation(buffer, end);
    for (const [from, to] of notation.cuts) edits.push({ start: from, end: to, kind: 'cut', blank: false });
    at = Math.max(at, notation.end);
    // Forward only: a text that is one long line full of links must not be searched back from each of them.
    while (lineEnd < start) {
      lineStart = lineEnd + 1;
      const next = buffer.indexOf(0x0a, lineStart);
      lineEnd = next < 0 ? buffer.length : next;
    }
    if (!options.links || buffer[lineStart] === 0x3e) continue;
    if (wrapped >= options.mostLinks) {
      skipped.set('too many', (skipped.get('too many') ?? 0) + 1);
      continue;
    }
    const verdict =
      notation.attributes.get('clicktrack') === '0'
        ? 'switched off'
        : linkTarget(buffer.toString('latin1', start, end), options.policy);
    if (typeof verdict === 'string') {
      skipped.set(verdict, (skipped.get(verdict) ?? 0) + 1);
      continue;
    }
    const sub = notation.attributes.get('sublink') ?? '';
    const link: LinkToWrap = {
      target: verdict.target,
      name: '',
      unsubscribe: notation.attributes.get('unsubscribe') === '1',
      sub: SUBLINK.test(sub) ? sub : 'a',
    };
    edits.push({ start, end, kind: 'link', link, quoted: false });
    wrapped++;
  }
  edits.sort((a, b) => a.start - b.start);
  return { edits, skipped };
}

/** Where `http` or `https` before a `://` begins, -1 if something else (or more of a word) stands there. */
function startOfScheme(text: Buffer, colon: number): number {
  const before = text.toString('latin1', Math.max(0, colon - 6), colon).toLowerCase();
  const scheme = before.endsWith('https') ? 5 : before.endsWith('http') ? 4 : 0;
  if (scheme === 0) return -1;
  const previous = before.charAt(before.length - scheme - 1);
  return /[a-z0-9+.-]/.test(previous) ? -1 : colon - scheme;
}

/** The end of the URL, without punctuation that belongs to the sentence around it. */
function endOfUrl(text: Buffer, start: number, from: number): number {
  let end = from;
  while (end < text.length && URL_OCTET[text[end]!] === 1) {
    if (text[end] === 0x5b && text[end + 1] === 0x5b) break;
    end++;
  }
  const open = new Map<number, number>();
  for (let i = start; i < end; i++) {
    const c = text[i]!;
    if (PAIRS.has(c) || CLOSERS.has(c)) open.set(c, (open.get(c) ?? 0) + 1);
  }
  for (; end > from; end--) {
    const c = text[end - 1]!;
    const opener = CLOSERS.get(c);
    if (opener !== undefined) {
      const closed = open.get(c) ?? 0;
      if (closed <= (open.get(opener) ?? 0)) break;
      open.set(c, closed - 1);
    } else if (!TRAILING.has(c)) break;
  }
  return end;
}

/** Closing signs with what opens them. */
const CLOSERS: ReadonlyMap<number, number> = new Map([
  [0x29, 0x28],
  [0x5d, 0x5b],
  [0x7d, 0x7b],
]);
const PAIRS: ReadonlySet<number> = new Set(CLOSERS.values());
const TRAILING: ReadonlySet<number> = new Set([...`.,;:!?'`].map((c) => c.charCodeAt(0)));

/** The notations directly after a URL, several in a row allowed. */
function readNotation(
  text: Buffer,
  from: number,
): { attributes: Map<string, string>; cuts: [number, number][]; end: number } {
  const attributes = new Map<string, string>();
  const cuts: [number, number][] = [];
  let at = from;
  // The form <URL> keeps its bracket between the URL and the notation.
  if (text[at] === 0x3e && text[at + 1] === 0x5b) at++;
  while (text[at] === 0x5b && text[at + 1] === 0x5b) {
    const match = NOTATION.exec(text.toString('latin1', at, at + LONGEST_NOTATION));
    if (!match) break;
    for (const [, name, value] of match[1]!.matchAll(/data-msys-([a-z]+)\s*=\s*"([^"]*)"/gi)) {
      const key = name!.toLowerCase();
      if (!attributes.has(key)) attributes.set(key, value!);
    }
    cuts.push([at, at + match[0].length]);
    at += match[0].length;
  }
  return { attributes, cuts, end: at };
}
