import { randomBytes } from 'node:crypto';

/** Octets at random, taken from the system so many at a time: one by one they cost more than the id itself. */
const POOL_BYTES = 4096;
let pool: Buffer = Buffer.alloc(0);

function pooledBytes(size: number): Buffer {
  if (pool.length < size) pool = randomBytes(POOL_BYTES);
  const taken = pool.subarray(0, size);
  pool = pool.subarray(size);
  return taken;
}

/**
 * SparkPost's message id: `0000`, four bytes of Unix time (low byte first), four bytes at random; 20 hexadecimal
 * digits. The base is the id of a message's first recipient; the others count up from it.
 */
export function messageIdBase(now: number, random: (size: number) => Buffer = pooledBytes): string {
  const second = Math.floor(now / 1000);
  if (second !== lastSecond) {
    const time = Buffer.alloc(4);
    time.writeUInt32LE(second % 2 ** 32);
    lastPrefix = `0000${time.toString('hex')}`;
    lastSecond = second;
  }
  return lastPrefix + random(4).toString('hex');
}

/** Many messages come in the same second. */
let lastSecond = Number.NaN;
let lastPrefix = '';

/** Id of recipient number `index` (from 0) of the message whose base is `base`. */
export function messageIdFor(base: string, index: number): string {
  if (!/^[0-9a-f]{20}$/.test(base) || !Number.isSafeInteger(index) || index < 0) {
    throw new RangeError(`no message id base or index: ${base} ${index}`);
  }
  const last = (Number.parseInt(base.slice(12), 16) + index) % 2 ** 32;
  return base.slice(0, 12) + last.toString(16).padStart(8, '0');
}
