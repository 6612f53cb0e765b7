import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isJobName, toJobName } from './job-name.ts';

test('job names', () => {
  for (const [text, name] of [
    ['spring-sale', 'spring-sale'],
    ['Spring Sale 2027', 'Spring_Sale_2027'],
    ['  "Ärger" `x` ', 'rger_x'],
    ['a _ b', 'a_b'],
    ['__a__', 'a'],
    ['¡', ''],
    ['', ''],
    ["!#$%&'()*+,-./:;<=>?@[\\]^{|}~", "!#$%&'()*+,-./:;<=>?@[\\]^{|}~"],
    ['x\u0000\r\ny', 'x_y'],
    ['🎉sale🎉', 'sale'],
    [`${'a'.repeat(63)}  b`, 'a'.repeat(63)],
    ['a'.repeat(1e6), 'a'.repeat(64)],
  ] as const) {
    assert.equal(toJobName(text), name, text.slice(0, 40));
    if (name) assert.ok(isJobName(name));
    assert.equal(toJobName(name), name, 'mapping a mapped name changes nothing');
  }
  for (const bad of ['', 'a b', 'a"b', 'a`b', 'ä', 'a\n', 'a'.repeat(65)])
    assert.equal(isJobName(bad), false);
});
