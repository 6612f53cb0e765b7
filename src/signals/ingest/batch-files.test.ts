import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { BatchFiles } from './batch-files.ts';

const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-batches-'));
after(() => rm(dir, { recursive: true, force: true }));

test('what waits is known with its key and time of arrival after a restart, also what an earlier program left', async () => {
  let now = 1_764_460_800_000;
  const { files } = await BatchFiles.open(dir, () => now++);
  const bytes = [Buffer.from('x')];
  const key = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff';
  const sent = [
    await files.accept(bytes, key),
    await files.accept(bytes, 'admin'),
    await files.accept(bytes, ''),
  ];
  const id = '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10';
  await writeFile(path.join(dir, `pending/01764460800100-000000000-${id}.gz`), 'x');
  const { files: again, left } = await BatchFiles.open(dir, () => now);
  assert.deepEqual(
    left.map((b) => [b.id, b.key, b.arrivedAt]),
    [...sent.map((b) => [b.id, b.key, b.arrivedAt]), [id, '', 1_764_460_800_100]],
  );
  assert.deepEqual(
    left.map((b) => b.key),
    [key, 'admin', '', ''],
  );
  for (const batch of left) {
    assert.equal(await again.find(batch.id, 'batch'), batch.file);
    await again.finish(batch);
    assert.match((await again.find(batch.id, 'batch'))!, /done/);
  }
  assert.equal(await again.find(key, 'batch'), null, 'the id of a key is no batch');
});
