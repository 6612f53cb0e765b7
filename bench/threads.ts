/**
 * One server with more and more threads: relay over kept connections and with a connection a message, and the work of a
 * campaign (see `work`). Two processors cannot run four threads at once, so that each thread of ours gets a share of a
 * processor and no more, whatever the others do: the machine is then one of many slow processors, and
 * what bounds the rate is a thread and not the machine. The load programs, the pool and the engine's own threads have all that is left.
 *
 *   npm run bench -- threads [--share 25] [--sessions 100] [--messages 3000] [--rounds 4] [--warm SECONDS]
 *
 * `--share`: of a processor, in percent; 100 bounds nothing, and shows this machine as it is. Less takes root, and the
 * processor controller of control groups in their first version (`/sys/fs/cgroup/cpu`).
 */
import { prepareCampaign } from './harness/campaign.ts';
import { given, number } from './harness/given.ts';
import { submit } from './harness/paced.ts';
import { cpuByThread, spentByThread, type ThreadKind } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { RELAY_CONFIG, startPosthorn } from './harness/servers.ts';
import { needLoadPrograms, sendLoad, startSink, warmUp } from './harness/smtp-load.ts';
import { boundThreads, needThreadBounds } from './harness/thread-bounds.ts';

const options = given({
  share: number(25, 1),
  sessions: number(100),
  messages: number(3000, 100),
  rounds: number(4),
  warm: number(15, 0),
});
const { share, sessions, messages } = options;
needLoadPrograms('smtp-source', 'smtp-sink');
if (share < 100) needThreadBounds();
process.setMaxListeners(0);

const campaign = await prepareCampaign();

interface Load {
  readonly what: string;
  send(port: number, messages: number): Promise<unknown>;
  config(settings: string): string;
  /** Names of the threads beside the main one, with what the configuration says for them. */
  readonly threads: Readonly<Record<string, string>>;
  readonly messages: number;
}

const relay = (kept: boolean): Load => ({
  what: kept ? `relay, ${sessions} kept sessions` : `relay, a connection a message, ${sessions}`,
  send: (port, count) => sendLoad(port, { messages: count, sessions, size: 10_240, kept }),
  config: (settings) => RELAY_CONFIG + settings,
  messages,
  threads: {
    main: 'reception-thread no',
    'main, reception': 'reception-thread yes',
  },
});

const loads: readonly Load[] = [
  relay(true),
  relay(false),
  {
    what: `a campaign, ${sessions} kept sessions`,
    send: (port, count) =>
      submit(port, {
        ...{ rate: null, messages: count, sessions, content: 'newsletter' },
        login: campaign.login,
      }),
    config: campaign.config,
    messages: Math.ceil(messages / 3),
    threads: {
      main: 'reception-thread no\ncontent-threads 0',
      'main, reception': 'reception-thread yes\ncontent-threads 0',
      'main, content': 'reception-thread no\ncontent-threads 1',
      'main, reception, content': 'reception-thread yes\ncontent-threads 1',
      'main, reception, 2 content': 'reception-thread yes\ncontent-threads 2',
    },
  },
];

const report = new Report('threads', {
  'of a processor, for each thread': share < 100 ? `${share} %` : 'all that it gets',
  sessions,
  turns: `${options.rounds} of ${messages} messages, a third of them for the campaign`,
  'warmed up for': `${options.warm} s each`,
  campaign: 'STARTTLS, AUTH, link rewriting, DKIM RSA-2048 and Ed25519, accounting, events uploaded',
  durability: 'each message and outcome synced, as always',
});

interface Server extends Awaited<ReturnType<typeof start>> {}

for (const load of loads) {
  const servers: Server[] = [];
  for (const [threads, settings] of Object.entries(load.threads)) {
    servers.push(await start(load, threads, settings));
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) await turn(load, server);
  }
  let first: number | null = null;
  for (const { threads, rates, spent } of servers) {
    const rate = report.figure(load.what, threads, 'messages/s', rates);
    report.threads(threads, spent);
    if (first === null) first = rate;
    else report.ratio(`  messages/s, ${threads} to main`, rate / first, 'none');
  }
  for (const { server, sink } of servers) await server.stop().then(sink.stop);
}
report.save();
process.exit(0);

async function start(load: Load, threads: string, settings: string) {
  const sink = await startSink();
  const server = await startPosthorn({ sinkPort: sink.port, sessions }, { config: load.config(settings) });
  const part = { messages: load.messages, sessions };
  const sent = await warmUp(options.warm, part, (some) => load.send(server.port, some.messages));
  await sink.reaches(sent, 120_000);
  return { threads, sink, server, sent, rates: [] as number[], spent: [] as Map<ThreadKind, number>[] };
}

async function turn(load: Load, one: Server): Promise<void> {
  const { messages } = load;
  const { pid } = one.server;
  const free = share < 100 ? boundThreads(pid, share) : () => {};
  const before = cpuByThread(pid);
  const begun = performance.now();
  await load.send(one.server.port, messages);
  one.sent += messages;
  const end = await one.sink.reaches(one.sent, 300_000);
  one.rates.push((messages / (end - begun)) * 1000);
  one.spent.push(spentByThread(pid, before, messages));
  free();
}
