import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '../system/clock.ts';
import type { Log, LogValue } from '../system/log.ts';
import { until } from '../system/testing.ts';
import { closedName, partName } from './event-file-names.ts';
import { startUploader, type UploaderOptions } from './uploader.ts';

const key = '00112233445566778899aabbccddeeff00112233';

interface Context {
  after(f: () => Promise<void> | void): void;
}

async function folder(t: Context): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'uploader-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

interface Request {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

type Behaviour = (response: ServerResponse, request: Request, count: number) => void;

const taken: Behaviour = (response) => {
  response.setHeader('content-type', 'application/json');
  response.end('{"results":{"id":"7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10"}}');
};

/** A real ingest service as far as an uploader sees it: its behaviour is the test's. */
async function service(t: Context, behaviour: Behaviour) {
  const requests: Request[] = [];
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const request = { headers: incoming.headers, body: gunzipSync(Buffer.concat(chunks)).toString() };
    assert.equal(incoming.method, 'POST');
    assert.equal(incoming.url, '/api/v1/ingest/events');
    requests.push(request);
    behaviour(response, request, requests.length);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(() => done()));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/ingest/events`;
  return { requests, url };
}

function memoryLog(): Log & { lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string, fields?: Readonly<Record<string, LogValue>>) =>
    void lines.push(`${level}${message}${fields ? ` ${JSON.stringify(fields)}` : ''}`);
  const log = { lines, info: at(''), warn: at('warning: '), error: at('error: '), named: () => log };
  return log;
}

function start(t: Context, options: Partial<UploaderOptions> & { dir: string; url: string }) {
  const log = memoryLog();
  const uploader = startUploader({
    apiKey: key,
    log,
    clock: systemClock,
    pollMs: 5,
    retryMs: 5,
    maxRetryMs: 20,
    mendMs: 20,
    verbose: true,
    ...options,
  });
  t.after(() => uploader.close());
  return Object.assign(uploader, { log });
}

function put(dir: string, number: number, text = `{"file":${number}}\n`): void {
  writeFileSync(path.join(dir, closedName(number)), text);
}

test('closed files go out in order, one by one, gzipped and signed with the key, and are deleted', async (t) => {
  const dir = await folder(t);
  const { requests, url } = await service(t, taken);
  for (const number of [0x10, 9, 0xa]) put(dir, number);
  writeFileSync(path.join(dir, partName(0x11)), '{"unfinished":1}\n');
  writeFileSync(path.join(dir, 'other.json'), '{}');
  const uploader = start(t, { dir, url });
  await until(() => uploader.pending() === 1);
  assert.ok(!uploader.idle(), 'the unfinished one is still to come');
  assert.deepEqual(
    requests.map((r) => r.body),
    ['{"file":9}\n', '{"file":10}\n', '{"file":16}\n'],
  );
  for (const { headers } of requests) {
    assert.equal(headers.authorization, key);
    assert.equal(headers['content-type'], 'application/x-ndjson');
    assert.equal(headers['content-encoding'], 'gzip');
  }
  put(dir, 0x11);
  await rm(path.join(dir, partName(0x11)));
  await until(() => uploader.idle());
  await uploader.close();
  assert.deepEqual(readdirSync(dir), ['other.json']);
});

test('the log has the lines that operators know, and never the key', async (t) => {
  const dir = await folder(t);
  const { url } = await service(t, taken);
  const uploader = start(t, { dir, url });
  await until(() => uploader.log.lines.length === 1);
  put(dir, 0x3fbd);
  await until(() => uploader.log.lines.length === 4);
  assert.deepEqual(uploader.log.lines, [
    'Discovered 0 files',
    'Discovered sp1-0000000000003FBD.json',
    'Transferred sp1-0000000000003FBD.json successfully.',
    'Discovered 1 file, transferred 1 file successfully',
  ]);
  await uploader.close();

  const quiet = start(t, { dir, url, verbose: false });
  put(dir, 0x3fbe);
  await until(() => quiet.idle());
  await quiet.close();
  assert.deepEqual(quiet.log.lines, [
    `Transfer-Summary-API-key="0011${'*'.repeat(36)}": success:1, failure:0, discarded:0`,
  ]);
  assert.ok(![...uploader.log.lines, ...quiet.log.lines].some((l) => l.includes(key)));
});

const fail: Record<string, Behaviour> = {
  'status 500': (r) => r.writeHead(500).end('{"errors":[{"message":"store is full"}]}'),
  'status 503 in HTML': (r) => r.writeHead(503).end('<html>later</html>'),
  'status 429': (r) => r.writeHead(429, { 'retry-after': '0' }).end('{"errors":[{"message":"slow"}]}'),
  'connection closed': (r) => r.destroy(),
  'connection closed in the answer': (r) => {
    r.writeHead(200, { 'content-length': '100' });
    r.write('{"results"');
    setTimeout(() => r.destroy(), 5);
  },
  'no answer': () => {},
  'half an answer': (r) => void r.writeHead(200).write('{"res'),
  'status 401': (r) => r.writeHead(401).end('{"errors":[{"message":"Unauthorized."}]}'),
  'status 403': (r) => r.writeHead(403).end('{"errors":[{"message":"Forbidden."}]}'),
  'status 415': (r) => r.writeHead(415).end('{"errors":[{"message":"Unsupported"}]}'),
  'a redirect': (r) => r.writeHead(302, { location: 'http://192.0.2.1/' }).end(),
  '200 from something else': (r) => r.end('<html>Welcome</html>'),
  '200 with an endless page': (r) => {
    const more = () => void (r.destroyed || r.write('x'.repeat(60_000), () => setImmediate(more)));
    more();
  },
};

/** Those that only the time for a request ends. */
const withoutEnd = new Set(['no answer', 'half an answer']);

for (const [what, behaviour] of Object.entries(fail)) {
  test(`${what}: the file is kept, told of, and sent again until it is taken`, async (t) => {
    const dir = await folder(t);
    let timeUp = () => {};
    const { requests, url } = await service(t, (response, request, count) => {
      (count <= 2 ? behaviour : taken)(response, request, count);
      if (count <= 2 && withoutEnd.has(what)) timeUp();
    });
    put(dir, 1);
    put(dir, 2);
    const timeoutMs = 1_000_000;
    const clock = {
      now: systemClock.now,
      after(ms: number, then: () => void) {
        if (ms !== timeoutMs) return systemClock.after(ms, then);
        timeUp = then;
        return () => {};
      },
    };
    const uploader = start(t, { dir, url, clock, timeoutMs });
    await until(() => uploader.idle());
    await uploader.close();
    assert.deepEqual(
      requests.map((r) => r.body.trim()),
      ['{"file":1}', '{"file":1}', '{"file":1}', '{"file":2}'],
    );
    const told = uploader.log.lines.filter((l) => l.startsWith('warning: '));
    assert.equal(told.length, 2);
    for (const line of told) assert.match(line, /Transfer of sp1-0{15}1\.json failed: .+; the file is kept/);
    const status = /status (\d+)/.exec(what)?.[1];
    if (status) assert.ok(told[0]!.includes(status), told[0]);
  });
}

test('a batch that is refused for itself does not hold up the others', async (t) => {
  const dir = await folder(t);
  const { requests, url } = await service(t, (response, request, count) => {
    if (request.body.includes('"file":1}') && count < 4) {
      response.writeHead(413).end('{"errors":[{"message":"too large"}]}');
    } else taken(response, request, count);
  });
  for (const number of [1, 2, 3]) put(dir, number);
  const uploader = start(t, { dir, url, mendMs: 100 });
  await until(() => uploader.idle());
  assert.deepEqual(
    requests.map((r) => r.body.trim()),
    ['{"file":1}', '{"file":2}', '{"file":3}', '{"file":1}'],
  );
});

test('nobody listens: waits grow, and are bounded', async (t) => {
  const dir = await folder(t);
  put(dir, 1);
  let now = 0;
  let timers: { at: number; then: () => void }[] = [];
  const clock = {
    now: () => now,
    after(ms: number, then: () => void) {
      const timer = { at: now + ms, then };
      timers.push(timer);
      return () => {
        timers = timers.filter((t) => t !== timer);
      };
    },
  };
  const tries: number[] = [];
  const refuse = async () => {
    tries.push(now);
    throw new TypeError('fetch failed', { cause: Object.assign(new Error(''), { code: 'ECONNREFUSED' }) });
  };
  const uploader = start(t, {
    dir,
    url: 'http://127.0.0.1:9/',
    clock,
    fetch: refuse as typeof fetch,
    retryMs: 1000,
    maxRetryMs: 60_000,
    pollMs: 500,
    random: () => 0.5,
  });
  while (tries.length < 10) {
    await new Promise(setImmediate);
    const next = timers.find((t) => t.at <= now + 500);
    if (next) {
      timers = timers.filter((t) => t !== next);
      now = Math.max(now, next.at);
      next.then();
    }
  }
  const waits = tries.slice(1).map((at, i) => at - tries[i]!);
  assert.deepEqual(waits.slice(0, 9), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  assert.match(uploader.log.lines.join('\n'), /failed: ECONNREFUSED; the file is kept and sent again in 1 s/);
});

test('below min-free-space the oldest files are deleted and named', async (t) => {
  const dir = await folder(t);
  for (const number of [1, 2, 3, 4]) put(dir, number);
  const { requests, url } = await service(t, (r) => r.writeHead(500).end());
  let free = 100;
  const uploader = start(t, {
    dir,
    url,
    minFreeSpace: 300,
    freeSpace: async () => {
      const left = readdirSync(dir).length;
      return free + (4 - left) * 100;
    },
  });
  await until(() => uploader.pending() === 2);
  await until(() => requests.length > 0);
  assert.deepEqual(readdirSync(dir), [closedName(3), closedName(4)]);
  const told = uploader.log.lines.filter((l) => l.includes('Discarded'));
  assert.match(told[0]!, /^warning: Discarded sp1-0{15}1\.json/);
  assert.match(told[1]!, /^warning: Discarded sp1-0{15}2\.json/);
  assert.equal(told.length, 2);
  free = -1000;
  await until(() => uploader.idle());
});

test('min-free-space 0 deletes nothing, whatever the disk says', async (t) => {
  const dir = await folder(t);
  put(dir, 1);
  const { requests, url } = await service(t, (r) => r.writeHead(500).end());
  const uploader = start(t, { dir, url, minFreeSpace: 0, freeSpace: async () => 0 });
  await until(() => requests.length >= 3);
  await uploader.close();
  assert.equal(readdirSync(dir).length, 1);
});

test('close ends after the request in hand, and starts no other', async (t) => {
  const dir = await folder(t);
  put(dir, 1);
  put(dir, 2);
  const { requests, url } = await service(t, (response, request, count) => {
    setTimeout(() => taken(response, request, count), 50);
  });
  const uploader = start(t, { dir, url });
  await until(() => requests.length === 1);
  await uploader.close();
  assert.deepEqual(readdirSync(dir), [closedName(2)]);
  assert.equal(requests.length, 1);
});

test('empty files are removed unsent; a vanished folder is told once and survived', async (t) => {
  const dir = await folder(t);
  const { requests, url } = await service(t, taken);
  put(dir, 1, '');
  const uploader = start(t, { dir, url });
  await until(() => uploader.idle());
  assert.equal(requests.length, 0);
  await rm(dir, { recursive: true });
  await until(() => uploader.log.lines.some((l) => l.includes('cannot be read')));
  await sleep(30);
  assert.equal(uploader.log.lines.filter((l) => l.includes('cannot be read')).length, 1);
});

test('killed in the middle of it, every file arrives whole, at most the one in hand twice', async (t) => {
  const dir = await folder(t);
  const count = 80;
  const { requests, url } = await service(t, (response, request, n) => {
    setTimeout(() => (n % 5 === 0 ? response.destroy() : taken(response, request, n)), Math.random() * 8);
  });
  for (let number = 1; number <= count; number++) put(dir, number);
  const program = path.join(dir, 'program.mjs');
  writeFileSync(
    program,
    `import { startUploader } from ${JSON.stringify(path.join(import.meta.dirname, 'uploader.ts'))};
     import { systemClock } from ${JSON.stringify(path.join(import.meta.dirname, '../system/clock.ts'))};
     import { silentLog } from ${JSON.stringify(path.join(import.meta.dirname, '../system/log.ts'))};
     startUploader({ dir: process.argv[2], url: process.argv[3], apiKey: 'k', log: silentLog, clock: systemClock, pollMs: 5, retryMs: 5 });
     process.send('ready');`,
  );
  const left = () => readdirSync(dir).filter((n) => n.startsWith('sp1-')).length;
  let kills = 0;
  while (left() > 0) {
    const child = fork(program, [dir, url], { execArgv: [] });
    const exited = new Promise((done) => child.once('exit', done));
    await new Promise((done) => child.once('message', done));
    if (kills < 5) {
      // In the middle of its work: before an answer, or between one and the removal of its file.
      const asked = requests.length + Math.random() * 4;
      await until(() => requests.length > asked || left() === 0);
      await sleep(Math.random() * 10);
    } else await until(() => left() === 0);
    child.kill('SIGKILL');
    kills++;
    await exited;
  }
  assert.ok(kills > 5, 'it came to its end before all kills');
  const times = new Map<string, number>();
  for (const { body } of requests) times.set(body, (times.get(body) ?? 0) + 1);
  assert.equal(times.size, count);
  for (let number = 1; number <= count; number++) assert.ok(times.has(`{"file":${number}}\n`));
  assert.ok(requests.length <= count + kills + Math.ceil(requests.length / 5));
});
