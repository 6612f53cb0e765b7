import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldBuffers } from '../system/collection-testing.ts';
import { RecentMessages } from './recent-messages.ts';
import { sample } from './testing.ts';

test('a message that went out is freed by the next quick collection', () => {
  const recent = new RecentMessages();
  const one = sample('m', 1);
  const left = heldBuffers(
    (spoolId, content) => {
      const envelope = { ...one.envelope, facts: { ...one.envelope.facts, spoolId } };
      recent.keep(envelope, content, one.pending, 0);
    },
    (spoolId) => recent.settled(spoolId, 0),
  );
  assert.ok(left < 300, `${left} contents are held`);
});
