import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../../events/outcome.ts';
import { sampleOutcome } from '../../events/testing.ts';
import { type Log, silentLog } from '../../system/log.ts';
import { TestClock } from '../../system/testing.ts';
import { UserError } from '../../system/user-error.ts';
import { type AcctFileOptions, type AcctFileView, createAcctFile } from './acct-file.ts';
import { recordsOf } from './rfc4180.testing.ts';

process.env.TZ = 'Europe/Berlin';

const noon = new Date(2031, 3, 8, 12).getTime();
const DAY = 86_400_000;

interface Bench {
  readonly dir: string;
  readonly clock: TestClock;
  readonly lines: string[];
  view(more?: Partial<AcctFileOptions> & { owner?: string }): AcctFileView;
  /** Dated files, in order. */
  files(dir?: string): string[];
  /** Jobs of all records of all files, in order: each record of a test has its own. */
  jobs(dir?: string): string[];
}

async function bench(t: { after(f: () => Promise<void>): void }): Promise<Bench> {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-'));
  const clock = new TestClock(noon);
  const lines: string[] = [];
  const note = (message: string) => void lines.push(message);
  const log: Log = { info: note, warn: note, error: note, named: () => log };
  const views: AcctFileView[] = [];
  t.after(async () => {
    for (const view of views) await view.close().catch(() => {});
    await rm(dir, { recursive: true, force: true });
  });
  const files = (of = dir) =>
    readdirSync(of)
      .filter((n) => n.startsWith('acct-'))
      .sort();
  return {
    dir,
    clock,
    lines,
    view({ owner = 'journal', ...more } = {}) {
      const options = {
        path: path.join(dir, 'acct.csv'),
        records: ['d', 'b'] as const,
        recordFields: new Map([['d' as const, ['rcpt', 'jobId']]]),
        // The files are of today, the clock is not.
        deleteAfterMs: null,
        ...more,
      };
      const view = createAcctFile(options, { clock, log, owner });
      views.push(view);
      return view;
    },
    files,
    jobs: (of = dir) =>
      files(of).flatMap((n) => recordsOf(readFileSync(path.join(of, n), 'utf8')).map((r) => r.get('jobId')!)),
  };
}

let seq = 0;

/** Writes one delivery per job name. */
function put(view: AcctFileView, ...jobs: string[]): void {
  for (const jobId of jobs) {
    const outcome = sampleOutcome('delivered') as Extract<Outcome, { kind: 'delivered' }>;
    view.write(++seq, { ...outcome, message: { ...outcome.message, jobId } });
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await sleep(5);
  }
  assert.fail(`never: ${what}`);
}

test('accounting 7.1: dated name, one title, records in order, CRLF, mode', async (t) => {
  const b = await bench(t);
  const view = b.view();
  await view.open(null);
  assert.deepEqual(b.files(), [], 'no record, no file');
  put(view, '1', '2');
  await view.flush();
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
  await view.flush();
  assert.deepEqual(b.files(), ['acct-all-2031-04-08-0000']);
  assert.equal(statSync(path.join(b.dir, 'acct-all-2031-04-08-0000')).mode & 0o777, 0o644);
});

test('accounting 7.1: a new file at midnight, at max-size and on request; an older clock makes no older name', async (t) => {
  const b = await bench(t);
  const view = b.view({ maxSize: 600 });
  await view.open(null);
  put(view, ...Array.from({ length: 30 }, (_, i) => `a${i}`));
  await view.flush();
  const many = b.files().length;
  assert.ok(many > 2);
  for (const name of b.files()) assert.ok(statSync(path.join(b.dir, name)).size <= 600);
  await view.rotate();
  put(view, 'b');
  await view.flush();
  assert.equal(b.files().length, many + 1);
  b.clock.advance(DAY);
  put(view, 'c');
  await view.flush();
  assert.equal(b.files().at(-1), 'acct-2031-04-09-0000.csv');
  b.clock.advance(-DAY);
  await view.rotate();
  put(view, 'd');
  await view.flush();
  assert.equal(b.files().at(-1), 'acct-2031-04-09-0001.csv');
  assert.deepEqual(b.jobs().slice(-3), ['b', 'c', 'd']);
  assert.equal(b.jobs().length, 33);
});

test('accounting 7.1: a restart goes on with the last file of today if the title is the same', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  let checkpoint = await view.flush();
  await view.close();

  view = b.view();
  await view.open(checkpoint);
  put(view, '2');
  checkpoint = await view.flush();
  await view.close();
  assert.equal(b.files().length, 1);

  view = b.view({ records: ['d'] });
  await view.open(checkpoint);
  put(view, '3');
  checkpoint = await view.flush();
  await view.close();
  assert.equal(b.files().length, 2);

  b.clock.advance(DAY);
  view = b.view({ records: ['d'] });
  await view.open(checkpoint);
  put(view, '4');
  await view.flush();
  assert.deepEqual(b.files(), [
    'acct-2031-04-08-0000.csv',
    'acct-2031-04-08-0001.csv',
    'acct-2031-04-09-0000.csv',
  ]);
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4']);
});

test('accounting 1: records after the checkpoint, told again, are there once', async (t) => {
  const b = await bench(t);
  const later = Array.from({ length: 20 }, (_, i) => `x${i}`);
  let view = b.view({ maxSize: 600 });
  await view.open(null);
  put(view, '1', '2');
  const first = await view.flush();
  put(view, '3', '4');
  const second = await view.flush();
  put(view, ...later);
  await view.flush();
  put(view, 'never flushed');
  await view.close();

  view = b.view({ maxSize: 600 });
  await view.open(first);
  put(view, '3', '4');
  const again = await view.flush();
  assert.deepEqual(again, second, 'what was found counts as written');
  put(view, ...later);
  const third = await view.flush();
  await view.close();
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4', ...later]);

  // The crash came in the middle of writing the next record.
  appendFileSync(path.join(b.dir, b.files().at(-1)!), 'd,Ana@mail.exa');
  view = b.view({ maxSize: 600 });
  await view.open(third);
  put(view, '5', '6');
  await view.flush();
  assert.deepEqual(b.jobs(), ['1', '2', '3', '4', ...later, '5', '6']);
});

test('the same when the crash came before the first checkpoint', async (t) => {
  const b = await bench(t);
  writeFileSync(path.join(b.dir, 'acct-2031-04-07-0000.csv'), 'type,rcpt,jobId\r\nd,x,old\r\n');
  for (let i = 0; i < 3; i++) {
    const view = b.view({ maxSize: 600 });
    await view.open(null);
    put(view, '1', '2', '3', '4', '5', '6', '7', '8');
    await view.flush();
    await view.close();
    assert.deepEqual(b.jobs(), ['old', '1', '2', '3', '4', '5', '6', '7', '8']);
  }
});

test('a power cut left holes of zeros behind the checkpoint: each record is there once, and nothing else', async (t) => {
  const b = await bench(t);
  const jobs = Array.from({ length: 200 }, (_, i) => `job${i}`);
  let view = b.view();
  await view.open(null);
  put(view, ...jobs.slice(0, 50));
  const checkpoint = await view.flush();
  put(view, ...jobs.slice(50));
  await view.flush();
  await view.close();
  const file = path.join(b.dir, b.files()[0]!);
  const whole = readFileSync(file);
  for (const [from, to] of [
    [0, 512],
    [1024, 1536],
    [512, whole.length],
  ] as const) {
    const torn = Buffer.from(whole);
    const { bytes } = checkpoint as { bytes: number };
    torn.fill(0, bytes + from, Math.min(bytes + to, whole.length));
    writeFileSync(file, torn);
    view = b.view();
    await view.open(checkpoint);
    put(view, ...jobs.slice(50));
    await view.flush();
    await view.close();
    assert.deepEqual(readFileSync(file), whole);
  }
  assert.deepEqual(b.jobs(), jobs);
});

test('files and records of another program are never removed', async (t) => {
  const b = await bench(t);
  let view = b.view();
  await view.open(null);
  put(view, '1');
  const checkpoint = await view.flush();
  await view.close();
  // Rolled back to another MTA for two days, which went on with our file and made its own.
  const ours = path.join(b.dir, 'acct-2031-04-08-0000.csv');
  const [title, row] = readFileSync(ours, 'utf8').split('\r\n');
  appendFileSync(ours, `${row!.replace('1', 'other-1')}\r\n`);
  writeFileSync(
    path.join(b.dir, 'acct-2031-04-09-0000.csv'),
    `${title}\r\n${row!.replace('1', 'other-2')}\r\n`,
  );
  for (const owner of ['journal', 'another journal']) {
    view = b.view({ owner });
    await view.open(owner === 'journal' ? checkpoint : null);
    put(view, owner);
    await view.flush();
    await view.close();
  }
  const jobs = b.jobs();
  for (const job of ['1', 'other-1', 'other-2', 'journal', 'another journal']) {
    assert.equal(jobs.filter((j) => j === job).length, 1, `${job} in ${jobs}`);
  }
  assert.equal(jobs.length, 5);
});

test('accounting 7.1: move-to: files are moved after the flush that follows their last record, by name and whole', async (t) => {
  const b = await bench(t);
  const done = path.join(b.dir, 'done');
  const view = b.view({ moveTo: done, moveIntervalMs: 3_600_000, countMovedRecords: true });
  await view.open(null);
  put(view, '1', '2');
  await view.flush();
  b.clock.advance(3_600_000);
  put(view, '3');
  await view.flush();
  assert.deepEqual(b.files(done), []);
  put(view, '4');
  await view.flush();
  assert.deepEqual(b.files(done), ['acct-2031-04-08-0000.csv']);
  assert.deepEqual(b.jobs(done), ['1', '2']);
  assert.deepEqual(b.jobs(), ['3', '4']);
  assert.ok(b.lines.includes(`Moved acct-2031-04-08-0000.csv to ${done} (2 records)`));
});

test('accounting 7.1: move-to without traffic, across a restart, and numbers that a consumer has taken away', async (t) => {
  const b = await bench(t);
  const done = path.join(b.dir, 'done');
  const options = { moveTo: done, moveIntervalMs: 60_000 };
  let view = b.view(options);
  await view.open(null);
  put(view, '1');
  let checkpoint = await view.flush();
  b.clock.advance(61_000);
  b.clock.advance(2000);
  await until('moved', () => b.files(done).length === 1);
  rmSync(path.join(done, 'acct-2031-04-08-0000.csv'));
  await view.close();

  view = b.view(options);
  await view.open(checkpoint);
  put(view, '2');
  checkpoint = await view.flush();
  await view.close();
  assert.deepEqual(b.files(), ['acct-2031-04-08-0001.csv']);

  b.clock.advance(DAY);
  view = b.view(options);
  await view.open(checkpoint);
  assert.deepEqual(b.files(done), ['acct-2031-04-08-0001.csv'], 'left over by the stop');
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
  await view.flush();
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
  const checkpoint = await view.flush();
  put(view, '2');
  await view.rotate();
  put(view, '3');
  // Files cannot be made in a folder that is a file.
  const away = path.join(b.dir, 'away');
  renameSync(dir, away);
  writeFileSync(dir, '');
  await assert.rejects(view.flush());
  await assert.rejects(view.open(checkpoint), UserError);
  rmSync(dir);
  renameSync(away, dir);
  await view.open(checkpoint);
  put(view, '2', '3');
  await view.flush();
  assert.deepEqual(b.jobs(dir), ['1', '2', '3']);
});

test('accounting 3.1: warnings of record-fields reach the log', async (t) => {
  const b = await bench(t);
  b.view({ recordFields: new Map([['d', ['nonsense']]]) });
  assert.match(b.lines.join('\n'), /record-fields d: "nonsense" is no accounting field/);
  assert.equal(silentLog.named('x'), silentLog);
});
