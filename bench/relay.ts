/**
 * Messages of 10 kB from `smtp-source` through a mail server to `smtp-sink`, as fast as the server takes them, until
 * the last is delivered. Each server syncs a message to disk before its `250` and logs each delivery. The servers run
 * one after the other, in turn for each repetition, so that what else the machine does meets them alike. Each is warmed
 * up with the same load first, as long as the others: a mail server runs for weeks, and what runs in JavaScript is
 * compiled while it runs. What it did meanwhile is told apart.
 *
 *   node bench/relay.ts [--messages N] [--sessions 20,100] [--repeat 3] [--peers posthorn,bare,postfix,haraka]
 *                       [--size BYTES] [--warm SECONDS] [--latency]
 */
import { parseArgs } from 'node:util';
import { submit } from './harness/paced.ts';
import { cpuByThread, cpuSeconds, spentByThread, watchMemory } from './harness/processes.ts';
import { median, percentile, Report } from './harness/report.ts';
import {
  type MailServer,
  type RelayTarget,
  startBareRelay,
  startHaraka,
  startPostfixRelay,
  startPosthorn,
} from './harness/servers.ts';
import { type Load, sendLoad, startSink, warmUp } from './harness/smtp-load.ts';

const { values: given } = parseArgs({
  options: {
    messages: { type: 'string', default: '20000' },
    sessions: { type: 'string', default: '20,100' },
    repeat: { type: 'string', default: '3' },
    size: { type: 'string', default: '10240' },
    warm: { type: 'string', default: '20' },
    peers: { type: 'string', default: 'posthorn,bare,postfix,haraka' },
    latency: { type: 'boolean', default: false },
  },
});
process.setMaxListeners(0);
const size = Number(given.size);
const warmSeconds = Number(given.warm);
const repeat = Number(given.repeat);
const sessionCounts = given.sessions.split(',').map(Number);
const peers = given.peers.split(',');
/** Slower servers get fewer messages: what counts is the rate, once it is steady. */
const messagesFor = (who: string, kept: boolean) => {
  const n = Number(given.messages);
  const share = who === 'posthorn' || who === 'bare' ? 1 : 0.2;
  return Math.max(500, Math.round(n * share * (kept ? 1 : 0.5)));
};

const starters: Readonly<Record<string, (target: RelayTarget) => Promise<MailServer>>> = {
  posthorn: startPosthorn,
  bare: startBareRelay,
  postfix: startPostfixRelay,
  haraka: startHaraka,
};

interface Run {
  readonly rate: number;
  /** Messages a second while it warmed up. */
  readonly coldRate: number;
  /** Milliseconds of processor time for each message. */
  readonly cpu: number;
  /** Of that, by kind of thread: of our own process. */
  readonly threads: ReadonlyMap<string, number>;
  readonly peakMb: number;
}

/** A fresh server on an empty queue, warmed up, then measured. */
async function measure(who: string, load: Load, report: Map<string, string>): Promise<Run> {
  const sink = await startSink();
  const server = await starters[who]!({ sinkPort: sink.port, sessions: load.sessions });
  try {
    report.set(who, `${server.version}, ${server.durability}`);
    const cold = performance.now();
    const warm = await warmUp(warmSeconds, load, (part) => sendLoad(server.port, part));
    const coldRate = warm / (((await sink.reaches(warm, 120_000)) - cold) / 1000);
    const cpuBefore = cpuSeconds(server.pid);
    const threadsBefore = cpuByThread(server.pid);
    const peak = watchMemory(server.pid);
    const begun = performance.now();
    await sendLoad(server.port, load);
    const end = await sink.reaches(warm + load.messages, 300_000);
    const cpu = cpuSeconds(server.pid) - cpuBefore;
    return {
      rate: load.messages / ((end - begun) / 1000),
      coldRate,
      cpu: (cpu * 1000) / load.messages,
      threads: spentByThread(server.pid, threadsBefore, load.messages),
      peakMb: peak() / 2 ** 20,
    };
  } finally {
    await server.stop();
    sink.stop();
  }
}

const versions = new Map<string, string>();
const report = new Report('relay', {
  size: `${size} bytes a message`,
  tls: 'none',
  'warmed up for': `${warmSeconds} s`,
  repetitions: repeat,
  servers: peers.join(', '),
});
const rates = new Map<string, number>();
for (const kept of [true, false]) {
  for (const sessions of sessionCounts) {
    const what = kept ? `relay, ${sessions} kept sessions` : `relay, a connection a message, ${sessions}`;
    const runs = new Map<string, Run[]>(peers.map((who) => [who, []]));
    for (let i = 0; i < repeat; i++) {
      for (const who of peers) {
        const load = { messages: messagesFor(who, kept), sessions, size, kept };
        runs.get(who)!.push(await measure(who, load, versions));
      }
    }
    for (const [who, of] of runs) {
      rates.set(
        `${what}/${who}`,
        report.figure(
          what,
          who,
          'messages/s',
          of.map((r) => r.rate),
        ),
      );
      report.figure(
        `  in the first ${warmSeconds} s after the start`,
        who,
        'messages/s',
        of.map((r) => r.coldRate),
      );
      report.figure(
        '  processor time a message',
        who,
        'ms',
        of.map((r) => r.cpu),
      );
      if (who === 'posthorn') {
        report.threads(
          who,
          of.map((r) => r.threads),
        );
      }
      report.figure(
        '  most memory',
        who,
        'MiB',
        of.map((r) => r.peakMb),
      );
    }
    const own = rates.get(`${what}/posthorn`);
    for (const [who, target] of [
      ['postfix', kept ? 8 : 3],
      ['haraka', kept ? 6 : 0],
      ['bare', 0],
    ] as const) {
      const other = rates.get(`${what}/${who}`);
      if (own && other)
        report.ratio(`  posthorn to ${who}`, own / other, target ? `at least ${target}` : 'none');
    }
    // What no relay in one Node process can exceed here, so that a missed target tells by whom it is missed.
    const floor = rates.get(`${what}/bare`);
    const postfix = rates.get(`${what}/postfix`);
    if (floor && postfix) report.ratio('  bare to postfix', floor / postfix, 'none');
    const [cpu, least] = ['posthorn', 'bare'].map((who) => runs.get(who)?.map((run) => run.cpu));
    if (cpu && least) {
      const target = kept ? 'at most 2' : 'none';
      report.ratio('  processor time, posthorn to bare', median(cpu) / median(least), target);
    }
  }
}
if (given.latency) {
  const sessions = sessionCounts[0]!;
  for (const who of peers) {
    const most = rates.get(`relay, ${sessions} kept sessions/${who}`);
    if (!most) continue;
    const sink = await startSink();
    const server = await starters[who]!({ sinkPort: sink.port, sessions });
    const load = { messages: messagesFor(who, true), sessions, size, kept: true };
    await warmUp(warmSeconds, load, (part) => sendLoad(server.port, part));
    const what = `time to 250 at ${Math.round(most / 2)} messages/s`;
    const times = await submit(server.port, {
      rate: most / 2,
      messages: Math.round((most / 2) * 15),
      sessions,
      content: size,
      login: null,
    });
    for (const share of [0.5, 0.95, 0.99, 1]) {
      report.figure(share === 1 ? `${what}, most` : `${what}, p${share * 100}`, who, 'ms', [
        percentile(times, share),
      ]);
    }
    await server.stop();
    sink.stop();
  }
}
for (const [who, version] of versions) console.log(`${who}: ${version}`);
report.save('var/bench');
process.exit(0);
