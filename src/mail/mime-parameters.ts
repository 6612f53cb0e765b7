import { decodeCharset } from './header-text.ts';

/** A structured MIME field: Content-Type or Content-Disposition (RFC 2045 section 5.1, RFC 2183, RFC 2231). */
export interface MimeValue {
  /** `text/html`, `attachment`: lower case. */
  readonly value: string;
  /** Names in lower case; values with RFC 2231's pieces joined and charsets decoded. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /^[!#$%&'*+.^_`{|}~0-9A-Za-z-]+$/;
const MOST_PARAMETERS = 100;
const LONGEST_PARAMETER = 4096;

/** Reads an unfolded value. `null` if it does not begin with a token (`type/subtype` where `slash` is asked for). */
export function parseMimeValue(text: string, slash: boolean): MimeValue | null {
  const pieces = splitParameters(text);
  const value = (pieces[0] ?? '').toLowerCase();
  const halves = value.split('/');
  if (halves.length !== (slash ? 2 : 1) || !halves.every((half) => TOKEN.test(half))) return null;

  const parameters = new Map<string, string>();
  const continued = new Map<string, Map<number, { text: string; encoded: boolean }>>();
  for (const piece of pieces.slice(1, MOST_PARAMETERS)) {
    const equals = piece.indexOf('=');
    if (equals < 1) continue;
    const name = piece.slice(0, equals).trimEnd().toLowerCase();
    const content = unquote(piece.slice(equals + 1).trimStart()).slice(0, LONGEST_PARAMETER);
    if (!TOKEN.test(name)) continue;
    const star = /^([^*]+)(?:\*(\d{1,3}))?(\*?)$/.exec(name);
    if (!star) continue;
    const [, base, index, encoded] = star as unknown as [string, string, string | undefined, string];
    if (index === undefined && encoded === '') {
      // Of two parameters of one name mail programs use the first; so must a boundary.
      if (!parameters.has(base)) parameters.set(base, content);
      continue;
    }
    let parts = continued.get(base);
    if (!parts) {
      parts = new Map();
      continued.set(base, parts);
    }
    const at = Number(index ?? 0);
    if (!parts.has(at)) parts.set(at, { text: content, encoded: encoded === '*' });
  }
  for (const [name, parts] of continued) if (parts.has(0)) parameters.set(name, joinPieces(parts));
  return { value, parameters };
}

/** RFC 2231 section 3 and 4: pieces in order without a gap, percent-encoded where marked. */
function joinPieces(parts: ReadonlyMap<number, { text: string; encoded: boolean }>): string {
  const bytes: Buffer[] = [];
  let charset = 'utf-8';
  for (let i = 0; i < parts.size; i++) {
    const part = parts.get(i);
    if (!part) break;
    let text = part.text;
    if (part.encoded && i === 0) {
      const quotes = /^([^']*)'[^']*'/.exec(text);
      if (quotes) {
        charset = quotes[1] || charset;
        text = text.slice(quotes[0].length);
      }
    }
    bytes.push(part.encoded ? percentDecode(text) : Buffer.from(text));
  }
  const joined = Buffer.concat(bytes);
  return (decodeCharset(joined, charset) ?? joined.toString('latin1')).slice(0, LONGEST_PARAMETER);
}

function percentDecode(text: string): Buffer {
  const plain = Buffer.from(text).toString('latin1');
  const decoded = plain.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(decoded, 'latin1');
}

/** Pieces between semicolons, comments out, quoted strings whole. */
function splitParameters(text: string): string[] {
  const pieces: string[] = [];
  let piece = '';
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted || depth > 0) {
      if (quoted) piece += c;
      if (c === '\\' && i + 1 < text.length) {
        i++;
        if (quoted) piece += text[i];
      } else if (quoted) quoted = c !== '"';
      else if (c === '(') depth++;
      else if (c === ')') depth--;
    } else if (c === '"') {
      quoted = true;
      piece += c;
    } else if (c === '(') depth++;
    else if (c === ';') {
      pieces.push(piece.trim());
      piece = '';
      if (pieces.length > MOST_PARAMETERS) return pieces;
    } else piece += c;
  }
  pieces.push(piece.trim());
  return pieces;
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  const end = text.length > 1 && text.endsWith('"') ? -1 : undefined;
  return text.slice(1, end).replace(/\\(.)/gs, '$1');
}
