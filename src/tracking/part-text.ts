import { decodeCharset } from '../mail/header-text.ts';
import type { MimePart } from '../mail/mime.ts';
import { decodeBase64, decodeQuotedPrintable } from '../mail/transfer-encoding.ts';

/** The text of one part, ready to be searched for ASCII constructs. */
export interface PartText {
  /** Octets with the transfer encoding undone. */
  readonly bytes: Buffer;
  /** Where decoded octets came from, for quoted-printable; `null` for the others. */
  readonly offsets: Uint32Array | null;
  /**
   * One octet per unit of the charset: the unit itself where it is ASCII, something above 0x7f where it is not. So
   * one search serves all charsets, and its offsets times `unit` are offsets into `bytes`.
   */
  readonly ascii: Uint8Array;
  /** Octets per unit: 2 for UTF-16, else 1. */
  readonly unit: 1 | 2;
  /** Our own (ASCII) text in the part's charset. */
  readonly encode: (text: string) => Buffer;
  /** Characters of a range of units; `null` if the charset is unknown. */
  readonly decode: (start: number, end: number) => string | null;
}

export type PartFault = 'transfer encoding' | 'charset';

/** Charsets in which an ASCII octet does not mean that ASCII character, and which we cannot see through. */
const OPAQUE_CHARSET =
  /^(?:utf-?7|unicode-1-1-utf-7|utf-?32.*|ucs-?4.*|iso-10646-ucs-4|hz-gb-2312|hz|cp037|cp500|cp102[56]|cp1047|cp114\d|ibm0?37|ibm500|ibm102[56]|ibm1047|ibm0?114\d|ebcdic.*)$/;

/** Reads a text part; says why when its octets cannot be read. */
export function readPartText(raw: Buffer, part: MimePart): PartText | PartFault {
  const body = raw.subarray(part.bodyStart, part.bodyEnd);
  let bytes = body;
  let offsets: Uint32Array | null = null;
  switch (part.encoding) {
    case '':
    case '7bit':
    case '8bit':
    case 'binary':
      break;
    case 'quoted-printable':
      ({ bytes, offsets } = decodeQuotedPrintable(body));
      break;
    case 'base64':
      bytes = decodeBase64(body);
      break;
    default:
      return 'transfer encoding';
  }
  const charset = (part.parameters.get('charset') ?? 'us-ascii').trim().toLowerCase();
  if (OPAQUE_CHARSET.test(charset)) return 'charset';
  if (/^(?:utf-?16|ucs-?2|iso-10646-ucs-2)/.test(charset)) return utf16(bytes, offsets, charset);
  const text = bytes;
  const ascii = charset.startsWith('iso-2022-') ? maskShiftedText(text) : text;
  return {
    bytes,
    offsets,
    ascii,
    unit: 1,
    encode: (ours) => Buffer.from(ours, 'latin1'),
    decode: (start, end) => decodeRange(text, start, end, charset),
  };
}

function decodeRange(bytes: Buffer, start: number, end: number, charset: string): string | null {
  for (let i = start; i < end; i++) {
    const octet = bytes[i]!;
    if (octet > 0x7f || octet === 0x1b || octet === 0x0e) {
      const decoded = decodeCharset(bytes.subarray(start, end), charset === 'us-ascii' ? 'utf-8' : charset);
      return decoded === null || decoded.includes('\ufffd') ? null : decoded;
    }
  }
  return bytes.toString('latin1', start, end);
}

function utf16(bytes: Buffer, offsets: Uint32Array | null, charset: string): PartText {
  const units = bytes.length >> 1;
  const bigEndian = charset.endsWith('be') || (!charset.endsWith('le') && looksBigEndian(bytes));
  const low = bigEndian ? 1 : 0;
  const ascii = new Uint8Array(units);
  for (let i = 0; i < units; i++) {
    const octet = bytes[2 * i + low]!;
    ascii[i] = bytes[2 * i + 1 - low] === 0 && octet < 0x80 ? octet : 0xff;
  }
  const swapped = (octets: Buffer) => (bigEndian ? Buffer.from(octets).swap16() : octets);
  return {
    bytes,
    offsets,
    ascii,
    unit: 2,
    encode: (ours) => swapped(Buffer.from(ours, 'utf16le')),
    decode: (start, end) => swapped(bytes.subarray(2 * start, 2 * end)).toString('utf16le'),
  };
}

/** A byte order mark decides; without one, markup tells by the side of its zeros. */
function looksBigEndian(bytes: Buffer): boolean {
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return true;
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return false;
  return bytes[0] === 0;
}

const ESC = 0x1b;

/**
 * ISO 2022: octets between a shift and the return to ASCII look like ASCII and are not. They are replaced by 0xff in a
 * copy, escape sequences included, so that every construct found begins and ends in ASCII.
 */
function maskShiftedText(text: Buffer): Uint8Array {
  const masked = new Uint8Array(text);
  let shifted = false;
  let shiftedOut = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === ESC) {
      const length = text[i + 1] === 0x24 && /[()*+-]/.test(String.fromCharCode(text[i + 2] ?? 0)) ? 4 : 3;
      // ESC ( B is ASCII; ESC ( J differs from it in two signs that HTML does not use.
      if (text[i + 1] === 0x28) shifted = text[i + 2] !== 0x42 && text[i + 2] !== 0x4a;
      else if (text[i + 1] === 0x24) shifted = length === 3;
      masked.fill(0xff, i, i + length);
      i += length - 1;
    } else if (c === 0x0e || c === 0x0f) {
      shiftedOut = c === 0x0e;
      masked[i] = 0xff;
    } else if (shifted || shiftedOut) masked[i] = 0xff;
  }
  return masked;
}
