import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { ReplyReader, type SmtpReply } from '../../smtp/index.ts';
import { localStatus, statusOfReply } from './status.ts';

const config = good('');

function replyOf(text: string): SmtpReply {
  const reader = new ReplyReader();
  assert.equal(reader.push(Buffer.from(text)), null);
  return reader.replies.shift()!;
}

const of = (text: string, rcptOf553 = false) => statusOfReply(replyOf(text), config, { rcptOf553 });

test('the enhanced status of the reply, its text, and the reply as diagnostic', () => {
  const status = of('550 5.1.1 no such user\r\n');
  assert.equal(status.status, '5.1.1');
  assert.equal(status.statusText, 'bad destination mailbox address');
  assert.equal(status.diagnostic, 'smtp;550 5.1.1 no such user');
  assert.equal(status.category, 'bad-mailbox');
  assert.equal(status.bounceClass, 10);
});

test('lines of a reply are joined, the code of the continuation lines dropped', () => {
  const status = of('452-4.2.2 the mailbox\r\n452-is full\r\n452 today\r\n');
  assert.equal(status.diagnostic, 'smtp;452 4.2.2 the mailbox is full today');
  assert.equal(status.category, 'quota-issues');
});

test('without an enhanced status, or with one of another class, the code alone decides', () => {
  assert.equal(of('550 go away\r\n').status, '5.0.0');
  assert.equal(of('451 5.1.1 try later\r\n').status, '4.0.0');
  assert.equal(of('250 4.0.0 fine\r\n').status, '2.0.0');
});

test('D9.13: 553 to RCPT without an enhanced status is 5.1.1', () => {
  assert.equal(of('553 no\r\n', true).status, '5.1.1');
  assert.equal(of('553 no\r\n', false).status, '5.0.0');
  assert.equal(of('553 5.7.1 no\r\n', true).status, '5.7.1');
  assert.equal(of('550 no\r\n', true).status, '5.0.0');
});

test('a success has no category and no bounce class', () => {
  const status = of('250 2.0.0 queued\r\n');
  assert.deepEqual([status.category, status.bounceClass], ['', 0]);
});

test('a reply that makes no sense is a temporary failure', () => {
  assert.equal(of('354 go on\r\n').status, '4.0.0');
});

test('what we found ourselves has no diagnostic', () => {
  const status = localStatus('4.4.7', 'delivery time expired', config);
  assert.equal(status.diagnostic, '');
  assert.equal(status.category, 'message-expired');
});
