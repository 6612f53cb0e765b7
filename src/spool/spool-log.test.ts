import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../system/testing.ts';
import type { ReadSegment } from './log-records.ts';
import { readLog, SpoolLog } from './spool-log.ts';

const KEY = 'a key';

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-log-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function log(t: TestContext, dir: string, number: number, fileSize?: number, key = KEY) {
  const retire: number[] = [];
  const opened = new SpoolLog(dir, number, key, { fileSize, retire: (segment) => void retire.push(segment) });
  t.after(async () => {
    await opened.idle();
    opened.close();
  });
  return { log: opened, retire };
}

/** Appends these in one turn, as one group. */
async function append(to: SpoolLog, ...records: readonly [text: string, content?: string][]): Promise<void> {
  await Promise.all(
    records.map(([text, content]) => {
      assert.ok(to.hasRoom(text.length + (content?.length ?? 0)));
      return to.append(text, content === undefined ? null : Buffer.from(content));
    }),
  );
}

function read(dir: string, numbers = [1, 2, 7]): ReadSegment[] {
  return readLog(dir, numbers, KEY);
}

function texts(dir: string): string[] {
  return read(dir).flatMap(({ records }) =>
    records.map(({ text, content }) => (content.length > 0 ? `${text} ${content}` : text)),
  );
}

/** Changes one octet of the first place where a file has this text. */
function damage(dir: string, text: string): void {
  const file = path.join(dir, 'log-0');
  const at = readFileSync(file).indexOf(text);
  assert.ok(at > 0);
  const handle = openSync(file, 'r+');
  writeSync(handle, '#', at);
  closeSync(handle);
}

test('what was appended is read back in order, with its content, also text that is long or not ASCII', async (t) => {
  const dir = folder(t);
  const { log: first } = log(t, dir, 7);
  const long = `"${'ü'.repeat(40_000)}"`;
  await append(first, ['a', 'content'], ['b']);
  await append(first, [long, 'x'.repeat(100_000)]);
  await append(first, ['„c“', '']);
  assert.deepEqual(texts(dir), ['a content', 'b', `${long} ${'x'.repeat(100_000)}`, '„c“']);
  assert.deepEqual(
    read(dir).map(({ number, damaged }) => [number, damaged]),
    [[7, []]],
  );
});

test('a folder without a log, and one whose files hold something else', (t) => {
  const dir = folder(t);
  assert.deepEqual(read(dir), []);
  writeFileSync(path.join(dir, 'log-0'), 'no log');
  writeFileSync(path.join(dir, 'log-1'), Buffer.alloc(100));
  assert.deepEqual(read(dir), []);
});

test('the files take turns: the next is begun when one is full, and written anew when the store has what it held', async (t) => {
  const dir = folder(t);
  const { log: small, retire } = log(t, dir, 1, 20_000);
  const fill = async (name: string) => {
    let count = 0;
    for (; small.hasRoom(1000); count++) await append(small, [`${name}${count}`, 'x'.repeat(980)]);
    return count;
  };
  // The second file has to grow first.
  assert.equal(await fill('a'), 19);
  await until(() => small.hasRoom(1000));
  assert.equal(small.segment, 2);
  assert.equal(await fill('b'), 19);
  assert.deepEqual(retire, [1]);
  assert.deepEqual(
    read(dir).map(({ number, records }) => [number, records.length]),
    [
      [1, 19],
      [2, 19],
    ],
  );
  small.retired();
  await append(small, ['c', 'x'.repeat(980)]);
  // What the first use of the file left behind the new record belongs to nothing.
  assert.deepEqual(
    read(dir, [2, 3]).map(({ number, records, damaged }) => [number, records.length, damaged.length]),
    [
      [2, 19, 0],
      [3, 1, 0],
    ],
  );
});

test('a file of no size is no log', (t) => {
  const { log: none } = log(t, folder(t), 1, 0);
  assert.equal(none.hasRoom(0), false);
});

test('of the last group nothing counts from its first damaged record on: nobody was told of it', async (t) => {
  const dir = folder(t);
  const { log: torn } = log(t, dir, 1);
  await append(torn, ['told']);
  await append(torn, ['one'], ['two'], ['three']);
  damage(dir, 'two');
  assert.deepEqual(texts(dir), ['told', 'one']);
  damage(dir, 'one');
  assert.deepEqual(texts(dir), ['told']);
  assert.deepEqual(read(dir)[0]!.damaged, []);
});

test('damage before it is told, with what stood there, and the rest is read', async (t) => {
  const dir = folder(t);
  const { log: damaged } = log(t, dir, 1);
  await append(damaged, ['one', 'first'], ['two', 'second']);
  await append(damaged, ['three', 'third']);
  await append(damaged, ['four', 'fourth']);
  damage(dir, 'two');
  damage(dir, 'three');
  const [segment] = read(dir);
  assert.deepEqual(texts(dir), ['one first', 'four fourth']);
  assert.equal(segment!.damaged.length, 1);
  assert.match(segment!.damaged[0]!.octets.toString('latin1'), /#wosecond.*#hreethird$/s);
});

test('damage at the end of a group whose next is the last, and torn, is told', async (t) => {
  const dir = folder(t);
  const { log: damaged } = log(t, dir, 1);
  await append(damaged, ['one'], ['two']);
  await append(damaged, ['three'], ['four']);
  damage(dir, 'two');
  damage(dir, 'three');
  assert.equal(read(dir)[0]!.damaged.length, 1);
});

test('a message cannot bring a record with it, even where the record that it came in cannot be read', async (t) => {
  const other = folder(t);
  const { log: elsewhere } = log(t, other, 1, undefined, 'another key');
  await append(elsewhere, ['forged', 'mail']);
  const forged = readFileSync(path.join(other, 'log-0')).subarray(0, 200);
  const dir = folder(t);
  const { log: attacked } = log(t, dir, 1);
  assert.ok(attacked.hasRoom(forged.length));
  await attacked.append('message', forged);
  await append(attacked, ['after']);
  damage(dir, 'message');
  assert.deepEqual(texts(dir), ['after']);
  assert.equal(read(dir)[0]!.damaged.length, 1);
});
