import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { TestClock, until } from '../system/testing.ts';
import { UserError } from '../system/user-error.ts';
import { openCheckpointedEventFiles, openEventFiles } from './event-files.ts';

const common = { clock: systemClock, log: silentLog };

async function folder(t: { after(f: () => Promise<void>): void }): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'event-files-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const names = (dir: string) =>
  readdirSync(dir)
    .filter((n) => n.startsWith('sp1-'))
    .sort();

/** All lines of all files, in the order of their numbers. */
function lines(dir: string, ending = /\.json(\.part)?$/): string[] {
  return names(dir)
    .filter((n) => ending.test(n))
    .flatMap((n) => {
      const text = readFileSync(path.join(dir, n), 'utf8');
      assert.ok(text.endsWith('\n'), `${n} ends in the middle of a line`);
      return text.slice(0, -1).split('\n');
    });
}

test('a line is on disk soon, and its file is closed when it is old', async (t) => {
  const dir = await folder(t);
  const clock = new TestClock(1_000_000);
  const files = await openEventFiles({ ...common, clock, dir });
  assert.ok(files.add('{"a":1}'));
  clock.advance(200);
  await until(() => existsSync(path.join(dir, 'sp1-0000000000000001.json.part')));
  await files.sync();
  assert.deepEqual(lines(dir), ['{"a":1}']);
  clock.advance(900);
  await until(() => existsSync(path.join(dir, 'sp1-0000000000000001.json')));
  files.add('{"b":2}');
  await files.close();
  assert.deepEqual(names(dir), ['sp1-0000000000000001.json', 'sp1-0000000000000002.json']);
  assert.deepEqual(lines(dir), ['{"a":1}', '{"b":2}']);
  assert.throws(() => files.add('{}'));
});

test('numbers go on counting when the uploader has emptied the folder', async (t) => {
  const dir = await folder(t);
  let last = 0;
  for (let i = 0; i < 4; i++) {
    const files = await openEventFiles({ ...common, dir });
    files.add('{}');
    await files.close();
    const number = Number.parseInt(names(dir)[0]!.slice(4, 20), 16);
    assert.ok(number > last);
    last = number;
    await rm(path.join(dir, names(dir)[0]!));
  }
});

test('no file grows past its limit, and no line is cut', async (t) => {
  const dir = await folder(t);
  const files = await openEventFiles({ ...common, dir, maxBytes: 1000 });
  const sent: string[] = [];
  for (let i = 0; i < 200; i++) {
    const line = JSON.stringify({ i, text: 'ü'.repeat(i % 90) });
    sent.push(line);
    files.add(line);
    if (i % 17 === 0) await files.sync();
  }
  assert.throws(() => files.add('x'.repeat(1000)), /larger than an event file/);
  assert.throws(() => files.add('{}\n{}'), /one line/);
  await files.close();
  for (const name of names(dir)) assert.ok(readFileSync(path.join(dir, name)).length <= 1000, name);
  assert.deepEqual(lines(dir, /\.json$/), sent);
});

test('what a crash left unfinished is closed and kept, less a broken last line', async (t) => {
  const dir = await folder(t);
  writeFileSync(path.join(dir, 'sp1-00000000000000A0.json.part'), '{"a":1}\n{"b":2}\n{"c":');
  writeFileSync(path.join(dir, 'sp1-00000000000000A1.json.part'), '{"never":');
  writeFileSync(path.join(dir, 'sp1-nonsense.json'), '');
  const files = await openEventFiles({ ...common, dir });
  files.add('{"d":4}');
  await files.close();
  assert.deepEqual(names(dir), [
    'sp1-00000000000000A0.json',
    'sp1-00000000000000A2.json',
    'sp1-nonsense.json',
  ]);
  assert.deepEqual(lines(dir, /A\d\.json$/), ['{"a":1}', '{"b":2}', '{"d":4}']);
});

test('a disk that refuses: lines wait in memory up to a bound, then are dropped and told; later all is written', async (t) => {
  const dir = path.join(await folder(t), 'events');
  mkdirSync(dir);
  const told: string[] = [];
  const log = { ...silentLog, error: (m: string) => void told.push(m) };
  const files = await openEventFiles({ clock: systemClock, log, dir, syncMs: 5, maxUnsynced: 100 });
  await rm(dir, { recursive: true });
  files.add(`{"a":"${'x'.repeat(90)}"}`);
  await assert.rejects(files.sync());
  assert.equal(files.add('{"b":1}'), true);
  assert.equal(files.add('{"c":1}'), false);
  await until(() => told.some((m) => m.includes('kept in memory')));
  assert.ok(told.some((m) => m.includes('dropped')));
  mkdirSync(dir);
  await files.close();
  assert.deepEqual(
    lines(dir).map((l) => Object.keys(JSON.parse(l))[0]),
    ['a', 'b'],
  );
});

test('a folder that cannot be written is said in one sentence', async (t) => {
  const dir = await folder(t);
  writeFileSync(path.join(dir, 'file'), '');
  await assert.rejects(openEventFiles({ ...common, dir: path.join(dir, 'file', 'events') }), UserError);
  if (process.getuid?.() !== 0) {
    await chmod(dir, 0o500);
    await assert.rejects(openEventFiles({ ...common, dir }), UserError);
    await chmod(dir, 0o700);
  }
});

test('behind a journal, a file is closed only when its checkpoint has been stored', async (t) => {
  const dir = await folder(t);
  const clock = new TestClock(1_000_000);
  const files = await openCheckpointedEventFiles({ ...common, clock, dir, owner: 'a', maxBytes: 20 }, null);
  for (let i = 0; i < 5; i++) files.add(`{"line":${i}}`);
  const checkpoint = await files.flush();
  assert.deepEqual(checkpoint, { file: 5, bytes: 11 });
  assert.ok(names(dir).every((n) => n.endsWith('.part')));
  await files.flush();
  assert.equal(names(dir).filter((n) => n.endsWith('.json')).length, 4);
  clock.advance(1000);
  await until(() => names(dir).every((n) => n.endsWith('.json')));
  await files.close();
});

test('at a checkpoint, everything later is taken back: lines, parts, and files closed too early', async (t) => {
  const dir = await folder(t);
  const options = { ...common, dir, owner: 'a', maxAgeMs: 60_000, maxBytes: 1000 };
  let files = await openCheckpointedEventFiles(options, null);
  files.add('{"line":1}');
  const first = await files.flush();
  files.add('{"line":2}');
  const second = await files.flush();
  for (let i = 3; i < 300; i++) files.add(`{"line":${i}}`);
  await files.flush();
  await files.close();
  assert.ok(names(dir).length > 3);

  files = await openCheckpointedEventFiles(options, second);
  assert.deepEqual(lines(dir), ['{"line":1}', '{"line":2}']);
  files.add('{"line":3}');
  await files.flush();
  await files.close();

  files = await openCheckpointedEventFiles(options, first);
  assert.deepEqual(lines(dir), ['{"line":1}']);
  files.add('{"line":"2 again"}');
  const last = await files.flush();
  await files.close();
  assert.deepEqual(lines(dir, /\.json$/), ['{"line":1}', '{"line":"2 again"}']);

  // Uploaded and gone: the journal's next line goes to a new file.
  for (const name of names(dir)) await rm(path.join(dir, name));
  files = await openCheckpointedEventFiles(options, last);
  files.add('{"line":3}');
  await files.flush();
  await files.close();
  assert.deepEqual(lines(dir), ['{"line":3}']);

  files = await openCheckpointedEventFiles(options, null);
  assert.deepEqual(names(dir), [], 'from the beginning: all of this journal is taken back');
  await files.close();
});

test('files of another journal are kept', async (t) => {
  const dir = await folder(t);
  let files = await openCheckpointedEventFiles({ ...common, dir, owner: 'a' }, null);
  files.add('{"from":"a"}');
  await files.flush();
  await files.close();
  writeFileSync(path.join(dir, 'sp1-0000000000000F00.json.part'), '{"from":"older"}\n{');
  for (const checkpoint of [null, { file: 0, bytes: 0 }]) {
    files = await openCheckpointedEventFiles({ ...common, dir, owner: 'b' }, checkpoint);
    assert.deepEqual(lines(dir, /\.json$/), ['{"from":"a"}', '{"from":"older"}']);
    files.add('{"from":"b"}');
    await files.flush();
    await files.close();
    assert.equal(lines(dir).length, 3);
  }
});
