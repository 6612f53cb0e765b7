// Mail exchanged with other people's software over sockets: Python's smtplib submits, Postfix takes our mail and sends us its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { missing } from '../scripts/system-packages.ts';
import {
  createSmtpServer,
  type RcptCommand,
  type ReceivedMessage,
  smtpServerOptions,
} from '../src/smtp/index.ts';
import { makeSelfSignedCertificate } from '../src/smtp/self-signed.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { csvRows } from '../src/up/csv-rows.ts';
import { type Postfix, startPostfix } from './postfix.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

const notRoot = process.getuid?.() === 0 ? false : 'SKIPPED: Postfix starts as root only';
const skip = missing('postfix', 'python3') || notRoot;

let postfix: Postfix;
let mta: Program;
let next: { received: ReceivedMessage[]; close(): Promise<void> };
let dir: string;
let submission: number;

before(async () => {
  if (skip) return;
  dir = temporaryFolder();
  const base = await freePorts(3);
  submission = base;
  next = await nextHost(base + 2);
  writeFileSync(
    path.join(dir, 'pmta.conf'),
    configuration(dir, { mta: base, postfix: base + 1, next: base + 2 }),
    { mode: 0o600 },
  );
  const { cert, key } = await makeSelfSignedCertificate({ names: ['mta.posthorn.test'], days: 30 });
  writeFileSync(path.join(dir, 'tls.pem'), key + cert, { mode: 0o600 });
  for (const name of ['spool', 'state', 'acct']) mkdirSync(path.join(dir, name));
  mta = new Program(['mta', '--config', path.join(dir, 'pmta.conf')]);
  await mta.says('listens on');
  postfix = await startPostfix({
    port: base + 1,
    domain: 'postfix.test',
    mailboxes: ['eight', 'jürgen', 'wanted', 'there'],
    relayPort: base,
    // Commands as they came, for the log.
    main: [
      'debug_peer_list = 127.0.0.1',
      'debug_peer_level = 1',
      'smtp_tls_security_level = encrypt',
      'smtp_tls_loglevel = 1',
    ],
  });
});
after(async () => {
  if (skip) return;
  postfix?.stop();
  await mta?.stop();
  await next?.close();
});

function configuration(dir: string, port: { mta: number; postfix: number; next: number }): string {
  return `
host-name mta.posthorn.test
postmaster postmaster@posthorn.test
smtp-listener 127.0.0.1:${port.mta}
http-mgmt-port 0
log-file ${dir}/pmta.log
smtp-server-tls-certificate ${dir}/tls.pem
state-dir ${dir}/state
<spool ${dir}/spool>
</spool>
<source 127.0.0.1>
    always-allow-relaying yes
    allow-auth yes
    allow-starttls yes
    allow-smtputf8 yes
    allow-chunking yes
    suppress-local-dsn yes
</source>
<smtp-user python>
    password opensesame
</smtp-user>
<bounce-processor>
    deliver-matched-email no
    <address-list>
        address sender@posthorn.test
    </address-list>
</bounce-processor>
<domain postfix.test>
    smtp-hosts [127.0.0.1]:${port.postfix}
    use-starttls yes
    require-starttls yes
</domain>
<domain next.test>
    smtp-hosts [127.0.0.1]:${port.next}
</domain>
<acct-file ${dir}/acct/acct.csv>
    records d, b, t, rb, rs
</acct-file>
`;
}

/** A host behind us that keeps what it gets, with the parameters it came with. */
async function nextHost(port: number) {
  const received: ReceivedMessage[] = [];
  const accept = () => ({
    options: smtpServerOptions({ hostName: 'next.test' }),
    handlers: {
      onMessage: (message: ReceivedMessage) => {
        received.push({ ...message, content: Buffer.from(message.content) });
        return null;
      },
    },
  });
  const server = createSmtpServer(accept, { clock: systemClock, log: silentLog });
  await server.listen('127.0.0.1', port, 'the next host');
  return { received, close: () => server.close(1000) };
}

async function records(type: string): Promise<ReadonlyMap<string, string>[]> {
  const rows: ReadonlyMap<string, string>[] = [];
  for (const name of readdirSync(path.join(dir, 'acct')).filter((one) => !one.startsWith('.'))) {
    for await (const row of csvRows(path.join(dir, 'acct', name)))
      if (row.get('type') === type) rows.push(row);
  }
  return rows;
}

/** Submits with smtplib as user python over STARTTLS; the arguments are Python expressions. */
function smtplib(
  from: string,
  to: string[],
  content: string,
  mailOptions: string[] = [],
  rcptOptions: string[] = [],
) {
  const script = `
import json, smtplib, ssl, sys
job = json.load(sys.stdin)
with smtplib.SMTP('127.0.0.1', ${submission}, timeout=120) as client:
    client.starttls(context=ssl._create_unverified_context())
    client.login('python', 'opensesame')
    print(client.sendmail(job['from'], job['to'], job['content'].encode('utf-8'), job['mail'], job['rcpt']))
`;
  const done = spawnSync('python3', ['-c', script], {
    input: JSON.stringify({ from, to, content, mail: mailOptions, rcpt: rcptOptions }),
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.equal(done.status, 0, done.stderr);
}

/** Waits for a line in the log of Postfix, which a process of its own writes: it may come after the mail. */
async function logged(line: RegExp): Promise<void> {
  await until(() => line.test(postfix.log())).catch((error) => {
    throw new Error(`${line} is not in the log:\n${postfix.log().slice(-2000)}`, { cause: error });
  });
}

const lines = (...text: string[]) => `${text.join('\r\n')}\r\n`;

test('smtplib submits over STARTTLS with AUTH; Postfix takes it over STARTTLS with BDAT, byte for byte', {
  skip,
}, async () => {
  const message = lines(
    'From: sender@posthorn.test',
    'Date: Sat, 21 Nov 2026 10:00:00 +0000',
    'Message-ID: <1@posthorn.test>',
    'Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=',
    '',
    '.dots',
    '..',
    'Grüße.',
  );
  smtplib('sender@posthorn.test', ['eight@postfix.test'], message, ['BODY=8BITMIME']);
  await until(() => postfix.mailbox('eight').length === 1);
  const [mail] = postfix.mailbox('eight');
  assert.ok(mail!.replaceAll('\n', '\r\n').endsWith(message), mail);
  assert.match(mail!, /Received: from mta\.posthorn\.test .*\n.*\(using TLSv1\.3/);
  await logged(/< localhost\[127\.0\.0\.1\]: BDAT \d+ LAST/);
  await logged(/MAIL FROM:<sender@posthorn\.test>.* BODY=8BITMIME/);
  await until(async () => (await records('d')).some((row) => row.get('rcpt') === 'eight@postfix.test'));
});

test('internationalised addresses go through to Postfix (SMTPUTF8)', { skip }, async () => {
  const message = lines('From: sender@posthorn.test', 'Subject: Grüße', '', 'Hallo');
  smtplib('sender@posthorn.test', ['jürgen@postfix.test'], message, ['SMTPUTF8', 'BODY=8BITMIME']);
  await until(() => postfix.mailbox('jürgen').length === 1);
  assert.match(postfix.mailbox('jürgen')[0]!, /with UTF8SMTPS/);
});

test('a success report that we asked Postfix for comes back and is matched to the message', {
  skip,
}, async () => {
  const message = lines('From: sender@posthorn.test', 'Subject: tell me', '', 'Hello');
  smtplib(
    'sender@posthorn.test',
    ['wanted@postfix.test'],
    message,
    ['ENVID=job-7', 'RET=HDRS'],
    ['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;first@elsewhere.test'],
  );
  await until(async () => (await records('rs')).length === 1);
  const [row] = await records('rs');
  assert.equal(row!.get('rcpt'), 'wanted@postfix.test');
  assert.equal(row!.get('orig'), 'sender@posthorn.test');
  assert.equal(row!.get('orcpt'), 'first@elsewhere.test');
  assert.equal(row!.get('envId'), 'job-7');
  assert.equal(row!.get('dsnAction'), 'delivered');
});

test('a recipient that Postfix refuses bounces with its words; the others of the transaction arrive', {
  skip,
}, async () => {
  const message = lines('From: sender@posthorn.test', 'Subject: two', '', 'Hello');
  smtplib('sender@posthorn.test', ['missing@postfix.test', 'there@postfix.test'], message);
  await until(() => postfix.mailbox('there').length === 1);
  await until(async () => (await records('b')).length === 1);
  const [row] = await records('b');
  assert.equal(row!.get('rcpt'), 'missing@postfix.test');
  assert.match(row!.get('dsnDiag')!, /^smtp;550 5\.1\.1 /);
});

test('Postfix hands us mail over STARTTLS, and its DSN parameters reach the next host', {
  skip,
}, async () => {
  const before = next.received.length;
  const { status, output } = postfix.command(
    'sendmail',
    ['-N', 'success,delay', '-V', 'env-9', '-R', 'hdrs', '-f', 'author@postfix.test', 'kim@next.test'],
    'From: author@postfix.test\nSubject: from Postfix\n\nHello\n',
  );
  assert.equal(status, 0, output);
  await until(() => next.received.length > before);
  const { envelope, content } = next.received.at(-1)!;
  assert.equal(envelope.from.address, 'author@postfix.test');
  assert.equal(envelope.from.params.envid, 'env-9');
  assert.equal(envelope.from.params.ret, 'HDRS');
  const [rcpt] = envelope.recipients as RcptCommand[];
  assert.deepEqual(rcpt!.params.notify, ['SUCCESS', 'DELAY']);
  assert.equal(rcpt!.params.orcpt?.address, 'kim@next.test');
  assert.match(content.toString(), /^Received: from mx\.postfix\.test .* with ESMTPS\r\n/);
  await logged(/Untrusted TLS connection established to 127\.0\.0\.1/);
});

test('Postfix hands us internationalised addresses', { skip }, async () => {
  const before = next.received.length;
  const { status, output } = postfix.command(
    'sendmail',
    ['-f', 'author@postfix.test', 'grüße@next.test'],
    'From: author@postfix.test\nSubject: Grüße\n\nHello\n',
  );
  assert.equal(status, 0, output);
  await until(() => next.received.length > before);
  const { envelope } = next.received.at(-1)!;
  assert.equal(envelope.recipients[0]!.address, 'grüße@next.test');
  assert.equal(envelope.from.params.smtputf8, true);
});
