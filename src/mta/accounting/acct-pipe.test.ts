import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { sampleOutcome } from '../../events/testing.ts';
import { systemClock } from '../../system/clock.ts';
import { type Log, silentLog } from '../../system/log.ts';
import { until } from '../../system/testing.ts';
import { type AcctPipeOptions, createAcctPipe } from './acct-pipe.ts';

async function bench(t: { after(f: () => Promise<void>): void }, more: Partial<AcctPipeOptions>) {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-pipe-'));
  const lines: string[] = [];
  const log: Log = { ...silentLog, error: (m) => void lines.push(m), warn: (m) => void lines.push(m) };
  const out = path.join(dir, 'out');
  const view = createAcctPipe(
    {
      command: `cat >> ${out}`,
      records: ['d'],
      recordFields: new Map([['d', ['rcpt', 'jobId']]]),
      ...more,
      ...(more.command ? { command: more.command.replaceAll('DIR', dir) } : {}),
    },
    { clock: systemClock, log },
  );
  t.after(async () => {
    await view.close();
    await rm(dir, { recursive: true, force: true });
  });
  const read = () => (existsSync(out) ? readFileSync(out, 'utf8') : '');
  return { view, lines, dir, read };
}

const row = 'd,Ana@mail.example.net,spring31\n';

test('accounting 7.4: the program gets the title, then the records it wants', async (t) => {
  const { view, read } = await bench(t, {});
  await view.open(null);
  for (const kind of ['delivered', 'bounced', 'delivered'] as const) view.write(1, sampleOutcome(kind));
  await view.flush();
  await view.close();
  assert.equal(read(), `type,rcpt,jobId\n${row}${row}`);
});

test('accounting 7.4: a program that ends is told of and started again, with a title', async (t) => {
  const { view, read, lines } = await bench(t, {
    command: 'head -n 2 >> DIR/out; exit 3',
    retryIntervalMs: 20,
  });
  await view.open(null);
  view.write(1, sampleOutcome('delivered'));
  await until(() => lines.length > 0);
  assert.match(lines[0]!, /^Error (?:executing|writing to) "head -n 2 .*": /);
  await until(() => {
    view.write(2, sampleOutcome('delivered'));
    return read().split('type,rcpt').length > 2;
  });
});

test('accounting 7.4: a program that takes nothing is given up and its records are dropped; nobody waits for it', async (t) => {
  const { view, read, lines, dir } = await bench(t, {
    command: 'if [ -e DIR/again ]; then cat >> DIR/out; else touch DIR/again; exec sleep 60; fi',
    writeTimeoutMs: 100,
    retryIntervalMs: 10,
    maxBuffered: 100_000,
  });
  await view.open(null);
  await until(() => existsSync(path.join(dir, 'again')));
  for (let i = 0; i < 20_000; i++) view.write(i, sampleOutcome('delivered'));
  await view.flush();
  await until(() => lines.some((l) => l.startsWith('Error writing to')));
  await until(() => read() !== '');
  assert.ok(lines.some((l) => /\d+ records were not given to/.test(l)));
  view.write(1, sampleOutcome('delivered'));
  await view.close();
  assert.equal(read(), `type,rcpt,jobId\n${row}`);
  rmSync(path.join(dir, 'again'));
});

test('accounting 7.4: a command that does not exist is told of', async (t) => {
  const { view, lines } = await bench(t, { command: '/nonexistent/program', retryIntervalMs: 60_000 });
  await view.open(null);
  await until(() => lines.length > 0);
  assert.match(lines[0]!, /Error (?:executing|writing to) "\/nonexistent\/program": /);
  view.restart();
});
