import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue, fillReply, pickReply, providerOf, replyText } from './replies.ts';

const facts = { to: 'x@gmail.sink.test', from: 'a@b.test', ip: '127.0.0.2', helo: 'h', token: 'abc' };

test('every reply of the catalogue can be said and has a class', () => {
  for (const { code, enhanced, text, expectedClass, weight, provider } of catalogue) {
    assert.ok(code >= 400 && code < 600, text);
    if (enhanced) assert.equal(enhanced[0], String(code)[0], `${provider}: ${code} ${enhanced}`);
    assert.ok(weight > 0);
    assert.ok([10, 22, 50, 51, 53, 70].includes(expectedClass), text);
    const said = replyText(fillReply(code, enhanced, text, facts));
    assert.match(said, /^[\x20-\x7e]+$/);
    assert.doesNotMatch(said, /\{\{/);
  }
});

test('each provider can refuse and defer in its own words', () => {
  for (const provider of new Set(catalogue.map((entry) => entry.provider))) {
    assert.ok(pickReply(provider, 'hard', 0.999).code >= 500);
    assert.ok(pickReply(provider, 'soft', 0).code < 500);
  }
  assert.equal(pickReply('yahoo', 'hard', 0).provider, 'yahoo');
});

test('what comes from outside cannot break a reply', () => {
  const said = fillReply(550, '5.1.1', 'No <{{to}}> {{unknown}}', { ...facts, to: 'a\r\n250 ok\u2028b' });
  assert.equal(replyText(said), '550 5.1.1 No <a??250?ok?b> {{unknown}}');
});

test('labels of providers, also in the names that the reference generator uses', () => {
  assert.equal(providerOf('hotmail'), 'microsoft');
  assert.equal(providerOf('not-aol'), 'yahoo');
  assert.equal(providerOf('constructor'), undefined);
});
