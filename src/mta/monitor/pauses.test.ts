import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder } from '../testing.ts';
import { Pauses } from './pauses.ts';

test('what is paused is there after a restart; the last pattern that matches a queue decides', async (t) => {
  const dir = folder(t);
  const before = new Pauses(dir);
  await before.load();
  await before.queue('*/v1', true);
  await before.queue('a.test/v1', false);
  await before.job('spring', true);
  await before.job('autumn', true);
  await before.job('autumn', false);
  const after = new Pauses(dir);
  await after.load();
  assert.equal(after.isQueuePaused('b.test', 'v1'), true);
  assert.equal(after.isQueuePaused('a.test', 'v1'), false);
  assert.equal(after.isQueuePaused('b.test', 'v2'), false);
  assert.deepEqual([...after.jobs], ['spring']);
  assert.equal(statSync(path.join(dir, 'paused.json')).mode & 0o777, 0o600);
  await after.queue('a.test', true);
  assert.equal(after.isQueuePaused('a.test', 'v1'), true, 'the newest line counts');
  await after.queue('*', false);
  assert.equal(after.isQueuePaused('b.test', 'v1'), false);
});

test('more lines than an operator gives are refused; a broken file is told of', async (t) => {
  const dir = folder(t);
  const pauses = new Pauses(dir);
  let taken = 0;
  while (taken < 2000 && (await pauses.queue(`d${taken}.test/v`, true))) taken++;
  assert.equal(taken, 1000);
  assert.equal(pauses.isQueuePaused('d999.test', 'v'), true);
  assert.equal(pauses.isQueuePaused('d1000.test', 'v'), false, 'a refused line has no effect');
  writeFileSync(path.join(dir, 'paused.json'), '{');
  await assert.rejects(() => new Pauses(dir).load(), /paused\.json is not what this program wrote/);
});
