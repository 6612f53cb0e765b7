import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { until } from '../system/testing.ts';
import { openKeyRing } from '../tracking/key-ring.ts';
import { click, pathTo, request } from '../tracking/tracker-testing.ts';
import { run } from './tracker.ts';

const main = fileURLToPath(new URL('../../bin/posthorn.js', import.meta.url));

interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  readonly err: () => string;
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'tracker-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

/** The command as a person runs it, once it listens. */
async function start(
  t: TestContext,
  dir: string,
  args: string[] = [],
  env: Record<string, string> = {},
): Promise<Running> {
  const child = spawn(
    process.execPath,
    [
      main,
      'tracker',
      ...['--listen', '127.0.0.1:0', '--keys', path.join(dir, 'keys.json'), '--data', path.join(dir, 'data')],
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stderr.on('data', (text) => {
    err += text;
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (text) => {
      out += text;
      const found = /listens on port (\d+)/.exec(out);
      if (found) resolve(Number(found[1]));
    });
    child.once('exit', () => reject(new Error(err)));
  });
  return { child, port, err: () => err };
}

/** The message ids in the event files of a folder, unfinished files included. */
function idsIn(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => /^sp1-[0-9A-F]{16}\.json(\.part)?$/.test(name))
    .sort()
    .flatMap((name) => idsOf(readFileSync(path.join(dir, name), 'utf8')));
}

/** Of whole lines; a crash may leave the beginning of one. */
function idsOf(text: string): string[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).msys.track_event.message_id);
}

test('killed under load, it has served everybody and lost only the last events, which no write had reached', async (t) => {
  const dir = await folder(t);
  const { child, port } = await start(t, dir);
  const ring = await openKeyRing(path.join(dir, 'keys.json'));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  t.after(() => agent.destroy());

  /** In the order of the answers; `after` is how many others had been answered when this one was asked for. */
  const acknowledged: { id: string; after: number }[] = [];
  let next = 0;
  let killed = false;
  const reader = async () => {
    for (;;) {
      const id = `message-${next++}`;
      const after = acknowledged.length;
      try {
        const answer = await request(agent, port, pathTo(ring, { ...click, messageId: id }));
        assert.equal(answer.status, 302);
        acknowledged.push({ id, after });
      } catch (error) {
        assert.ok(killed, `not served before the kill: ${error}`);
        return;
      }
    }
  };
  const readers = Promise.all(Array.from({ length: 16 }, reader));
  const data = path.join(dir, 'data');
  await until(() => acknowledged.length > 300);
  // They come to the disk by themselves, while others go on coming.
  const due = acknowledged.map(({ id }) => id);
  await until(() => {
    const kept = new Set(idsIn(data));
    return due.every((id) => kept.has(id));
  });
  const exited = once(child, 'exit');
  killed = true;
  child.kill('SIGKILL');
  await exited;
  await readers;

  const kept = idsIn(data);
  const keptSet = new Set(kept);
  assert.equal(keptSet.size, kept.length, 'no event twice');
  assert.ok(kept.length >= due.length);
  // Who was answered before a kept one was even asked for is kept too: only an end may be missing, never a hole.
  const through = Math.max(...acknowledged.filter(({ id }) => keptSet.has(id)).map(({ after }) => after));
  assert.deepEqual(
    acknowledged.slice(0, through).filter(({ id }) => !keptSet.has(id)),
    [],
  );
});

test('events are uploaded, the last ones before it ends', async (t) => {
  const dir = await folder(t);
  const taken: string[] = [];
  const keys = new Set<unknown>();
  const ingest = http.createServer((asked, answer) => {
    const chunks: Buffer[] = [];
    asked.on('data', (chunk) => chunks.push(chunk));
    asked.on('end', () => {
      keys.add(asked.headers.authorization);
      taken.push(...idsOf(gunzipSync(Buffer.concat(chunks)).toString()));
      answer.setHeader('Content-Type', 'application/json');
      answer.end('{"results":{"id":"7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10"}}');
    });
  });
  ingest.listen(0, '127.0.0.1');
  await once(ingest, 'listening');
  t.after(() => {
    ingest.closeAllConnections();
    ingest.close();
  });
  const keyFile = path.join(dir, 'ingest.key');
  await writeFile(keyFile, 'secret-key\n');
  const url = `http://127.0.0.1:${(ingest.address() as AddressInfo).port}/api/v1/ingest/events`;
  const { child, port, err } = await start(t, dir, ['--ingest-url', url, '--ingest-key-file', keyFile]);
  const ring = await openKeyRing(path.join(dir, 'keys.json'));
  const agent = new http.Agent({ keepAlive: true });
  for (let i = 0; i < 20; i++) {
    await request(agent, port, pathTo(ring, { ...click, messageId: `m${i}` }));
  }
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null], err());
  agent.destroy();
  assert.deepEqual(
    taken,
    Array.from({ length: 20 }, (_, i) => `m${i}`),
  );
  assert.deepEqual([...keys], ['secret-key']);
  assert.deepEqual(idsIn(path.join(dir, 'data')), []);
  assert.doesNotMatch(err(), /secret-key/);
});

test('without an address for events they stay in the folder, and the server is recognised', async (t) => {
  const dir = await folder(t);
  const args = ['--server-header', 'mail', '--trusted-proxy', '127.0.0.1', '--trusted-proxy', '10.0.0.0/8'];
  const { child, port } = await start(t, dir, args);
  const ring = await openKeyRing(path.join(dir, 'keys.json'));
  const agent = new http.Agent();
  const probe = await request(agent, port, '/f/a');
  assert.equal(probe.headers.server, 'mail');
  await request(agent, port, pathTo(ring, click), { headers: { 'X-Forwarded-For': '192.0.2.1, 10.0.0.1' } });
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  const data = path.join(dir, 'data');
  const [name] = readdirSync(data).filter((file) => file.endsWith('.json'));
  const { track_event } = JSON.parse(readFileSync(path.join(data, name!), 'utf8')).msys;
  assert.equal(track_event.message_id, click.messageId);
  assert.equal(track_event.ip_address, '192.0.2.1');
});

test('what is missing or wrong on the command line is said in a sentence', async (t) => {
  const dir = await folder(t);
  const good = ['--listen', '127.0.0.1:0', '--keys', path.join(dir, 'k'), '--data', path.join(dir, 'd')];
  const key = process.env.POSTHORN_INGEST_KEY;
  delete process.env.POSTHORN_INGEST_KEY;
  t.after(() => {
    if (key !== undefined) process.env.POSTHORN_INGEST_KEY = key;
  });
  for (const [args, message] of [
    [[], /--listen is missing/],
    [good.slice(0, 2), /--keys is missing/],
    [good.slice(0, 4), /--data is missing/],
    [['--listen', 'nowhere', ...good.slice(2)], /--listen nowhere is not HOST:PORT/],
    [[...good, '--server-header', 'a\r\nb'], /--server-header/],
    [[...good, '--ingest-url', 'ftp://x'], /--ingest-url ftp:\/\/x is not/],
    [[...good, '--ingest-url', 'http://x/'], /needs an API key/],
    [[...good, '--ingest-url', 'http://x/', '--ingest-key-file', path.join(dir, 'none')], /cannot be read/],
    [[...good, '--trusted-proxy', 'proxy.example'], /trusted proxy "proxy\.example"/],
  ] as const) {
    await assert.rejects(run([...args]), { name: 'UserError', message });
  }
});
