import { encodeBase64, encodeQuotedPrintable } from '../mail/transfer-encoding.ts';

export type TransferEncoding = '7bit' | '8bit' | 'quoted-printable' | 'base64';
export type Charset = 'utf-8' | 'iso-8859-1';

/** Text in a charset, or null when the charset lacks one of its characters. */
export function encodeCharset(text: string, charset: Charset): Buffer | null {
  if (charset === 'utf-8') return Buffer.from(text);
  for (const character of text) if (character.codePointAt(0)! > 0xff) return null;
  return Buffer.from(text, 'latin1');
}

export function isSevenBit(bytes: Buffer): boolean {
  return !/[\u0080-\u00ff]/.test(bytes.toString('latin1'));
}

/** Applies a transfer encoding to text whose lines end with CRLF. 7bit and 8bit leave it as it is. */
export function encodeTransfer(bytes: Buffer, encoding: TransferEncoding): Buffer {
  switch (encoding) {
    case 'quoted-printable':
      return encodeQuotedPrintable(bytes);
    case 'base64':
      return encodeBase64(bytes);
    default:
      return bytes;
  }
}

/** A header text: as it is when it is printable ASCII, else in encoded words of at most 75 characters. */
export function encodeWords(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  const words: string[] = [];
  let word = '';
  for (const character of text) {
    if (Buffer.byteLength(word + character) > 39) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  words.push(word);
  return words.map((w) => `=?utf-8?B?${Buffer.from(w).toString('base64')}?=`).join('\r\n ');
}

/** A display name before an address: quoted where it needs to be. */
export function displayName(text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) return encodeWords(text);
  return /^[A-Za-z0-9 !#$%&'*+\-/=?^_`{|}~]*$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** Escapes text for HTML content and attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}

/** JSON in ASCII alone, broken only between members, so that unfolding cannot change a value. */
export function headerJson(value: Readonly<Record<string, unknown>>): string {
  const members = Object.entries(value).map(
    ([key, v]) => `${ascii(JSON.stringify(key))}:${ascii(JSON.stringify(v))}`,
  );
  return `{${members.join(',\r\n ')}}`;
}

function ascii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
