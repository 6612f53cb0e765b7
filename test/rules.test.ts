// Each rule of docs/reference/delivery-rules.md that is said to hold is in the name of a test, and no test names another.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from './program.ts';

const RULE = /\bD\d{1,2}\.\d{1,2}\b/g;

const table = new Map(
  readFileSync(path.join(root, 'docs/reference/delivery-rules.md'), 'utf8')
    .split('\n')
    .map((line) => /^\| (D\d+\.\d+) \| .* \| ([^|]+) \|$/.exec(line))
    .filter((row) => row !== null)
    .map(([, rule, status]) => [rule!, status!] as const),
);

const named = new Set(
  ['src/**/*.test.ts', 'test/**/*.test.ts']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .flatMap((file) => readFileSync(path.join(root, file), 'utf8').match(RULE) ?? []),
);

test('every delivery rule that is honoured, or differs, is in the name of a test', () => {
  assert.ok(table.size > 130, `the table has ${table.size} rules`);
  const missing = [...table].filter(([rule, status]) => status !== 'not yet' && !named.has(rule));
  assert.deepEqual(missing, []);
});

test('no test names a delivery rule that there is not', () => {
  assert.deepEqual(
    [...named].filter((rule) => !table.has(rule)),
    [],
  );
});
