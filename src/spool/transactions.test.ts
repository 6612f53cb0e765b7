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
  const write = (begin: () => Promise<boolean>[]) =>
    new Promise<void>((resolve, reject) =>
      transactions.write({
        begin,
        ended: (failure) => (failure === null ? resolve() : reject(failure as Error)),
      }),
    );
  return { table, putOff, transactions, version, nextIsBegun, write };
}

test('what is put off to the end of a turn is in the transaction of that turn, and one at a time is on its way', async (t) => {
  const { table, putOff, write, version, nextIsBegun } = store(t);
  const before = version();
  const twice = async (key: string) => {
    await write(() => {
      putOff.push(`${key} later`);
      return [table.put(key, 1)];
    });
    assert.ok(table.doesExist(key) && table.doesExist(`${key} later`));
  };
  await Promise.all([twice('a'), twice('b'), twice('c')]);
  assert.equal(version(), before + 1);
  const first = twice('d');
  await nextIsBegun();
  await Promise.all([first, twice('e'), twice('f')]);
  assert.equal(version(), before + 3);
  assert.deepEqual(putOff, []);
});

test('a turn in which all is put off, and one in which there is nothing to write', async (t) => {
  const { table, putOff, transactions, write, version } = store(t);
  const before = version();
  await write(() => []);
  assert.equal(version(), before);
  const putOffOnly = (key: string) =>
    write(() => {
      putOff.push(key);
      return [];
    });
  await Promise.all([putOffOnly('a'), putOffOnly('b')]);
  assert.deepEqual([...table.getKeys()], ['a', 'b']);
  assert.equal(version(), before + 1);
  await transactions.idle();
});

test('one who begins to write and throws is told so, holds up nobody, and others wait for the end of it', async (t) => {
  const { table, transactions, write } = store(t);
  const throws = write(() => {
    void table.put('begun', 1);
    throw new Error('on the way');
  });
  await assert.rejects(throws, /on the way/);
  await turn();
  await write(() => {
    assert.ok(table.doesExist('begun'));
    return [table.put('next', 1)];
  });
  assert.ok(table.doesExist('next'));
  await transactions.idle();
});

test('when what was put off cannot be written, nobody is told that it is stored', async (t) => {
  const { table, putOff, write } = store(t);
  const refused = write(() => {
    putOff.push('x'.repeat(10_000));
    return [table.put('a', 1)];
  });
  await assert.rejects(refused, /key size/i);
  await write(() => [table.put('b', 1)]);
});
