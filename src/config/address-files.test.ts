import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { realDisk } from './disk.ts';
import { loadConfig } from './load.ts';

test('an address file is read again only when it has changed', (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-lists-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const list = path.join(dir, 'gone');
  const main = path.join(dir, 'config');
  const write = (text: string, at: number) => {
    writeFileSync(list, text);
    utimesSync(list, at, at);
  };
  let reads = 0;
  const { readFile } = realDisk;
  realDisk.readFile = (file) => {
    if (file === list) reads++;
    return readFile(file);
  };
  t.after(() => {
    realDisk.readFile = readFile;
  });
  writeFileSync(main, `<address-list gone>\naddress-file ${list}\n</address-list>\n`);
  const has = (address: string) => loadConfig(main).config!.addressLists.get('gone')!.matches(address);
  write('kim@a.test\nlou\n', 1_600_000_000);
  assert.deepEqual([has('KIM@a.test'), has('lou@x.test'), has('joe@a.test')], [true, true, false]);
  assert.equal(reads, 1);
  write('joe@a.test\n', 1_600_000_001);
  assert.deepEqual([has('kim@a.test'), has('joe@a.test')], [false, true]);
  assert.equal(reads, 2);
});
