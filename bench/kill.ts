/**
 * The server of `relay`, under the same load, is killed in the middle and started again, some times; then every message
 * that it had acknowledged has to be delivered, and its delivery told once in the accounting files. It fails otherwise.
 * What was in flight at a kill may be delivered again: how much that was is told, and how long nobody was served.
 *
 *   npm run bench -- kill [--messages 20000] [--sessions 20] [--kills 5] [--size BYTES]
 *
 * A kill takes the process and leaves the kernel with what it was told to write. What a power cut takes away as well is in
 * `test/kill.test.ts`.
 */
import { globSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSmtp, createSmtpServer, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { csvRows } from '../src/up/csv-rows.ts';
import { given, number } from './harness/given.ts';
import { plainMessage } from './harness/messages.ts';
import { Report } from './harness/report.ts';
import { startPosthorn } from './harness/servers.ts';

const { messages, sessions, kills, size } = given({
  messages: number(20_000),
  sessions: number(20),
  kills: number(5),
  size: number(10_240, 100),
});
/** It has had long enough when nothing has arrived for so long. */
const QUIET_MS = 60_000;

/** How often each message arrived, by its number. */
const arrived = new Map<number, number>();
const host = createSmtpServer(
  () => ({
    options: smtpServerOptions({ hostName: 'host.test' }),
    handlers: {
      onMessage: async ({ envelope }) => {
        const n = numberOf(envelope.recipients[0]!.address);
        arrived.set(n, (arrived.get(n) ?? 0) + 1);
        return null;
      },
    },
  }),
  { clock: systemClock, log: silentLog },
);
const sinkPort = await host.listen('127.0.0.1', 0, 'the benchmark');
const target = { sinkPort, sessions };
let server = await startPosthorn(target);
const again = { dir: server.dir, port: server.port };
const report = new Report('kill', {
  size: `${size} bytes a message`,
  messages,
  sessions: `${sessions} kept, until a kill ends them`,
  tls: 'none',
  durability: server.durability,
  kills: `${kills}, by SIGKILL, each after another ${Math.round(messages / (kills + 1))} messages`,
});

const acknowledged = new Set<number>();
/** Sent to the end or not, without an answer that says which: the server may have them. */
const unanswered = new Set<number>();
let next = 0;
let lastAnswer = 0;
const content = plainMessage(size);
const begun = performance.now();
const clients = Array.from({ length: sessions }, client);
const pauses: number[] = [];
for (let kill = 1; kill <= kills; kill++) {
  while (acknowledged.size < (messages / (kills + 1)) * kill && next < messages) await sleep(1);
  const gone = new Promise((resolve) => server.process.once('exit', resolve));
  server.process.kill('SIGKILL');
  await gone;
  const before = lastAnswer;
  const had = acknowledged.size;
  server = await startPosthorn(target, { again });
  while (acknowledged.size === had && next < messages) await sleep(1);
  pauses.push((lastAnswer - before) / 1000);
}
await Promise.all(clients);
let seen = -1;
const missing = () => [...acknowledged].filter((n) => !arrived.has(n));
for (let since = performance.now(); missing().length > 0 && performance.now() - since < QUIET_MS; ) {
  if (arrived.size !== seen) since = performance.now();
  seen = arrived.size;
  await sleep(100);
}
const seconds = (performance.now() - begun) / 1000;
// In order, so that what is still to be written down is.
await server.stop();
await host.close(1000);

const told = new Map<number, number>();
for (const file of globSync('acct*.csv', { cwd: server.dir })) {
  for await (const row of csvRows(path.join(server.dir, file))) {
    if (row.get('type') !== 'd') continue;
    const n = numberOf(row.get('rcpt')!);
    told.set(n, (told.get(n) ?? 0) + 1);
  }
}
const count = (what: string, value: number) => report.figure(what, 'posthorn', 'messages', [value]);
report.figure('from the first to the last delivery', 'posthorn', 's', [seconds]);
report.figure('without an answer around a kill', 'posthorn', 's', pauses);
count('acknowledged', acknowledged.size);
count('without an answer, because of a kill', unanswered.size);
count('  of these stored and delivered', [...unanswered].filter((n) => arrived.has(n)).length);
count(
  'delivered more than once, because of a kill',
  [...arrived.values()].filter((times) => times > 1).length,
);
const lost = count('acknowledged and lost', missing().length);
const untold = count(
  'delivered, without a record of it',
  [...arrived.keys()].filter((n) => !told.has(n)).length,
);
const toldTwice = count('with two records', [...told.values()].filter((times) => times > 1).length);
report.save();
if (lost + untold + toldTwice > 0) {
  process.stderr.write(`kill: ${lost} lost, ${untold} without a record, ${toldTwice} with two\n`);
  process.exit(1);
}
process.exit(0);

function numberOf(address: string): number {
  return Number(/^reader(\d+)@/.exec(address)?.[1]);
}

/** Connects, sends until the connection breaks, connects again. What got no answer is not sent a second time. */
async function client(): Promise<void> {
  while (next < messages) {
    const connected = await connectSmtp({ host: '127.0.0.1', port: again.port, heloName: 'bench.test' });
    if (!connected.ok) {
      await sleep(10);
      continue;
    }
    const { client } = connected;
    while (next < messages && client.usable) {
      const n = next++;
      const result = await client.send({
        from: 'news@brand.test',
        recipients: [{ address: `reader${n}@far.test` }],
        content,
      });
      if (result.data?.code === 250) {
        acknowledged.add(n);
        lastAnswer = performance.now();
      } else unanswered.add(n);
    }
    await client.quit().catch(() => {});
  }
}
