/**
 * How envelopes and outcomes are laid out in the store: as JSON, which the engine writes and reads several times as
 * fast as any library can walk such objects, and behind that a CRC-32 of it, because a disk that changes a letter of an
 * address leaves the JSON as good as before. Layout 1 wrote them as MessagePack without a checksum; its records are
 * still read, and no MessagePack object begins with the octet of `{` or `[`.
 */
import { crc32 } from 'node:zlib';
import type { Database, DatabaseOptions, Key, RootDatabase } from 'lmdb';

const BRACE = 0x7b;
const BRACKET = 0x5b;
const NEWLINE = 0x0a;
/** The newline and eight hexadecimal digits. */
const TRAILER = 9;
const DIGITS = Buffer.from('0123456789abcdef');
/** Records are written one behind the other into a piece of memory of this size. */
const SLAB = 64 * 1024;

/** Opens a table whose records are JSON; a string that is put into it is one that somebody has made already. */
export function openRecords<V, K extends Key>(root: RootDatabase, name: string): Database<V, K> {
  // lmdb's own way of writing objects, which is what layout 1 is.
  const layout1 = (root as unknown as { encoder: { decode(octets: Buffer): unknown } }).encoder;
  const codec = {
    encode: (value: unknown) => octetsOf(typeof value === 'string' ? value : JSON.stringify(value)),
    decode(octets: Buffer): unknown {
      if (octets[0] !== BRACE && octets[0] !== BRACKET) return layout1.decode(octets);
      const end = octets.length - TRAILER;
      if (
        octets[end] !== NEWLINE ||
        octets.toString('latin1', end + 1) !== checksum(octets.subarray(0, end))
      ) {
        throw new Error('its checksum is wrong');
      }
      return JSON.parse(octets.toString('utf8', 0, end));
    },
    /** `decode` gets a buffer of its own that ends with the record. */
    needsStableBuffer: true,
  };
  // lmdb takes a codec; its types do not say so.
  return root.openDB<V, K>({ name, encoder: codec } as DatabaseOptions & { name: string });
}

let slab = Buffer.alloc(0);
let used = 0;

/**
 * The record: octets at once, as a string would be converted for its checksum and again by lmdb. lmdb does not copy
 * them and reads them later, on its own thread, so nothing is written over; a slab is gone when its records are stored.
 */
function octetsOf(text: string): Buffer {
  // UTF-8 of a UTF-16 unit is three octets at most.
  const most = text.length * 3 + TRAILER;
  if (used + most > slab.length) {
    if (most > SLAB) return Buffer.from(`${text}\n${checksum(text)}`);
    slab = Buffer.allocUnsafeSlow(SLAB);
    used = 0;
  }
  const start = used;
  const end = start + slab.write(text, start);
  let rest = crc32(slab.subarray(start, end));
  slab[end] = NEWLINE;
  used = end + TRAILER;
  for (let at = used - 1; at > end; at--) {
    slab[at] = DIGITS[rest & 15]!;
    rest >>>= 4;
  }
  return slab.subarray(start, used);
}

function checksum(data: string | Buffer): string {
  return crc32(data).toString(16).padStart(8, '0');
}
