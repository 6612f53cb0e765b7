import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReply, reply } from './reply.ts';
import { ReplyReader, replyText } from './reply-reader.ts';

function read(wire: string | Buffer) {
  const reader = new ReplyReader();
  const fault = reader.push(typeof wire === 'string' ? Buffer.from(wire, 'latin1') : wire);
  return { fault, replies: reader.replies, midway: reader.midway };
}

test('replies are read however they are cut', () => {
  const wire = Buffer.from('250-mx.test\r\n250-SIZE 10\r\n250 DSN\r\n550 5.1.1 no\r\n220\n', 'latin1');
  const expected = [
    { code: 250, enhanced: '', lines: ['mx.test', 'SIZE 10', 'DSN'] },
    { code: 550, enhanced: '5.1.1', lines: ['5.1.1 no'] },
    { code: 220, enhanced: '', lines: [''] },
  ];
  for (let cut = 0; cut <= wire.length; cut++) {
    const reader = new ReplyReader();
    assert.equal(reader.push(wire.subarray(0, cut)), null);
    assert.equal(reader.push(wire.subarray(cut)), null);
    assert.deepEqual(reader.replies, expected, `cut at ${cut}`);
    assert.equal(reader.midway, false);
  }
});

test('lines that disagree make one reply with the last code; its text is one line', () => {
  const { replies } = read('550-5.7.1 first\r\n451 4.7.1 last\r\n');
  assert.deepEqual(replies, [{ code: 451, enhanced: '4.7.1', lines: ['5.7.1 first', '4.7.1 last'] }]);
  assert.equal(replyText(replies[0]!), '451 5.7.1 first 4.7.1 last');
});

test('the enhanced code may stand in any line; one of another class than the code counts when there is no other', () => {
  for (const [wire, enhanced] of [
    ['550-Your message was refused\r\n550 5.7.1 see http://x.test\r\n', '5.7.1'],
    ['550-5.1.1 no\r\n550-5.2.2 full\r\n550 bye\r\n', '5.1.1'],
    ['451-2.0.0 ok\r\n451 4.3.0 no\r\n', '4.3.0'],
    ['550 4.2.2 full\r\n', '4.2.2'],
    ['550-no\r\n550 5.7 no\r\n', ''],
    ['550-call 5.1.1 now\r\n550 x5.1.1\r\n', ''],
  ] as const) {
    assert.equal(read(wire).replies[0]?.enhanced, enhanced, wire);
  }
});

test('text is UTF-8 where it can be, else Latin-1', () => {
  assert.equal(read(Buffer.from('550 Grüße\r\n', 'utf8')).replies[0]?.lines[0], 'Grüße');
  assert.equal(read(Buffer.from('550 Grüße\r\n', 'latin1')).replies[0]?.lines[0], 'Grüße');
});

test('what a terminal, a log or a record would obey is written out', () => {
  const { replies } = read(Buffer.from('550 a\tb\rc\x1b[2J\0\x9b \u202e\r\n', 'utf8'));
  assert.deepEqual(replies[0]?.lines, ['a b\\x0dc\\x1b[2J\\x00\\x9b \\u202e']);
  assert.equal(read('\x1b[2J\r\n').fault, 'the reply is not SMTP: \\x1b[2J');
});

test('what is no reply, and what never ends, is a fault', () => {
  for (const wire of [
    '\r\n',
    'hello\r\n',
    '99 x\r\n',
    '150 x\r\n',
    '650 x\r\n',
    '2500 x\r\n',
    '250x\r\n',
    'HTTP/1.1 400\r\n',
  ]) {
    assert.match(read(wire).fault ?? '', /not SMTP/, JSON.stringify(wire));
  }
  assert.match(read(`250 ${'x'.repeat(9000)}`).fault ?? '', /too long/);
  assert.match(read(`250 ${'x'.repeat(9000)}\r\n`).fault ?? '', /too long/);
  assert.match(read('250-x\r\n'.repeat(101)).fault ?? '', /too many lines/);
  assert.match(read(`250-${'x'.repeat(8000)}\r\n`.repeat(5)).fault ?? '', /too long/);
  assert.equal(read(`250 ${'x'.repeat(8000)}\r\n`.repeat(20)).fault, null, 'each by itself is short enough');
  assert.equal(read('250-x').midway, true);
});

test('a reply is formatted so that nothing in its text ends it early', () => {
  assert.equal(formatReply(reply(250, '2.0.0', 'a\r\n550 b\0c'), true), '250 2.0.0 a 550 b c\r\n');
  assert.equal(formatReply(reply(250, '2.0.0', 'a'), false), '250 a\r\n');
  assert.equal(formatReply(reply(550, '5.1.1', ['a', 'b']), true), '550-5.1.1 a\r\n550 5.1.1 b\r\n');
  assert.equal(formatReply({ code: 250, text: [] }, true), '250 \r\n');
});
