import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvelopeCache } from './envelope-cache.ts';
import type { Envelope } from './stored-message.ts';

const envelope = (recipients: number) =>
  ({ recipients: new Array(recipients).fill({}) }) as unknown as Envelope;

test('keeps the envelopes of large messages that were asked for last, and no more than there is room for', () => {
  const cache = new EnvelopeCache();
  cache.keep('small', envelope(19));
  assert.equal(cache.get('small'), undefined);
  for (let n = 0; n < 8; n++) cache.keep(`m${n}`, envelope(1000));
  const first = cache.get('m0');
  assert.ok(first);
  cache.keep('m8', envelope(1000));
  assert.equal(cache.get('m0'), first, 'asked for a moment ago');
  assert.equal(cache.get('m1'), undefined);
  cache.keep('huge', envelope(99_500));
  assert.equal(cache.get('m0'), undefined);
  const alone = envelope(500_000);
  cache.keep('alone', alone);
  assert.equal(cache.get('huge'), undefined);
  assert.equal(cache.get('alone'), alone);
  cache.forget('alone');
  assert.equal(cache.get('alone'), undefined);
  for (let n = 0; n < 8; n++) cache.keep(`m${n}`, envelope(12_000));
  assert.ok(cache.get('m0'), 'what was forgotten takes no room');
});
