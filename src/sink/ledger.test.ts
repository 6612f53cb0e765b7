import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { UserError } from '../system/user-error.ts';
import { Ledger } from './ledger.ts';
import type { Accepted, Done } from './records.ts';
import { Tally } from './tally.ts';

function accepted(n: number, actions: number): Accepted {
  return {
    k: 'accepted',
    id: `t${n}.1`,
    at: n,
    mid: `m${n}@x.test`,
    rcpt: `r${n}@accept.sink.test`,
    from: 'b@x.test',
    client: '127.0.0.1',
    label: 'accept',
    provider: 'generic',
    reply: '250 2.0.0 Ok',
    size: 1,
    envid: '',
    orcpt: '',
    tls: '',
    tag: '',
    dup: false,
    trap: false,
    foreignImages: 0,
    foreignLinks: 0,
    plan: Array.from({ length: actions }, () => ({
      kind: 'open',
      who: 'person',
      due: 0,
      url: 'http://t/q/1',
      how: 'x',
    })),
  };
}

const done = (n: number, position: number): Done => ({
  k: 'done',
  at: 0,
  id: `t${n}.1`,
  n: position,
  kind: 'open',
  who: 'person',
  ok: true,
  doubt: false,
  status: 200,
  fault: '',
  tries: 1,
});

async function inFolder(check: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'ledger-'));
  try {
    await check(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function opened(dir: string, rotateAt: number): Promise<{ ledger: Ledger; tally: Tally }> {
  const tally = new Tally();
  const ledger = await Ledger.open({
    dir,
    rotateAt,
    apply: (record) => tally.apply(record),
    carryOver: () => tally.snapshot(0),
  });
  return { ledger, tally };
}

test('records that came at the same time are all there after a restart, in order', async () => {
  await inFolder(async (dir) => {
    const { ledger, tally } = await opened(dir, Number.POSITIVE_INFINITY);
    await Promise.all(Array.from({ length: 500 }, (_, n) => ledger.append(accepted(n, 1))));
    assert.equal(tally.counter('total_messages'), 500);
    await Promise.all(Array.from({ length: 200 }, (_, n) => ledger.append(done(n, 0))));
    await ledger.close();
    const again = await opened(dir, Number.POSITIVE_INFINITY);
    assert.deepEqual(again.tally.counters(), tally.counters());
    assert.equal(again.tally.pendingActions(), 300);
    assert.deepEqual(
      again.tally.list({ limit: 3 }).map(({ record }) => record.id),
      ['t499.1', 't498.1', 't497.1'],
    );
    await assert.rejects(ledger.append(accepted(1, 0)), /closed/);
    await again.ledger.close();
  });
});

test('a new file carries the counters and what is still to do', async () => {
  await inFolder(async (dir) => {
    const { ledger, tally } = await opened(dir, 4000);
    for (let n = 0; n < 100; n++) await ledger.append(accepted(n, n % 10 === 0 ? 2 : 0));
    for (let n = 0; n < 100; n += 20) await ledger.append(done(n, 0));
    await ledger.close();
    assert.deepEqual((await readdir(dir)).sort(), ['ledger.1.ndjson', 'ledger.ndjson']);
    const again = await opened(dir, 4000);
    assert.deepEqual(again.tally.counters(), tally.counters());
    assert.equal(again.tally.counter('total_messages'), 100);
    assert.equal(again.tally.pendingActions(), 15);
    assert.deepEqual(
      [...again.tally.unfinished()].map(({ left }) => left.map(({ n }) => n)),
      Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? [1] : [0, 1])),
    );
    assert.equal(again.tally.claim('m0@x.test', 'r0@accept.sink.test'), false, 'known as taken');
    await again.ledger.close();
  });
});

test('a folder that can not be used is named', async () => {
  await inFolder(async (dir) => {
    const { ledger } = await opened(dir, 1e9);
    await ledger.close();
    await assert.rejects(
      opened(path.join(ledger.file, 'below'), 1e9),
      (error) => error instanceof UserError && error.message.includes('below'),
    );
  });
});
