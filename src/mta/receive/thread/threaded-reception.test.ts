// SMTP served by a thread of its own: clients, disk and operator must see no difference.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { good } from '../../../config/testing.ts';
import { Header } from '../../../mail/header.ts';
import { reply } from '../../../smtp/index.ts';
import { Peer } from '../../../smtp/test-peer.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import { systemClock } from '../../../system/clock.ts';
import { isRoot } from '../../../system/privileges.ts';
import type { Timings } from '../../monitor/traffic.ts';
import {
  CONTENT,
  folder,
  keptLog,
  type ReceptionUnderTest,
  startReception,
  startZone,
  until,
} from '../../testing.ts';
import { refused, type Submission, type TakeMessage } from '../submission.ts';
import { ThreadedReception } from './threaded-reception.ts';

const CONFIG = `
  domain-suffix local.test
  relay-domain ours.test
  <smtp-user bo>
    password right
    source bo
  </smtp-user>
  <virtual-mta v1>
  </virtual-mta>
  <source bo>
    always-allow-relaying yes
    default-virtual-mta v1
  </source>
  <source 127.0.0.2/32>
    smtp-service no
  </source>
  <source 0/0>
    allow-unencrypted-plain-auth yes
    allow-mailmerge yes
    max-message-size 300K
    max-rcpt-per-message 3
    log-connections yes
  </source>`;

const AUTH = `AUTH PLAIN ${Buffer.from('\0bo\0right').toString('base64')}`;
const BODY = CONTENT.toString();

/** What a client says, reply by reply. */
const CONVERSATIONS: Readonly<Record<string, readonly string[]>> = {
  'ordinary mail, two in a session': [
    ...['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@ours.test>', 'DATA', `${BODY}.`],
    ...['MAIL FROM:<> BODY=8BITMIME', 'RCPT TO:<lou@ours.test>', 'DATA', `${BODY}.`, 'QUIT'],
  ],
  'relaying is denied, too many recipients, a malformed one': [
    'MAIL FROM:<a@b.test>',
    ...['kim@else.test', 'a b@ours.test', '1@ours.test', '2@ours.test', '3@ours.test', '4@ours.test'].map(
      (address) => `RCPT TO:<${address}>`,
    ),
    ...['DATA', `${BODY}.`],
  ],
  'a user of a source of its own': [
    ...['AUTH PLAIN AGJvAHdyb25n', AUTH, AUTH, 'MAIL FROM:<a@b.test> RET=HDRS ENVID=x', 'RSET'],
    ...['MAIL FROM:<a@b.test> RET=HDRS ENVID=x'],
    ...['RCPT TO:<kim@else.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;kim@old.test', 'DATA', `${BODY}.`],
  ],
  'a merge with any octets': [
    ...[AUTH, 'XMRG FROM:<a@b.test>', 'XDFN n="K\u00fcm" *jobid="june"', 'RCPT TO:<kim@else.test>'],
    ...['XDFN n="Lou"', 'RCPT TO:<lou@else.test>', 'XPRT 1', 'Subject: To [n]\r\n\r\nHi [n]\r\n.'],
    ...['XPRT 2 LAST', `${'x'.repeat(70)}\r\n`.repeat(1000).concat('.')],
  ],
  'too large, bare line ends, nonsense': [
    'MAIL FROM:<a@b.test> SIZE=9999999',
    ...['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@ours.test>', 'DATA'],
    `${`${'x'.repeat(998)}\r\n`.repeat(320)}.`,
    ...['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@ours.test>', 'DATA', 'one\rtwo\r\n.', 'FROBNICATE', 'DATA'],
  ],
  'a loop': [
    ...['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@ours.test>', 'DATA'],
    `${'Received: by x\r\n'.repeat(101)}${BODY}.`,
  ],
};

/** Without what differs from message to message. */
const plain = (text: string) =>
  text
    .replace(/[0-9a-f]{16}\.[0-9a-f]{20}[sm]?\.[0-9a-f]{12}/g, 'REFERENCE')
    .replace(/[0-9a-f]{16}\b/g, 'SPOOL-ID')
    .replace(/[0-9a-f]{20}\b/g, 'MESSAGE-ID');

async function transcript(mta: ReceptionUnderTest, lines: readonly string[]): Promise<string[]> {
  const peer = await mta.client();
  const said: string[] = [];
  for (const line of lines) said.push(plain(await peer.ask(line)));
  peer.socket.destroy();
  await until(() => mta.reception.openSessions === 0);
  return said;
}

const everything = (mta: ReceptionUnderTest) =>
  [...new Set(mta.queued.map(({ spoolId }) => spoolId))].map((id) =>
    plain(JSON.stringify([mta.spool.envelope(id), mta.spool.content(id)?.toString('latin1')])),
  );

for (const [what, lines] of Object.entries(CONVERSATIONS)) {
  test(`${what}: the same replies, messages, records and log as without the thread`, async (t) => {
    const here = await startReception(t, CONFIG);
    const there = await startReception(t, CONFIG, { thread: {} });
    const [said, saidThere] = [await transcript(here, lines), await transcript(there, lines)];
    assert.deepEqual(saidThere, said);
    assert.deepEqual(everything(there), everything(here));
    assert.deepEqual(
      there.outcomes().map((outcome) => plain(JSON.stringify(outcome))),
      here.outcomes().map((outcome) => plain(JSON.stringify(outcome))),
    );
    await until(() => there.logged.length >= here.logged.length);
    assert.deepEqual(there.logged.toSorted(), here.logged.toSorted());
  });
}

test('contents of every size arrive as they were sent, from many clients at once', async (t) => {
  const mta = await startReception(t, '<source 0/0>\nalways-allow-relaying yes\n</source>', { thread: {} });
  const sizes = [1, 1000, 10_000, 65_535, 65_536, 65_537, 70_000, 300_000, 3_000_000];
  const sent = new Map<string, string>();
  const hash = (text: Buffer) => createHash('sha256').update(text).digest('hex');
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const size = sizes[i % sizes.length]!;
      const lines = randomBytes(size).toString('base64').slice(0, size).replace(/.{76}/g, '$&\r\n');
      const content = Buffer.from(`Subject: ${i}\r\n\r\n${lines}\r\n`);
      sent.set(`${i}`, hash(content));
      assert.match(await mta.send({ to: [`${i}@a.test`], content }), /^250 2\.0\.0 message accepted/);
    }),
  );
  assert.equal(mta.queued.length, 40);
  for (const { spoolId } of mta.queued) {
    const content = mta.spool.content(spoolId)!;
    const { subject } = mta.spool.envelope(spoolId)!.facts;
    assert.equal(hash(content.subarray(content.indexOf('Subject:'))), sent.get(subject), subject);
  }
});

test('while no mail can be taken MAIL is answered 452, and taken again when it can', async (t) => {
  const mta = await startReception(t, CONFIG, { thread: {} });
  const peer = await mta.client();
  mta.refusal = 'the disk is full';
  const answers = async (code: string) => {
    await peer.ask('RSET');
    return (await peer.ask('MAIL FROM:<a@b.test>')).startsWith(code);
  };
  await until(() => answers('452'));
  await until(() => mta.logged.includes('mail refused: the disk is full'));
  mta.refusal = null;
  await until(() => answers('250'));
});

test('checks ask the resolver of the main thread', async (t) => {
  const { resolver } = await startZone(
    t,
    `b.test TXT v=spf1 ip4:127.0.0.1 -all\nfail.test TXT v=spf1 -all\nslow.test fails`,
  );
  const mta = await startReception(
    t,
    '<source 0/0>\nalways-allow-relaying yes\ncheck-spf-inbound yes\nreject-spf-check-fail yes\n</source>',
    { thread: { resolver } },
  );
  assert.match(await mta.send({ from: 'a@fail.test', to: ['kim@a.test'] }), /^550 5\.7\.23/);
  assert.match(await mta.send({ from: 'a@b.test', to: ['kim@a.test'] }), /^250/);
  assert.match(new Header(mta.stored().content).get('authentication-results')!, /spf=pass/);
  assert.match(await mta.send({ from: 'a@slow.test', to: ['kim@a.test'] }), /^451 4\.7\.24/);
});

/** A thread whose messages go to `takeMessage`. */
async function startThread(t: TestContext, text: string, takeMessage: TakeMessage) {
  const { log, lines } = keptLog();
  const timed: Timings[] = [];
  const reception = new ThreadedReception({
    ...{ takeMessage, log, hostName: 'mta.test', clock: systemClock },
    spoolRefusal: () => null,
    resolver: () => assert.fail('no check asks'),
    onTimed: (sums) => timed.push(sums),
  });
  t.after(() => reception.close(0));
  const config = good(text);
  await reception.apply(config);
  const port = () => Number(reception.addresses[0]!.split(':').at(-1));
  const client = async () => {
    const peer = await Peer.open(t, port());
    await peer.text();
    await peer.ask('EHLO client.test');
    return peer;
  };
  return { reception, config, lines, timed, client };
}

async function sendBy(peer: Peer): Promise<string> {
  for (const line of ['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@a.test>', 'DATA']) {
    const answer = await peer.ask(line);
    if (!/^[23]/.test(answer)) return answer;
  }
  return await peer.ask(`${BODY}.`);
}

const OPEN = (settings = '') => `
  smtp-listener 127.0.0.1:0
  <source 0/0>
    always-allow-relaying yes
    ${settings}
  </source>`;

test('what the disk does not take is 452, any other fault 451, and each session gets its own answer', async (t) => {
  const { client, lines } = await startThread(t, OPEN(), async ({ client: { heloName } }) => {
    if (heloName === 'disk.test') throw new SpoolWriteError('no room in /spool');
    if (heloName === 'fault.test') throw new Error('a broken invariant');
    return refused(reply(550, '5.7.1', `not for ${heloName}`));
  });
  const answers = await Promise.all(
    ['disk.test', 'fault.test', 'one.test', 'two.test'].map(async (name) => {
      const peer = await client();
      await peer.ask(`EHLO ${name}`);
      return await sendBy(peer);
    }),
  );
  assert.match(answers[0]!, /^452 4\.3\.1 /);
  assert.match(answers[1]!, /^451 4\.3\.0 /);
  assert.deepEqual(answers.slice(2), ['550 5.7.1 not for one.test', '550 5.7.1 not for two.test']);
  assert.ok(lines.includes('a message could not be stored: no room in /spool'));
  assert.ok(lines.includes('handler failed'));
});

test('times are told, sessions are counted', async (t) => {
  const { client, reception, timed } = await startThread(t, OPEN(), async () =>
    refused(reply(550, '', 'no')),
  );
  const [first, second] = [await client(), await client()];
  assert.equal(reception.openSessions, 2);
  await sendBy(first);
  await sendBy(second);
  first.socket.destroy();
  await until(() => reception.openSessions === 1);
  assert.equal(reception.mostSessions, 2);
  await until(() => timed.reduce((sum, { count }) => sum + count, 0) === 2);
});

test('after a reload open sessions go on as they began, new ones go by the new configuration', async (t) => {
  const taken: Submission[] = [];
  const { client, reception, config } = await startThread(t, OPEN('max-rcpt-per-message 5'), async (one) => {
    taken.push(one);
    return refused(reply(550, '', 'seen'));
  });
  const old = await client();
  const next = good(OPEN('max-rcpt-per-message 1'));
  await reception.apply(next);
  const young = await client();
  assert.equal(await sendBy(old), '550 seen');
  assert.equal(await sendBy(young), '550 seen');
  assert.deepEqual(
    taken.map((one) => one.config === config),
    [true, false],
  );
  assert.ok(taken[1]!.config === next);
  assert.equal(taken[1]!.source.get('max-rcpt-per-message'), 1);
  // And back: as a reload that fails in another place does it.
  await reception.apply(config);
  assert.equal(await sendBy(await client()), '550 seen');
  assert.ok(taken[2]!.config === config);
});

test('a configuration whose port is taken is refused in the words of the main thread, and nothing has changed', async (t) => {
  const { client, reception, config } = await startThread(t, OPEN(), async (one) =>
    refused(reply(550, '', one.config === config ? 'as before' : 'by the new one')),
  );
  const { addresses } = reception;
  const blocker = createServer().listen(0, '127.0.0.1');
  t.after(() => blocker.close());
  await until(() => blocker.listening);
  const { port } = blocker.address() as { port: number };
  await assert.rejects(reception.apply(good(`${OPEN()}\nsmtp-listener 127.0.0.1:${port}`)), {
    name: 'UserError',
    message: /^127\.0\.0\.1:\d+ \(smtp-listener, \/etc\/pmta\/config:\d+\) is in use/,
  });
  assert.deepEqual(reception.addresses, addresses);
  assert.equal(await sendBy(await client()), '550 as before');
});

test('a fault while a configuration is brought into force is told, and the server goes on as before', async (t) => {
  const { client, reception, config } = await startThread(t, OPEN(), async (one) =>
    refused(reply(550, '', one.config === config ? 'as before' : 'by the new one')),
  );
  // It stands for whatever nobody has thought of.
  const broken = good(OPEN());
  Object.defineProperty(broken, 'file', { value: null });
  await assert.rejects(reception.apply(broken), { name: 'Error', cause: /configs-in-use/ });
  assert.equal(await sendBy(await client()), '550 as before');
});

test('close: idle sessions are told, a message in hand is finished first', async (t) => {
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const { client, reception } = await startThread(t, OPEN(), async () => {
    begun.resolve();
    await finish.promise;
    return { accepted: true, spoolId: 'x', reply: reply(250, '2.0.0', 'kept') };
  });
  const [idle, busy] = [await client(), await client()];
  for (const line of ['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@a.test>', 'DATA']) await busy.ask(line);
  busy.write(`${BODY}.\r\n`);
  await begun.promise;
  const closed = reception.close(60_000);
  assert.match(await idle.text(), /^421 /);
  finish.resolve();
  assert.equal(await busy.text(), '250 2.0.0 kept');
  await closed;
  assert.equal(reception.openSessions, 0);
});

/** A module, for a script in a process of its own. */
const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);

function runScript(t: TestContext, script: string) {
  const file = path.join(folder(t), 'script.ts');
  writeFileSync(file, script);
  return spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 });
}

test('a thread that ends takes the server with it, and says so', (t) => {
  const script = `
    import { ThreadedReception } from ${url('./threaded-reception.ts')};
    import { good } from ${url('../../../config/testing.ts')};
    import { systemClock } from ${url('../../../system/clock.ts')};
    import { createLog } from ${url('../../../system/log.ts')};
    setInterval(() => {}, 1000);
    const reception = new ThreadedReception({
      takeMessage: () => {}, spoolRefusal: () => null, resolver: () => {}, onTimed: () => {},
      hostName: 'mta.test', clock: systemClock, log: createLog(process.stdout, 'mta'),
    }, { maxOldGenerationSizeMb: 3 });
    await reception.apply(good('smtp-listener 127.0.0.1:0'));
    console.log('it goes on');`;
  const done = runScript(t, script);
  assert.equal(done.status, 1, done.stdout + done.stderr);
  assert.match(
    done.stdout,
    /error: the thread of SMTP reception ended, and the server with it: .*memory limit/,
  );
  assert.match(done.stderr, /the thread of SMTP reception ended/);
});

test('run-as-root no: the thread binds ports below 1024 too, and no more of them when root is gone', {
  skip: isRoot() ? false : 'only root can give up root',
}, (t) => {
  const script = `
    import { ThreadedReception } from ${url('./threaded-reception.ts')};
    import { good } from ${url('../../../config/testing.ts')};
    import { systemClock } from ${url('../../../system/clock.ts')};
    import { silentLog } from ${url('../../../system/log.ts')};
    import { dropFor, lowerTo } from ${url('../../../system/privileges.ts')};
    const reception = new ThreadedReception({
      takeMessage: () => {}, spoolRefusal: () => null, resolver: () => {}, onTimed: () => {},
      hostName: 'mta.test', clock: systemClock, log: silentLog,
    });
    const apply = (...ports) =>
      reception.apply(good(ports.map((port) => 'smtp-listener 127.0.0.1:' + port).join('\\n')))
        .then(() => 'bound', (error) => error.message);
    // The thread has read its program, which may lie where only root may look.
    await apply(0);
    lowerTo('nobody');
    let low = 760;
    let first;
    do first = await apply(0, ++low); while (/in use/.test(first));
    const during = process.geteuid();
    dropFor('nobody');
    const second = await apply(0, low, 799);
    console.log(JSON.stringify({ first, during, second }));
    await reception.close(0);`;
  const done = runScript(t, script);
  const nobody = Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout);
  const { first, during, second } = JSON.parse(done.stdout || JSON.stringify(done.stderr));
  assert.deepEqual({ first, during }, { first: 'bound', during: nobody }, done.stderr);
  assert.match(second, /^127\.0\.0\.1:799 \(smtp-listener, .*\) needs more rights/);
});
