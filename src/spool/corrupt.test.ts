import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { crc32, gunzipSync } from 'node:zlib';
import { type Database, open } from 'lmdb';
import { createLog, type Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { openSpool, type Spool } from './spool.ts';
import { sample } from './testing.ts';

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-spool-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const out = { write: (line: string) => lines.push(line) } as never;
  return { log: createLog(out, 'spool'), lines };
}

/** Three messages to two recipients each, and their outcomes. */
async function filled(dir: string): Promise<void> {
  const spool = openSpool(dir);
  for (const id of ['m1', 'm2', 'm3']) {
    const { envelope, pending, outcomes } = sample(id, 2);
    await spool.store(envelope, Buffer.from(`Subject: ${id}\r\n\r\n`), pending, outcomes);
  }
  await spool.close();
}

/** Does to the store what no part of the program would. */
async function damage(dir: string, name: string, how: (db: Database<Buffer, never>) => void): Promise<void> {
  const root = open({ path: dir, noSubdir: false, maxDbs: 8 });
  how(root.openDB({ name, encoding: 'binary' }) as unknown as Database<Buffer, never>);
  await root.close();
}

const GARBAGE = Buffer.from([0xc1, 0xff, 0x00, 0x41]);
const waiting = (spool: Spool) =>
  [...spool.recover()].flat().map(({ spoolId, index }) => `${spoolId} ${index}`);
const setAside = (dir: string) => readdirSync(path.join(dir, 'corrupt')).sort();
const read = (dir: string, name: string) => JSON.parse(readFileSync(path.join(dir, 'corrupt', name), 'utf8'));

for (const [what, octets] of [
  ['that cannot be decoded', GARBAGE],
  ['that decodes to something else', Buffer.from([0x07])],
] as const) {
  test(`a recipient ${what} is set aside with its address and message; the others of the message go on`, async (t) => {
    const dir = folder(t);
    await filled(dir);
    await damage(dir, 'pending', (db) => db.putSync(['m2', 1] as never, octets));
    const { log, lines } = keptLog();
    let spool = openSpool(dir, { log });
    assert.deepEqual(waiting(spool), ['m1 0', 'm1 1', 'm2 0', 'm3 0', 'm3 1']);
    await spool.close();
    assert.deepEqual(setAside(dir), ['m2-1.eml', 'm2-1.json']);
    const { fault, found } = read(dir, 'm2-1.json');
    assert.match(fault, /^recipient 1 /);
    assert.deepEqual(found, { address: 'u1@a.test', record: { base64: octets.toString('base64') } });
    assert.match(
      lines.join(''),
      /error: a corrupt record is set aside: recipient 1 .* id=m2-1 file=.*m2-1\.json/,
    );

    spool = openSpool(dir, { log });
    assert.deepEqual(waiting(spool), ['m1 0', 'm1 1', 'm2 0', 'm3 0', 'm3 1']);
    await spool.settle([{ spoolId: 'm2', index: 0, state: 'done' }], []);
    assert.equal(spool.content('m2'), undefined);
    await spool.close();
    assert.equal(lines.length, 1, 'what was set aside is not found again');
  });
}

test('the only recipient of a message set aside takes the message along', async (t) => {
  const dir = folder(t);
  const first = openSpool(dir);
  const { envelope, pending } = sample('m1', 1);
  await first.store(envelope, Buffer.from('Subject: m1\r\n\r\n'), pending, []);
  await first.close();
  await damage(dir, 'pending', (db) => db.putSync(['m1', 0] as never, GARBAGE));
  const spool = openSpool(dir);
  assert.deepEqual(waiting(spool), []);
  await spool.close();
  assert.equal(readFileSync(path.join(dir, 'corrupt', 'm1-0.eml'), 'utf8'), 'Subject: m1\r\n\r\n');
  const again = openSpool(dir);
  assert.equal(again.messageCount, 0);
  await again.close();
});

for (const [database, kept] of [
  ['envelopes', ['m2.eml', 'm2.json']],
  ['contents', ['m2.json']],
] as const) {
  test(`recipients whose message is not in ${database} are set aside, the rest goes on`, async (t) => {
    const dir = folder(t);
    await filled(dir);
    await damage(dir, database, (db) => db.removeSync('m2' as never));
    const { log, lines } = keptLog();
    const spool = openSpool(dir, { log });
    assert.deepEqual(waiting(spool), ['m1 0', 'm1 1', 'm3 0', 'm3 1']);
    await spool.close();
    assert.deepEqual(setAside(dir), kept);
    assert.equal(read(dir, 'm2.json').found.recipients.length, 2);
    assert.match(lines.join(''), /recipients wait without their message id=m2 /);
    const again = openSpool(dir, { log });
    assert.equal(again.messageCount, 2);
    await again.close();
  });
}

test('a message without recipients is set aside, wherever it lies among the others', async (t) => {
  for (const id of ['m1', 'm2', 'm3']) {
    const dir = folder(t);
    await filled(dir);
    await damage(dir, 'pending', (db) => {
      for (const index of [0, 1]) db.removeSync([id, index] as never);
    });
    const spool = openSpool(dir);
    for (const batch of spool.recover(1)) assert.ok(batch.every(({ spoolId }) => spoolId !== id));
    await spool.close();
    assert.deepEqual(setAside(dir), [`${id}.eml`, `${id}.json`]);
    assert.equal(read(dir, `${id}.json`).fault, 'a message has no recipients');
  }
});

test('an envelope that cannot be read is set aside when the message is wanted', async (t) => {
  const dir = folder(t);
  await filled(dir);
  await damage(dir, 'envelopes', (db) => db.putSync('m2' as never, GARBAGE));
  const spool = openSpool(dir);
  assert.equal(waiting(spool).length, 6);
  assert.equal(spool.envelope('m2'), undefined);
  assert.equal(spool.envelope('m1')?.facts.spoolId, 'm1');
  await spool.close();
  assert.deepEqual(setAside(dir), ['m2.eml', 'm2.json']);
  assert.equal(read(dir, 'm2.json').found.envelope.base64, GARBAGE.toString('base64'));
  const again = openSpool(dir);
  assert.deepEqual(waiting(again), ['m1 0', 'm1 1', 'm3 0', 'm3 1']);
  await again.close();
});

test('a letter that has changed in an envelope is damage, not another address', async (t) => {
  const dir = folder(t);
  await filled(dir);
  await damage(dir, 'envelopes', (db) => {
    const octets = Buffer.from(db.get('m2' as never)!);
    octets[octets.indexOf('u1@a.test')] = 'v'.charCodeAt(0);
    db.putSync('m2' as never, octets);
  });
  const spool = openSpool(dir);
  assert.equal(spool.envelope('m2'), undefined);
  assert.equal(spool.envelope('m3')?.recipients[1]?.address, 'u1@a.test');
  await spool.close();
  assert.match(read(dir, 'm2.json').fault, /checksum is wrong/);
});

test('a message whose text has changed on disk is set aside with it and not delivered', async (t) => {
  const dir = folder(t);
  await filled(dir);
  await damage(dir, 'contents', (db) => db.putSync('m2' as never, Buffer.from('Subject: n2\r\n\r\n')));
  const { log, lines } = keptLog();
  const spool = openSpool(dir, { log });
  assert.equal(waiting(spool).length, 6);
  assert.equal(spool.content('m2'), undefined);
  assert.equal(spool.content('m1')?.toString(), 'Subject: m1\r\n\r\n');
  await spool.close();
  assert.deepEqual(setAside(dir), ['m2.eml', 'm2.json']);
  assert.equal(readFileSync(path.join(dir, 'corrupt', 'm2.eml'), 'utf8'), 'Subject: n2\r\n\r\n');
  assert.match(lines.join(''), /error: .*checksum is wrong/);
  const again = openSpool(dir);
  assert.deepEqual(waiting(again), ['m1 0', 'm1 1', 'm3 0', 'm3 1']);
  await again.close();
});

test('records of outcomes that cannot be read are set aside, the journal goes on behind them', async (t) => {
  const dir = folder(t);
  await filled(dir);
  // Each message had its two outcomes in a record, under the number of the second.
  await damage(dir, 'outcomes', (db) => db.putSync(2 as never, GARBAGE));
  await damage(dir, 'outcomes', (db) => {
    const octets = Buffer.from(db.get(4 as never)!);
    octets[octets.indexOf('u1@a.test')] = 'v'.charCodeAt(0);
    db.putSync(4 as never, octets);
  });
  const spool = openSpool(dir);
  // Also when all that is asked for is bad, which is not the end of the journal.
  assert.deepEqual(
    spool.journal(0, 1).map(({ seq }) => seq),
    [5],
  );
  await spool.close();
  const again = openSpool(dir);
  assert.deepEqual(
    again.journal(0, 10).map(({ seq }) => seq),
    [5, 6],
  );
  await again.close();
  assert.deepEqual(setAside(dir), ['outcomes-2.json', 'outcomes-4.json']);
  assert.match(read(dir, 'outcomes-4.json').fault, /^the record of outcomes through 4 .*checksum is wrong/);
  const octets = Buffer.from(read(dir, 'outcomes-4.json').found.base64, 'base64');
  assert.match(octets.toString(), /^\[\{"kind":"received".*u0@a\.test.*v1@a\.test.*\]\n[0-9a-f]{8}$/s);
});

for (const [what, json] of [
  ['that is empty', '[]'],
  ['with something else among them', '[{"kind":"received"},7]'],
]) {
  test(`a record of outcomes ${what} is set aside`, async (t) => {
    const dir = folder(t);
    await filled(dir);
    const sum = crc32(json!).toString(16).padStart(8, '0');
    await damage(dir, 'outcomes', (db) => db.putSync(4 as never, Buffer.from(`${json}\n${sum}`)));
    const spool = openSpool(dir);
    assert.deepEqual(
      spool.journal(0, 10).map(({ seq }) => seq),
      [1, 2, 5, 6],
    );
    await spool.close();
    assert.deepEqual(setAside(dir), ['outcomes-4.json']);
  });
}

test('with spool-delete-corrupted what cannot be read is deleted and named in the log', async (t) => {
  const dir = folder(t);
  await filled(dir);
  await damage(dir, 'pending', (db) => db.putSync(['m2', 1] as never, GARBAGE));
  const { log, lines } = keptLog();
  const spool = openSpool(dir, { log, deleteCorrupted: true });
  assert.equal(waiting(spool).length, 5);
  await spool.close();
  assert.ok(!existsSync(path.join(dir, 'corrupt')));
  assert.match(lines.join(''), /error: a corrupt record is deleted: recipient 1 .* id=m2-1/);
  const again = openSpool(dir);
  assert.equal(waiting(again).length, 5);
  await again.close();
});

test('a record that cannot be set aside stays where it is', async (t) => {
  const dir = folder(t);
  await filled(dir);
  await damage(dir, 'pending', (db) => db.putSync(['m2', 1] as never, GARBAGE));
  // A file where the folder should be: nothing can be written there.
  writeFileSync(path.join(dir, 'corrupt'), '');
  const { log, lines } = keptLog();
  for (let start = 1; start <= 2; start++) {
    const spool = openSpool(dir, { log });
    assert.equal(waiting(spool).length, 5);
    await spool.close();
    assert.equal(lines.length, start);
    assert.match(lines.at(-1)!, /cannot be set aside and stays/);
  }
});

test('a spool written before records had a layout number opens, with everything in it', async (t) => {
  const dir = folder(t);
  const fixture = path.join(import.meta.dirname, 'testdata', 'format-1.mdb.gz');
  writeFileSync(path.join(dir, 'data.mdb'), gunzipSync(readFileSync(fixture)));
  for (let start = 1; start <= 2; start++) {
    const spool = openSpool(dir);
    assert.equal(spool.id, 'c8ac1ee3-477f-4e2f-b0c2-656fde274133');
    assert.deepEqual(
      [...spool.recover()].flat().map((r) => [r.spoolId, r.index, r.domain, r.vmta, r.attempts, r.holdUntil]),
      [
        ['018bcfe568000001', 1, 'a.test', 'v', 0, 0],
        ['018bcfe568000002', 0, 'a.test', 'v', 0, 0],
        ['018bcfe568000002', 1, 'a.test', 'v', 3, 1_700_000_600_000],
      ],
    );
    const envelope = spool.envelope('018bcfe568000002')!;
    assert.deepEqual(
      envelope.recipients.map(({ address, notify }) => [address, notify]),
      [
        ['u0@a.test', []],
        ['u1@a.test', ['never']],
      ],
    );
    assert.deepEqual([envelope.eightBit, envelope.removeHeaders], [true, ['x-job']]);
    assert.deepEqual(envelope.facts.headers, [['X-Job', 'one']]);
    assert.equal(spool.content('018bcfe568000001')?.toString('latin1'), 'Subject: Hello\r\n\r\nGrüße.\r\n');
    assert.deepEqual(spool.checkpoint('acct'), { seq: 2, state: { file: 'acct.csv', size: 100 } });
    assert.deepEqual(
      spool.journal(0, 10).map(({ seq, outcome }) => [seq, outcome.kind]),
      [
        [3, 'received'],
        [4, 'received'],
      ],
    );
    await spool.close();
  }
});

test('a spool of a newer version is refused, not misread', async (t) => {
  const dir = folder(t);
  await filled(dir);
  const root = open({ path: dir, noSubdir: false, maxDbs: 8 });
  root.openDB({ name: 'state' }).putSync('format', 4);
  await root.close();
  assert.throws(
    () => openSpool(dir),
    (error) =>
      error instanceof UserError && /newer version \(layout 4, this one knows 3\)/.test(error.message),
  );
});
