import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from './clock.ts';
import { LogFile, type LogFileSettings, nextMidnight } from './log-file.ts';
import { TestClock } from './testing.ts';
import { UserError } from './user-error.ts';

function settings(t: TestContext, given: Partial<LogFileSettings> = {}): LogFileSettings {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-log-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'pmta.log');
  return { file, origin: 'test', generations: 8, atMidnight: false, worldReadable: false, ...given };
}

const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : null);

test('rotating keeps as many generations as log-rotate says, the live one included', async (t) => {
  const chosen = settings(t, { generations: 3 });
  const log = await LogFile.open(chosen, systemClock);
  for (const line of ['one', 'two', 'three', 'four']) {
    log.write(`${line}\n`);
    await log.rotate();
  }
  log.write('five\n');
  await log.close();
  assert.equal(read(chosen.file), 'five\n');
  assert.equal(read(`${chosen.file}.1`), 'four\n');
  assert.equal(read(`${chosen.file}.2`), 'three\n');
  assert.equal(read(`${chosen.file}.3`), null);
});

test('log-rotate 1 keeps no old file, 0 never rotates', async (t) => {
  for (const [generations, left] of [
    [1, 'after\n'],
    [0, 'before\nafter\n'],
  ] as const) {
    const chosen = settings(t, { generations });
    const log = await LogFile.open(chosen, systemClock);
    log.write('before\n');
    await log.rotate();
    log.write('after\n');
    await log.close();
    assert.equal(read(chosen.file), left);
    assert.equal(read(`${chosen.file}.1`), null);
  }
});

test('a new generation begins at local midnight, each day', async (t) => {
  const evening = new Date(2031, 3, 7, 23, 59, 0).getTime();
  const clock = new TestClock(evening);
  const chosen = settings(t, { atMidnight: true });
  const log = await LogFile.open(chosen, clock);
  log.write('the seventh\n');
  clock.advance(60_000);
  await log.close();
  assert.equal(read(`${chosen.file}.1`), 'the seventh\n');
  assert.equal(nextMidnight(evening), new Date(2031, 3, 8).getTime());
});

test('another file by a reload, and readable for all when that is asked for', async (t) => {
  const chosen = settings(t);
  const log = await LogFile.open(chosen, systemClock);
  log.write('old\n');
  assert.equal(statSync(chosen.file).mode & 0o777, 0o640 & ~process.umask());
  const other = { ...chosen, file: `${chosen.file}-new`, worldReadable: true };
  await log.apply(other);
  log.write('new\n');
  await log.close();
  assert.equal(read(chosen.file), 'old\n');
  assert.equal(read(other.file), 'new\n');
  assert.equal(statSync(other.file).mode & 0o777, 0o644 & ~process.umask());
});

test('a file that cannot be written is a sentence with the line that named it', async (t) => {
  const chosen = settings(t);
  const bad = {
    ...chosen,
    file: path.join(path.dirname(chosen.file), 'pmta.log', 'x'),
    origin: 'pmta.conf:3',
  };
  const log = await LogFile.open(chosen, systemClock);
  await assert.rejects(LogFile.open(bad, systemClock), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /pmta\.conf:3/);
    return true;
  });
  await log.close();
});
