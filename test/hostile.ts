/**
 * What the tests of hostile peers stand on: the program as a process, with short time limits and a heap too small for
 * whatever is not bounded; a host behind it that keeps what it gets; clients that say what nobody should say.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { createSmtpServer, type ReceivedMessage, smtpServerOptions } from '../src/smtp/index.ts';
import { makeSelfSignedCertificate } from '../src/smtp/self-signed.ts';
import { Peer } from '../src/smtp/test-peer.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { csvRows } from '../src/up/csv-rows.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

/** MiB of its own memory that the process may hold after any of these tests: nothing of an attack stays. */
export const MOST_MEMORY_MIB = 700;
/** MiB of JavaScript objects. What grows without bound ends the process, and with it the test. */
const HEAP_MIB = 384;

export interface Given {
  /** Directives beside those of every test. `{dir}` is the folder. */
  readonly config?: (ports: { readonly next: number; readonly free: number }, dir: string) => string;
  /** Directives inside `<source 127.0.0.1>`. */
  readonly source?: string;
  /** How the host behind us serves; by default it keeps all that it gets. */
  readonly bareLineEnds?: 'reject' | 'accept-as-data';
}

export interface Stage {
  readonly dir: string;
  readonly port: number;
  readonly managementPort: number;
  /** A port for the test's own use. */
  readonly freePort: number;
  readonly mta: Program;
  /** What the host behind us got, oldest first. */
  readonly received: ReceivedMessage[];
  log(): string;
  /** The accounting records of a type. */
  records(type: string): Promise<ReadonlyMap<string, string>[]>;
  /** All that stands in accounting files, byte for byte. */
  accounting(): string;
  /** A session that has said EHLO. */
  session(t: TestContext): Promise<Peer>;
  /** An ordinary message goes in and out, while whatever else happens. */
  ordinary(t: TestContext): Promise<void>;
  /** The process is well: nothing threw, its memory is small, an ordinary message goes through. */
  unharmed(t: TestContext): Promise<void>;
  stop(): Promise<void>;
}

export async function startStage({ config, source = '', bareLineEnds }: Given = {}): Promise<Stage> {
  const dir = temporaryFolder();
  const base = await freePorts(4);
  const [port, managementPort, next, free] = [base, base + 1, base + 2, base + 3];
  const { cert, key } = await makeSelfSignedCertificate({ names: ['mta.posthorn.test'], days: 30 });
  writeFileSync(path.join(dir, 'tls.pem'), key + cert, { mode: 0o600 });
  for (const name of ['spool', 'state', 'acct']) mkdirSync(path.join(dir, name));
  const file = path.join(dir, 'pmta.conf');
  const more = config?.({ next, free }, dir) ?? '';
  writeFileSync(file, configuration(dir, { port, managementPort, next }, source) + more, { mode: 0o600 });
  const host = await nextHost(next, bareLineEnds ?? 'reject');
  const mta = new Program(['mta', '--config', file], {
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
  });
  await mta.says('listens on');
  let asked = 0;

  const stage: Stage = {
    dir,
    port,
    managementPort,
    freePort: free,
    mta,
    received: host.received,
    log: () => readFileSync(path.join(dir, 'pmta.log'), 'utf8'),
    async records(type) {
      const rows: ReadonlyMap<string, string>[] = [];
      for (const name of acctFiles(dir)) {
        for await (const row of csvRows(path.join(dir, 'acct', name)))
          if (row.get('type') === type) rows.push(row);
      }
      return rows;
    },
    accounting: () =>
      acctFiles(dir)
        .map((name) => readFileSync(path.join(dir, 'acct', name), 'utf8'))
        .join(''),
    async session(t) {
      const peer = await Peer.open(t, port);
      assert.match(await peer.text(), /^220 /);
      assert.match(await peer.ask('EHLO client.test'), /^250 /);
      return peer;
    },
    async ordinary(t) {
      const subject = `ordinary ${++asked}`;
      const peer = await stage.session(t);
      const lines = ['MAIL FROM:<a@client.test>', 'RCPT TO:<ordinary@next.test>', 'DATA'];
      for (const line of lines) assert.match(await peer.ask(line), /^[23]\d\d /);
      assert.match(await peer.ask(`From: a@client.test\r\nSubject: ${subject}\r\n\r\nHello\r\n.`), /^250 /);
      peer.write('QUIT\r\n');
      await until(() => host.received.some(({ content }) => content.includes(`Subject: ${subject}\r\n`)));
    },
    async unharmed(t) {
      await stage.ordinary(t);
      assert.equal(mta.process.exitCode, null, mta.stderr);
      assert.doesNotMatch(stage.log(), / error: |unhandled|handler failed|\n\s+at /);
      assert.doesNotMatch(mta.stderr, /error|warning|trace|\n\s+at /i);
      const held = anonymousMiB(mta.process.pid!);
      assert.ok(held < MOST_MEMORY_MIB, `the process holds ${held} MiB`);
    },
    async stop() {
      await mta.stop();
      await host.close();
    },
  };
  return stage;
}

function configuration(
  dir: string,
  port: { port: number; managementPort: number; next: number },
  source: string,
): string {
  return `
host-name mta.posthorn.test
postmaster postmaster@posthorn.test
smtp-listener 127.0.0.1:${port.port}
http-mgmt-port ${port.managementPort}
http-access 127.0.0.1 monitor
http-redirect-to-https no
log-file ${dir}/pmta.log
smtp-server-tls-certificate ${dir}/tls.pem
state-dir ${dir}/state
total-max-smtp-in 1000
<spool ${dir}/spool>
</spool>
<source 127.0.0.1>
    always-allow-relaying yes
    allow-auth yes
    allow-starttls yes
    allow-smtputf8 yes
    allow-chunking yes
    suppress-local-dsn yes
    process-x-job yes
    process-x-envid yes
    log-connections yes
    ${source}
</source>
<smtp-user python>
    password opensesame
</smtp-user>
<domain next.test>
    smtp-hosts [127.0.0.1]:${port.next}
</domain>
<acct-file ${dir}/acct/acct.csv>
    records r, d, b, t, tq, rb, rs, f
    record-fields r *, header_subject, header___proto__, header_constructor
    record-fields d *, header_subject, header___proto__, header_constructor
</acct-file>
`;
}

/** A host behind us that keeps what it gets. */
async function nextHost(port: number, bareLineEnds: 'reject' | 'accept-as-data') {
  const received: ReceivedMessage[] = [];
  const accept = () => ({
    options: smtpServerOptions({ hostName: 'next.test', bareLineEnds, maxRecipients: 100_000 }),
    handlers: {
      onMessage: (message: ReceivedMessage) => {
        received.push({ ...message, content: Buffer.from(message.content) });
        return null;
      },
    },
  });
  const server = createSmtpServer(accept, { clock: systemClock, log: silentLog });
  await server.listen('127.0.0.1', port, 'the next host');
  return { received, close: () => server.close(500) };
}

/** MiB of memory that is the process's own (RssAnon): heap and buffers, not files mapped into it. */
export function anonymousMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]) / 1024);
}

/** How often each reply code came, and the last reply line. */
export interface Tally {
  readonly codes: ReadonlyMap<string, number>;
  readonly last: string;
}

/** Says all that `pieces` gives, as fast as it is read, and counts what comes back until the server hangs up. */
export async function flood(t: TestContext, port: number, pieces: Iterable<string>): Promise<Tally> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  t.after(() => socket.destroy());
  const codes = new Map<string, number>();
  let rest = '';
  let last = '';
  let over = false;
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\r\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (line[3] === '-') continue;
      codes.set(line.slice(0, 3), (codes.get(line.slice(0, 3)) ?? 0) + 1);
      last = line;
    }
  });
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => {
    over = true;
  });
  await once(socket, 'connect');
  for (const piece of pieces) {
    if (over) break;
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
  }
  await closed;
  return { codes, last };
}

/**
 * Opens a connection and writes; resolves with all that came back when the server hangs up, or after `forMs` where it is
 * right to wait for more.
 */
export async function shout(
  t: TestContext,
  port: number,
  text: string | Buffer,
  forMs?: number,
): Promise<string> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
  t.after(() => socket.destroy());
  let said = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    said += piece;
  });
  socket.on('error', () => {});
  socket.write(text);
  let closed = false;
  socket.once('close', () => {
    closed = true;
  });
  const timer = forMs === undefined ? undefined : setTimeout(() => socket.destroy(), forMs);
  await until(() => closed);
  clearTimeout(timer);
  return said;
}

/** The accounting files; notes of what is being written stand beside them under hidden names. */
function acctFiles(dir: string): string[] {
  return readdirSync(path.join(dir, 'acct')).filter((name) => !name.startsWith('.'));
}
