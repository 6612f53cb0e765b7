/** The Authentication-Results field (RFC 8601): writing ours, and knowing those that only claim to be. */
import { type Header, headerField } from '../../../mail/header.ts';

/** The outcome of one method: `spf=pass (comment) smtp.mailfrom=brand.test`. */
export interface MethodResult {
  readonly method: 'spf' | 'iprev' | 'dkim';
  readonly result: string;
  readonly comment: string;
  /** `smtp.mailfrom` and the like, in order; values from outside as they are. */
  readonly properties: readonly (readonly [name: string, value: string])[];
  /** What was asked of the DNS, under `trace-…-check`. */
  readonly trace: readonly string[];
}

const LONGEST_COMMENT = 500;
const LONGEST_VALUE = 300;

/** The whole field for results found at one moment. */
export function resultsField(host: string, results: readonly MethodResult[]): string {
  const parts = results.map(({ method, result, comment, properties, trace }) => {
    const notes = [comment, trace.length > 0 ? `dns: ${trace.join(' | ')}` : ''].filter(
      (note) => note !== '',
    );
    const said = notes.map((note) => ` (${commentText(note)})`).join('');
    const named = properties.filter(([, value]) => value !== '');
    return `${method}=${result}${said}${named.map(([name, value]) => ` ${name}=${propertyValue(value)}`).join('')}`;
  });
  return headerField('Authentication-Results', `${host}; ${parts.join('; ')}`);
}

/** Text for a comment: what would end it, begin another or leave ASCII becomes a question mark. */
function commentText(text: string): string {
  return text.replace(/[^ -~]|[()\\]/g, '?').slice(0, LONGEST_COMMENT * (text.startsWith('dns: ') ? 4 : 1));
}

function propertyValue(text: string): string {
  const value = text.slice(0, LONGEST_VALUE).replace(/[^ -~]/g, '?');
  // RFC 2045 tokens, and the @ that RFC 8601 section 2.2 allows besides.
  return /^[!#$%&'*+\-.0-9@A-Z^_`a-z{|}~]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * RFC 8601 section 5: a field that claims to come from this host and was there when the message came is forged.
 * Answers the fields' places in the message.
 */
export function forgedResults(header: Header, hosts: readonly string[]): { start: number; end: number }[] {
  const own = new Set(hosts.map((host) => host.toLowerCase()));
  return header.all('authentication-results').filter((field) => {
    const id = serviceId(header.value(field));
    return id !== null && own.has(id);
  });
}

/** The host that a field names, in lower case; null when it names none. */
function serviceId(value: string): string | null {
  const text = withoutComments(value.slice(0, 4_000)).trim();
  const match = /^(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/.exec(text);
  if (!match) return null;
  const id = match[1] === undefined ? match[2]! : match[1].replace(/\\(.)/g, '$1');
  return id.toLowerCase().replace(/\.$/, '');
}

/** RFC 5322 section 3.2.2: comments may nest, and stand anywhere between tokens. */
function withoutComments(text: string): string {
  let out = '';
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '\\' && (quoted || depth > 0)) {
      if (depth === 0) out += c + (text[i + 1] ?? '');
      i++;
    } else if (quoted) {
      out += c;
      quoted = c !== '"';
    } else if (c === '(') depth++;
    else if (c === ')' && depth > 0) depth--;
    else if (depth === 0) {
      out += c;
      quoted = c === '"';
    }
  }
  return out;
}

/** The message without some pieces, in order; every other octet as it was. */
export function withoutPieces(raw: Buffer, pieces: readonly { start: number; end: number }[]): Buffer {
  if (pieces.length === 0) return raw;
  const kept: Buffer[] = [];
  let from = 0;
  for (const { start, end } of pieces) {
    kept.push(raw.subarray(from, start));
    from = end;
  }
  kept.push(raw.subarray(from));
  return Buffer.concat(kept);
}
