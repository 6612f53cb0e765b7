import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openEmbedded } from './engine.ts';

test('a merge that wrote nothing is taken back, and a statement during which that is found says that it failed', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-parts-'));
  const said: string[] = [];
  const engine = await openEmbedded(path.join(dir, 'store'), undefined, (message) => said.push(message));
  try {
    const insert = (n: number) => engine.insert('pets', ['n'], [`[${n}]`], `pets-${n}`);
    const count = async () => (await engine.read<{ n: number }>('SELECT count() AS n FROM pets'))[0]!.n;
    await engine.write('CREATE TABLE pets (n UInt32, text String) ENGINE = MergeTree ORDER BY n');
    await insert(1);
    await insert(2);
    await engine.write('OPTIMIZE TABLE pets FINAL');
    // What the engine leaves behind when the disk is full while it merges: every file there, and nothing in them.
    const [merged] = await engine.read<{ path: string }>(
      `SELECT path FROM system.parts WHERE active AND table = 'pets'`,
    );
    for (const name of await readdir(merged!.path)) await truncate(path.join(merged!.path, name));
    await assert.rejects(insert(3), /the disk is full or failing/);
    assert.deepEqual(said, [
      'a part of pets is damaged, the disk was full or failing; the table is read anew',
    ]);
    assert.equal(await count(), 3, 'both parts that were merged, and the new one');
    await insert(4);
    assert.equal(await count(), 4);
    assert.equal(said.length, 1);
    assert.deepEqual([engine.counts.insert.done, engine.counts.insert.failed], [3, 1]);
  } finally {
    await engine.close();
    await rm(dir, { recursive: true, force: true });
  }
});
