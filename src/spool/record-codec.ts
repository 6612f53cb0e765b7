/**
 * How envelopes and outcomes are laid out in the store: as JSON, which the engine writes and reads several times as
 * fast as any library can walk such objects. Layout 1 wrote them as MessagePack; its records are still read, and no
 * MessagePack object begins with the octet of `{`.
 */
import { isUtf8 } from 'node:buffer';
import type { Database, DatabaseOptions, Key, RootDatabase } from 'lmdb';

const BRACE = 0x7b;

/** Opens a table whose records are JSON. */
export function openRecords<V, K extends Key>(root: RootDatabase, name: string): Database<V, K> {
  // lmdb's own way of writing objects, which is what layout 1 is.
  const layout1 = (root as unknown as { encoder: { decode(octets: Buffer): unknown } }).encoder;
  const codec = {
    encode: (value: unknown) => JSON.stringify(value),
    decode(octets: Buffer): unknown {
      if (octets[0] !== BRACE) return layout1.decode(octets);
      // Damage must not pass as U+FFFD.
      if (!isUtf8(octets)) throw new Error('is no UTF-8');
      return JSON.parse(octets.toString());
    },
    /** `decode` gets a buffer of its own that ends with the record. */
    needsStableBuffer: true,
  };
  // lmdb takes a codec; its types do not say so.
  return root.openDB<V, K>({ name, encoder: codec } as DatabaseOptions & { name: string });
}
