import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LedgerLine } from '../generate/run-ledger.ts';
import type { Expected } from '../sink/control.ts';
import { startSink } from '../sink/sink.ts';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { run } from './generate.ts';

const main = fileURLToPath(new URL('../../bin/posthorn.js', import.meta.url));

/** The command as a person runs it. */
function generate(
  args: readonly string[],
  during?: (kill: (signal: NodeJS.Signals) => void, out: () => string) => void,
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, 'generate', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (text) => {
      out += text;
      during?.(
        (signal) => child.kill(signal),
        () => out,
      );
    });
    child.stderr.on('data', (text) => {
      err += text;
    });
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

async function withSink(check: (smtp: string, control: string, dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'generate-'));
  const any = { host: '127.0.0.1', port: 0 };
  const sink = await startSink({
    smtp: any,
    dns: any,
    control: any,
    domain: 'sink.test',
    dataDir: path.join(dir, 'sink'),
    seed: 1,
    timeScale: 0,
    log: silentLog,
    clock: systemClock,
  });
  try {
    await check(
      `127.0.0.1:${sink.ports.smtp}`,
      `http://127.0.0.1:${sink.ports.control}`,
      path.join(dir, 'run'),
    );
  } finally {
    await sink.close();
    await rm(dir, { recursive: true });
  }
}

const ledgerOf = async (dir: string) =>
  (await readFile(path.join(dir, 'ledger.ndjson'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LedgerLine);

const expectedAt = async (control: string) =>
  (await (await fetch(`${control}/v1/expected`)).json()) as Expected;

test('what the generator says was taken is what the sink took, recipient by recipient', async () => {
  await withSink(async (smtp, control, dir) => {
    const { code, out, err } = await generate([
      ...['--server', smtp, '--insecure', '--messages', '150', '--retry-lost', '--data', dir, '--json'],
    ]);
    assert.equal(code, 0, err);
    const last = JSON.parse(out.trimEnd().split('\n').at(-1)!);
    assert.deepEqual([last.done, last.submitted], [true, 150]);
    const lines = await ledgerOf(dir);
    assert.equal(lines.length, 150);
    const taken = lines.flatMap(({ id, recipients, rejected }) =>
      recipients.filter((r) => !rejected.some(({ address }) => address === r)).map((r) => `${id} ${r}`),
    );
    const { messages } = (await (await fetch(`${control}/v1/messages?limit=1000`)).json()) as {
      messages: { mid: string; rcpt: string }[];
    };
    assert.deepEqual(messages.map(({ mid, rcpt }) => `${mid} ${rcpt}`).sort(), taken.sort());
    const { accepted, refused, deferred } = await expectedAt(control);
    assert.equal(accepted, last.recipients.accepted);
    assert.equal(refused, last.recipients.rejected);
    assert.ok(deferred > 0, 'some were put off and came again');
    const results = JSON.parse(await readFile(path.join(dir, 'results.json'), 'utf8'));
    assert.equal(results.accepted, last.accepted);
  });
});

test('SIGTERM in the middle: results agree with the sink', async () => {
  await withSink(async (smtp, control, dir) => {
    let asked = false;
    const { out, err } = await generate(
      ['--server', smtp, '--insecure', '--forever', '--rate', '100', '--data', dir, '--json'],
      (kill) => {
        if (!asked) kill('SIGTERM');
        asked = true;
      },
    );
    const last = JSON.parse(out.trimEnd().split('\n').at(-1)!);
    assert.equal(last.done, true, err);
    assert.equal((await ledgerOf(dir)).length, last.submitted);
    assert.equal((await expectedAt(control)).accepted, last.recipients.accepted);
  });
});

test('the plan is printed and nothing is sent', async () => {
  const { code, out } = await generate(['--plan', '--messages', '5', '--run', 'p']);
  assert.equal(code, 0);
  const lines = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ id }) => id.split('@')[0]),
    ['p.1', 'p.2', 'p.3', 'p.4', 'p.5'],
  );
});

test('wrong usage is said in one sentence, with exit status 2', async () => {
  const wrong: [string[], RegExp][] = [
    [['--messages', '5'], /--server HOST:PORT is missing/],
    [['--server', 'nonsense'], /--server nonsense is not HOST:PORT/],
    [['--server', '127.0.0.1:1', '--user', 'u', '--forever', '--messages', '1'], /exclude each other/],
    [['--server', '127.0.0.1:1', '--scenario', 'storm'], /no scenario "storm"/],
    [['--server', '127.0.0.1:1', '--rate', '0'], /--rate 0/],
    [['--server', '10.0.0.1:1', '--no-tls'], /for loopback only/],
    [['--plan', '--sink-domain', 'gmail.com'], /does not send to .*gmail\.com/],
    [['--bogus'], /--bogus/],
  ];
  for (const [args, words] of wrong) {
    await assert.rejects(
      run(args),
      (error: Error) => words.test(error.message) && !(error instanceof UserError && error.exitCode !== 2),
    );
  }
  const { code, err, out } = await generate(wrong[0]![0]);
  assert.deepEqual([code, out], [2, '']);
  assert.match(err, /^posthorn generate: [^\n]*--server HOST:PORT is missing[^\n]*\n$/);
});

test('a certificate that is not trusted ends the run and says what to do', async () => {
  await withSink(async (smtp) => {
    const { code, err } = await generate(['--server', smtp, '--messages', '3', '--retry-lost']);
    assert.equal(code, 1);
    assert.match(err, /cannot be used .*--insecure/);
  });
});
