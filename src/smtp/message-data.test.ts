import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addStuffing, finalDot, hasBareLineEnd, MessageCollector, removeStuffing } from './message-data.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

/** Feeds pieces to a collector; the content, and what was left behind the final dot. */
function collect(pieces: readonly Buffer[], limit = 1e9): { content: string; rest: string } | null {
  const collector = new MessageCollector(limit);
  for (const [i, piece] of pieces.entries()) {
    const end = collector.pushUntilDot(piece, 0);
    if (end === -1) continue;
    const rest = Buffer.concat([piece.subarray(end), ...pieces.slice(i + 1)]);
    return { content: collector.contentUntilDot().toString('latin1'), rest: rest.toString('latin1') };
  }
  return null;
}

const MESSAGES = [
  ['.\r\n', ''],
  ['\r\n.\r\n', '\r\n'],
  ['a\r\n.\r\n', 'a\r\n'],
  ['..\r\n.\r\n', '..\r\n'],
  ['a\r\n..\r\nb\r\n.\r\n', 'a\r\n..\r\nb\r\n'],
  ['a\r\r\n.\r\n', 'a\r\r\n'],
  ['a\r\n.\r\r\n.\r\n', 'a\r\n.\r\r\n'],
  ['a\r\n.\r.\r\n\r\n.\r\n', 'a\r\n.\r.\r\n\r\n'],
  ['a\r\n.b\r\n\r\n.\r\n', 'a\r\n.b\r\n\r\n'],
  ['a\n.\n\r.\r\n\n.\r\n\r\n.\nx\r\n.\r\n', 'a\n.\n\r.\r\n\n.\r\n\r\n.\nx\r\n'],
] as const;

for (const [wire, content] of MESSAGES) {
  test(`the end of ${JSON.stringify(wire)} is found however it is cut`, () => {
    const whole = bytes(`${wire}QUIT\r\n`);
    for (let a = 0; a <= whole.length; a++) {
      for (let b = a; b <= whole.length; b++) {
        const pieces = [whole.subarray(0, a), whole.subarray(a, b), whole.subarray(b)];
        assert.deepEqual(collect(pieces), { content, rest: 'QUIT\r\n' }, `cut at ${a} and ${b}`);
      }
    }
    const single = [...whole].map((byte) => Buffer.from([byte]));
    assert.deepEqual(collect(single), { content, rest: 'QUIT\r\n' });
  });
}

test('nothing but CR LF . CR LF ends the data', () => {
  for (const end of [
    '\n.\n',
    '\n.\r\n',
    '\r\n.\n',
    '\r.\r',
    '\r.\r\n',
    '\r\n.\r',
    '\r\n\0.\r\n',
    '\r\n.\0\r\n',
    '\r\n. \r\n',
    '\r\n.\r\0\n',
  ]) {
    assert.equal(collect([bytes(`a${end}MAIL FROM:<x@y>\r\n`)]), null, JSON.stringify(end));
  }
});

test('what is beyond the limit is not kept, and its end is still found', () => {
  const collector = new MessageCollector(1000);
  const piece = bytes(`${'x'.repeat(98)}\r\n`);
  for (let i = 0; i < 100; i++) assert.equal(collector.pushUntilDot(piece, 0), -1);
  assert.equal(collector.overflowed, true);
  assert.equal(collector.pushUntilDot(bytes('.\r\nQUIT'), 0), 3);
  assert.equal(collector.received, 10_003);
  assert.equal(collector.content().length, 0);
});

test('pieces of every size come together again', () => {
  const text = 'The quick brown fox\r\n'.repeat(30_000);
  for (const size of [1, 7, 4095, 4096, 65_536, 1e9]) {
    const collector = new MessageCollector(1e9);
    for (let at = 0; at < text.length; at += size) collector.push(bytes(text.slice(at, at + size)));
    assert.ok(collector.content().equals(bytes(text)), `pieces of ${size}`);
  }
});

test('a CR or LF that stands alone is seen anywhere, across the windows of a long message too', () => {
  for (const clean of ['', '\r\n', 'a\r\nb', '\r\n\r\n\r\n'])
    assert.equal(hasBareLineEnd(bytes(clean)), false, clean);
  for (const bare of ['\n', '\r', 'a\nb', 'a\rb', '\r\r\n', '\r\n\n', '\r\n\r', '\n\r']) {
    assert.equal(hasBareLineEnd(bytes(bare)), true, JSON.stringify(bare));
  }
  const window = 262_144;
  for (let shift = -3; shift <= 3; shift++) {
    const before = 'x'.repeat(window + shift);
    assert.equal(hasBareLineEnd(bytes(`${before}\r\ny`)), false, `clean at ${shift}`);
    assert.equal(hasBareLineEnd(bytes(`${before}\ny`)), true, `LF at ${shift}`);
    assert.equal(hasBareLineEnd(bytes(`${before}\ry`)), true, `CR at ${shift}`);
    assert.equal(hasBareLineEnd(bytes(`${before}\r\r\ny`)), true, `CR CR LF at ${shift}`);
  }
});

test('stuffing on and off again gives the same bytes, and costs nothing when no line needs it', () => {
  const plain = bytes('a\r\nb. c\r\n');
  assert.equal(addStuffing(plain), plain);
  assert.equal(removeStuffing(plain), plain);
  assert.equal(addStuffing(bytes('.\r\n..\r\na.b\r\n.c')).toString(), '..\r\n...\r\na.b\r\n..c');
  // All texts of six characters out of these: every arrangement that could confuse.
  const letters = ['\r\n', '.', 'a'];
  for (let n = 0; n < 3 ** 6; n++) {
    let text = '';
    for (let i = 0, rest = n; i < 6; i++, rest = Math.floor(rest / 3)) text += letters[rest % 3];
    const content = bytes(text);
    const wire = Buffer.concat([addStuffing(content), finalDot(content)]);
    const back = collect([wire]);
    assert.equal(back?.rest, '', JSON.stringify(text));
    const received = removeStuffing(bytes(back!.content)).toString('latin1');
    assert.equal(received, text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`);
  }
});
