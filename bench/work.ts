/**
 * All that a sender of campaigns turns on: logins, STARTTLS, newsletters of 20 kB whose 25 links are rewritten, a DKIM
 * signature of RSA-2048 and one of Ed25519, accounting, and events that are uploaded. Beside it a Postfix that does
 * none of this with the same messages: no login, no TLS, no signature. Both sync each message before its `250`.
 *
 *   node bench/work.ts [--messages N] [--sessions 20] [--repeat 3] [--profile FOLDER]
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createSmtpServer, smtpServerOptions } from '../src/smtp/index.ts';
import { makeSelfSignedCertificate } from '../src/smtp/self-signed.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { temporaryFolder, until } from '../test/program.ts';
import { submit } from './harness/paced.ts';
import { cpuByThread, cpuSeconds, spentByThread, watchMemory } from './harness/processes.ts';
import { Report } from './harness/report.ts';
import { type MailServer, startPostfixRelay, startPosthorn } from './harness/servers.ts';
import { startSink } from './harness/smtp-load.ts';

const { values: given } = parseArgs({
  options: {
    messages: { type: 'string', default: '6000' },
    sessions: { type: 'string', default: '20' },
    repeat: { type: 'string', default: '3' },
    profile: { type: 'string' },
  },
});
const messages = Number(given.messages);
const sessions = Number(given.sessions);
const repeat = Number(given.repeat);
const PASSWORD = 'bench-password';

const secrets = temporaryFolder();
mkdirSync(secrets, { recursive: true });
const { key, cert } = await makeSelfSignedCertificate({ names: ['mta.test'], days: 30 });
writeFileSync(path.join(secrets, 'tls.pem'), cert + key);
const pem = (made: { privateKey: { export(o: object): unknown } }) =>
  String(made.privateKey.export({ type: 'pkcs8', format: 'pem' }));
writeFileSync(path.join(secrets, 'rsa.pem'), pem(generateKeyPairSync('rsa', { modulusLength: 2048 })));
writeFileSync(path.join(secrets, 'ed.pem'), pem(generateKeyPairSync('ed25519')));

/** Takes batches of events and forgets them, as a Signals elsewhere would keep them. */
let uploads = 0;
const signals = createServer((request, response) => {
  request.resume().on('end', () => {
    uploads++;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ results: { id: crypto.randomUUID() } }));
  });
});
await new Promise<void>((resolve) => signals.listen(0, '127.0.0.1', resolve));
const signalsPort = (signals.address() as AddressInfo).port;

const config = `
host-name mta.test
log-file @DIR@/log
state-dir @DIR@/state
http-mgmt-port 0
smtp-listener 127.0.0.1:@PORT@
smtp-server-tls-certificate ${secrets}/tls.pem
<spool @DIR@/spool>
</spool>
<source 127.0.0.1>
  smtp-service yes
  allow-auth yes
  allow-starttls yes
  require-starttls-before-auth yes
</source>
<source {auth}>
  always-allow-relaying yes
  default-virtual-mta campaign
</source>
<smtp-user sender>
  password ${PASSWORD}
  source {auth}
</smtp-user>
domain-key rsa, brand.test, ${secrets}/rsa.pem
domain-key ed, esp.test, ${secrets}/ed.pem
<virtual-mta campaign>
  <domain *>
    dkim-sign yes
    dkim-identity @brand.test
    dkim-identity-fallback @brand.test
    second-dkim-sign yes
    second-dkim-identity @esp.test
  </domain>
</virtual-mta>
<domain *>
  smtp-hosts [127.0.0.1]:@SINK@
  use-starttls no
  max-smtp-out @SESSIONS@
</domain>
<acct-file @DIR@/acct.csv>
  records d,b,t,r
</acct-file>
<signals>
  api-key 0123456789abcdef0123456789abcdef01234567
  upload-url http://127.0.0.1:${signalsPort}/api/v1/ingest/events
  engagement-tracking sparkpost
  customer-id 1
  tracking-domain click.brand.test
  min-free-space 20M
</signals>
enable-signals yes
`;

const login = { user: 'sender', password: PASSWORD };
const servers = {
  posthorn: (sinkPort: number): Promise<MailServer> =>
    startPosthorn(
      { sinkPort, sessions },
      { config, nodeArgs: given.profile ? ['--cpu-prof', `--cpu-prof-dir=${given.profile}`] : [] },
    ),
  postfix: (sinkPort: number): Promise<MailServer> => startPostfixRelay({ sinkPort, sessions }),
};

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
  const server = await servers.posthorn(await host.listen('127.0.0.1', 0, 'the benchmark'));
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
const report = new Report('work', {
  message: '20 kB HTML, 25 links',
  sessions: `${sessions} kept`,
  posthorn: 'STARTTLS, AUTH, link rewriting, DKIM RSA-2048 and Ed25519, accounting, events uploaded',
  postfix: 'none of these',
  durability: 'each message synced before its 250, on both',
  repetitions: repeat,
});
const rates: Record<string, number[]> = { posthorn: [], postfix: [] };
const cpus: Record<string, number[]> = { posthorn: [], postfix: [] };
const threads: Map<string, number>[] = [];
const peaks: Record<string, number[]> = { posthorn: [], postfix: [] };
for (let i = 0; i < repeat; i++) {
  for (const [who, start] of Object.entries(servers)) {
    const sink = await startSink();
    const server = await start(sink.port);
    const share = who === 'posthorn' ? messages : Math.round(messages / 3);
    const load = {
      rate: null,
      sessions,
      content: 'newsletter',
      login: who === 'posthorn' ? login : null,
    } as const;
    const warm = Math.round(share / 10);
    await submit(server.port, { ...load, messages: warm });
    await sink.reaches(warm, 120_000);
    const before = cpuSeconds(server.pid);
    const threadsBefore = cpuByThread(server.pid);
    const peak = watchMemory(server.pid);
    const begun = performance.now();
    await submit(server.port, { ...load, messages: share });
    const end = await sink.reaches(warm + share, 300_000);
    rates[who]!.push(share / ((end - begun) / 1000));
    cpus[who]!.push(((cpuSeconds(server.pid) - before) * 1000) / share);
    if (who === 'posthorn') threads.push(spentByThread(server.pid, threadsBefore, share));
    peaks[who]!.push(peak() / 2 ** 20);
    await server.stop();
    sink.stop();
  }
}
if (uploads === 0) throw new Error('no events were uploaded: this run did not do what it says');
const medians = new Map<string, number>();
for (const who of Object.keys(servers)) {
  medians.set(who, report.figure('work', who, 'messages/s', rates[who]!));
  report.figure('  processor time a message', who, 'ms', cpus[who]!);
  if (who === 'posthorn') report.threads(who, threads);
  report.figure('  most memory', who, 'MiB', peaks[who]!);
}
report.ratio('  posthorn to postfix', medians.get('posthorn')! / medians.get('postfix')!, 'at least 2.5');
report.save('var/bench');
process.exit(0);
