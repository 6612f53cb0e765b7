import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../diagnostic.ts';
import { compileExtractor } from './extract.ts';

function extractor(source: string) {
  const compiled = compileExtractor(source);
  if (compiled instanceof Fault) assert.fail(compiled.message);
  return compiled;
}
const groups = (source: string, subject: string) => {
  const found = extractor(source).extract(subject);
  return found && Object.fromEntries(found);
};

test('named groups hold what JavaScript’s engine finds too', () => {
  for (const [source, subject] of [
    ['to (?<rcpt>\\S+@\\S+)', 'mail to kim@a.test and to lou@a.test'],
    ['(?<a>x+?)(?<b>x*)', 'zzxxxx'],
    ['(?<a>x*?)(?<b>x+)$', 'xxxx'],
    ['(?:(?<a>foo)|(?<b>foobar))(?<c>.*)', 'a foobar'],
    ['(?<a>(?:ab|a)(?:c|bcd)?)', 'zabcd'],
    ['^(?<first>.*)$', 'one line'],
    ['(?<a>a|b){1,3}c', 'ababc'],
    ['\\b(?<w>\\w{2,4})\\b.*?(?<n>\\d+)', 'longer word and 42 then 43'],
    ['(?<a>[^<]*)<(?<b>[^>]+)>', 'Kim <kim@a.test> x'],
    ['(?<a>a*)*b', 'aaab'],
  ] as const) {
    const expected = new RegExp(source, 'i').exec(subject)!.groups!;
    const filled = Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, value ?? '']));
    assert.deepEqual(groups(source, subject), filled, source);
  }
});

test('a text that does not match gives nothing', () => {
  assert.equal(groups('to (?<rcpt>\\S+@\\S+)', 'nothing here'), null);
});

test('a pattern made to be slow takes bounded work', () => {
  const slow = extractor('(?<a>(?:(?:x+)+)+)(?:x?){200}y');
  assert.equal(slow.extract('x'.repeat(20_000)), null);
  assert.equal(slow.extract(`${'x'.repeat(20_000)}y`), null, 'what stands beyond the bound is not looked at');
});

test('look-around and back references are refused', () => {
  for (const source of ['(?=a)(?<r>b)', '(?<r>a)\\1', '(?<r>a{1000}){10}']) {
    assert.ok(compileExtractor(source) instanceof Fault, source);
  }
});
