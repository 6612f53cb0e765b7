/**
 * Messages of 10 kB from `smtp-source` through a mail server to `smtp-sink`, as fast as the server takes them, until
 * the last is delivered. Each server syncs a message to disk before its `250` and logs each delivery. The servers run
 * one after the other, in turn for each repetition, so that what else the machine does meets them alike. Each is warmed
 * up with the same load first, as long as the others: a mail server runs for weeks, and what runs in JavaScript is
 * compiled while it runs. What it did meanwhile is told apart.
 *
 *   npm run bench -- relay [--messages N] [--sessions 20,100] [--repeat 3] [--peers posthorn,bare,postfix,haraka]
 *                          [--size BYTES] [--warm SECONDS] [--no-latency]
 *
 * Then, unless it is not wanted, how long a message waits for its `250` at half the rate of each server.
 */
import { flag, number, numbers, given as readOptions, some } from './harness/given.ts';
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
import { type Load, needLoadPrograms, sendLoad, startSink, warmUp } from './harness/smtp-load.ts';

const {
  messages,
  sessions: sessionCounts,
  repeat,
  size,
  warm: warmSeconds,
  peers,
  latency,
} = readOptions({
  messages: number(20_000),
  sessions: numbers([20, 100]),
  repeat: number(3),
  size: number(10_240, 100),
  warm: number(20, 0),
  peers: some(['posthorn', 'bare', 'postfix', 'haraka']),
  latency: flag(true),
});
needLoadPrograms('smtp-source', 'smtp-sink');
process.setMaxListeners(0);
/** Slower servers get fewer messages: what counts is the rate, once it is steady. */
const messagesFor = (who: string, kept: boolean) => {
  const share = who === 'posthorn' || who === 'bare' ? 1 : 0.2;
  return Math.max(500, Math.round(messages * share * (kept ? 1 : 0.5)));
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
async function measure(who: string, load: Load): Promise<Run> {
  const sink = await startSink();
  const server = await starters[who]!({ sinkPort: sink.port, sessions: load.sessions });
  try {
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

/** Starts each server once: what is missing is told before anything is measured, and so are versions. */
async function conditionsOfServers(): Promise<Record<string, string>> {
  const about: Record<string, string> = {};
  for (const who of peers) {
    const server = await starters[who]!({ sinkPort: 1, sessions: 1 });
    await server.stop();
    about[who] = `${server.version}; durability: ${server.durability}`;
  }
  return about;
}

const report = new Report('relay', {
  size: `${size} bytes a message`,
  messages: peers.map((who) => `${messagesFor(who, true)} for ${who}`).join(', '),
  'over new connections': 'half as many, at least 500',
  tls: 'none',
  durability: 'each message synced before its 250, by every server',
  'warmed up for': `${warmSeconds} s`,
  'most memory is': 'of its own (anonymous), not what the kernel keeps of its files',
  repetitions: repeat,
  ...(await conditionsOfServers()),
});
const rates = new Map<string, number>();
for (const kept of [true, false]) {
  for (const sessions of sessionCounts) {
    const what = kept ? `relay, ${sessions} kept sessions` : `relay, a connection a message, ${sessions}`;
    const runs = new Map<string, Run[]>(peers.map((who) => [who, []]));
    for (let i = 0; i < repeat; i++) {
      for (const who of peers) {
        const load = { messages: messagesFor(who, kept), sessions, size, kept };
        runs.get(who)!.push(await measure(who, load));
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
/** Milliseconds to `250` of a warmed-up server, at a steady rate for 15 seconds. */
async function timesAt(who: string, rate: number, sessions: number): Promise<number[]> {
  const sink = await startSink();
  const server = await starters[who]!({ sinkPort: sink.port, sessions });
  try {
    const load = { messages: messagesFor(who, true), sessions, size, kept: true };
    const warm = await warmUp(warmSeconds, load, (part) => sendLoad(server.port, part));
    await sink.reaches(warm, 120_000);
    const of = { rate, messages: Math.round(rate * 15), sessions, content: size, login: null };
    return await submit(server.port, of);
  } finally {
    await server.stop();
    sink.stop();
  }
}

if (latency) {
  const sessions = sessionCounts[0]!;
  const times = new Map<string, number[][]>(peers.map((who) => [who, []]));
  const half = (who: string) => rates.get(`relay, ${sessions} kept sessions/${who}`)! / 2;
  for (let i = 0; i < repeat; i++) {
    for (const who of peers) times.get(who)!.push(await timesAt(who, half(who), sessions));
  }
  for (const [who, of] of times) {
    report.figure(`at half the rate, ${sessions} kept sessions`, who, 'messages/s', [half(who)]);
    for (const [name, share] of [
      ['p50', 0.5],
      ['p95', 0.95],
      ['p99', 0.99],
      ['most', 1],
    ] as const) {
      report.figure(
        `  time to 250, ${name}`,
        who,
        'ms',
        of.map((run) => percentile(run, share)),
      );
    }
  }
}
report.save();
process.exit(0);
