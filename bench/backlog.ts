/**
 * A start with a full spool: what a queued recipient costs in memory, how soon mail is accepted, and when delivery
 * starts. The recipients are put in through the spool's own interface, then the real program starts on them.
 *
 *   node bench/backlog.ts [recipients] [recipients of a message]
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSmtp, createSmtpServer, reply, smtpServerOptions } from '../src/smtp/index.ts';
import { openSpool } from '../src/spool/spool.ts';
import { spoolIdMaker } from '../src/spool/spool-id.ts';
import type { Envelope, PendingRecipient } from '../src/spool/stored-message.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, until } from '../test/program.ts';

const total = Number(process.argv[2] ?? 1_000_000);
const perMessage = Number(process.argv[3] ?? 1);
const DOMAINS = 1000;
const CONTENT = Buffer.from(`Subject: x\r\n\r\n${'x'.repeat(1000)}\r\n`);

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-backlog-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
let scanning = true;
let first: number | null = null;
let early = 0;
// Takes a little mail and defers the rest, so that what is measured stays queued.
const host = createSmtpServer(
  () => ({
    options: smtpServerOptions({ hostName: 'host.test' }),
    handlers: {
      onRcpt: ({ address }) => (address.endsWith('@d0.test') ? null : reply(450, '4.2.1', 'later')),
      onMessage: async () => {
        first ??= performance.now();
        if (scanning) early++;
        return null;
      },
    },
  }),
  { clock: systemClock, log: silentLog },
);
const hostPort = await host.listen('127.0.0.1', 0, 'the benchmark');

await fill();
const dataSize = statSync(path.join(dir, 'spool/data.mdb')).size;
const port = await freePorts(2);
writeFileSync(path.join(dir, 'config'), configuration(port));

const empty = await startedAt();
const start = performance.now();
const program = new Program(['mta', '--config', path.join(dir, 'config')]);
const accepted = await firstAccepted(port);
const log = () => readFileSync(path.join(dir, 'log'), 'utf8');
await until(() => log().includes('recovered from the spool'), 300_000);
scanning = false;
const scanned = performance.now();
const atEnd = memory(program.process.pid!);
await sleep(5000);
const later = memory(program.process.pid!);

const seconds = (at: number) => `${((at - start) / 1000).toFixed(2)} s`;
const perRecipient = (kb: number) => `${Math.round((kb * 1024) / total)} B`;
console.log(
  `${total} recipients, ${perMessage} a message, ${DOMAINS} queues, spool of ${Math.round(dataSize / 1e6)} MB`,
);
console.log(`  start with an empty spool    mail accepted after ${(empty / 1000).toFixed(2)} s`);
console.log(`  first mail accepted          ${seconds(accepted)} after the start`);
console.log(
  `  first mail delivered         ${first === null ? 'not before the end of the scan' : seconds(first)}`,
);
console.log(`  scan ended                   ${seconds(scanned)}; delivered until then: ${early}`);
for (const [when, { anon, rss }] of [
  ['when the scan ended', atEnd],
  ['5 s later', later],
] as const) {
  console.log(
    `  memory ${when.padEnd(22)}${perRecipient(anon)} per recipient (RssAnon ${Math.round(anon / 1024)} MB); with the mapped file ${perRecipient(rss)}`,
  );
}
program.process.kill('SIGKILL');
await program.finished;
process.exit(0);

async function fill(): Promise<void> {
  const spool = openSpool(path.join(dir, 'spool'));
  const nextId = spoolIdMaker(Date.now);
  for (let n = 0; n < total; ) {
    const batch: Promise<void>[] = [];
    for (let i = 0; i < 2000 && n < total; i++) {
      const spoolId = nextId();
      const recipients = Array.from({ length: Math.min(perMessage, total - n) }, (_, k) => ({
        address: `user${n + k}@d${(n + k) % DOMAINS}.test`,
        originalRecipient: '',
        messageId: `${spoolId}${String(k).padStart(4, '0')}`,
        notify: [],
      }));
      n += recipients.length;
      const receivedAt = Date.now();
      const facts = {
        spoolId,
        receivedAt,
        sender: 'news@brand.test',
        size: CONTENT.length,
        source: 'smtp',
        vmta: '{default}',
        headers: [],
      };
      const envelope = {
        facts,
        recipients,
        eightBit: false,
        smtpUtf8: false,
        returnContent: '',
        removeHeaders: [],
        suppressReports: true,
      };
      const pending = recipients.map(({ address }, index): PendingRecipient => {
        const domain = address.slice(address.indexOf('@') + 1);
        return {
          spoolId,
          index,
          domain,
          vmta: '{default}',
          receivedAt,
          attempts: 0,
          holdUntil: 0,
          priority: 50,
        };
      });
      batch.push(spool.store(envelope as unknown as Envelope, CONTENT, pending, []));
    }
    await Promise.all(batch);
  }
  await spool.close();
}

function configuration(at: number, spool = 'spool'): string {
  return `host-name mx.test
    log-file ${dir}/log
    state-dir ${dir}/state-${spool}
    http-mgmt-port 0
    total-max-smtp-out 20
    smtp-listener 127.0.0.1:${at}
    <spool ${dir}/${spool}>
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

/** How long the same program takes with nothing to read, in milliseconds. */
async function startedAt(): Promise<number> {
  writeFileSync(path.join(dir, 'config-empty'), configuration(port + 1, 'empty'));
  const begun = performance.now();
  const other = new Program(['mta', '--config', path.join(dir, 'config-empty')]);
  const at = await firstAccepted(port + 1);
  await other.stop();
  rmSync(path.join(dir, 'log'));
  return at - begun;
}

/** When a message was answered 250. */
async function firstAccepted(at: number): Promise<number> {
  for (;;) {
    const connected = await connectSmtp({ host: '127.0.0.1', port: at, heloName: 'client.test' });
    if (!connected.ok) {
      await sleep(10);
      continue;
    }
    const result = await connected.client.send({
      from: 'a@brand.test',
      recipients: [{ address: 'new@new.test' }],
      content: CONTENT,
    });
    if (result.data?.code !== 250) throw new Error(JSON.stringify(result));
    const now = performance.now();
    await connected.client.quit();
    return now;
  }
}

/** Kilobytes: memory of its own, and all that is resident. */
function memory(pid: number): { anon: number; rss: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)![1]);
  return { anon: field('RssAnon'), rss: field('VmRSS') };
}
