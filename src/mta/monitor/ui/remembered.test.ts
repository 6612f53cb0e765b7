import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Remembered } from './remembered.ts';

test('a costly answer is shown again for fifty times what it took, a cheap one is always new', async () => {
  let now = 1000;
  let cost = 0;
  let asked = 0;
  const remembered = new Remembered<number>(() => now);
  const ask = (question = 'q') =>
    remembered.get(question, async () => {
      now += cost;
      return ++asked;
    });
  cost = 9;
  assert.deepEqual([await ask(), await ask()], [1, 2]);
  cost = 100;
  assert.equal(await ask(), 3);
  now += 4999;
  assert.equal(await ask(), 3);
  assert.equal(await ask('another'), 4);
  now += 1;
  assert.equal(await ask(), 5);
  remembered.forget();
  assert.equal(await ask(), 6);
  for (let i = 0; i < 100; i++) await ask(`q${i}`);
  assert.equal(await ask('q99'), 106);
  assert.equal(await ask('q'), 107, 'the oldest was dropped');
});
