import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { until } from '../system/testing.ts';
import { openSpool } from './spool.ts';
import { spoolIdMaker } from './spool-id.ts';
import { SpoolWriteError } from './spool-write-error.ts';
import { sample } from './testing.ts';

const folders: string[] = [];
function folder(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-spool-'));
  folders.push(dir);
  return dir;
}
after(() => {
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
});

test('a message, its recipients and its outcomes are there again after closing', async () => {
  const dir = folder();
  const content = Buffer.from('Subject: x\r\n\r\nbody\xff', 'latin1');
  let spool = openSpool(dir);
  const { envelope, pending, outcomes } = sample('m1', 2);
  await spool.store(envelope, content, pending, outcomes);
  await spool.close();

  spool = openSpool(dir);
  assert.deepEqual([...spool.recover()].flat(), pending);
  assert.deepEqual(spool.envelope('m1'), { ...envelope, contentChecksum: crc32(content) });
  assert.deepEqual(Buffer.from(spool.content('m1')!), content);
  assert.deepEqual(
    spool.journal(0, 10).map((e) => [e.seq, e.outcome]),
    outcomes.map((outcome, i) => [i + 1, outcome]),
  );
  await spool.close();
});

test('mail that is stored or settled while the spool is recovered: none is taken twice, none is dropped early', async () => {
  const dir = folder();
  let spool = openSpool(dir);
  for (const id of ['m1', 'm2', 'm3']) {
    const { envelope, pending, outcomes } = sample(id, 3);
    await spool.store(envelope, Buffer.from('x'), pending, outcomes);
  }
  await spool.close();

  spool = openSpool(dir);
  const recovered: string[] = [];
  for (const batch of spool.recover(2)) {
    recovered.push(batch.map(({ spoolId, index }) => `${spoolId} ${index}`).join());
    // Each is delivered before the next is read, and other mail comes in.
    for (const { spoolId, index } of batch) {
      assert.ok(spool.envelope(spoolId) && spool.content(spoolId), `${spoolId} ${index}`);
      await spool.settle([{ spoolId, index, state: 'done' }], []);
    }
    const { envelope, pending, outcomes } = sample(`n${recovered.length}`, 1);
    await spool.store(envelope, Buffer.from('x'), pending, outcomes);
  }
  assert.deepEqual(recovered, ['m1 0,m1 1,m1 2', 'm2 0,m2 1,m2 2', 'm3 0,m3 1,m3 2']);
  assert.equal(spool.messageCount, 3);
  assert.ok(spool.content('n1') && !spool.content('m1'));
  await spool.close();
});

test('the content leaves with the last recipient, not before', async () => {
  const spool = openSpool(folder());
  const { envelope, pending, outcomes } = sample('m1', 3);
  await spool.store(envelope, Buffer.from('x'), pending, outcomes);
  await spool.settle([{ spoolId: 'm1', index: 0, state: 'done' }], []);
  await spool.settle([{ spoolId: 'm1', index: 2, state: { ...pending[2]!, attempts: 1 } }], []);
  await spool.settle([{ spoolId: 'm1', index: 1, state: 'done' }], []);
  assert.ok(spool.content('m1'));
  assert.equal(spool.messageCount, 1);
  await spool.settle([{ spoolId: 'm1', index: 2, state: 'done' }], []);
  assert.equal(spool.content('m1'), undefined);
  assert.equal(spool.envelope('m1'), undefined);
  assert.equal(spool.messageCount, 0);
  await spool.close();
});

test('outcome numbers never repeat, also when every view has taken all and the journal is empty', async () => {
  const dir = folder();
  let spool = openSpool(dir);
  const { envelope, pending, outcomes } = sample('m1', 2);
  await spool.store(envelope, Buffer.from('x'), pending, outcomes);
  await spool.advance(new Map([['view', { seq: 2, state: { file: 'a' } }]]), 2);
  assert.deepEqual(spool.journal(0, 10), []);
  await spool.close();
  spool = openSpool(dir);
  assert.deepEqual(spool.checkpoint('view'), { seq: 2, state: { file: 'a' } });
  await spool.settle([], [outcomes[0]!]);
  assert.deepEqual(
    spool.journal(2, 10).map((e) => e.seq),
    [3],
  );
  await spool.close();
});

test('a full disk refuses the write, names the folder, and the spool works again when there is room', async (t) => {
  const dir = folder();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', dir]).status !== 0) {
    t.skip('SKIPPED: mounting a small file system needs root');
    return;
  }
  try {
    const spool = openSpool(dir);
    const stored: string[] = [];
    const content = Buffer.alloc(200_000, 'x');
    let failure: unknown;
    for (let i = 0, refused = 0; i < 60 && refused < 3; i++) {
      const { envelope, pending, outcomes } = sample(`m${i}`, 1);
      await spool.store(envelope, content, pending, outcomes).then(
        () => stored.push(`m${i}`),
        (error) => {
          failure = error;
          refused++;
        },
      );
    }
    assert.ok(failure instanceof SpoolWriteError, `expected a refusal, got ${failure}`);
    assert.ok(failure.message.includes(dir));
    assert.ok(stored.length > 2);
    for (const id of stored) assert.equal(spool.content(id)?.length, content.length);
    for (const id of stored) await spool.settle([{ spoolId: id, index: 0, state: 'done' }], []);
    const { envelope, pending, outcomes } = sample('later', 1);
    await spool.store(envelope, content, pending, outcomes);
    assert.equal(spool.content('later')?.length, content.length);
    await spool.close();
  } finally {
    spawnSync('umount', ['-l', dir]);
  }
});

test('50,000 messages stored and settled: the file stays as large as what waits at one time', async () => {
  const dir = folder();
  const spool = openSpool(dir);
  const content = Buffer.alloc(1000, 'x');
  const sizes: number[] = [];
  let seq = 0;
  for (let n = 0; n < 50_000; n += 500) {
    const ids = Array.from({ length: 500 }, (_, i) => `m${String(n + i).padStart(6, '0')}`);
    await Promise.all(
      ids.map((id) => {
        const { envelope, pending, outcomes } = sample(id, 1);
        return spool.store(envelope, content, pending, outcomes);
      }),
    );
    // Readers come and go meanwhile, as deliveries and accounting do.
    assert.equal(spool.content(ids[0]!)?.length, 1000);
    seq = spool.journal(seq, 1000).at(-1)!.seq;
    await Promise.all(ids.map((spoolId) => spool.settle([{ spoolId, index: 0, state: 'done' }], [])));
    await spool.advance(new Map([['view', { seq, state: null }]]), seq);
    sizes.push(statSync(path.join(dir, 'data.mdb')).size);
  }
  assert.equal(spool.messageCount, 0);
  await spool.close();
  assert.ok(sizes.at(-1)! <= 2 * sizes[9]!, `${sizes[9]} bytes after 5,000, ${sizes.at(-1)} after 50,000`);
});

test('killed at random moments, nothing acknowledged is missing and no message is half there', async () => {
  const dir = folder();
  const writer = path.join(import.meta.dirname, 'testdata', 'writer.ts');
  const acknowledged = new Set<string>();
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [writer, dir, String(round)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let partial = '';
    let count = 0;
    child.stdout.on('data', (chunk) => {
      const lines = (partial + chunk).split('\n');
      partial = lines.pop()!;
      for (const line of lines) acknowledged.add(line);
      count += lines.length;
    });
    // What it has said goes on being read after its end.
    const closed = new Promise((resolve) => child.once('close', resolve));
    // By what it has done: on a slow machine it does next to nothing in any time that one would wait.
    await until(() => count > 20 + round * 17, undefined, 1);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
    child.kill('SIGKILL');
    await closed;
  }
  const spool = openSpool(dir);
  const waiting = new Map<string, number>();
  for (const { spoolId } of [...spool.recover()].flat())
    waiting.set(spoolId, (waiting.get(spoolId) ?? 0) + 1);
  const settled = new Set<string>();
  for (const { outcome } of spool.journal(0, 1e6)) {
    if (outcome.kind === 'delivered') settled.add(outcome.message.spoolId);
  }
  for (const line of acknowledged) {
    const [what, id] = line.split(' ') as ['stored' | 'settled', string];
    if (what === 'stored')
      assert.ok(waiting.get(id) === 2 || settled.has(id), `${id} was acknowledged and is gone`);
    else assert.ok(settled.has(id), `${id} was settled and its outcome is gone`);
  }
  for (const [id, count] of waiting) {
    assert.ok(spool.content(id) && spool.envelope(id), `${id} waits without its content`);
    assert.equal(count, 2, `${id} is half there`);
    assert.ok(!settled.has(id), `${id} has an outcome and waits still`);
  }
  await spool.close();
});

test('ids sort by age and do not repeat while the clock stands still', () => {
  let now = 1_700_000_000_000;
  const next = spoolIdMaker(
    () => now,
    () => 7,
  );
  const ids = Array.from({ length: 5000 }, () => next());
  assert.equal(new Set(ids).size, ids.length);
  now += 1;
  const later = next();
  assert.ok(ids.every((id) => id < later && id.length === 16));
});

test('what a message was taken from is known until it is forgotten, also after a restart', async (t) => {
  const dir = folder();
  const spool = openSpool(dir);
  const { envelope, pending } = sample('018bcfe568000001', 1);
  await spool.store(envelope, Buffer.from('x'), pending, [], 'claim-1');
  await spool.close();
  const again = openSpool(dir);
  t.after(() => again.close());
  assert.ok(again.wasTaken('claim-1'));
  assert.ok(!again.wasTaken('claim-2'));
  await again.forgetTaken(['claim-1', 'claim-2']);
  assert.ok(!again.wasTaken('claim-1'));
});
