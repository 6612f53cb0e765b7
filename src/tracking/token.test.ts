import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { UserError } from '../system/user-error.ts';
import { type KeyRing, openKeyRing, revokeKey, rotateKeys, type TrackingKey } from './key-ring.ts';
import { cutUtf8, openToken, sealToken, type TrackingToken } from './token.ts';

let dir: string;
let file: string;
let ring: KeyRing;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'keys-'));
  file = path.join(dir, 'sub', 'tracking.keys');
  ring = await openKeyRing(file, { create: true });
});
after(() => rm(dir, { recursive: true }));

const click: TrackingToken = {
  action: 'click',
  amp: false,
  expiry: 1_900_000_000,
  subaccount: 7,
  messageId: '0000a17c3e65f0d1b2c4',
  recipient: 'ada@example.net',
  anonymised: false,
  linkIndex: 3,
  linkName: 'Kauf müch',
  campaign: 'january',
  target: 'https://shop.example/a?b=c&d=é#f',
  unsubscribe: true,
  openTracking: true,
  initialPixel: false,
  clickTracking: true,
};

test('a token comes back whole, and the same input gives the same link', () => {
  for (const token of [
    click,
    {
      ...click,
      action: 'initial_open',
      amp: true,
      target: '',
      linkIndex: 0,
      linkName: '',
      unsubscribe: false,
    },
    { ...click, messageId: 'custom-id' },
    { ...click, messageId: '0000A17C3E65F0D1B2C4' },
    { ...click, messageId: 'x'.repeat(512), campaign: '', subaccount: 0xffffffff },
    { ...click, messageId: 'x'.repeat(255) },
    { ...click, messageId: '', recipient: `${'ab'.repeat(20)}@example.net`, anonymised: true },
    { ...click, target: `https://x.example/${'a'.repeat(4096 - 18)}` },
  ] as TrackingToken[]) {
    const sealed = sealToken(ring.active!, 'f', 'a', token)!;
    assert.match(sealed, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(openToken(ring, 'f', 'a', sealed), token);
    assert.equal(sealToken(ring.active!, 'f', 'a', token), sealed);
  }
});

test('links that are out there stay the links that are made', () => {
  const key: TrackingKey = {
    id: 9,
    secret: createSecretKey(Buffer.alloc(32, 1)),
    nonceKey: Buffer.alloc(32, 2),
    created: '',
    state: 'active',
  };
  assert.equal(
    sealToken(key, 'f', 'a', click),
    'AQldspEQYVntDqflpblvMrAuXXjzUEeqvJalP1Ps2kbv_ZrBdm_dh1PAmsy-1hBtjzVXhAiHn-sMFwh-727VghXvJPTeXjf5m4a2FbqylwYMuvaXFH5lo' +
      'qnmlZd09ZYZhXN6V3DhSEEPg4DgKeOgIHmaCSS6sOgNUUHPJw',
  );
  assert.equal(
    sealToken(key, 'q', '', { ...click, action: 'open', messageId: 'xxxxx', target: '', amp: true }),
    'AQkgx_QDoYX73p6RC2B4pWjtWC9NmeA9xlikak-PW15isxzcOwn8URm4SScv7A2VVzY71p45cGI1zG9HQ1LBD0nCjlsj8ltVKPT_4LFQg3D2GgpRIwQ',
  );
});

test('long names are cut between characters', () => {
  const sealed = sealToken(ring.active!, 'f', 'a', {
    ...click,
    linkName: 'ü'.repeat(40),
    campaign: '€'.repeat(30),
  })!;
  const opened = openToken(ring, 'f', 'a', sealed) as TrackingToken;
  assert.equal(opened.linkName, 'ü'.repeat(31));
  assert.equal(opened.campaign, '€'.repeat(21));
  assert.equal(cutUtf8('a😀', 4), 'a');
  assert.equal(cutUtf8('a😀', 5), 'a😀');
});

test('a flipped bit, another kind, another sub-path: invalid', () => {
  const sealed = sealToken(ring.active!, 'f', 'a', click)!;
  const raw = Buffer.from(sealed, 'base64url');
  for (let bit = 0; bit < raw.length * 8; bit++) {
    const flipped = Buffer.from(raw);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(typeof openToken(ring, 'f', 'a', flipped.toString('base64url')), 'string', `bit ${bit}`);
  }
  for (let i = 0; i < sealed.length; i++) {
    const other = sealed[i] === 'A' ? 'B' : 'A';
    assert.equal(
      typeof openToken(ring, 'f', 'a', sealed.slice(0, i) + other + sealed.slice(i + 1)),
      'string',
    );
  }
  // Spare bits of the last character, padding and strange characters decode to the same octets.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (const last of alphabet) {
    const text = sealed.slice(0, -1) + last;
    assert.equal(typeof openToken(ring, 'f', 'a', text), text === sealed ? 'object' : 'string');
  }
  for (const text of [
    `${sealed}=`,
    `${sealed} `,
    ` ${sealed}`,
    sealed.slice(0, -1),
    '',
    'A'.repeat(100),
    'A'.repeat(1e6),
  ]) {
    assert.equal(typeof openToken(ring, 'f', 'a', text), 'string');
  }
  assert.equal(openToken(ring, 'q', 'a', sealed), 'forged');
  assert.equal(openToken(ring, 'u', 'a', sealed), 'forged');
  assert.equal(openToken(ring, 'f', 'b', sealed), 'forged');
  assert.equal(openToken(ring, 'f', '', sealed), 'forged');
});

test('the recipient cannot be read from the URL', () => {
  const sealed = sealToken(ring.active!, 'q', '', click)!;
  assert.ok(!Buffer.from(sealed, 'base64url').includes('ada@example.net'));
});

test('the file is made whole by exactly one of many, readable by its owner only', async () => {
  const shared = path.join(dir, 'race', 'keys');
  const rings = await Promise.all(Array.from({ length: 8 }, () => openKeyRing(shared, { create: true })));
  const sealed = sealToken(rings[0]!.active!, 'f', 'a', click)!;
  for (const other of rings) assert.deepEqual(openToken(other, 'f', 'a', sealed), click);
  assert.equal((await stat(shared)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(path.dirname(shared)), ['keys'], 'no temporary file stays');
});

test('rotation keeps old links, revocation kills them, a running reader notices', async () => {
  const keys = path.join(dir, 'rotation');
  const reader = await openKeyRing(keys, { create: true });
  const old = sealToken(reader.active!, 'f', 'a', click)!;
  assert.equal(await reader.refresh(), false);
  assert.equal(await rotateKeys(keys), 2);
  assert.equal(await reader.refresh(), true);
  assert.equal(reader.active!.id, 2);
  const fresh = sealToken(reader.active!, 'f', 'a', click)!;
  assert.notEqual(fresh, old);
  assert.deepEqual(openToken(reader, 'f', 'a', old), click);
  await revokeKey(keys, 1);
  await reader.refresh();
  assert.equal(openToken(reader, 'f', 'a', old), 'revoked key');
  assert.deepEqual(openToken(reader, 'f', 'a', fresh), click);
  assert.equal(openToken(ring, 'f', 'a', fresh), 'unknown key');
  assert.equal((await stat(keys)).mode & 0o777, 0o600);
  await revokeKey(keys, 2);
  await reader.refresh();
  assert.equal(reader.active, null);
  await assert.rejects(revokeKey(keys, 9), UserError);
});

test('faults of the file are told in one sentence without its content', async () => {
  const bad = path.join(dir, 'bad');
  const good = await readFile(file, 'utf8');
  await assert.rejects(
    openKeyRing(bad),
    (e: Error) => e instanceof UserError && e.message.includes('no such file'),
  );
  for (const text of [
    '',
    '{',
    '{"version":2,"keys":[]}',
    '{"version":1,"keys":[null]}',
    good.replace('"id": 1', '"id": 0'),
    good.replace('active', 'idle'),
    good.replace(/"secret": "..../, '"secret": "'),
  ]) {
    await writeFile(bad, text, { mode: 0o600 });
    await assert.rejects(openKeyRing(bad), (e: Error) => e instanceof UserError && e.message.startsWith(bad));
  }
  await writeFile(bad, good);
  await chmod(bad, 0o644);
  await assert.rejects(
    openKeyRing(bad),
    (e: Error) => e instanceof UserError && e.message.includes('chmod 600'),
  );
});
