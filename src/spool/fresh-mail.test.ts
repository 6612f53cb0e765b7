// Mail that stands in the log alone. That nothing is lost when the program is killed shows test/spool-log-kill.test.ts.
import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Outcome } from '../events/outcome.ts';
import { openSpool, type Spool, type SpoolOptions } from './spool.ts';
import { sample } from './testing.ts';

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-fresh-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function spoolIn(t: TestContext, dir: string, options: SpoolOptions = {}): Spool {
  const spool = openSpool(dir, options);
  t.after(() => spool.close());
  return spool;
}

/** What a kill at this moment would leave; nothing may be under way. */
function left(t: TestContext, dir: string): string {
  const copy = folder(t);
  for (const name of ['data.mdb', 'log-0', 'log-1']) cpSync(path.join(dir, name), path.join(copy, name));
  return copy;
}

async function store(
  spool: Spool,
  id: string,
  recipients: number,
  content = Buffer.from(`Subject: ${id}\r\n\r\n`),
) {
  const { envelope, pending, outcomes } = sample(id, recipients);
  await spool.store(envelope, content, pending, outcomes);
  const delivered = (index: number) => {
    const outcome = {
      ...outcomes[index]!,
      kind: 'delivered',
      attempt: { vmta: 'v', sourceIp: '' },
      result: {},
    };
    return spool.settle([{ spoolId: id, index, state: 'done' }], [outcome as unknown as Outcome]);
  };
  const deferred = (index: number) =>
    spool.settle([{ spoolId: id, index, state: { ...pending[index]!, attempts: 1 } }], []);
  return { delivered, deferred };
}

const waiting = (spool: Spool) =>
  [...spool.recover()].flat().map(({ spoolId, index, attempts }) => `${spoolId} ${index} ${attempts}`);

const journal = (spool: Spool, from = 0) =>
  spool.journal(from, 1e6).map(({ seq, outcome }) => {
    const { kind, message, recipient } = outcome as Extract<Outcome, { kind: 'received' }>;
    return `${seq} ${kind} ${message.spoolId} ${recipient.address}`;
  });

test('stored, settled for one of two: after a kill the other waits, with the message and all outcomes', async (t) => {
  const dir = folder(t);
  const spool = spoolIn(t, dir);
  spool.sent.enabled = true;
  const { delivered } = await store(spool, 'm1', 2);
  await delivered(0);
  await (await store(spool, 'm2', 1)).delivered(0);
  assert.equal(spool.messageCount, 1);
  assert.equal(spool.pending('m1', 0), undefined);
  assert.equal(spool.pending('m1', 1)?.domain, 'a.test');
  const copy = left(t, dir);
  for (const where of [copy, copy]) {
    const again = openSpool(where);
    assert.deepEqual(waiting(again), ['m1 1 0']);
    assert.equal(again.content('m1')?.toString(), 'Subject: m1\r\n\r\n');
    assert.equal(again.envelope('m1')?.recipients.length, 2);
    assert.deepEqual(journal(again), journal(spool));
    assert.equal(again.sent.find('00000000000000000000')?.recipient, 'u0@a.test');
    await again.close();
  }
});

test('a message of the log that is deferred becomes the store’s, while another recipient of it is settled', async (t) => {
  const dir = folder(t);
  const spool = spoolIn(t, dir);
  for (let n = 0; n < 20; n++) {
    const { delivered, deferred } = await store(spool, `m${n}`, 3);
    await Promise.all(
      n % 2 ? [delivered(0), deferred(1), delivered(2)] : [deferred(1), delivered(2), delivered(0)],
    );
  }
  const expected = Array.from({ length: 20 }, (_, n) => `m${n} 1 1`).sort();
  const copy = spoolIn(t, left(t, dir));
  assert.deepEqual(waiting(copy), expected);
  assert.deepEqual(journal(copy), journal(spool));
  await spool.close();
  assert.deepEqual(waiting(spoolIn(t, dir)), expected);
});

test('what the log cannot take the store takes: a large message, one for many, one with a claim', async (t) => {
  const spool = spoolIn(t, folder(t));
  await store(spool, 'large', 1, Buffer.alloc(2_000_000, 'x'));
  await store(spool, 'many', 100);
  const { envelope, pending, outcomes } = sample('claimed', 1);
  await spool.store(envelope, Buffer.from('x'), pending, outcomes, 'file');
  assert.ok(spool.wasTaken('file'));
  const fresh = await store(spool, 'fresh', 1);
  const [old, other] = [await store(spool, 'old', 2), spool.pending('many', 99)];
  await old.deferred(1);
  assert.ok(other);
  await Promise.all([fresh.delivered(0), old.delivered(0)]);
  assert.deepEqual([spool.messageCount, spool.envelope('fresh')], [4, undefined]);
});

test('a view that is far behind reads every outcome in order, wherever it stands', async (t) => {
  const dir = folder(t);
  const spool = spoolIn(t, dir, { logFileSize: 2_000_000 });
  for (let n = 0; n < 40; n++) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => store(spool, `m${n}-${i}`, 3)));
    await (await store(spool, `x${n}`, 40)).deferred(0);
  }
  assert.equal(spool.newestOutcome, 40 * 340);
  const numbers: number[] = [];
  for (let from = 0; ; ) {
    const entries = spool.journal(from, 77);
    if (entries.length === 0) break;
    numbers.push(...entries.map(({ seq }) => seq));
    from = numbers.at(-1)!;
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: 40 * 340 }, (_, i) => i + 1),
  );
  await spool.close();
  assert.deepEqual(
    spoolIn(t, dir)
      .journal(0, 1e6)
      .map(({ seq }) => seq),
    numbers,
  );
});

test('what is dropped does not come into the store with its segment', async (t) => {
  const dir = folder(t);
  const spool = openSpool(dir);
  await Promise.all(Array.from({ length: 50 }, (_, n) => store(spool, `m${n}`, 1)));
  await spool.advance(new Map([['view', { seq: 30, state: null }]]), 30);
  await spool.close();
  const again = spoolIn(t, dir);
  assert.equal(journal(again)[0]?.split(' ')[0], '31');
  assert.equal(again.newestOutcome, 50);
});

test('a damaged part of the log is set aside, the rest goes on', async (t) => {
  const dir = folder(t);
  const spool = spoolIn(t, dir);
  for (const id of ['m1', 'm2', 'm3']) await store(spool, id, 1);
  const copy = left(t, dir);
  const file = path.join(copy, 'log-0');
  const handle = openSync(file, 'r+');
  writeSync(handle, '#', readFileSync(file).indexOf('"m2"'));
  closeSync(handle);
  const again = spoolIn(t, copy);
  assert.deepEqual(waiting(again), ['m1 0 0', 'm3 0 0']);
  const [name, ...more] = readdirSync(path.join(copy, 'corrupt'));
  assert.match(name!, /^log-1-\d+\.json$/);
  assert.deepEqual(more, []);
  assert.match(
    readFileSync(path.join(copy, 'corrupt', name!), 'utf8'),
    /octets of segment 1 of the log, from \d+ on/,
  );
});

test('a message whose text has changed in the log is set aside like one of the store', async (t) => {
  const dir = folder(t);
  const spool = spoolIn(t, dir);
  await store(spool, 'm1', 1, Buffer.from('Subject: whole\r\n\r\n'));
  const copy = left(t, dir);
  const file = path.join(copy, 'log-0');
  const handle = openSync(file, 'r+');
  writeSync(handle, '#', readFileSync(file).indexOf('whole'));
  closeSync(handle);
  const again = spoolIn(t, copy);
  assert.equal(again.content('m1'), undefined);
  await again.close();
  assert.ok(readdirSync(path.join(copy, 'corrupt')).includes('m1.eml'));
});
