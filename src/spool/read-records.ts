import type { Database, Key, RangeOptions } from 'lmdb';

/** A record of a range: its value, or what is wrong with it and its octets. */
export interface ReadRecord<V, K> {
  readonly key: K;
  readonly value?: V;
  readonly fault?: string;
  readonly octets?: Buffer;
}

/** Reads a range all at once, so that no reader stays open, and also where some records cannot be decoded. */
export function readRecords<V, K extends Key>(
  database: Database<V, K>,
  range: RangeOptions,
  faultOf: (value: unknown) => string | null,
): ReadRecord<V, K>[] {
  const usable = (key: K, value: V | undefined): ReadRecord<V, K> => {
    const fault = faultOf(value);
    return fault === null ? { key, value } : { key, fault, octets: octetsOf(database, key) };
  };
  try {
    // Collected by hand: `map` of a range is lazy and would read later.
    const records: ReadRecord<V, K>[] = [];
    for (const { key, value } of database.getRange(range)) records.push({ key, value });
    for (let i = 0; i < records.length; i++) {
      const { key, value } = records[i]!;
      if (faultOf(value) !== null) records[i] = usable(key, value);
    }
    return records;
  } catch {
    // One of them cannot be decoded: which one shows when each is read for itself.
  }
  const records: ReadRecord<V, K>[] = [];
  for (const key of [...database.getKeys(range)]) {
    try {
      records.push(usable(key, database.get(key)));
    } catch (error) {
      const fault = `cannot be decoded (${(error as Error).message})`;
      records.push({ key, fault, octets: octetsOf(database, key) });
    }
  }
  return records;
}

function octetsOf<V, K extends Key>(database: Database<V, K>, key: K): Buffer | undefined {
  const octets = database.getBinary(key);
  return octets && Buffer.from(octets);
}
