/**
 * A start with a million queued recipients in a thousand queues: memory for each, how soon new mail is accepted and how
 * soon old mail is delivered, while the spool is still being read. The next host defers all but a little.
 *
 *   npm run bench -- backlog [--recipients 1000000] [--per-message 1] [--spool FOLDER] [--repeat 1]
 *
 * `--spool`: a folder that is filled unless it is already, and kept for the next time.
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSmtp, createSmtpServer, reply, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, root, temporaryFolder, until } from '../test/program.ts';
import { CONTENT, fillSpool } from './harness/fill-spool.ts';
import { profiledAs } from './harness/flame.ts';
import { given, number, text } from './harness/given.ts';
import { cpuSeconds } from './harness/processes.ts';
import { median, Report } from './harness/report.ts';
import { compiledPackage } from './harness/servers.ts';

const {
  recipients: total,
  'per-message': perMessage,
  spool: keptSpool,
  repeat,
} = given({ recipients: number(1_000_000), 'per-message': number(1), spool: text(null), repeat: number(1) });
const DOMAINS = 1000;

const dir = temporaryFolder();
const spool = path.resolve(keptSpool ?? path.join(dir, 'spool'));

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
const report = new Report('backlog', {
  recipients: `${total}, ${perMessage} a message, ${DOMAINS} queues`,
  spool: `${Math.round(statSync(path.join(spool, 'data.mdb')).size / 1e6)} MB`,
  tls: 'none',
  durability: 'what is accepted is synced before its 250',
  repetitions: repeat,
});
for (const [who, bin] of [
  ['sources', path.join(root, 'bin/posthorn.js')],
  ['package', compiledPackage()],
] as const) {
  const runs: Measured[][] = [];
  for (let i = 0; i < repeat; i++) runs.push(await measure(who, bin));
  for (const [i, { what, unit, target }] of runs[0]!.entries()) {
    const values = runs.map((run) => run[i]!.value);
    report.figure(what, who, unit, values);
    if (target) report.ratio(`  to ${target} ${unit}`, median(values) / target, 'at most 1');
  }
}
report.save();
process.exit(0);

interface Measured {
  readonly what: string;
  readonly unit: string;
  readonly value: number;
  /** What it may be at most. */
  readonly target?: number;
}

/** `who`: the program from its sources, or the package that operators run. */
async function measure(who: string, bin: string): Promise<Measured[]> {
  const all: Measured[] = [];
  const tell = (what: string, unit: string, value: number, target?: number) =>
    all.push({ what, unit, value, ...(target && { target }) });
  const accepting = (what: string, { seconds, cpu }: Started, target?: number) => {
    tell(what, 's', seconds, target);
    tell('  processor time until then', 's', cpu);
  };
  taken = 0;
  // The first start of a new version compiles; the ones after it find what was kept.
  for (const start of ['first start, empty spool', 'next start, empty spool']) {
    rmSync(path.join(dir, 'empty'), { recursive: true, force: true });
    const started = await startOn(path.join(dir, 'empty'), bin, null);
    await started.program.stop();
    accepting(`${start}: mail accepted`, started);
  }
  rmSync(path.join(dir, 'log'), { force: true });
  first = null;
  early = 0;
  scanning = true;
  const started = await startOn(spool, bin, who);
  const { program, begun } = started;
  const pid = program.process.pid!;
  await until(() => readFileSync(path.join(dir, 'log'), 'utf8').includes('recovered from'), 600_000);
  scanning = false;
  const ended = (performance.now() - begun) / 1000;
  const atEnd = { memory: memory(pid), cpu: cpuSeconds(pid) };
  await sleep(5000);
  accepting('full spool: mail accepted', started, 2);
  tell('first mail delivered', 's', first === null ? Number.NaN : (first - begun) / 1000);
  tell('  delivered before the scan ended', 'messages', early);
  tell('scan ended', 's', ended);
  tell('  processor time until then', 's', atEnd.cpu);
  for (const [when, { anon, rss }] of [
    ['at the end of the scan', atEnd.memory],
    ['5 s later', memory(pid)],
  ] as const) {
    tell(`memory ${when}, RssAnon`, 'bytes a recipient', (anon * 1024) / total, 1500);
    tell('  with the mapped file, RSS', 'bytes a recipient', (rss * 1024) / total);
  }
  await program.stop();
  return all;
}

interface Started {
  readonly program: Program;
  /** `performance.now()` at exec. */
  readonly begun: number;
  /** To the first 250, by the clock and of the processor. */
  readonly seconds: number;
  readonly cpu: number;
}

/** `who`: as whom it is profiled, if anything is; nobody wants to see the others. */
async function startOn(spoolDir: string, bin: string, who: string | null): Promise<Started> {
  const port = await freePorts(1);
  const config = path.join(dir, 'config');
  writeFileSync(config, configuration(port, spoolDir));
  const begun = performance.now();
  const program = new Program(
    ['mta', '--config', config],
    { NODE_OPTIONS: profiledAs(who).NODE_OPTIONS ?? '' },
    bin,
  );
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
    const seconds = (performance.now() - begun) / 1000;
    const cpu = cpuSeconds(program.process.pid!);
    await connected.client.quit();
    return { program, begun, seconds, cpu };
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
