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

test('any text has a job name: total, bounded, and mapping it again changes nothing', () => {
  // A small generator with a fixed seed, so that a failure can be seen again.
  let seed = 12345;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  for (let i = 0; i < 20_000; i++) {
    let text = '';
    for (let n = random(90); n > 0; n--) {
      // Half of it near ASCII, the rest anything, lone halves of characters too.
      text += String.fromCharCode(random(2) === 0 ? random(0x90) : random(0x10000));
    }
    const name = toJobName(text);
    assert.ok(name === '' || isJobName(name), JSON.stringify(text));
    assert.equal(toJobName(name), name, JSON.stringify(text));
    if (isJobName(text) && !/^_|_$|__/.test(text)) assert.equal(name, text);
  }
});
