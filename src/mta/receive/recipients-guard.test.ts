import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestClock } from '../../system/testing.ts';
import { recipientsGuard } from './recipients-guard.ts';

test('spool-max-recipients: mail is refused while so many recipients wait; auto is no limit', () => {
  const clock = new TestClock();
  let waiting = 9;
  let limit: number | 'auto' = 10;
  const refusal = recipientsGuard(
    () => limit,
    () => waiting,
    clock,
  );
  assert.equal(refusal(), null);
  waiting = 10;
  assert.equal(refusal(), null, 'the count is a second old at most');
  clock.advance(1000);
  assert.match(refusal()!, /^10 recipients wait, spool-max-recipients is 10$/);
  waiting = 3;
  clock.advance(1000);
  assert.equal(refusal(), null);
  waiting = 10_000;
  limit = 'auto';
  clock.advance(1000);
  assert.equal(refusal(), null);
});
