import { createHash, randomBytes } from 'node:crypto';

/** Event ids of message events are decimal numbers below 2^63, kept as text because JavaScript rounds them. */
const BITS = 63n;
const MASK = (1n << BITS) - 1n;

/**
 * Ids of the events of one node: a function from the outcome's sequence number, so that a line that is written
 * again after a crash has the id it had before and ingest drops the copy.
 *
 * Within a node no two numbers give the same id (every step can be undone), unlike a hash cut to 63 bits.
 * `nodeId` must change whenever the sequence starts again from zero, or new events pass for old ones.
 */
export function eventIds(nodeId: string): (seq: number) => string {
  const key = createHash('sha256').update(`event-id\0${nodeId}`).digest();
  const factor = key.readBigUInt64BE(0) | 1n;
  const offset = key.readBigUInt64BE(8);
  const second = key.readBigUInt64BE(16) | 1n;
  return (seq) => {
    if (!Number.isSafeInteger(seq) || seq < 0) throw new RangeError(`no sequence number: ${seq}`);
    let x = (BigInt(seq) * factor + offset) & MASK;
    x ^= x >> 31n;
    x = (x * second) & MASK;
    x ^= x >> 29n;
    return x.toString();
  };
}

/** An event id for events that have no sequence number. */
export function randomEventId(random: (size: number) => Buffer = randomBytes): string {
  return (random(8).readBigUInt64BE() & MASK).toString();
}
