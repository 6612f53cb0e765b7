import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openEmbedded } from './engine.ts';
import { type BlockRow, nativeBlock } from './native-block.ts';
import { type EventColumn, eventColumns, eventColumnTypes } from './tables/events.ts';

const odd = [
  '',
  'a',
  "it's",
  '\u0000',
  'tab\tline\nend',
  'é'.repeat(40),
  '😀',
  '\\N',
  '\ufeff',
  'x'.repeat(127),
];
odd.push('y'.repeat(128), `${'z'.repeat(47)}é`, 'w'.repeat(20_000), '__proto__', 'constructor');

function rowsOf(count: number): BlockRow[] {
  return Array.from({ length: count }, (_, i) => {
    const row: Record<string, string | number> = Object.create(null);
    for (const [place, name] of eventColumns.entries()) {
      const type = eventColumnTypes[name].replace(/ DEFAULT .*/, '');
      if (type.includes('String')) row[name] = i % 3 === 0 ? odd[(i + place) % odd.length]! : `${name} ${i}`;
      else if (type.startsWith('DateTime64')) row[name] = 1_790_000_000_123 + i * 1001;
      else if (type === 'Int8') row[name] = i % 2 === 0 ? 1 : -1;
      else {
        const most = { UInt8: 255, UInt16: 65_535, UInt32: 2 ** 32 - 1, UInt64: Number.MAX_SAFE_INTEGER }[
          type
        ]!;
        row[name] = i % 4 === 0 ? most : i % Math.min(most, 1000);
      }
    }
    return row;
  });
}

test('the engine reads back what was written, with dictionaries of every width', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-block-'));
  const engine = await openEmbedded(path.join(dir, 'store'));
  try {
    for (const count of [1, 200, 700, 70_000]) {
      const rows = rowsOf(count);
      const file = path.join(dir, 'block');
      await writeFile(file, nativeBlock(eventColumnTypes, rows));
      const [total] = await engine.readForWrite<{ n: number }>(
        `SELECT count() AS n FROM file('${file}', Native)`,
      );
      assert.equal(total!.n, count);
      const back = await engine.readForWrite<BlockRow>(
        `SELECT * REPLACE (toUnixTimestamp64Milli(ts) AS ts) FROM file('${file}', Native) LIMIT 800`,
      );
      for (const [i, row] of back.entries())
        assert.deepEqual({ ...row }, { ...rows[i] }, `row ${i} of ${count}`);
      // Of the large block only what has a dictionary of its own width, and what has none.
      const names: EventColumn[] = ['campaign_id', 'type', 'data'];
      const [sums] = await engine.readForWrite<Record<string, number>>(
        `SELECT ${names.map((name) => `uniqExact(${name}) AS ${name}`).join(', ')} FROM file('${file}', Native)`,
      );
      for (const name of names) assert.equal(sums![name], new Set(rows.map((row) => row[name])).size, name);
    }
  } finally {
    await engine.close();
    await rm(dir, { recursive: true, force: true });
  }
});

test('a type that is not made here is a mistake, not a guess', () => {
  assert.throws(() => nativeBlock({ a: 'Array(String)' }, []), /column a/);
});
