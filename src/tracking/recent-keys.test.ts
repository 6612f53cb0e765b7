import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentKeys } from './recent-keys.ts';

test('a key is known for its span, from when it was noted last', () => {
  const keys = new RecentKeys(100, 10);
  keys.note('a', 1000);
  assert.equal(keys.has('a', 1099), true);
  assert.equal(keys.has('a', 1100), false);
  keys.note('a', 1050);
  assert.equal(keys.has('a', 1149), true);
  assert.equal(keys.has('b', 1050), false);
  assert.equal(keys.has('a', 900), false, 'the clock was set back');
});

test('the oldest go when there are too many, and the outdated soon', () => {
  const keys = new RecentKeys(100, 10);
  for (let i = 0; i < 1000; i++) {
    keys.note(`k${i}`, 1000);
    assert.ok(keys.size <= 10);
  }
  assert.equal(keys.has('k990', 1000), true);
  assert.equal(keys.has('k989', 1000), false);
  for (let i = 0; i < 20; i++) keys.note(`l${i}`, 5000);
  assert.equal(keys.size, 10);
  for (let i = 0; i < 20; i++) keys.note('m', 9000);
  assert.equal(keys.size, 1);
});
