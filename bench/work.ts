/**
 * All that a sender of campaigns turns on: logins, STARTTLS, newsletters of 20 kB whose 25 links are rewritten, a DKIM
 * signature of RSA-2048 and one of Ed25519, accounting, and events that are uploaded. Beside it a Postfix that does
 * none of this with the same messages: no login, no TLS, no signature. Both sync each message before its `250`.
 *
 *   npm run bench -- work [--messages N] [--sessions 20] [--repeat 3] [--warm SECONDS] [--threads 0,1,2,4]
 *                         [--peers posthorn,postfix]
 *
 * `--threads`: content threads, each number in turn; default what the server takes by itself.
 */
import { createSmtpServer, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { until } from '../test/program.ts';
import { prepareCampaign } from './harness/campaign.ts';
import { given, number, numbers, some } from './harness/given.ts';
import { submit } from './harness/paced.ts';
import { cpuByThread, cpuSeconds, spentByThread, watchMemory } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { type MailServer, startPostfixRelay, startPosthorn } from './harness/servers.ts';
import { needLoadPrograms, startSink, warmUp } from './harness/smtp-load.ts';

const {
  messages,
  sessions,
  repeat,
  warm: warmSeconds,
  threads,
  peers,
} = given({
  messages: number(12_000),
  sessions: number(20),
  repeat: number(3),
  warm: number(20, 0),
  threads: numbers([], 0),
  peers: some(['posthorn', 'postfix']),
});
needLoadPrograms('smtp-sink');
process.setMaxListeners(0);
const campaign = await prepareCampaign();
const { login } = campaign;
type Start = (sinkPort: number) => Promise<MailServer>;
const posthorn =
  (threads: string): Start =>
  (sinkPort) =>
    startPosthorn(
      { sinkPort, sessions },
      { config: campaign.config(threads === '' ? '' : `content-threads ${threads}`) },
    );
/** Who is measured, the first of them against Postfix. */
const servers = new Map<string, Start>();
if (peers.includes('posthorn')) {
  if (threads.length === 0) servers.set('posthorn', posthorn(''));
  for (const n of threads) servers.set(`posthorn ${n}`, posthorn(`${n}`));
}
if (peers.includes('postfix')) {
  servers.set('postfix', (sinkPort) => startPostfixRelay({ sinkPort, sessions }));
}

/** One message to a host that keeps it: the work that the figures are about is really done. */
async function proveWork(): Promise<void> {
  let delivered = '';
  const host = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'host.test' }),
      handlers: {
        onMessage: async ({ content }) => {
          delivered = content.toString('latin1');
          return null;
        },
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  const server = await posthorn('')(await host.listen('127.0.0.1', 0, 'the benchmark'));
  await submit(server.port, { rate: null, messages: 1, sessions: 1, content: 'newsletter', login });
  await until(() => delivered !== '');
  await server.stop();
  await host.close(1000);
  const count = (what: RegExp) => delivered.match(what)?.length ?? 0;
  const found = {
    rsa: count(/a=rsa-sha256/g),
    ed25519: count(/a=ed25519-sha256/g),
    links: count(/click\.brand\.test\/f\//g),
  };
  if (found.rsa !== 1 || found.ed25519 !== 1 || found.links !== 25) {
    throw new Error(`the work is not done: ${JSON.stringify(found)}`);
  }
}

await proveWork();
let postfixIs = 'left out';
if (peers.includes('postfix')) {
  const postfix = await startPostfixRelay({ sinkPort: 1, sessions });
  postfixIs = `${postfix.version}; none of these`;
  await postfix.stop();
}
const report = new Report('work', {
  message: '20 kB HTML, 25 links',
  messages: `${messages}, a third of them for Postfix`,
  sessions: `${sessions} kept`,
  posthorn: 'STARTTLS, AUTH, link rewriting, DKIM RSA-2048 and Ed25519, accounting, events uploaded',
  postfix: postfixIs,
  tls: 'STARTTLS to Posthorn, none to Postfix, none to the sink',
  durability: 'each message synced before its 250, on both',
  'warmed up for': `${warmSeconds} s`,
  repetitions: repeat,
});
interface Run {
  readonly rate: number;
  /** Milliseconds of processor time for each message. */
  readonly cpu: number;
  readonly peakMb: number;
  /** Of our own process, by kind of thread. */
  readonly threads: ReadonlyMap<string, number>;
}

/** A fresh server on an empty queue, warmed up, then measured. */
async function measure(who: string, start: Start): Promise<Run> {
  const sink = await startSink();
  const server = await start(sink.port);
  const share = who === 'postfix' ? Math.round(messages / 3) : messages;
  const load = {
    rate: null,
    messages: share,
    sessions,
    content: 'newsletter',
    login: who === 'postfix' ? null : login,
  } as const;
  const warm = await warmUp(warmSeconds, load, (part) => submit(server.port, part));
  await sink.reaches(warm, 120_000);
  const before = cpuSeconds(server.pid);
  const threadsBefore = cpuByThread(server.pid);
  const peak = watchMemory(server.pid);
  const begun = performance.now();
  await submit(server.port, load);
  const end = await sink.reaches(warm + share, 300_000);
  const run = {
    rate: share / ((end - begun) / 1000),
    cpu: ((cpuSeconds(server.pid) - before) * 1000) / share,
    threads: spentByThread(server.pid, threadsBefore, share),
    peakMb: peak() / 2 ** 20,
  };
  await server.stop();
  sink.stop();
  return run;
}

const runs = new Map<string, Run[]>([...servers.keys()].map((who) => [who, []]));
for (let i = 0; i < repeat; i++) {
  for (const [who, start] of servers) runs.get(who)!.push(await measure(who, start));
}
if (peers.includes('posthorn') && campaign.uploads() === 0)
  throw new Error('no events were uploaded: this run did not do what it says');
const medians = new Map<string, number>();
for (const [who, of] of runs) {
  const each = (value: (run: Run) => number) => of.map(value);
  medians.set(
    who,
    report.figure(
      'work',
      who,
      'messages/s',
      each((run) => run.rate),
    ),
  );
  report.figure(
    '  processor time a message',
    who,
    'ms',
    each((run) => run.cpu),
  );
  if (who !== 'postfix') {
    report.threads(
      who,
      of.map((run) => run.threads),
    );
  }
  report.figure(
    '  most memory',
    who,
    'MiB',
    each((run) => run.peakMb),
  );
}
const peer = medians.get('postfix');
for (const [who, rate] of medians) {
  if (peer && who !== 'postfix') report.ratio(`  ${who} to postfix`, rate / peer, 'at least 2.5');
}
report.save();
process.exit(0);
