// What a kill, a power cut or a script leaves of accounting files, and what the next start makes of it.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { bench, flush, flushAndDie, put, seq } from './acct-file.testing.ts';
import { recordsOf } from './rfc4180.testing.ts';

test('accounting 1: an interrupted flush: what is on disk is found, whatever the configuration is then', async (t) => {
  const b = await bench(t);
  const later = Array.from({ length: 20 }, (_, i) => `x${i}`);
  let view = b.view({ maxSize: 600 });
  await view.open(null);
  put(view, '1', '2');
  await flush(view);
  put(view, '3', '4');
  const intent = await flushAndDie(view);

  view = b.view({ maxSize: 150, recordFields: new Map([['d', ['jobId']]]) });
  assert.equal(await view.open(intent), seq, 'all of it');
  await flush(view);
  put(view, ...later);
  const several = await flushAndDie(view);
  assert.ok((several as { writing: unknown[] }).writing.length > 2);
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4', ...later]);

  view = b.view({ isoTimes: false, records: ['b', 'd'] });
  assert.equal(await view.open(several), seq);
  await flush(view);
  put(view, '5');
  await flush(view);
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4', ...later, '5']);
});

test('accounting 1: killed in the middle of a write, at each byte of it: whole records stay, the torn one goes', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  await flush(view);
  put(view, '2', 'a "quoted"\r\nvalue', '4');
  const [from, first] = [statSync(path.join(b.dir, b.files()[0]!)).size, seq - 3];
  const intent = await flushAndDie(view);
  const file = path.join(b.dir, b.files()[0]!);
  const whole = readFileSync(file);
  const ends = [0, 1, 2].map(
    (n) => (intent as { writing: [{ records: number[] }] }).writing[0].records[3 * n + 1]!,
  );
  assert.equal(from + ends[2]!, whole.length);
  for (let size = from; size <= whole.length; size++) {
    writeFileSync(file, whole.subarray(0, size));
    view = b.view();
    const written = ends.filter((end) => from + end <= size).length;
    assert.equal(await view.open(intent), written === 0 ? 0 : first + written, `${size} bytes`);
    await view.close();
    assert.equal(statSync(file).size, from + (ends[written - 1] ?? 0));
  }
});

test('accounting 1: the same in the first write of a file, which goes when not even its title is whole', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1', '2');
  const intent = await flushAndDie(view);
  const file = path.join(b.dir, b.files()[0]!);
  const whole = readFileSync(file);
  for (const size of [0, 5, whole.indexOf('\n') + 1, whole.length - 5]) {
    for (const name of readdirSync(b.dir)) rmSync(path.join(b.dir, name));
    writeFileSync(file, whole.subarray(0, size));
    view = b.view();
    const last = await view.open(intent);
    put(view, ...(last === 0 ? ['1', '2'] : ['2']));
    await flush(view);
    await view.close();
    assert.deepEqual(b.jobs(), ['1', '2'], `${size} bytes`);
  }
});

for (const [how, act] of [
  ['moved by a script', (file: string, away: string) => renameSync(file, path.join(away, 'taken.csv'))],
  [
    'moved to another volume',
    (file: string, away: string) => {
      writeFileSync(path.join(away, 'taken.csv'), readFileSync(file));
      rmSync(file);
    },
  ],
] as const) {
  test(`accounting 1: between a kill and the start the file is ${how}: nothing is written again, and the numbers go on`, async (t) => {
    const b = await bench(t);
    const away = path.join(b.dir, 'away');
    mkdirSync(away);
    let view = b.view();
    await view.open(null);
    put(view, '1');
    await flush(view);
    put(view, '2', '3');
    const intent = await flushAndDie(view);
    act(path.join(b.dir, b.files()[0]!), away);
    view = b.view();
    assert.equal(await view.open(intent), seq);
    await flush(view);
    put(view, '4');
    await flush(view);
    assert.deepEqual(b.files(), ['acct-2031-04-08-0001.csv']);
    assert.deepEqual(b.jobs(), ['4']);
    const taken = recordsOf(readFileSync(path.join(away, 'taken.csv'), 'utf8'));
    assert.deepEqual(
      taken.map((r) => r.get('jobId')),
      ['1', '2', '3'],
    );
    await view.close();
    assert.ok(
      !readdirSync(b.dir).some((name) => name.endsWith('.open')),
      'second names are gone after a stop',
    );
  });
}

test('a power cut left holes of zeros: each record is there once, and nothing else', async (t) => {
  const b = await bench(t);
  const jobs = Array.from({ length: 200 }, (_, i) => `job${i}`);
  let view = b.view();
  await view.open(null);
  put(view, ...jobs.slice(0, 50));
  await flush(view);
  const bytes = statSync(path.join(b.dir, b.files()[0]!)).size;
  const before = seq;
  put(view, ...jobs.slice(50));
  const intent = await flushAndDie(view);
  const file = path.join(b.dir, b.files()[0]!);
  const whole = readFileSync(file);
  for (const [from, to] of [
    [0, 512],
    [1024, 1536],
    [512, whole.length],
  ] as const) {
    const torn = Buffer.from(whole);
    torn.fill(0, bytes + from, Math.min(bytes + to, whole.length));
    writeFileSync(file, torn);
    view = b.view();
    const last = (await view.open(intent)) || before;
    put(view, ...jobs.slice(50 + last - before));
    await flush(view);
    await view.close();
    assert.deepEqual(readFileSync(file), whole);
  }
  assert.deepEqual(b.jobs(), jobs);
});
