/**
 * How envelopes and outcomes are laid out in the store: as JSON, which the engine writes and reads several times as
 * fast as any library can walk such objects, and behind that a CRC-32 of it, because a disk that changes a letter of an
 * address leaves the JSON as good as before. Layout 1 wrote them as MessagePack without a checksum; its records are
 * still read, and no MessagePack object begins with the octet of `{`.
 */
import { crc32 } from 'node:zlib';
import type { Database, DatabaseOptions, Key, RootDatabase } from 'lmdb';

const BRACE = 0x7b;
const NEWLINE = 0x0a;
/** The newline and eight hexadecimal digits. */
const TRAILER = 9;

/** Opens a table whose records are JSON. */
export function openRecords<V, K extends Key>(root: RootDatabase, name: string): Database<V, K> {
  // lmdb's own way of writing objects, which is what layout 1 is.
  const layout1 = (root as unknown as { encoder: { decode(octets: Buffer): unknown } }).encoder;
  const codec = {
    encode(value: unknown): string {
      const text = JSON.stringify(value);
      return `${text}\n${checksum(text)}`;
    },
    decode(octets: Buffer): unknown {
      if (octets[0] !== BRACE) return layout1.decode(octets);
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

function checksum(data: string | Buffer): string {
  return crc32(data).toString(16).padStart(8, '0');
}
