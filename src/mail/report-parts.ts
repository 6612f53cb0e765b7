import { parseAddress } from './address.ts';
import { Header, type HeaderField } from './header.ts';
import { firstAddress } from './header-text.ts';
import { leaves, type MimePart, parseMime } from './mime.ts';
import { decodeBase64, decodeQuotedPrintable } from './transfer-encoding.ts';

/** A mail that may be a report: its MIME tree and, in order, the parts that have no parts of their own. */
export interface OpenedReport {
  /** What the offsets of the parts point into. */
  readonly raw: Buffer;
  readonly root: MimePart;
  readonly leaves: readonly MimePart[];
}

/** Multipart in multipart as the compatibility guide bounds it; no reporter writes a hundred parts. */
const LIMITS = { nesting: 8, parts: 100 };

/**
 * Opens a mail from outside. A report that was cut off in transport lacks its last delimiter; what stands before the
 * cut is still read, because it names the recipient.
 */
export function openReport(raw: Buffer): OpenedReport {
  let whole = raw;
  let root = parseMime(raw, LIMITS);
  if (root.fault === 'no close delimiter') {
    whole = Buffer.concat([raw, Buffer.from(`\r\n--${root.parameters.get('boundary')!.trimEnd()}--\r\n`)]);
    root = parseMime(whole, LIMITS);
  }
  return { raw: whole, root, leaves: [...leaves(root)] };
}

/** The part that announces a report of this type (`multipart/report; report-type=…`), `null` if none does. */
export function announcedReport(part: MimePart, reportType: string): MimePart | null {
  if (part.type === 'multipart/report' && part.parameters.get('report-type')?.toLowerCase() === reportType) {
    return part;
  }
  for (const child of part.parts) {
    const found = announcedReport(child, reportType);
    if (found) return found;
  }
  return null;
}

/** The part's content with its transfer encoding undone; only the first `most` octets as they were sent are read. */
export function partContent(raw: Buffer, part: MimePart, most: number): Buffer {
  const body = raw.subarray(part.bodyStart, Math.min(part.bodyEnd, part.bodyStart + most));
  switch (part.encoding) {
    case 'base64':
      return decodeBase64(body);
    case 'quoted-printable':
      return decodeQuotedPrintable(body).bytes;
    default:
      return body;
  }
}

/** The message that a report is about, as far as it was returned. */
export interface OriginalMessage {
  /** At most 1,000 fields in order, names as written, values unfolded and not decoded. */
  readonly headers: [name: string, value: string][];
}

const ORIGINAL_TYPES = new Set([
  'message/rfc822',
  'message/rfc822-headers',
  'message/global',
  'message/global-headers',
  'text/rfc822-headers',
  'text/rfc822',
]);
const MOST_ORIGINAL_FIELDS = 1000;
/** A header block beyond this is no header block. */
const LONGEST_ORIGINAL_HEADER = 1024 * 1024;

/** Whether a part holds a returned message or its header. */
export function isOriginal(part: MimePart): boolean {
  return ORIGINAL_TYPES.has(part.type);
}

/** The returned message: the first one after the report's own fields, else the first before them. */
export function findOriginal(report: OpenedReport, fieldsPart: MimePart): OriginalMessage | null {
  const at = report.leaves.indexOf(fieldsPart);
  const part = report.leaves.find((leaf, i) => i > at && isOriginal(leaf)) ?? report.leaves.find(isOriginal);
  return part ? readOriginal(report.raw, part) : null;
}

/** Reads the header of a returned message. */
export function readOriginal(raw: Buffer, part: MimePart): OriginalMessage {
  // Reporters that forget the empty line after the part's own header run it into the message's.
  if (part.header.find('received') || part.header.find('from')) {
    return {
      headers: part.header
        .entries(MOST_ORIGINAL_FIELDS)
        .filter(([name]) => !/^content-(?:type|transfer-encoding|disposition|description|id)$/i.test(name)),
    };
  }
  return originalHeaders(partContent(raw, part, LONGEST_ORIGINAL_HEADER), 0);
}

/** The header block of a message that begins at `start`, empty lines before it skipped. */
export function originalHeaders(bytes: Buffer, start: number): OriginalMessage {
  const header = new Header(bytes, skipEmptyLines(bytes, start));
  return { headers: header.entries(MOST_ORIGINAL_FIELDS) };
}

/** One field of a machine-readable part; its value is copied only when it is asked for. */
export interface ReportField {
  /** In lower case. */
  readonly key: string;
  readonly name: string;
  /** An empty line stands between this field and the one before. */
  readonly afterBlank: boolean;
  readonly header: Header;
  readonly field: HeaderField;
}

/**
 * All fields of a machine-readable part in order, over empty lines; damaged lines left out. `null` if there are more
 * than `most`: nobody but an attacker writes those.
 */
export function reportFields(bytes: Buffer, most: number): ReportField[] | null {
  const fields: ReportField[] = [];
  let at = skipEmptyLines(bytes, 0);
  let blocks = 0;
  while (at < bytes.length) {
    const header = new Header(bytes, at);
    if (header.truncated || ++blocks > most || fields.length + header.fields.length > most) return null;
    addFields(header, fields);
    at = skipEmptyLines(bytes, header.bodyStart);
  }
  return fields;
}

/** Appends a header's fields, the first of them marked as coming after an empty line. */
export function addFields(header: Header, to: ReportField[]): void {
  let afterBlank = true;
  for (const field of header.fields) {
    if (field.name === '') continue;
    to.push({ key: field.key, name: field.name, afterBlank, header, field });
    afterBlank = false;
  }
}

function skipEmptyLines(bytes: Buffer, at: number): number {
  let start = at;
  while (start < bytes.length) {
    if (bytes[start] === 0x0a) start++;
    else if (bytes[start] === 0x0d && bytes[start + 1] === 0x0a) start += 2;
    else break;
  }
  return start;
}

/** The field's value on one line: unfolded, every run of controls as one blank, at most 64 KiB. */
export function fieldText({ header, field }: ReportField): string {
  return oneLine(header.value(field));
}

/** Text from outside without controls, so that it is one line wherever it goes. */
export function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
}

const LONGEST_ADDRESS = 998;
const LONGEST_NAME = 998;

/** `dns; mx.example`: type in lower case ('' if there is none) and the rest. */
export function typedValue(text: string): { type: string; value: string } {
  const match = /^([A-Za-z0-9][A-Za-z0-9_-]{0,39})[ \t]*;/.exec(text);
  if (!match) return { type: '', value: text.trim() };
  return { type: match[1]!.toLowerCase(), value: text.slice(match[0].length).trim() };
}

/** Name of a host as Reporting-MTA and Remote-MTA give it, without its type. */
export function mtaName(text: string): string {
  return typedValue(text).value.slice(0, LONGEST_NAME);
}

/**
 * The address in a field, without type, angle brackets and comment; '' for a redaction. What is no address (X.400) stays
 * as text of at most 998 characters. `utf-8` addresses in the escaped form of RFC 6533 section 3 are decoded.
 */
export function addressOf(text: string): string {
  const typed = typedValue(text.slice(0, 4096));
  let value = typed.value;
  if (typed.type === 'utf-8') value = decodeUnitext(value);
  if (value.startsWith('<') && value.endsWith('>')) value = value.slice(1, -1).trim();
  if (value === '' || parseAddress(value)) return value;
  const named = firstAddress(value)?.address ?? value.slice(0, LONGEST_ADDRESS);
  return isPlaceholder(named) ? '' : named;
}

/** Whether a reporter has put something in the place of an address: `[redacted]`, `(removed)`, `***`, `xxxx`. */
function isPlaceholder(text: string): boolean {
  // With a sign of equality it is an address of X.400, whatever the people in it are called.
  if (/[@=]/.test(text)) return false;
  return /^[^\p{L}\p{N}]*$|^[x*.-]{3,}$|redact|removed|hidden|withheld|suppressed|anonym|undisclosed/iu.test(
    text,
  );
}

function decodeUnitext(text: string): string {
  return text.replace(/\\x\{([0-9A-Fa-f]{2,6})\}/g, (written, hex: string) => {
    const code = Number.parseInt(hex, 16);
    const printable = code >= 0x20 && code !== 0x7f && !(code >= 0x80 && code < 0xa0);
    const scalar = code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000);
    return printable && scalar ? String.fromCodePoint(code) : written;
  });
}

/**
 * The enhanced status code that a reply or a sentence carries (RFC 3463, RFC 2034): after the reply code, at the start,
 * or as qmail writes it, `(#5.1.1)`. A bare reply code 5yz gives `5.0.0`. '' if there is none.
 */
export function statusInText(text: string): string {
  const start = text.slice(0, 200);
  const leading =
    /^(?:[245][0-9][0-9][ -]+)?[#([<]{0,3}([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9]|\.[0-9])/.exec(start);
  if (leading) return leading[1]!;
  const marked = /\(#([245]\.[0-9]{1,3}\.[0-9]{1,3})\)/.exec(text.slice(0, 4096));
  if (marked) return marked[1]!;
  const reply = /^([245])[0-9][0-9](?![0-9.])/.exec(start);
  return reply ? `${reply[1]}.0.0` : '';
}
