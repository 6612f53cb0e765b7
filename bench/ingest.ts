/**
 * Events per second from the first POST to the last event queryable, beside the engine's own bulk load of the same
 * lines into the same tables with the same views, in turn, in the same run.
 *
 *   npm run bench -- ingest [--events 300000] [--repeat 3]
 *
 * Not equal: the engine alone neither validates lines, nor looks for duplicates, nor enriches engagement with its
 * message, nor keeps the batches, nor answers for each; it reads uncompressed files, keeps the sender's line where we
 * keep the event as search shows it, and reads seven fields fewer than our row can hold. Equal: columns, codecs,
 * indices, roll-ups, lookups, syncs of the disk.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { loadavg } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { gzipSync } from 'node:zlib';
import { endsWithUs, root, temporaryFolder } from '../test/program.ts';
import { profiledAs } from './harness/flame.ts';
import { given, number } from './harness/given.ts';
import { eventLines } from './harness/ingest-lines.ts';
import { Report } from './harness/report.ts';

const { events: EVENTS, repeat: REPEATS } = given({ events: number(300_000), repeat: number(3) });
const CLIENTS = 4;
const KEY = '0123456789abcdef0123456789abcdef01234567';
const MIB = 2 ** 20;

const folder = temporaryFolder();

interface Batch {
  readonly events: number;
  readonly body: Buffer;
}

/** The lines of a run, cut into uncompressed batches of at most that many bytes. */
function* batches(lines: Iterable<string>, most: number): Generator<string[]> {
  let batch: string[] = [];
  let size = 0;
  for (const line of lines) {
    if (size + line.length + 1 > most && batch.length > 0) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(line);
    size += line.length + 1;
  }
  if (batch.length > 0) yield batch;
}

const mix = (count: number) =>
  eventLines({ count, seed: 7, from: Math.floor(Date.now() / 1000) - 7200, span: 3600 });

/** What both have taken in before the clock starts: neither is measured while it is being compiled. */
const warmUp = [
  ...eventLines({ count: 8000, seed: 8, from: Math.floor(Date.now() / 1000) - 7200, span: 3600 }),
];

interface Figures {
  readonly seconds: number;
  /** Seconds of processor time. */
  readonly cpu: number;
  /** Bytes. */
  readonly rss: number;
  readonly disk: number;
}

function sizeOf(dir: string): number {
  let bytes = 0;
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    const facts = statSync(path.join(dir, name), { throwIfNoEntry: false });
    if (facts?.isFile()) bytes += facts.size;
  }
  return bytes;
}

async function start(dir: string): Promise<{ child: ChildProcess; url: URL }> {
  const command = path.join(import.meta.dirname, '../bin/posthorn.js');
  const child = spawn(
    process.execPath,
    [
      command,
      'signals',
      '--data',
      dir,
      '--listen',
      '127.0.0.1:0',
      '--no-mx-lookup',
      '--log-requests',
      'none',
    ],
    { env: { ...profiledAs('posthorn'), POSTHORN_ADMIN_KEY: KEY }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  endsWithUs(child);
  for await (const text of createInterface({ input: child.stderr! })) {
    const url = /ready url=(\S+)/.exec(text)?.[1];
    if (url) {
      child.stderr!.resume();
      return { child, url: new URL(url) };
    }
  }
  throw new Error('the service did not start');
}

function ask(agent: Agent, url: URL, method: string, where: string, body?: Buffer): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ agent, host: url.hostname, port: url.port, method, path: where }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${response.statusCode} ${text}`));
      });
    });
    asked.on('error', reject);
    asked.setHeader('authorization', KEY);
    if (body) {
      asked.setHeader('content-type', 'application/x-ndjson');
      asked.setHeader('content-encoding', 'gzip');
      asked.setHeader('content-length', body.length);
    }
    asked.end(body);
  });
}

/** CPU seconds of a process so far, and the most memory it has had. */
function used(pid: number): { cpu: number; rss: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const peak = /VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!;
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, rss: Number(peak) * 1024 };
}

async function ours(all: readonly Batch[]): Promise<Figures & { answer: number }> {
  const dir = path.join(folder, 'ours');
  const { child, url } = await start(dir);
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const expected = all.reduce((sum, batch) => sum + batch.events, 0);
  const stored = async () => {
    const status = (await ask(agent, url, 'GET', '/api/v1/ingest/status')) as {
      results: { events_stored: number; batches_pending: number };
    };
    return status.results.batches_pending === 0 ? status.results.events_stored : -1;
  };
  const until = async (count: number) => {
    for (let n = await stored(); n !== count; n = await stored()) {
      if (n > count) throw new Error(`${n} of ${count} events`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await ask(agent, url, 'POST', '/api/v1/ingest/events', gzipSync(warmUp.join('\n')));
  await until(warmUp.length);
  const before = used(child.pid!).cpu;
  const begun = performance.now();
  const left = [...all].reverse();
  let answered = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let batch = left.pop(); batch; batch = left.pop()) {
        const posted = performance.now();
        await ask(agent, url, 'POST', '/api/v1/ingest/events', batch.body);
        answered += performance.now() - posted;
      }
    }),
  );
  await until(warmUp.length + expected);
  const seconds = (performance.now() - begun) / 1000;
  const { cpu, rss } = used(child.pid!);
  agent.destroy();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  const disk = sizeOf(path.join(dir, 'clickhouse', 'store'));
  rmSync(dir, { recursive: true, force: true });
  return { seconds, cpu: cpu - before, rss, disk, answer: answered / all.length };
}

function engines(files: readonly string[]): Figures {
  const dir = path.join(folder, 'bulk');
  const warm = path.join(folder, crypto.randomUUID());
  writeFileSync(warm, `${warmUp.join('\n')}\n`);
  const done = spawnSync(
    process.execPath,
    [path.join(import.meta.dirname, 'harness/ingest-bulk.ts'), dir, warm, ...files],
    { encoding: 'utf8', env: profiledAs('bulk-load') },
  );
  if (done.status !== 0) throw new Error(done.stderr);
  const figures = JSON.parse(done.stdout) as Figures;
  const disk = sizeOf(path.join(dir, 'store'));
  rmSync(dir, { recursive: true, force: true });
  return { ...figures, disk };
}

const { version: engineVersion } = JSON.parse(
  readFileSync(path.join(root, 'node_modules/chdb/package.json'), 'utf8'),
);
const report = new Report('ingest', {
  events: `${EVENTS}; injections, deliveries, delays, bounces, opens, clicks, complaints, unsubscribes`,
  clients: CLIENTS,
  tls: 'none',
  repetitions: REPEATS,
  engine: `chdb ${engineVersion}`,
  durability: 'every batch is synced before its 200, every part of a table is synced by both',
});

async function compare(what: string, events: number, most: number): Promise<void> {
  const lines = [...batches(mix(events), most)];
  const all = lines.map(
    (batch): Batch => ({ events: batch.length, body: gzipSync(`${batch.join('\n')}\n`) }),
  );
  // The engine gets the lines in files of 5 MB either way: many small files are no duty of a bulk load.
  const files: string[] = [];
  const input = path.join(folder, 'lines');
  mkdirSync(input);
  for (const batch of batches(lines.flat(), 5 * MIB)) {
    const file = path.join(input, `${crypto.randomUUID()}`);
    writeFileSync(file, `${batch.join('\n')}\n`);
    files.push(file);
  }
  console.log(`\n${what}: ${events} events in ${all.length} batches; load of the machine ${loadavg()[0]}`);
  const own: (Figures & { answer: number })[] = [];
  const bulk: Figures[] = [];
  for (let i = 0; i < REPEATS; i++) {
    own.push(await ours(all));
    bulk.push(engines(files));
  }
  rmSync(input, { recursive: true });
  const rates: number[] = [];
  const cpus: number[] = [];
  for (const [who, runs] of [
    ['posthorn', own],
    ['bulk load', bulk],
  ] as const) {
    const tell = (unit: string, of: (run: Figures) => number) => report.figure(what, who, unit, runs.map(of));
    rates.push(tell('events/s', (run) => events / run.seconds));
    cpus.push(tell('µs of CPU per event', (run) => (run.cpu / events) * 1e6));
    tell('MiB at most', (run) => run.rss / MIB);
    tell('bytes on disk per event', (run) => run.disk / (events + warmUp.length));
  }
  report.figure(
    what,
    'posthorn',
    'ms to 200, on average',
    own.map((run) => run.answer),
  );
  report.ratio(`${what}: events/s`, rates[0]! / rates[1]!, 'at least 0.5');
  report.ratio(`${what}: events per second of CPU`, cpus[1]! / cpus[0]!, 'at least 0.5');
}

await compare('batches of 5 MB', EVENTS, 5 * MIB);
await compare('batches of 25 kB', Math.round(EVENTS / 2), 25_000);
report.save();
