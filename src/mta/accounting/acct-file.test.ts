import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../system/log.ts';
import { until } from '../../system/testing.ts';
import { UserError } from '../../system/user-error.ts';
import { bench, DAY, flush, noon, put, seq } from './acct-file.testing.ts';

test('accounting 7.1: dated name, one title, records in order, CRLF, mode', async (t) => {
  const b = await bench(t);
  const view = b.view();
  await view.open(null);
  assert.deepEqual(b.files(), [], 'no record, no file');
  put(view, '1', '2');
  await flush(view);
  assert.deepEqual(b.files(), ['acct-2031-04-08-0000.csv']);
  const file = path.join(b.dir, 'acct-2031-04-08-0000.csv');
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.ok(readFileSync(file, 'utf8').startsWith('type,rcpt,jobId,timeLogged,'));
  assert.deepEqual(b.jobs(), ['1', '2']);
});

test('accounting 7: world-readable, and a path without extension', async (t) => {
  const b = await bench(t);
  const view = b.view({ path: path.join(b.dir, 'acct-all'), worldReadable: true });
  await view.open(null);
  put(view, '1');
  await flush(view);
  assert.deepEqual(b.files(), ['acct-all-2031-04-08-0000']);
  assert.equal(statSync(path.join(b.dir, 'acct-all-2031-04-08-0000')).mode & 0o777, 0o644);
});

test('accounting 7.1: a new file at midnight, at max-size and on request; an older clock makes no older name', async (t) => {
  const b = await bench(t);
  const view = b.view({ maxSize: 600 });
  await view.open(null);
  put(view, ...Array.from({ length: 30 }, (_, i) => `a${i}`));
  await flush(view);
  const many = b.files().length;
  assert.ok(many > 2);
  for (const name of b.files()) assert.ok(statSync(path.join(b.dir, name)).size <= 600);
  await view.rotate();
  put(view, 'b');
  await flush(view);
  assert.equal(b.files().length, many + 1);
  b.clock.advance(DAY);
  put(view, 'c');
  await flush(view);
  assert.equal(b.files().at(-1), 'acct-2031-04-09-0000.csv');
  b.clock.advance(-DAY);
  await view.rotate();
  put(view, 'd');
  await flush(view);
  assert.equal(b.files().at(-1), 'acct-2031-04-09-0001.csv');
  assert.deepEqual(b.jobs().slice(-3), ['b', 'c', 'd']);
  assert.equal(b.jobs().length, 33);
});

test('accounting 7.1: a restart goes on with the last file of today if the title is the same', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  let checkpoint = await flush(view);
  await view.close();

  view = b.view();
  await view.open(checkpoint);
  put(view, '2');
  checkpoint = await flush(view);
  await view.close();
  assert.equal(b.files().length, 1);

  view = b.view({ records: ['d'] });
  await view.open(checkpoint);
  put(view, '3');
  checkpoint = await flush(view);
  await view.close();
  assert.equal(b.files().length, 2);

  b.clock.advance(DAY);
  view = b.view({ records: ['d'] });
  await view.open(checkpoint);
  put(view, '4');
  await flush(view);
  assert.deepEqual(b.files(), [
    'acct-2031-04-08-0000.csv',
    'acct-2031-04-08-0001.csv',
    'acct-2031-04-09-0000.csv',
  ]);
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4']);
});

test('a file that is copied and emptied under us goes on from its beginning, without a hole', async (t) => {
  const b = await bench(t);
  const view = b.view();
  await view.open(null);
  put(view, '1', '2');
  await flush(view);
  const file = path.join(b.dir, 'acct-2031-04-08-0000.csv');
  const title = readFileSync(file, 'utf8').split('\r\n')[0]!;
  truncateSync(file, 0);
  put(view, '3');
  await flush(view);
  put(view, '4');
  const state = await flush(view);
  const text = readFileSync(file, 'latin1');
  assert.match(text, /^d,[^\0]*,3,[^\0]*\r\nd,[^\0]*,4,[^\0]*\r\n$/);
  await view.close();
  // Without a title it is no file to go on with.
  const again = b.view();
  assert.equal(await again.open(state), 0);
  put(again, '5');
  await flush(again);
  assert.deepEqual(b.files(), ['acct-2031-04-08-0000.csv', 'acct-2031-04-08-0001.csv']);
  assert.ok(readFileSync(path.join(b.dir, 'acct-2031-04-08-0001.csv'), 'utf8').startsWith(title));
});

test('files and records of another program are never removed', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  const checkpoint = await flush(view);
  await view.close();
  // Rolled back to another MTA for two days, which went on with our file and made its own.
  const ours = path.join(b.dir, 'acct-2031-04-08-0000.csv');
  const [title, row] = readFileSync(ours, 'utf8').split('\r\n');
  appendFileSync(ours, `${row!.replace('1', 'other-1')}\r\n`);
  writeFileSync(
    path.join(b.dir, 'acct-2031-04-09-0000.csv'),
    `${title}\r\n${row!.replace('1', 'other-2')}\r\n`,
  );
  for (const journal of ['journal', 'another journal']) {
    view = b.view();
    await view.open(journal === 'journal' ? checkpoint : null);
    put(view, journal);
    await flush(view);
    await view.close();
  }
  const jobs = b.jobs();
  for (const job of ['1', 'other-1', 'other-2', 'journal', 'another journal']) {
    assert.equal(jobs.filter((j) => j === job).length, 1, `${job} in ${jobs}`);
  }
  assert.equal(jobs.length, 5);
});

test('accounting 7.1: move-to: files are moved when the spool knows that they are whole, by name', async (t) => {
  const b = await bench(t);
  const done = path.join(b.dir, 'done');
  const view = b.view({ moveTo: done, moveIntervalMs: 3_600_000, countMovedRecords: true });
  await view.open(null);
  put(view, '1', '2');
  await flush(view);
  b.clock.advance(3_600_000);
  put(view, '3');
  await view.flush();
  assert.deepEqual(b.files(done), ['acct-2031-04-08-0000.csv']);
  assert.deepEqual(b.jobs(done), ['1', '2']);
  assert.deepEqual(b.jobs(), ['3']);
  await view.rotate();
  b.clock.advance(2000);
  await sleep(50);
  assert.deepEqual(b.files(done).length, 1, 'the spool does not know yet');
  view.stored!();
  b.clock.advance(2000);
  await until(() => b.files(done).length === 2);
  assert.ok(b.lines.includes(`Moved acct-2031-04-08-0000.csv to ${done} (2 records)`));
});

test('accounting 7.1: move-to without traffic, across a restart, and numbers that a consumer has taken away', async (t) => {
  const b = await bench(t);
  const done = path.join(b.dir, 'done');
  const options = { moveTo: done, moveIntervalMs: 60_000 };
  let view = b.view(options);
  await view.open(null);
  put(view, '1');
  let checkpoint = await flush(view);
  b.clock.advance(61_000);
  b.clock.advance(2000);
  await until(() => b.files(done).length === 1);
  rmSync(path.join(done, 'acct-2031-04-08-0000.csv'));
  await view.close();

  view = b.view(options);
  await view.open(checkpoint);
  put(view, '2');
  checkpoint = await flush(view);
  await view.close();
  assert.deepEqual(b.files(), ['acct-2031-04-08-0001.csv']);

  b.clock.advance(DAY);
  view = b.view(options);
  await view.open(checkpoint);
  b.clock.advance(2000);
  await until(() => b.files(done).includes('acct-2031-04-08-0001.csv'));
});

test('accounting 7: move-to must be on the same volume', async (t) => {
  const b = await bench(t);
  if (!existsSync('/dev/shm') || statSync('/dev/shm').dev === statSync(b.dir).dev)
    return t.skip('one volume only');
  const other = await mkdtemp('/dev/shm/acct-');
  t.after(() => rm(other, { recursive: true, force: true }));
  await assert.rejects(b.view({ moveTo: other }).open(null), UserError);
});

test('accounting 7: delete-after removes old files, not what is moved away or written', async (t) => {
  const b = await bench(t);
  const view = b.view({ deleteAfterMs: 8 * DAY });
  await view.open(null);
  const old = path.join(b.dir, 'acct-2031-03-01-0000.csv');
  const young = path.join(b.dir, 'acct-2031-04-01-0000.csv');
  const foreign = path.join(b.dir, 'acct-notes.csv');
  for (const [file, days] of [
    [old, 9],
    [young, 7],
    [foreign, 100],
  ] as const) {
    writeFileSync(file, 'type,jobId\r\n');
    utimesSync(file, 0, (noon - days * DAY) / 1000);
  }
  put(view, '1');
  await flush(view);
  assert.deepEqual(
    [old, young, foreign].map((f) => existsSync(f)),
    [false, true, true],
  );
});

test('accounting 1: a disk that refuses: flush rejects, and after opening again nothing is lost or doubled', async (t) => {
  const b = await bench(t);
  const dir = path.join(b.dir, 'acct');
  mkdirSync(dir);
  const view = b.view({ path: path.join(dir, 'acct.csv') });
  await view.open(null);
  put(view, '1');
  await flush(view);
  put(view, '2');
  await view.rotate();
  put(view, '3');
  // Files cannot be made in a folder that is a file.
  const away = path.join(b.dir, 'away');
  renameSync(dir, away);
  writeFileSync(dir, '');
  const intent = structuredClone(view.intend!());
  await assert.rejects(view.flush());
  await assert.rejects(view.open(intent), UserError);
  rmSync(dir);
  renameSync(away, dir);
  assert.equal(await view.open(intent), seq - 1, 'the first of the two files was open and took its record');
  put(view, '3');
  await flush(view);
  assert.deepEqual(b.jobs(dir), ['1', '2', '3']);
});

test('accounting 3.1: warnings of record-fields reach the log', async (t) => {
  const b = await bench(t);
  b.view({ recordFields: new Map([['d', ['nonsense']]]) });
  assert.match(b.lines.join('\n'), /record-fields d: "nonsense" is no accounting field/);
  assert.equal(silentLog.named('x'), silentLog);
});

test('accounting 7.1: what was rotated away gets no more records, also after a restart without any in between', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  await flush(view);
  await view.rotate();
  const state = await flush(view);
  await view.close();
  view = b.view();
  await view.open(state);
  put(view, '2');
  await flush(view);
  assert.deepEqual(b.files(), ['acct-2031-04-08-0000.csv', 'acct-2031-04-08-0001.csv']);
});

test('a rotation answers when the file is complete and has one name only, as gzip wants it', async (t) => {
  const b = await bench(t);
  const view = b.view();
  await view.open(null);
  put(view, '1');
  await flush(view);
  const file = path.join(b.dir, b.files()[0]!);
  assert.equal(statSync(file).nlink, 2);
  await view.rotate();
  assert.equal(statSync(file).nlink, 1);
});
