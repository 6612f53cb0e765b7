import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openColdCounts } from './cold-counts.ts';

const DAY = 20_000;

/** The killed program: counts one message after the other, and writes down each that it would have answered with 250. */
async function child(dir: string): Promise<void> {
  const counts = openColdCounts(dir);
  const answered = openSync(path.join(dir, 'answered'), 'a');
  for (let i = 0; ; i++) {
    const before = counts.get('c', 'a.example');
    const count = (before?.count ?? 0) + 1;
    await counts.set('c', 'a.example', { first: DAY, day: DAY, count, steps: false });
    appendFileSync(answered, '1');
    fsyncSync(answered);
    if (i === 0) process.send?.('started');
  }
}

if (process.argv[2] === 'child') {
  await child(process.argv[3]!);
} else {
  test('D6.8: killed at any moment, no message that was answered with 250 is missing in the count', async (t) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'cold-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    for (let kills = 0; kills < 6; kills++) {
      const writer = fork(import.meta.filename, ['child', dir], { execArgv: [] });
      const exit = once(writer, 'exit');
      await once(writer, 'message');
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      writer.kill('SIGKILL');
      await exit;
      const counts = openColdCounts(dir);
      const answered = readFileSync(path.join(dir, 'answered')).length;
      const counted = counts.get('c', 'a.example')?.count ?? 0;
      await counts.close();
      // The one that was counted and not yet answered when the end came, once per kill.
      assert.ok(counted >= answered && counted <= answered + kills + 1, `${counted} of ${answered}`);
    }
  });
}
