const CR = 0x0d;
const LF = 0x0a;
const EQUALS = 0x3d;

/** Value of a hexadecimal digit's octet, 255 for any other. */
const HEX = new Uint8Array(256).fill(255);
/** Value of a base64 digit's octet, 255 for any other. */
const BASE64 = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) {
  HEX['0123456789ABCDEF'.charCodeAt(i)] = i;
  HEX['0123456789abcdef'.charCodeAt(i)] = i;
}
for (let i = 0; i < 64; i++) {
  BASE64['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(i)] = i;
}

/** The value of two hexadecimal digits at `i`, -1 if they are none. */
function hexPair(raw: Uint8Array, i: number): number {
  const high = HEX[raw[i] ?? 0]!;
  const low = HEX[raw[i + 1] ?? 0]!;
  return high === 255 || low === 255 || i + 1 >= raw.length ? -1 : high * 16 + low;
}

/**
 * Quoted-printable decoded (RFC 2045 section 6.7), with the octets' origins: octet `i` of `bytes` was written at
 * `offsets[i]` of the input and `offsets[bytes.length]` is the input's end. An edit of decoded text can so be made in
 * the encoded text without touching what lies around it. What is no valid escape stands for itself.
 */
export function decodeQuotedPrintable(raw: Uint8Array): { bytes: Buffer; offsets: Uint32Array } {
  const bytes = Buffer.allocUnsafe(raw.length);
  const offsets = new Uint32Array(raw.length + 1);
  let n = 0;
  for (let i = 0; i < raw.length; ) {
    const c = raw[i]!;
    if (c === EQUALS) {
      const value = hexPair(raw, i + 1);
      if (value >= 0) {
        offsets[n] = i;
        bytes[n++] = value;
        i += 3;
        continue;
      }
      const next = endOfSoftBreak(raw, i);
      if (next > 0) {
        i = next;
        continue;
      }
    } else if (c === 0x20 || c === 0x09) {
      // White space at the end of a line was added in transport.
      let end = i + 1;
      while (end < raw.length && (raw[end] === 0x20 || raw[end] === 0x09)) end++;
      if (end === raw.length || raw[end] === LF || (raw[end] === CR && raw[end + 1] === LF)) {
        i = end;
        continue;
      }
      for (; i < end; i++) {
        offsets[n] = i;
        bytes[n++] = raw[i]!;
      }
      continue;
    }
    offsets[n] = i;
    bytes[n++] = c;
    i++;
  }
  offsets[n] = raw.length;
  return { bytes: bytes.subarray(0, n), offsets: offsets.subarray(0, n + 1) };
}

/** The offset after a soft line break that starts at the `=` at `i`, 0 if there is none. */
function endOfSoftBreak(raw: Uint8Array, i: number): number {
  let end = i + 1;
  while (end < raw.length && (raw[end] === 0x20 || raw[end] === 0x09)) end++;
  if (end === raw.length) return end;
  if (raw[end] === LF) return end + 1;
  return raw[end] === CR && raw[end + 1] === LF ? end + 2 : 0;
}

const HEX_DIGITS = Buffer.from('0123456789ABCDEF');
const LONGEST_LINE = 76;

/**
 * Text as quoted-printable: CRLF stays a line end, every other control is escaped, lines have at most 76 characters,
 * and no soft break parts the octets of a UTF-8 character.
 */
export function encodeQuotedPrintable(bytes: Uint8Array): Buffer {
  // Worst case: every octet escaped, and one soft break per 72 characters.
  const out = Buffer.allocUnsafe(bytes.length * 3 + Math.ceil((bytes.length * 3) / 60) * 3 + 8);
  let n = 0;
  let column = 0;
  for (let i = 0; i < bytes.length; ) {
    const c = bytes[i]!;
    if (c === CR && bytes[i + 1] === LF) {
      out[n++] = CR;
      out[n++] = LF;
      column = 0;
      i += 2;
      continue;
    }
    const length = c < 0xc2 ? 1 : utf8Length(bytes, i);
    const plain = isPlain(bytes, i);
    const width = plain ? 1 : length * 3;
    // The last column is kept for the `=` of a soft break.
    if (column + width > LONGEST_LINE - 1) {
      out[n++] = EQUALS;
      out[n++] = CR;
      out[n++] = LF;
      column = 0;
    }
    if (plain) out[n++] = c;
    else {
      for (let k = 0; k < length; k++) {
        out[n++] = EQUALS;
        out[n++] = HEX_DIGITS[bytes[i + k]! >> 4]!;
        out[n++] = HEX_DIGITS[bytes[i + k]! & 15]!;
      }
    }
    column += width;
    i += plain ? 1 : length;
  }
  return out.subarray(0, n);
}

function isPlain(bytes: Uint8Array, i: number): boolean {
  const c = bytes[i]!;
  if (c === 0x20 || c === 0x09) {
    const next = bytes[i + 1];
    return next !== undefined && !(next === CR && bytes[i + 2] === LF);
  }
  return c > 0x20 && c < 0x7f && c !== EQUALS;
}

/** Octets of the UTF-8 character at `i`; 1 if it is none. */
function utf8Length(bytes: Uint8Array, i: number): number {
  const c = bytes[i]!;
  const length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  for (let k = 1; k < length; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return 1;
  return c > 0xf4 ? 1 : length;
}

/** Base64 decoded: stray characters are skipped, padding may be missing or stand in the middle (joined blocks). */
export function decodeBase64(raw: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(Math.floor((raw.length * 3) / 4) + 3);
  let n = 0;
  let bits = 0;
  let count = 0;
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i]!;
    const value = BASE64[c]!;
    if (value !== 255) {
      bits = (bits << 6) | value;
      if (++count === 4) {
        out[n++] = bits >> 16;
        out[n++] = bits >> 8;
        out[n++] = bits;
        bits = count = 0;
      }
    } else if (c === EQUALS && count > 0) {
      n = flush(out, n, bits, count);
      bits = count = 0;
    }
  }
  return out.subarray(0, flush(out, n, bits, count));
}

function flush(out: Buffer, n: number, bits: number, count: number): number {
  if (count >= 2) out[n++] = count === 2 ? bits >> 4 : bits >> 10;
  if (count === 3) out[n++] = bits >> 2;
  return n;
}

/** Base64 in lines of 76 characters, each ended by CRLF, with padding. */
export function encodeBase64(bytes: Buffer): Buffer {
  const lines: string[] = [];
  // 57 octets are 76 characters; bigger slices only to call less.
  for (let i = 0; i < bytes.length; i += 57)
    lines.push(bytes.toString('base64', i, Math.min(i + 57, bytes.length)));
  return Buffer.from(lines.length > 0 ? `${lines.join('\r\n')}\r\n` : '', 'latin1');
}
