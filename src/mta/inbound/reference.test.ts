import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { messageIdOf, ReferenceSigner } from './reference.ts';

const signer = new ReferenceSigner(Buffer.alloc(32, 7));
const spoolId = '018bcfe568000001';
const base = '0000a17c3e65f0d1b2c4';

test('an id that we signed leads back to the message of its recipient', () => {
  const received = `from x by y with ESMTP id ${signer.sign(spoolId, base, true)} for <a@b.test>; Thu, 1 Jan 2026`;
  assert.equal(signer.messageId(received, ''), base);
  const several = `by y id ${signer.sign(spoolId, base, false)}; Thu`;
  assert.equal(signer.messageId(several, 'A@b.test'), messageIdOf(base, 'a@B.test', false));
  assert.equal(signer.messageId(several, ''), null, 'several recipients, and the report names none');
});

test('the signature is the HMAC that mail under way was signed with, whatever the length of the key', () => {
  for (const length of [0, 1, 32, 64, 65, 200]) {
    const key = Buffer.alloc(length, 7);
    const signed = new ReferenceSigner(key).sign(spoolId, base, true);
    const [text, signature] = [signed.slice(0, -13), signed.slice(-12)];
    assert.equal(signature, createHmac('sha256', key).update(text).digest('hex').slice(0, 12), `${length}`);
  }
});

test('an id that somebody else made is not ours', () => {
  const ours = signer.sign(spoolId, base, true);
  for (let i = 0; i < ours.length; i++) {
    const flipped = ours[i] === '1' ? '2' : '1';
    const forged = ours.slice(0, i) + flipped + ours.slice(i + 1);
    if (forged === ours) continue;
    assert.equal(signer.messageId(`by y id ${forged}; Thu`, 'a@b.test'), null, forged);
  }
  assert.equal(new ReferenceSigner(Buffer.alloc(32, 8)).messageId(`id ${ours};`, ''), null);
});

test('the ids of the recipients of one message differ', () => {
  const ids = Array.from({ length: 1000 }, (_, i) => messageIdOf(base, `u${i}@b.test`, false));
  assert.equal(new Set(ids).size, 1000);
  assert.match(ids[0]!, /^[0-9a-f]{20}$/);
});
