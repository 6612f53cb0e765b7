/**
 * Whole copies of the MTA beside each other, each with its share of `relay`'s sessions over kept connections: what more
 * threads could bring at most on this machine, for copies share no memory and hand each other nothing. What is missing
 * to as many times the rate of one is what bounds it beside the main thread: processors, the load programs, syncs.
 *
 *   npm run bench -- copies [--copies 1,2,4] [--sessions 20,100] [--messages 8000] [--rounds 6] [--size BYTES]
 *                           [--warm SECONDS]
 */
import { given, number, numbers } from './harness/given.ts';
import { cpuSeconds } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { startPosthorn } from './harness/servers.ts';
import { needLoadPrograms, sendLoad, startSink, warmUp } from './harness/smtp-load.ts';

const options = given({
  copies: numbers([1, 2, 4]),
  sessions: numbers([20, 100]),
  messages: number(8000, 100),
  rounds: number(6),
  size: number(10_240, 100),
  warm: number(15, 0),
});
needLoadPrograms('smtp-source', 'smtp-sink');
process.setMaxListeners(0);

const report = new Report('copies', {
  size: `${options.size} bytes a message`,
  turns: `${options.rounds} of ${options.messages} messages, divided among the copies`,
  'warmed up for': `${options.warm} s each`,
  durability: 'each message and outcome synced, as always; each copy has its own spool on the same disk',
});

/** So many copies for so many sessions, and what they were measured to do. */
interface Group {
  readonly copies: readonly Copy[];
  readonly sessions: number;
  readonly rates: number[];
  readonly cpu: number[];
}

type Copy = Awaited<ReturnType<typeof start>>;

for (const sessions of options.sessions) {
  const groups: Group[] = [];
  for (const count of options.copies.filter((count) => count <= sessions)) {
    const each = Math.ceil(sessions / count);
    const copies = await Promise.all(Array.from({ length: count }, () => start(each)));
    groups.push({ copies, sessions: each, rates: [], cpu: [] });
  }
  for (const group of groups) await Promise.all(group.copies.map((copy) => warm(copy, group.sessions)));
  // In turns, for the machine is not the same from minute to minute.
  for (let round = 0; round < options.rounds; round++) {
    for (const group of round % 2 === 0 ? groups : groups.toReversed()) await turn(group);
  }
  let first: number | null = null;
  for (const { copies, rates, cpu } of groups) {
    const who = copies.length === 1 ? 'one' : `${copies.length}`;
    const rate = report.figure(`${sessions} kept sessions, copies`, who, 'messages/s', rates);
    report.figure('  processor time a message', who, 'ms', cpu);
    if (first === null) first = rate;
    else report.ratio(`  messages/s, ${sessions} sessions, ${who} to the first`, rate / first, 'none');
  }
  for (const { copies } of groups) for (const { server, sink } of copies) await server.stop().then(sink.stop);
}
report.save();
process.exit(0);

async function start(sessions: number) {
  const sink = await startSink();
  return { sink, server: await startPosthorn({ sinkPort: sink.port, sessions }), sent: 0 };
}

async function warm(copy: Copy, sessions: number): Promise<void> {
  const part = { messages: options.messages, sessions, size: options.size, kept: true };
  copy.sent += await warmUp(options.warm, part, (some) => sendLoad(copy.server.port, some));
  await copy.sink.reaches(copy.sent, 60_000);
}

async function turn({ copies, sessions, rates, cpu }: Group): Promise<void> {
  const messages = Math.ceil(options.messages / copies.length);
  const spent = () => copies.reduce((sum, { server }) => sum + cpuSeconds(server.pid), 0);
  const [began, before] = [performance.now(), spent()];
  const ends = copies.map(async (copy) => {
    await sendLoad(copy.server.port, { messages, sessions, size: options.size, kept: true });
    copy.sent += messages;
    return copy.sink.reaches(copy.sent, 60_000);
  });
  const end = Math.max(...(await Promise.all(ends)));
  rates.push(((messages * copies.length) / (end - began)) * 1000);
  cpu.push(((spent() - before) / (messages * copies.length)) * 1000);
}
