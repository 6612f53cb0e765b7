import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { TestClock } from '../../system/testing.ts';
import { folder, smallDisk, until } from '../testing.ts';
import { spaceGuard } from './space-guard.ts';

const MB = 1024 * 1024;

test('min-free-space: refuses while less is free, and takes mail again by itself', async (t) => {
  const dir = smallDisk(t, '4m');
  if (dir === null) return;
  const clock = new TestClock();
  const guard = await spaceGuard(dir, 2 * MB, clock);
  t.after(() => guard.close());
  assert.equal(guard.refusal(), null);

  writeFileSync(path.join(dir, 'filler'), Buffer.alloc(3 * MB));
  // It looks from time to time; asking costs nothing.
  assert.equal(guard.refusal(), null);
  clock.advance(5000);
  await until(() => guard.refusal() !== null);
  assert.match(guard.refusal()!, /^\S+ has \d+ kB free, min-free-space is 2048 kB$/);
  assert.ok(guard.refusal()!.startsWith(dir));

  rmSync(path.join(dir, 'filler'));
  clock.advance(5000);
  await until(() => guard.refusal() === null);
});

test('min-free-space: what is too little at the start is refused from the start', async (t) => {
  const dir = folder(t);
  const { bavail, bsize } = statfsSync(dir);
  const guard = await spaceGuard(dir, bavail * bsize * 2, new TestClock());
  t.after(() => guard.close());
  assert.notEqual(guard.refusal(), null);
});

test('min-free-space 0 looks at nothing, and a closed guard looks no more', async (t) => {
  const off = await spaceGuard('/nonexistent', 0, new TestClock());
  assert.equal(off.refusal(), null);
  off.close();

  const dir = smallDisk(t, '4m');
  if (dir === null) return;
  const clock = new TestClock();
  const guard = await spaceGuard(dir, 2 * MB, clock);
  guard.close();
  writeFileSync(path.join(dir, 'filler'), Buffer.alloc(3 * MB));
  clock.advance(60_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(guard.refusal(), null);
});
