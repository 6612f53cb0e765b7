import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { open } from 'lmdb';
import type { Outcome } from '../events/outcome.ts';
import { openSpool, type Spool } from './spool.ts';
import { sample } from './testing.ts';

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-journal-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** An outcome that says which one it is, and takes about so many octets. */
function outcome(at: number, octets = 0): Outcome {
  const [received] = sample('m', 1).outcomes;
  return { ...received!, at, message: { ...received!.message, subject: 'ü'.repeat(octets / 2) } };
}

/** Journals these in one turn, each for itself. */
async function journal(spool: Spool, outcomes: readonly Outcome[]): Promise<void> {
  await Promise.all(outcomes.map((one) => spool.settle([], [one])));
}

const numbered = (spool: Spool, after: number, limit: number) =>
  spool.journal(after, limit).map(({ seq, outcome: { at } }) => [seq, at]);
const same = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => [from + i, from + i]);

/** The records of the journal: the number of the last outcome of each, and its octets. */
async function records(dir: string): Promise<[key: number, octets: number][]> {
  const root = open({ path: dir, noSubdir: false, maxDbs: 8 });
  const table = root.openDB<Buffer, number>({ name: 'outcomes', encoding: 'binary' });
  const found = [...table.getRange()].map(({ key, value }): [number, number] => [key, value.length]);
  await root.close();
  return found;
}

test('the outcomes of one transaction are few records, each within a page, and are read from anywhere', async (t) => {
  const dir = folder(t);
  let spool = openSpool(dir);
  for (let at = 1; at <= 40; at += 20) {
    await journal(
      spool,
      Array.from({ length: 20 }, (_, i) => outcome(at + i)),
    );
  }
  const fromMemory = numbered(spool, 0, 100);
  await spool.close();
  const kept = await records(dir);
  assert.ok(kept.length <= 20, `${kept.length} records`);
  for (const [, octets] of kept) assert.ok(octets <= 4096 - 16, `${octets} octets`);
  spool = openSpool(dir);
  t.after(() => spool.close());
  assert.deepEqual(fromMemory, same(1, 40));
  for (let after = 0; after <= 41; after++) {
    for (const limit of [1, 2, 3, 7, 39, 100]) {
      assert.deepEqual(numbered(spool, after, limit), same(after + 1, Math.min(40, after + limit)));
    }
  }
});

test('an outcome that is longer than a page is a record of its own', async (t) => {
  const dir = folder(t);
  let spool = openSpool(dir);
  await journal(spool, [outcome(1), outcome(2), outcome(3), outcome(4, 6000), outcome(5), outcome(6)]);
  await spool.close();
  const large = (await records(dir)).filter(([, octets]) => octets > 4096);
  assert.deepEqual(
    large.map(([key]) => key),
    [4],
  );
  spool = openSpool(dir);
  t.after(() => spool.close());
  assert.deepEqual(numbered(spool, 0, 10), same(1, 6));
});

test('an outcome is on disk with what it tells, whoever wrote first in that turn', async (t) => {
  const dir = folder(t);
  const spool = openSpool(dir);
  const one = sample('m1', 1);
  await Promise.all([
    spool.settle([], []),
    spool.settle([], [outcome(1)]),
    spool.store(one.envelope, Buffer.from('x'), one.pending, [outcome(2)]),
    spool.settle([], [outcome(3)]),
  ]);
  const ats = (from: Spool, after: number) =>
    from
      .journal(after, 10)
      .map((entry) => entry.outcome.at)
      .sort();
  assert.deepEqual(ats(spool, 0), [1, 2, 3]);
  await Promise.all([
    spool.settle([{ spoolId: 'm1', index: 0, state: 'done' }], [outcome(4), outcome(5)]),
    spool.settle([], [outcome(6)]),
    spool.advance(new Map([['view', { seq: 3, state: null }]]), 3),
  ]);
  await spool.close();
  const again = openSpool(dir);
  t.after(() => again.close());
  assert.deepEqual(ats(again, 3), [4, 5, 6]);
  assert.equal(again.messageCount, 0);
});

test('more writes in one turn than lmdb takes before it begins: messages and outcomes are all there', async (t) => {
  const dir = folder(t);
  let spool = openSpool(dir);
  const messages = Array.from({ length: 700 }, (_, i) => sample(`m${i}`, 1));
  await Promise.all(
    messages.map(({ envelope, pending, outcomes }) =>
      spool.store(envelope, Buffer.from('x'), pending, outcomes),
    ),
  );
  const ids = (from: Spool) =>
    from.journal(0, 1000).map(({ outcome: one }) => (one.kind === 'received' ? one.message.spoolId : ''));
  const told = ids(spool);
  await spool.close();
  spool = openSpool(dir);
  t.after(() => spool.close());
  assert.deepEqual(ids(spool), told);
  assert.deepEqual(told.toSorted(), messages.map(({ envelope }) => envelope.facts.spoolId).sort());
  assert.equal(spool.messageCount, 700);
});

test('a record stays until all views have its last outcome; numbers go on from there, also after a restart', async (t) => {
  const dir = folder(t);
  let spool = openSpool(dir);
  const outcomes = Array.from({ length: 30 }, (_, i) => outcome(i + 1));
  await journal(spool, outcomes);
  for (const seq of [1, 2, 10, 11, 25]) {
    await spool.advance(new Map([['view', { seq, state: null }]]), seq);
    assert.deepEqual(numbered(spool, seq, 100), same(seq + 1, 30));
    await spool.close();
    const kept = await records(dir);
    assert.ok(
      kept[0]![0] > seq && kept[0]![0] < seq + 10,
      `${seq} are taken, the first record is ${kept[0]}`,
    );
    spool = openSpool(dir);
    assert.equal(spool.newestOutcome, 30);
    assert.deepEqual(numbered(spool, seq, 100), same(seq + 1, 30));
  }
  await spool.advance(new Map([['view', { seq: 30, state: null }]]), 30);
  await spool.close();
  assert.deepEqual(await records(dir), []);
  spool = openSpool(dir);
  await journal(spool, [outcome(31)]);
  assert.deepEqual(numbered(spool, 0, 100), same(31, 31));
  await spool.close();
});

test('a journal of layout 2, one record an outcome, is read and goes on in this one', async (t) => {
  const dir = folder(t);
  const fixture = path.join(import.meta.dirname, 'testdata', 'format-2.mdb.gz');
  writeFileSync(path.join(dir, 'data.mdb'), gunzipSync(readFileSync(fixture)));
  let spool = openSpool(dir);
  assert.equal(spool.id, '60f1ba0d-7805-40b5-9f2b-7c8ab084f867');
  assert.equal(spool.newestOutcome, 4);
  assert.deepEqual(spool.checkpoint('acct'), { seq: 1, state: { file: 'acct.csv', size: 50 } });
  await journal(spool, [outcome(5), outcome(6), outcome(7)]);
  await spool.close();
  spool = openSpool(dir);
  const told = spool.journal(1, 10);
  assert.deepEqual(
    told.map(({ seq, outcome: { kind } }) => [seq, kind]),
    [2, 3, 4, 5, 6, 7].map((seq) => [seq, 'received']),
  );
  assert.deepEqual(
    told.slice(0, 3).map(({ outcome: one }) => one.kind === 'received' && one.message.spoolId),
    ['018bcfe568000001', '018bcfe568000002', '018bcfe568000002'],
  );
  assert.deepEqual(
    [...spool.recover()].flat().map(({ spoolId, index }) => `${spoolId} ${index}`),
    ['018bcfe568000001 1', '018bcfe568000002 0', '018bcfe568000002 1'],
  );
  assert.deepEqual(spool.content('018bcfe568000002')?.toString('latin1'), 'Subject: Hello\r\n\r\nGrüße.\r\n');
  await spool.advance(new Map([['acct', { seq: 6, state: null }]]), 6);
  await spool.close();
  assert.deepEqual(
    (await records(dir)).map(([key]) => key),
    [7],
  );
});
