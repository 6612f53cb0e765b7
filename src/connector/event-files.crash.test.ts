import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../system/clock.ts';
import { writeFileDurably } from '../system/durable-file.ts';
import { silentLog } from '../system/log.ts';
import { openCheckpointedEventFiles } from './event-files.ts';

const TOTAL = 3000;

/** Numbers of all whole lines in the files, in order. */
function linesIn(dir: string): number[] {
  const events = path.join(dir, 'events');
  if (!existsSync(events)) return [];
  const names = readdirSync(events).filter((name) => name.startsWith('sp1-'));
  const texts = names.sort().map((name) => readFileSync(path.join(events, name), 'utf8'));
  return texts.flatMap((text) => text.split('\n').slice(0, -1)).map((line) => JSON.parse(line).line);
}

/** The killed program: writes lines 0 … TOTAL-1 behind a journal that is one file with a checkpoint. */
async function child(dir: string): Promise<void> {
  const journal = path.join(dir, 'journal.json');
  const state = existsSync(journal)
    ? JSON.parse(readFileSync(journal, 'utf8'))
    : { next: 0, checkpoint: null };
  if (linesIn(dir).length > state.next) appendFileSync(path.join(dir, 'found'), 'x');
  const files = await openCheckpointedEventFiles(
    {
      clock: systemClock,
      log: silentLog,
      dir: path.join(dir, 'events'),
      owner: 'a',
      maxBytes: 2000,
      maxAgeMs: 20,
    },
    state.checkpoint,
  );
  process.send?.('ready');
  for (let next = state.next; next < TOTAL; ) {
    const end = Math.min(TOTAL, next + 1 + Math.floor(Math.random() * 60));
    for (; next < end; next++) files.add(JSON.stringify({ line: next, text: 'x'.repeat(next % 50) }));
    const checkpoint = await files.flush();
    process.send?.('written');
    await sleep(Math.random() * 8);
    await writeFileDurably(journal, JSON.stringify({ next, checkpoint }));
  }
  await files.close();
  appendFileSync(path.join(dir, 'done'), 'x');
  process.disconnect?.();
}

if (process.argv[2] === 'child') {
  await child(process.argv[3]!);
} else {
  test('killed at any moment, the files hold every line once and in order', async (t) => {
    const dir = await mkdtemp(path.join(tmpdir(), 'event-files-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    let kills = 0;
    /** A start found lines that the journal did not know of yet: what this is about. */
    const met = () => existsSync(path.join(dir, 'found'));
    while (!existsSync(path.join(dir, 'done'))) {
      const writer = fork(import.meta.filename, ['child', dir], { execArgv: [] });
      const exit = once(writer, 'exit');
      if (kills < 10 || !met()) {
        // By what it has done: at its start, or some batches later, before or while one becomes known to the journal.
        let still = Math.floor(Math.random() * 4);
        const reached = new Promise<void>((resolve) => {
          writer.on('message', () => still-- === 0 && resolve());
        });
        await Promise.race([reached, exit]);
        await sleep(Math.random() * 12);
        if (writer.kill('SIGKILL')) kills++;
      }
      await exit;
    }
    assert.ok(kills > 3, `only ${kills} kills`);
    assert.ok(met(), 'no kill came between a write and its checkpoint');
    const unfinished = readdirSync(path.join(dir, 'events')).filter((name) => name.endsWith('.part'));
    assert.deepEqual(unfinished, []);
    assert.deepEqual(
      linesIn(dir),
      Array.from({ length: TOTAL }, (_, i) => i),
    );
  });
}
