const MASK = (1n << 64n) - 1n;

const rotate = (x: bigint, bits: bigint) => ((x << bits) | (x >> (64n - bits))) & MASK;

/** SipHash-2-4 (Aumasson, Bernstein) with a key of up to 16 bytes, padded with zeros: the eight bytes, low first. */
export function sipHash24(key: Uint8Array, data: Uint8Array): Buffer {
  if (key.length > 16) throw new RangeError('a SipHash key has at most 16 bytes');
  const padded = Buffer.alloc(16);
  padded.set(key);
  const k0 = padded.readBigUInt64LE(0);
  const k1 = padded.readBigUInt64LE(8);
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const round = () => {
    v0 = (v0 + v1) & MASK;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & MASK;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & MASK;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & MASK;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const blocks = Buffer.alloc((Math.floor(data.length / 8) + 1) * 8);
  blocks.set(data);
  blocks[blocks.length - 1] = data.length & 0xff;
  for (let i = 0; i < blocks.length; i += 8) {
    const word = blocks.readBigUInt64LE(i);
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  const result = Buffer.alloc(8);
  result.writeBigUInt64LE(v0 ^ v1 ^ v2 ^ v3);
  return result;
}
