// The power goes while event files are written: every line that was on disk is there once, and no other line is half
// there. The disk is that of test/fault-layer.c; the writer is a process of its own, which is killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '../scripts/system-packages.ts';
import { openEventFiles } from '../src/connector/event-files.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { faultLayer, randomFrom } from './fault-layer.ts';
import { temporaryFolder } from './program.ts';

const CUTS = 5;

/** Writes until it is killed; prints the number of each line that is on disk. */
async function write(dir: string, round: number): Promise<void> {
  const options = { clock: systemClock, log: silentLog, dir, maxBytes: 60_000, maxAgeMs: 50, syncMs: 5 };
  const files = await openEventFiles(options);
  for (let next = 0; ; ) {
    const from = next;
    for (; next < from + 40; next++)
      files.add(JSON.stringify({ line: `${round}-${next}`, text: 'x'.repeat(300) }));
    const refused = await files.sync().then(
      () => false,
      () => true,
    );
    // Lines are in the file, their sync has failed.
    if (refused) process.stdout.write('refused\n');
    else process.stdout.write(`${round} ${next}\n`);
    for (let more = 0; more < 40; more++, next++)
      files.add(JSON.stringify({ line: `${round}-${next}`, text: 'y'.repeat(300) }));
    await sleep(1);
  }
}

if (process.argv[2] === 'writer') {
  await write(process.argv[3]!, Number(process.argv[4]));
} else {
  test('event files after power cuts: what was on disk is there once, no line is torn', {
    skip: missing('gcc'),
  }, async () => {
    const folder = temporaryFolder();
    const dir = path.join(folder, 'disk');
    mkdirSync(dir);
    const layer = faultLayer(dir, path.join(folder, 'control'), { FAULT_UNDO: '1' });
    const random = randomFrom(7);
    const durable = new Map<number, number>();
    let lost = 0;
    for (let round = 0; round < CUTS; round++) {
      const writer = spawn(process.execPath, [import.meta.filename, 'writer', dir, String(round)], {
        env: { ...process.env, ...layer.env },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(writer, 'exit');
      let said = '';
      let enough = () => {};
      const busy = new Promise<void>((resolve) => {
        enough = resolve;
      });
      const wanted = 3 + Math.floor(random() * 20);
      writer.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.split('\n').length > wanted) layer.switch('eio-sync', true);
        if (said.includes('refused')) enough();
      });
      await Promise.race([busy, exited]);
      writer.kill('SIGKILL');
      await exited;
      layer.switch('eio-sync', false);
      const last = said.slice(0, said.indexOf('refused')).trimEnd().split('\n').at(-1)!;
      durable.set(round, Number(last.split(' ')[1]));
      const { dropped, torn } = layer.cutPower(random);
      lost += dropped + torn;
    }
    assert.ok(lost > CUTS / 3, 'the power cuts must have lost something');
    // The last start closes what is left.
    await (await openEventFiles({ clock: systemClock, log: silentLog, dir })).close();
    const names = readdirSync(dir).sort();
    assert.deepEqual(
      names.filter((name) => name.endsWith('.part')),
      [],
    );
    const seen = new Set<string>();
    for (const name of names.filter((one) => one.endsWith('.json'))) {
      for (const line of readFileSync(path.join(dir, name), 'utf8').trimEnd().split('\n')) {
        const { line: number } = JSON.parse(line) as { line: string };
        assert.ok(!seen.has(number), `${number} is there twice`);
        seen.add(number);
      }
    }
    for (const [round, through] of durable) {
      for (let n = 0; n < through; n++) assert.ok(seen.has(`${round}-${n}`), `${round}-${n} was on disk`);
    }
  });
}
