/**
 * Two builds side by side: the servers of `relay` from this checkout and from another one, several processes of each, all
 * warm, loaded in turns. One process of the same build differs from the next by several percent, and a minute from the
 * next by more: only turns over several processes show what a change is worth. Without `--with` it compares this
 * checkout with itself, which shows the noise.
 *
 *   npm run bench -- builds --with FOLDER [--sessions 20,100] [--fresh 20] [--processes 3]
 *                           [--rounds 6] [--messages 2000] [--size BYTES] [--warm SECONDS]
 *
 * FOLDER is a checkout that was prepared (`npm install`). Beside rate and processor time it tells what the machine did for
 * a message: interrupts between processors, which wake one that sleeps, and flushes of its disks. Both count the load programs too.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../test/program.ts';
import { fail, given, number, numbers, text } from './harness/given.ts';
import { cpuByThread, cpuSeconds } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { startPosthorn } from './harness/servers.ts';
import { needLoadPrograms, sendLoad, startSink, warmUp } from './harness/smtp-load.ts';

const options = given({
  with: text(null),
  sessions: numbers([20, 100]),
  fresh: numbers([20]),
  processes: number(3),
  rounds: number(6),
  messages: number(2000),
  size: number(10_240, 100),
  warm: number(15),
});
needLoadPrograms('smtp-source', 'smtp-sink');
const other = path.resolve(options.with ?? root);
const loads = [
  ...options.sessions.map((sessions) => ({ what: `${sessions} kept sessions`, sessions, kept: true })),
  ...options.fresh.map((sessions) => ({
    what: `a connection a message, ${sessions}`,
    sessions,
    kept: false,
  })),
].map((load) => ({ ...load, size: options.size }));

interface Spent {
  messages: number;
  ms: number;
  cpu: number;
  main: number;
  interrupts: number;
  flushes: number;
}

const report = new Report('builds', {
  this: root,
  other,
  size: `${options.size} bytes a message`,
  turns: `${options.rounds} of ${options.messages} messages for each process and load`,
  processes: `${options.processes} of each build`,
  'warmed up for': `${options.warm} s each`,
  durability: 'each message and outcome synced, as always',
});
const most = Math.max(...loads.map(({ sessions }) => sessions));
const started: Awaited<ReturnType<typeof start>>[] = [];
for (let i = 0; i < options.processes; i++) {
  // Those that are started first are no better and no worse off for it.
  for (const build of i % 2 === 0 ? [root, other] : [other, root])
    started.push(await start(build, started.length));
}
for (const server of started) await warm(server);
for (let round = 0; round < options.rounds; round++) {
  for (const server of round % 2 === 0 ? started : started.toReversed()) {
    for (const load of loads) await turn(server, load);
  }
}
for (const load of loads) {
  const [mine, theirs] = ['this', 'other'].map((name) => {
    const spent = started
      .filter((server) => server.name === name)
      .map((server) => server.spent.get(load.what)!);
    const each = (of: (one: Spent) => number) => spent.map((one) => of(one) / one.messages);
    return {
      rate: report.figure(
        load.what,
        name,
        'messages/s',
        spent.map(({ messages, ms }) => (messages / ms) * 1000),
      ),
      cpu: report.figure(
        '  processor time a message',
        name,
        'ms',
        each(({ cpu }) => cpu * 1000),
      ),
      main: report.figure(
        '  of that, main',
        name,
        'ms',
        each(({ main }) => main * 1000),
      ),
      interrupts: report.figure(
        '  interrupts between processors',
        name,
        'a message',
        each((one) => one.interrupts),
      ),
      flushes: report.figure(
        '  flushes of disks',
        name,
        'a message',
        each((one) => one.flushes),
      ),
    };
  });
  report.ratio(`  messages/s, ${load.what}, this to other`, mine!.rate / theirs!.rate, 'none');
  report.ratio('  processor time, this to other', mine!.cpu / theirs!.cpu, 'none');
}
report.save();
process.exit(0);

async function start(build: string, place: number) {
  const sink = await startSink();
  const server = await startPosthorn({ sinkPort: sink.port, sessions: most }, { checkout: build }).catch(
    (error: Error) => fail(`${build}: ${error.message}; is it a checkout that was prepared?`),
  );
  // With itself, the odd ones are the others.
  const name = other === root ? (place % 2 === 0 ? 'this' : 'other') : build === root ? 'this' : 'other';
  return { name, sink, server, sent: 0, spent: new Map<string, Spent>() };
}

async function warm(one: (typeof started)[number]): Promise<void> {
  for (const load of loads) {
    const part = { ...load, messages: 10 * options.messages };
    one.sent += await warmUp(options.warm / loads.length, part, (some) => sendLoad(one.server.port, some));
    await one.sink.reaches(one.sent, 60_000);
  }
}

async function turn(one: (typeof started)[number], load: (typeof loads)[number]): Promise<void> {
  const { pid, port } = one.server;
  const spent = one.spent.get(load.what) ?? {
    messages: 0,
    ms: 0,
    cpu: 0,
    main: 0,
    interrupts: 0,
    flushes: 0,
  };
  one.spent.set(load.what, spent);
  const before = counts(pid);
  await sendLoad(port, { ...load, messages: options.messages });
  one.sent += options.messages;
  const at = await one.sink.reaches(one.sent, 60_000);
  const after = counts(pid);
  spent.messages += options.messages;
  spent.ms += at - before.at;
  for (const what of ['cpu', 'main', 'interrupts', 'flushes'] as const)
    spent[what] += after[what] - before[what];
}

function counts(pid: number) {
  return {
    at: performance.now(),
    cpu: cpuSeconds(pid),
    main: cpuByThread(pid).get('main') ?? 0,
    interrupts: interruptsBetweenProcessors(),
    flushes: flushesOfDisks(),
  };
}

/** RES and CAL of /proc/interrupts: a column for each processor, then words. */
function interruptsBetweenProcessors(): number {
  let sum = 0;
  for (const line of readFileSync('/proc/interrupts', 'utf8').split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words[0] !== 'RES:' && words[0] !== 'CAL:') continue;
    for (const word of words.slice(1)) if (/^\d+$/.test(word)) sum += Number(word);
  }
  return sum;
}

/** /proc/diskstats, 18th column (Documentation/admin-guide/iostats.rst). */
function flushesOfDisks(): number {
  let sum = 0;
  for (const line of readFileSync('/proc/diskstats', 'utf8').split('\n'))
    sum += Number(line.trim().split(/\s+/)[18] ?? 0);
  return sum;
}
