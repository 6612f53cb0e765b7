import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { csvRows } from './csv-rows.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-csv-'));
after(() => rmSync(dir, { recursive: true, force: true }));

async function rows(text: string | Buffer): Promise<Record<string, string>[]> {
  const file = path.join(dir, 'a.csv');
  writeFileSync(file, text);
  const found: Record<string, string>[] = [];
  for await (const row of csvRows(file)) found.push(Object.fromEntries(row));
  return found;
}

test('the first line names the columns; both line ends', async () => {
  assert.deepEqual(await rows('a,b\r\n1,2\r\n3,4\r\n'), [
    { a: '1', b: '2' },
    { a: '3', b: '4' },
  ]);
  assert.deepEqual(await rows('a,b\n1,2\n'), [{ a: '1', b: '2' }]);
});

test('quoted values: commas, quotes, line ends; empty ones', async () => {
  assert.deepEqual(await rows('a,b,c\r\n"1,5","say ""hi""","two\r\nlines"\r\n"",,""""\r\n'), [
    { a: '1,5', b: 'say "hi"', c: 'two\r\nlines' },
    { a: '', b: '', c: '"' },
  ]);
  assert.deepEqual(await rows('a,b\n"ends with\r",x\n"a\r"\n'), [{ a: 'ends with\r', b: 'x' }, { a: 'a\r' }]);
});

test('a last line without its end is left out, wherever it was torn', async () => {
  for (const torn of ['3', '3,4', '3,"4', '3,"4"', '3,"4""', '3,4\r']) {
    assert.deepEqual(await rows(`a,b\r\n1,2\r\n${torn}`), [{ a: '1', b: '2' }], torn);
  }
  assert.deepEqual(await rows('a,b'), []);
  assert.deepEqual(await rows(''), []);
});

test('a row wider than its title, and one that is narrower', async () => {
  assert.deepEqual(await rows('a\r\n1,2\r\n'), [{ a: '1', 'column 2': '2' }]);
  assert.deepEqual(await rows('a,b\r\n1\r\n'), [{ a: '1' }]);
});

test('characters of several bytes and values longer than one read', async () => {
  const long = 'ü€😀'.repeat(30_000);
  assert.deepEqual(await rows(`a,b\r\n"${long}",é\r\n`), [{ a: long, b: 'é' }]);
});

test('a column with a name that an object knows', async () => {
  writeFileSync(path.join(dir, 'p.csv'), '__proto__,constructor\r\n1,2\r\n');
  for await (const row of csvRows(path.join(dir, 'p.csv'))) {
    assert.deepEqual(
      [row.get('__proto__'), row.get('constructor'), row.get('toString')],
      ['1', '2', undefined],
    );
  }
});
