import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeMerge, mergedLength, mergeMessage, mergeText } from './mail-merge.ts';

const values = new Map([
  ['fname', 'Kim'],
  ['empty', ''],
  ['*to', 'kim@a.test'],
  ['x_1', '\u00e9'],
]);

function merged(text: string, expandUndefined = true): string {
  const template = Buffer.from(text, 'latin1');
  const out = mergeText(template, values, { expandUndefined, limit: 1e6 })!;
  assert.equal(out.length, mergedLength(template, values, expandUndefined));
  return out.toString('latin1');
}

test('D17.1 names in any case are the same name; reserved ones begin with a star', () => {
  assert.equal(merged('[fname] [FName] [FNAME]'), 'Kim Kim Kim');
  assert.equal(merged('<[*to]> [*TO]'), '<kim@a.test> kim@a.test');
  assert.equal(merged('[x_1]'), '\u00e9');
});

test('D17.4 [name] inserts, [[ gives [, a lone ] is literal: box [[] gives box []', () => {
  assert.equal(merged('box [[]'), 'box []');
  assert.equal(merged('a ] b]'), 'a ] b]');
  assert.equal(merged('[[fname]'), '[fname]');
  assert.equal(merged('[[[fname]'), '[Kim');
  assert.equal(merged('[fname][fname]'), 'KimKim');
  for (const text of [
    '[192.0.2.1]',
    '[',
    'x[',
    '[fname',
    '[]',
    '[*]',
    '[a b]',
    '[1a]',
    '[_a]',
    `[${'a'.repeat(65)}]`,
  ])
    assert.equal(merged(text), text);
});

test('D17.5 an undefined variable is empty text, or stays when expanding is off: Hi [nn]! gives Hi !', () => {
  assert.equal(merged('Hi [nn]!'), 'Hi !');
  assert.equal(merged('Hi [nn]!', false), 'Hi [nn]!');
  assert.equal(merged('Hi [empty]!', false), 'Hi !');
});

test('D17.6 octets go through as they are: no encoding is applied to template or values', () => {
  const template = Buffer.from([0xff, 0x5b, 0x78, 0x5f, 0x31, 0x5d, 0x0d, 0x0a, 0x80]);
  const out = mergeText(template, values, { expandUndefined: true, limit: 100 })!;
  assert.deepEqual([...out], [0xff, 0xe9, 0x0d, 0x0a, 0x80]);
});

test('D17.7 parts in the order of the list, all ascending without one; D17.8 a missing part makes no message', () => {
  const content = Buffer.from('head [[x]\nthree\none [fname]\ntwo\n');
  const template = {
    head: 10,
    parts: [
      { number: 3, start: 10, end: 16 },
      { number: 1, start: 16, end: 28 },
      { number: 2, start: 28, end: 32 },
    ],
  };
  const options = { expandUndefined: true, limit: 1000 };
  const of = (order: number[] | null) => mergeMessage(content, template, order, values, options)?.toString();
  assert.equal(of(null), 'head [x]\none Kim\ntwo\nthree\n');
  assert.equal(of([1, 3, 2]), 'head [x]\none Kim\nthree\ntwo\n');
  assert.equal(of([2]), 'head [x]\ntwo\n');
  assert.equal(of([1, 4]), undefined);
});

test('a small template with a long value does not grow beyond the limit', () => {
  const template = Buffer.from('[a]'.repeat(100_000));
  const long = new Map([['a', 'x'.repeat(4000)]]);
  assert.equal(mergeText(template, long, { expandUndefined: true, limit: 1e8 }), null);
  const order = null;
  const parts = [{ number: 1, start: 0, end: template.length }];
  assert.equal(
    mergeMessage(template, { head: 0, parts }, order, long, { expandUndefined: true, limit: 1e8 }),
    null,
  );
});

test('escaped text comes out as it was, whatever it holds', () => {
  for (const text of ['[127.0.0.1]', '[[fname]]', '[fname]', '[', ']', '[IPv6:::1] [[[x', '']) {
    assert.equal(merged(escapeMerge(text)), text);
  }
});
