/**
 * A full spool is started on and drained into `smtp-sink`, in three shapes:
 *   one destination        how fast a backlog leaves, to compare with `relay`
 *   a thousand, 100 dead   of the dead, half refuse connections and half accept them and never say a word
 *   ten thousand queues    each with connection and rate limits of its own
 * Time runs from the start of the program to the last delivery, so reading the spool is part of it.
 *
 *   npm run bench -- drain [--recipients N] [--repeat 3] [--sessions 20]
 */
import { spawn } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import { endsWithUs, freePorts, temporaryFolder } from '../test/program.ts';
import { fillSpool } from './harness/fill-spool.ts';
import { profiledAs } from './harness/flame.ts';
import { given, number } from './harness/given.ts';
import { cpuSeconds } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { compiledPackage, ended, untilGreets } from './harness/servers.ts';
import { needLoadPrograms, startSink } from './harness/smtp-load.ts';

const { recipients, repeat, sessions } = given({
  recipients: number(50_000),
  repeat: number(3),
  sessions: number(20),
});
needLoadPrograms('smtp-sink');
process.setMaxListeners(0);

/** Takes connections and says nothing, as a host behind a broken firewall does. */
const held = new Set<Socket>();
const silent = createServer((socket) => {
  held.add(socket.on('error', () => {}));
  socket.once('close', () => held.delete(socket));
});
await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
const silentPort = (silent.address() as { port: number }).port;
const refusingPort = await freePorts(1);

interface Shape {
  readonly name: string;
  readonly domains: number;
  /** Of the domains, the last so many are dead. */
  readonly dead: number;
  readonly limits: string;
}

const shapes: readonly Shape[] = [
  { name: 'drain, one destination', domains: 1, dead: 0, limits: `max-smtp-out ${sessions}` },
  { name: 'drain, 1,000 destinations', domains: 1000, dead: 0, limits: 'max-smtp-out 5' },
  { name: 'drain, 1,000 of which 100 are dead', domains: 1000, dead: 100, limits: 'max-smtp-out 5' },
  {
    name: 'drain, 10,000 queues with limits',
    domains: 10_000,
    dead: 0,
    limits: 'max-smtp-out 2\n  max-msg-rate 600/m\n  max-connect-rate 600/m',
  },
];

function configuration(
  dir: string,
  port: number,
  sinkPort: number,
  { domains, dead, limits }: Shape,
): string {
  const deadDomains = Array.from({ length: dead }, (_, i) => {
    const host = i % 2 === 0 ? refusingPort : silentPort;
    return `<domain d${domains - dead + i}.test>\n  smtp-hosts [127.0.0.1]:${host}\n</domain>`;
  });
  return `host-name mta.test
log-file ${dir}/log
state-dir ${dir}/state
http-mgmt-port 0
total-max-smtp-out 500
smtp-listener 127.0.0.1:${port}
<spool ${dir}/spool>
</spool>
<source 127.0.0.1>
  always-allow-relaying yes
  smtp-service yes
</source>
${deadDomains.join('\n')}
<domain *>
  smtp-hosts [127.0.0.1]:${sinkPort}
  use-starttls no
  ${limits}
</domain>
<acct-file ${dir}/acct.csv>
  records d,b
</acct-file>
`;
}

const program = compiledPackage();
const report = new Report('drain', {
  recipients,
  messages: '1 kB, a recipient each',
  sessions: `at most ${sessions} to one destination, 500 in all`,
  tls: 'none',
  durability: 'each outcome in a synced transaction',
  repetitions: repeat,
});
for (const shape of shapes) {
  const full = path.join(temporaryFolder(), 'spool');
  await fillSpool(full, { recipients, perMessage: 1, domains: shape.domains, batch: 2000 });
  const alive = Math.round((recipients * (shape.domains - shape.dead)) / shape.domains);
  const rates: number[] = [];
  const cpu: number[] = [];
  for (let i = 0; i < repeat; i++) {
    const dir = temporaryFolder();
    cpSync(full, path.join(dir, 'spool'), { recursive: true });
    const sink = await startSink();
    const port = await freePorts(1);
    const config = path.join(dir, 'config');
    writeFileSync(config, configuration(dir, port, sink.port, shape));
    const begun = performance.now();
    const child = endsWithUs(
      spawn(process.execPath, [program, 'mta', '--config', config], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: profiledAs('posthorn'),
      }),
    );
    const end = await sink.reaches(alive, 600_000);
    await untilGreets(port, child);
    rates.push(alive / ((end - begun) / 1000));
    cpu.push((cpuSeconds(child.pid!) * 1000) / alive);
    // In order, so that a profile is written; nothing is to be waited for any more.
    const stopped = ended(child);
    for (const socket of held) socket.destroy();
    await stopped;
    sink.stop();
  }
  report.figure(shape.name, 'posthorn', 'messages/s', rates);
  report.figure('  processor time a message', 'posthorn', 'ms', cpu);
}
report.save();
process.exit(0);
