/**
 * A start with a full spool: what a queued recipient costs in memory, how soon mail is accepted, and when delivery
 * starts. The recipients are put in through the spool's own interface, then the real program starts on them, once from
 * its sources and once as the package that operators run.
 *
 *   node bench/backlog.ts [recipients] [recipients of a message] [folder of the spool, made if it is not there]
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSmtp, createSmtpServer, reply, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, root, until } from '../test/program.ts';
import { CONTENT, fillSpool } from './harness/fill-spool.ts';

const total = Number(process.argv[2] ?? 1_000_000);
const perMessage = Number(process.argv[3] ?? 1);
const DOMAINS = 1000;

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-backlog-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const spool = path.resolve(process.argv[4] ?? path.join(dir, 'spool'));

/** Messages that a run takes: the spool is the same in the next, which finds other mail ready first. */
const MOST_TAKEN = 500;

let scanning = true;
let taken = 0;
let first: number | null = null;
let early = 0;
// Takes a little mail and defers the rest, so that what is measured stays queued.
const host = createSmtpServer(
  () => ({
    options: smtpServerOptions({ hostName: 'host.test' }),
    handlers: {
      onRcpt: () => (taken < MOST_TAKEN ? null : reply(450, '4.2.1', 'later')),
      onMessage: async () => {
        taken++;
        first ??= performance.now();
        if (scanning) early++;
        return null;
      },
    },
  }),
  { clock: systemClock, log: silentLog },
);
const hostPort = await host.listen('127.0.0.1', 0, 'the benchmark');

if (!existsSync(path.join(spool, 'data.mdb'))) {
  const begun = performance.now();
  await fillSpool(spool, { recipients: total, perMessage, domains: DOMAINS, batch: 2000 });
  const took = (performance.now() - begun) / 1000;
  console.log(`spool filled in ${took.toFixed(0)} s, ${Math.round(total / took)} recipients/s`);
}
const dataSize = Math.round(statSync(path.join(spool, 'data.mdb')).size / 1e6);
console.log(`${total} recipients, ${perMessage} a message, ${DOMAINS} queues, spool of ${dataSize} MB`);
console.log(
  `Node ${process.versions.node}, ${availableParallelism()} CPUs (${cpus()[0]?.model}); CPU time is user and system`,
);

const source = path.join(root, 'bin/posthorn.js');
await measure('from source', source);
await measure('compiled package', compiledPackage());
process.exit(0);

/** Builds what `npm pack` would take, and puts it next to nothing else, so that it runs compiled. */
function compiledPackage(): string {
  const built = spawnSync(process.execPath, [path.join(root, 'scripts/build.mjs')], { stdio: 'pipe' });
  if (built.status !== 0) throw new Error(`the build failed: ${built.stderr}`);
  const folder = path.join(dir, 'package');
  mkdirSync(folder);
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  return path.join(folder, 'bin/posthorn.js');
}

async function measure(what: string, bin: string): Promise<void> {
  taken = 0;
  console.log(`${what} (load average ${loadavg()[0]!.toFixed(1)})`);
  // The first start of a new version compiles; the ones after it find what was kept.
  for (const start of ['first start, empty spool', 'next start, empty spool']) {
    rmSync(path.join(dir, 'empty'), { recursive: true, force: true });
    const { program, accepted } = await startOn(path.join(dir, 'empty'), bin);
    await program.stop();
    print(start, `mail accepted after ${accepted}`);
  }
  rmSync(path.join(dir, 'log'), { force: true });
  first = null;
  early = 0;
  scanning = true;
  const { program, accepted, begun } = await startOn(spool, bin);
  const pid = program.process.pid!;
  await until(() => readFileSync(path.join(dir, 'log'), 'utf8').includes('recovered from'), 600_000);
  scanning = false;
  const ended = performance.now() - begun;
  const atEnd = { memory: memory(pid), cpu: cpuSeconds(pid) };
  await sleep(5000);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  print('first mail accepted', accepted);
  print(
    'first mail delivered',
    first === null
      ? 'NOT before the end of the scan'
      : `${seconds(first - begun)}, ${early} until the scan ended`,
  );
  const rate = Math.round(total / (ended / 1000));
  print('scan ended', `${seconds(ended)} (CPU ${atEnd.cpu.toFixed(2)} s), ${rate} recipients/s`);
  for (const [when, { anon, rss }] of [
    ['memory at the end of the scan', atEnd.memory],
    ['memory 5 s later', memory(pid)],
  ] as const) {
    const each = (kb: number) => `${Math.round((kb * 1024) / total)} B a recipient`;
    print(
      when,
      `RssAnon ${Math.round(anon / 1024)} MB, ${each(anon)}; RSS with the mapped file ${Math.round(rss / 1024)} MB, ${each(rss)}`,
    );
  }
  program.process.kill('SIGKILL');
  await program.finished;
}

function print(what: string, value: string): void {
  console.log(`  ${what.padEnd(30)}${value}`);
}

interface Started {
  readonly program: Program;
  /** `performance.now()` at exec. */
  readonly begun: number;
  /** Time to the first 250, and processor time used by then. */
  readonly accepted: string;
}

async function startOn(spoolDir: string, bin: string): Promise<Started> {
  const port = await freePorts(1);
  const config = path.join(dir, 'config');
  writeFileSync(config, configuration(port, spoolDir));
  const begun = performance.now();
  const program = new Program(['mta', '--config', config], {}, bin);
  for (;;) {
    const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
    if (!connected.ok) {
      if (program.process.exitCode !== null) throw new Error(program.stderr);
      await sleep(10);
      continue;
    }
    const result = await connected.client.send({
      from: 'a@brand.test',
      recipients: [{ address: 'new@new.test' }],
      content: CONTENT,
    });
    if (result.data?.code !== 250) throw new Error(JSON.stringify(result));
    const took = ((performance.now() - begun) / 1000).toFixed(2);
    const accepted = `${took} s (CPU ${cpuSeconds(program.process.pid!).toFixed(2)} s)`;
    await connected.client.quit();
    return { program, begun, accepted };
  }
}

function configuration(port: number, spoolDir: string): string {
  return `host-name mx.test
    log-file ${dir}/log
    state-dir ${dir}/state
    http-mgmt-port 0
    total-max-smtp-out 20
    smtp-listener 127.0.0.1:${port}
    <spool ${spoolDir}>
    </spool>
    <source 127.0.0.1>
      always-allow-relaying yes
      smtp-service yes
    </source>
    <domain *>
      smtp-hosts [127.0.0.1]:${hostPort}
      use-starttls no
      max-smtp-out 1
    </domain>`;
}

/** Kilobytes: memory of its own, and all that is resident. */
function memory(pid: number): { anon: number; rss: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)![1]);
  return { anon: field('RssAnon'), rss: field('VmRSS') };
}

/** Seconds of processor time, user and system; the kernel counts in hundredths. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
