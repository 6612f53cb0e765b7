// Random messages signed with random options: an independent verifier accepts every signature, and nothing else of
// the message is another byte. A failure names the seed, which makes the same message again.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { readSigningKey, type SigningKey } from './dkim-key.ts';
import { type DkimSettings, SignableMessage } from './dkim-sign.ts';

const pairs = {
  r: { ...generateKeyPairSync('rsa', { modulusLength: 1024 }), k: 'rsa', prefix: 0 },
  e: { ...generateKeyPairSync('ed25519'), k: 'ed25519', prefix: 12 },
};
type Selector = keyof typeof pairs;
const keyOf = (key: KeyObject) =>
  readSigningKey(key.export({ type: 'pkcs8', format: 'pem' }) as string) as SigningKey;
const keys = { r: keyOf(pairs.r.privateKey), e: keyOf(pairs.e.privateKey) };
const recordOf = (selector: Selector) => {
  const { publicKey, k, prefix } = pairs[selector];
  const der = publicKey.export({ type: 'spki', format: 'der' }).subarray(prefix);
  return `v=DKIM1; k=${k}; p=${der.toString('base64')}`;
};
const records = new Map([
  ['r._domainkey.b.example', recordOf('r')],
  ['e._domainkey.b.example', recordOf('e')],
]);

const NOW = 1_800_000_000_000;

/** mulberry32: numbers from 0 to 1 that a seed determines. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Draw {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = random(seed);
  }

  upTo(most: number): number {
    return Math.floor(this.#next() * (most + 1));
  }

  one<T>(of: readonly T[]): T {
    return of[this.upTo(of.length - 1)]!;
  }

  maybe<T>(value: T): T | undefined {
    return this.#next() < 0.5 ? value : undefined;
  }

  some<T>(of: readonly T[]): T[] {
    return of.filter(() => this.#next() < 0.3);
  }
}

const PIECES = [
  ' ',
  '  ',
  '\t',
  ' \t ',
  'a',
  'word',
  '.',
  '=',
  ';',
  ':',
  'ü',
  '✓',
  '\u{1f4ef}',
  '"',
  '\\',
  '<x>',
];
const NAMES = [
  'To',
  'Cc',
  'subject',
  'SUBJECT',
  'Reply-To',
  'X-A',
  'X-Bc',
  'Received',
  'List-Id',
  'MIME-Version',
  'Bcc',
];

function text(draw: Draw, most: number, more: readonly string[] = []): string {
  const pieces = [...PIECES, ...more];
  return Array.from({ length: draw.upTo(most) }, () => draw.one(pieces)).join('');
}

function message(draw: Draw): Buffer {
  // A fold with nothing but blanks on its line is no legal header; verifiers differ on it.
  const value = () =>
    Array.from({ length: draw.upTo(3) + 1 }, () => `${text(draw, 8)}x`).join(
      draw.one(['\r\n ', '\r\n\t', '\r\n  ']),
    );
  const fields = [`From:${draw.one([' ', '', '  ', '\r\n '])}"K" <kim@b.example>\r\n`];
  for (let i = draw.upTo(12); i > 0; i--)
    fields.splice(draw.upTo(fields.length), 0, `${draw.one(NAMES)}:${value()}\r\n`);
  const body = text(draw, 60, ['\r\n', '\r\n', '\r\n\r\n', ' \r\n', 'x'.repeat(300)]);
  return Buffer.from(`${fields.join('')}\r\n${body}`);
}

function options(draw: Draw, selector: Selector): DkimSettings {
  const canon = ['simple', 'relaxed'] as const;
  return {
    key: keys[selector],
    domain: 'b.example',
    selector,
    identity: draw.maybe(draw.one(['@b.example', 'kim@sub.b.example', 'a;=b ü@b.example'])),
    headerCanonicalization: draw.one(canon),
    bodyCanonicalization: draw.one(canon),
    addTimestamp: draw.maybe(true),
    expireAfter: draw.maybe(3600),
    addBodyLength: draw.maybe(true),
    queryMethod: draw.maybe('dns/txt'),
    headers: draw.some(['x-a', 'x-absent', /^X-B/i, 'received', 'bcc']),
    disallowAdding: draw.some(['from', 'subject', 'x-a', 'x-absent', 'to']),
  };
}

test('300 random messages with random options: every signature verifies, no other byte changes', async () => {
  const first = Number(process.env.POSTHORN_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  for (let seed = first; seed < first + 300; seed++) {
    const draw = new Draw(seed);
    const raw = message(draw);
    const before = Buffer.from(raw);
    const signable = new SignableMessage(raw);
    const selectors = draw.one<Selector[]>([['r'], ['e'], ['r', 'e'], ['e', 'r']]);
    const fields: string[] = [];
    for (const selector of selectors) {
      const settings = options(draw, selector);
      const made = draw.maybe(true) ? signable.sign(settings, NOW) : await signable.signAsync(settings, NOW);
      assert.ok(made !== null);
      assert.match(made, /^DKIM-Signature: [^\r\n]+(\r\n\t[^\r\n]+)*\r\n$/, `seed ${seed}`);
      fields.push(made);
    }
    assert.ok(raw.equals(before), `seed ${seed}: the message was changed`);
    const { results } = await dkimVerify(Buffer.concat([Buffer.from(fields.join('')), raw]), {
      curTime: new Date(NOW),
      minBitLength: 1024,
      resolver: (async (name: string) => [[records.get(name) ?? '']]) as never,
    });
    assert.deepEqual(
      results.map((result) =>
        `${result.selector} ${result.status.result} ${result.status.comment || ''}`.trim(),
      ),
      selectors.map((selector) => `${selector} pass`),
      `seed ${seed}: ${JSON.stringify(raw.toString())}`,
    );
  }
});
