import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSpool } from '../../../spool/spool.ts';
import { folder, until } from '../../testing.ts';

const TAKER = fileURLToPath(new URL('./testdata/taker.ts', import.meta.url));
const PER_ROUND = 260;
/** Messages of one run until the kill: among those of a batch, and at its end, where files are removed and forgotten. */
const KILLED_AFTER = [3, 250, 256];

test('D18.1 killed again and again, the server takes every file once', async (t) => {
  const root = folder(t);
  const [incoming, bad, spoolDir] = ['in', 'bad', 'spool'].map((name) => path.join(root, name)) as [
    ...[string, string, string],
  ];
  for (const dir of [incoming, bad, spoolDir]) mkdirSync(dir);
  const config = path.join(root, 'config');
  writeFileSync(config, `pickup ${incoming} ${bad}\n`);
  let files = 0;
  const fill = () => {
    for (let n = 0; n < PER_ROUND; n++, files++) {
      const file = path.join(root, `f${files}`);
      writeFileSync(
        file,
        `x-sender: s@b.test\nx-receiver: u${files}@a.test\nSubject: x\n\n${'x'.repeat(500)}\n`,
      );
      utimesSync(file, 1_600_000_000, 1_600_000_000);
      renameSync(file, path.join(incoming, `f${files}`));
    }
  };
  // The folder of claimed files bears an id, which may end like a file's name too: only what is in it counts.
  const left = () =>
    readdirSync(incoming, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;

  const run = () =>
    spawn(process.execPath, [TAKER, spoolDir, config], { stdio: ['ignore', 'pipe', 'inherit'] });
  for (const after of KILLED_AFTER) {
    fill();
    const taker = run();
    let told = 0;
    for await (const piece of taker.stdout) {
      told += String(piece).split('\n').length - 1;
      if (told >= after) taker.kill('SIGKILL');
    }
    if (taker.signalCode === null) await once(taker, 'exit');
  }
  const last = run();
  t.after(() => last.kill('SIGKILL'));
  last.stdout.resume();
  await until(() => left() === 0);
  last.kill('SIGKILL');
  await once(last, 'exit');

  const spool = openSpool(spoolDir);
  t.after(() => spool.close());
  const taken: string[] = [];
  for (const batch of spool.recover()) {
    for (const { spoolId } of batch) taken.push(spool.envelope(spoolId)!.recipients[0]!.address);
  }
  assert.deepEqual(taken.sort(), Array.from({ length: files }, (_, i) => `u${i}@a.test`).sort());
  assert.deepEqual(readdirSync(bad), []);
});
