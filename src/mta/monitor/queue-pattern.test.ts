import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queuePattern } from './queue-pattern.ts';

test('section 2: a queue argument is domain/vmta with * on either side; left out means */*, a domain alone domain/*', () => {
  const cases: [string, string, string, boolean][] = [
    ['a.test/v1', 'a.test', 'v1', true],
    ['A.test/V1', 'a.test', 'v1', true],
    ['a.test/v1', 'a.test', 'v2', false],
    ['a.test', 'a.test', 'v2', true],
    ['a.test/', 'a.test', 'v2', true],
    ['*/v1', 'b.test', 'v1', true],
    ['*.test/*', 'b.test', 'v1', true],
    ['*.test/*', 'b.example', 'v1', false],
    ['a*b*c', 'aXbYc', 'v', true],
    ['ab*ba', 'aba', 'v', false],
    ['a*b*c', 'acb', 'v', false],
    ['a.*', 'axtest', 'v', false],
    ['*/*', 'b.test', '{default}', true],
    ['', 'b.test', '{default}', true],
    ['a.test/{default}', 'a.test', '{default}', true],
    ['a.test/{default}', 'a.test', 'v1', false],
    ['a.test/{DEFAULT}', 'a.test', '{default}', true],
    ['{sparkpost}/*', '{sparkpost}', 'v1', true],
    ['p.rollup', 'p.rollup', 'v1', true],
    ['bücher.test', 'xn--bcher-kva.test', 'v', true],
    ['*.bücher.test/v', 'a.xn--bcher-kva.test', 'v', true],
    ['[*.]a.test', 'a.test', 'v', true],
    ['[*.]bücher.test/v', 'x.xn--bcher-kva.test', 'v', true],
    ['[*.]a.test/*', 'ba.test', 'v', false],
    ['[192.0.2.1]/*', '[192.0.2.1]', 'v', true],
  ];
  for (const [pattern, domain, vmta, expected] of cases) {
    assert.equal(queuePattern(pattern)(domain, vmta), expected, `${pattern} ${domain}/${vmta}`);
  }
});
