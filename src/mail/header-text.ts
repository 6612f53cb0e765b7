import { parseAddress } from './address.ts';

/** Longest text that is decoded: the rest of a longer field is of no use to anybody. */
const LONGEST_TEXT = 16 * 1024;

/**
 * Charset, `B` or `Q`, text. No two of its runs can match the same character, so it costs one pass. Blanks inside the
 * text are not legal; senders write them, and mail programs read them.
 */
const ENCODED_WORD = /=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([bBqQ])\?([^?]*)\?=/g;

/**
 * Text of a header with RFC 2047's encoded words read, at most `most` characters. Neighbouring words of one charset are
 * joined before decoding, because senders split characters between them. What cannot be decoded stays as it stands.
 */
export function decodeWords(text: string, most = 998): string {
  const source = text.slice(0, LONGEST_TEXT);
  if (!source.includes('=?')) return shown(source, most);
  let out = '';
  let at = 0;
  let charset = '';
  let pending: Buffer[] = [];
  let pendingSource = '';
  const flush = () => {
    if (pending.length > 0) out += decodeCharset(Buffer.concat(pending), charset) ?? pendingSource;
    pending = [];
    pendingSource = '';
  };
  for (const match of source.matchAll(ENCODED_WORD)) {
    const between = source.slice(at, match.index);
    const name = match[1]!.toLowerCase();
    const joined = pending.length > 0 && /^[ \t\r\n]*$/.test(between);
    if (!joined || name !== charset) flush();
    if (!joined) out += between;
    charset = name;
    pending.push(
      match[2] === 'b' || match[2] === 'B' ? Buffer.from(match[3]!, 'base64') : decodeQ(match[3]!),
    );
    pendingSource += match[0];
    at = match.index + match[0].length;
  }
  flush();
  out += source.slice(at);
  return shown(out, most);
}

/** Text without controls, at most so many characters. */
function shown(text: string, most: number): string {
  return truncate(text.replace(/[\u0000-\u001f\u007f]+/g, ' '), most);
}

function decodeQ(text: string): Buffer {
  const plain = text
    .replace(/_/g, ' ')
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(plain, 'latin1');
}

/** Decoders by the name of their charset; `null` where there is none, which is dear to find out. */
const decoders = new Map<string, TextDecoder | null>();
const MOST_DECODERS = 100;
const LONGEST_CHARSET = 40;

/** Octets in a named charset as text; `null` if the charset is unknown. */
export function decodeCharset(bytes: Uint8Array, charset: string): string | null {
  if (charset.length > LONGEST_CHARSET) return null;
  let decoder = decoders.get(charset);
  if (decoder === undefined) {
    try {
      decoder = new TextDecoder(charset);
    } catch {
      decoder = null;
    }
    if (decoders.size >= MOST_DECODERS) decoders.clear();
    decoders.set(charset, decoder);
  }
  return decoder?.decode(bytes) ?? null;
}

function truncate(text: string, most: number): string {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? most - 1 : most);
}

export interface Mailbox {
  /** Decoded display name, '' if there is none. */
  readonly name: string;
  /** `local@domain` as written, without comments and blanks. */
  readonly address: string;
}

/** What most senders write when they give no name; saves the walk through the letters. */
const PLAIN_ADDRESS = /^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,255}$/;

/**
 * The first address of From, Sender, To … (RFC 5322 section 3.4): angle form or bare, with comments, quoted names,
 * groups and encoded words. `null` if the value names no address.
 */
export function firstAddress(value: string): Mailbox | null {
  const text = value.slice(0, LONGEST_TEXT);
  if (PLAIN_ADDRESS.test(text) && parseAddress(text)) return { name: '', address: text };
  let phrase = '';
  let bare = '';
  let comment = '';
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (c === '(') {
      const end = endOfComment(text, i);
      comment = text.slice(i + 1, Math.max(i + 1, end - 1));
      i = end;
    } else if (c === '"') {
      const end = endOfQuoted(text, i);
      phrase += text.slice(i + 1, end - 1).replace(/\\(.)/gs, '$1');
      bare += text.slice(i, end);
      i = end;
    } else if (c === '<') {
      const end = text.indexOf('>', i);
      const inner = text.slice(i + 1, end < 0 ? text.length : end);
      // RFC 5322's obsolete source route: <@a,@b:user@c>.
      const address = withoutBlanks(inner.startsWith('@') ? inner.slice(inner.indexOf(':') + 1) : inner);
      if (parseAddress(address)) return { name: displayName(phrase), address };
      if (end < 0) return null;
      phrase = bare = '';
      i = end + 1;
    } else if (c === ',' || c === ';') {
      const address = withoutBlanks(bare);
      if (parseAddress(address)) return { name: displayName(comment), address };
      phrase = bare = comment = '';
      i++;
    } else if (c === ':') {
      // The name of a group.
      phrase = bare = '';
      i++;
    } else {
      phrase += c;
      bare += c;
      i++;
    }
  }
  const address = withoutBlanks(bare);
  return parseAddress(address) ? { name: displayName(comment), address } : null;
}

function displayName(phrase: string): string {
  return decodeWords(phrase).replace(/\s+/g, ' ').trim();
}

function withoutBlanks(text: string): string {
  return text.startsWith('"') || text.includes(' "') ? text.trim() : text.replace(/[ \t\r\n]+/g, '');
}

function endOfQuoted(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

function endOfComment(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '(') depth++;
    else if (text[i] === ')' && --depth === 0) return i + 1;
  }
  return text.length;
}
