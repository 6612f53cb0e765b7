import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventIds, randomEventId } from './event-id.ts';
import { messageIdBase, messageIdFor } from './message-id.ts';

test('event ids: the same for the same node and number, different otherwise, below 2^63', () => {
  const a = eventIds('node-a');
  const again = eventIds('node-a');
  const b = eventIds('node-b');
  const seen = new Set<string>();
  for (let seq = 0; seq < 20_000; seq++) {
    const id = a(seq);
    assert.equal(id, again(seq));
    assert.match(id, /^\d{1,19}$/);
    assert.ok(BigInt(id) < 2n ** 63n);
    seen.add(id);
    seen.add(b(seq));
  }
  assert.equal(seen.size, 40_000);
  assert.notEqual(a(Number.MAX_SAFE_INTEGER), a(Number.MAX_SAFE_INTEGER - 1));
  assert.throws(() => a(-1));
  assert.throws(() => a(2 ** 53));
});

test('ids of neighbours do not resemble each other', () => {
  const a = eventIds('node-a');
  let same = 0;
  for (let seq = 0; seq < 1000; seq++) {
    if (a(seq).slice(0, 4) === a(seq + 1).slice(0, 4)) same++;
  }
  assert.ok(same < 20, `${same} of 1000 share their first four digits`);
});

test('a random event id has 63 bits', () => {
  assert.equal(
    randomEventId(() => Buffer.alloc(8, 255)),
    (2n ** 63n - 1n).toString(),
  );
  assert.notEqual(randomEventId(), randomEventId());
});

test('message ids: prefix, little-endian time, random part that counts up and wraps', () => {
  const base = messageIdBase(0x0102_0304 * 1000 + 999, () => Buffer.from('fffffffe', 'hex'));
  assert.equal(base, '000004030201fffffffe');
  assert.equal(messageIdFor(base, 0), base);
  assert.equal(messageIdFor(base, 1), '000004030201ffffffff');
  assert.equal(messageIdFor(base, 2), '00000403020100000000');
  assert.throws(() => messageIdFor('0000', 0));
  assert.throws(() => messageIdFor(base, -1));
});
