import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Header } from '../mail/header.ts';
import { headerRefusal } from './header-command.ts';
import { replyText } from './replies.ts';

const said = (fields: string, at = 0.5) => {
  const refusal = headerRefusal(new Header(Buffer.from(`${fields}\r\n\r\n`)), () => at);
  return refusal && replyText(refusal);
};

test('code, status and text are taken from the header', () => {
  assert.equal(said('X-Bounce-Me: 451 4.7.0 later'), '451 4.7.0 later');
  assert.equal(said('X-Bounce-Me: 550 5.1.1 no such\r\n user'), '550 5.1.1 no such user');
  assert.equal(said('X-Bounce-Me: 450'), '450 4.3.2 Refused as the header asks');
  assert.equal(said('X-Bounce-Me: 554 go away'), '554 5.3.2 go away');
});

test('other codes and other words accept', () => {
  for (const order of ['250 ok', '', 'please', '354']) assert.equal(said(`X-Bounce-Me: ${order}`), null);
  assert.equal(said('Subject: 550'), null);
});

test('the percentage: 0 is never, 100 is always, 40 is about 40 of 100', () => {
  const with_ = (percent: string, at: number) =>
    said(`X-Bounce-Me: 451 4.7.0 x\r\nX-Bounce-Percentage: ${percent}`, at);
  assert.equal(with_('0', 0), null);
  assert.equal(with_('100', 0.9999), '451 4.7.0 x');
  assert.equal(with_('40', 0.39), '451 4.7.0 x');
  assert.equal(with_('40', 0.41), null);
  assert.equal(with_('many', 0), null);
});
