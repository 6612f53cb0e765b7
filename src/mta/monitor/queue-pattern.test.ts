import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queuePattern } from './queue-pattern.ts';

test('a queue argument matches as the guide says', () => {
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
  ];
  for (const [pattern, domain, vmta, expected] of cases) {
    assert.equal(queuePattern(pattern)(domain, vmta), expected, `${pattern} ${domain}/${vmta}`);
  }
});
