import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Database, open } from 'lmdb';
import { Transactions } from './transactions.ts';

/** A table, and transactions that put off what `putOff` holds to the end of each turn. */
function store(t: TestContext) {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-transactions-'));
  const root = open({ path: dir, noSubdir: false, maxDbs: 4, overlappingSync: false });
  t.after(async () => {
    await root.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const table: Database<number, string> = root.openDB({ name: 'table' });
  const putOff: string[] = [];
  const transactions = new Transactions(root, () => putOff.splice(0).map((key) => table.put(key, 1)));
  const nextIsBegun = () => new Promise<unknown>((begun) => root.on('beforecommit', begun));
  const version = () => (root.getStats() as { lastTxnId: number }).lastTxnId;
  return { table, putOff, transactions, version, nextIsBegun };
}

test('what is put off to the end of a turn is in the transaction of that turn, and one at a time is on its way', async (t) => {
  const { table, putOff, transactions, version, nextIsBegun } = store(t);
  const before = version();
  const write = async (key: string) => {
    await transactions.free();
    putOff.push(`${key} later`);
    await transactions.stored([table.put(key, 1)]);
    assert.ok(table.doesExist(key) && table.doesExist(`${key} later`));
  };
  await Promise.all([write('a'), write('b'), write('c')]);
  assert.equal(version(), before + 1);
  const first = write('d');
  await nextIsBegun();
  await Promise.all([first, write('e'), write('f')]);
  assert.equal(version(), before + 3);
  assert.deepEqual(putOff, []);
});

test('a turn in which all is put off, and one in which there is nothing to write', async (t) => {
  const { table, putOff, transactions, version } = store(t);
  const before = version();
  await transactions.free();
  await transactions.stored([]);
  assert.equal(version(), before);
  await transactions.free();
  putOff.push('a');
  const first = transactions.stored([]);
  putOff.push('b');
  await Promise.all([first, transactions.stored([])]);
  assert.deepEqual([...table.getKeys()], ['a', 'b']);
  assert.equal(version(), before + 1);
  await transactions.idle();
});

test('one who begins to write and throws holds up nobody, and others wait for the end of it', async (t) => {
  const { table, transactions } = store(t);
  await transactions.free();
  void table.put('begun', 1);
  await turn();
  await transactions.free();
  assert.ok(table.doesExist('begun'));
  await transactions.stored([table.put('next', 1)]);
  await transactions.idle();
});

test('when what was put off cannot be written, nobody is told that it is stored', async (t) => {
  const { table, putOff, transactions } = store(t);
  await transactions.free();
  putOff.push('x'.repeat(10_000));
  await assert.rejects(transactions.stored([table.put('a', 1)]), /key size/i);
  await transactions.free();
  await transactions.stored([table.put('b', 1)]);
});
