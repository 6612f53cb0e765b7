// Which reports speak of a message of ours, and which only seem to.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Complaint, Outcome, RemoteBounce } from '../../events/outcome.ts';
import { REMEMBERED_MS } from '../../spool/sent-mail.ts';
import { CONTENT, folder, type ReceptionUnderTest, startReception } from '../testing.ts';

const config = (bounces = '', source = '') => `
  relay-domain bounces.test
  relay-domain fbl.test
  <source 0/0>
    always-allow-relaying yes
    ${source}
  </source>
  <bounce-processor>
    ${bounces}
    <address-list>
      domain bounces.test
    </address-list>
  </bounce-processor>
  <feedback-loop-processor>
    <address-list>
      domain fbl.test
    </address-list>
  </feedback-loop-processor>`;

function dsn(returned: string, recipients: readonly string[], original = ''): string {
  return [
    'From: <>',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
    '',
    '--b',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.a.test',
    ...recipients.flatMap((address) => [
      '',
      ...(original === '' ? [] : [`Original-Recipient: rfc822; ${original}`]),
      ...(address === '' ? [] : [`Final-Recipient: rfc822; ${address}`]),
      'Action: failed',
      'Status: 5.1.1',
    ]),
    '',
    '--b',
    'Content-Type: text/rfc822-headers',
    '',
    returned,
    '--b--',
    '',
  ].join('\r\n');
}

function arf(returned: string, type: string, rcpt = ''): string {
  return [
    'From: fbl@a.test',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=feedback-report; boundary=b',
    '',
    '--b',
    'Content-Type: message/feedback-report',
    '',
    `Feedback-Type: ${type}`,
    'User-Agent: T/1',
    'Version: 1',
    ...(rcpt === '' ? [] : [`Original-Rcpt-To: ${rcpt}`]),
    '',
    '--b',
    'Content-Type: message/rfc822',
    '',
    returned,
    '',
    'x',
    '--b--',
    '',
  ].join('\r\n');
}

async function sent(t: TestContext, options: { text?: string; to?: string[]; dir?: string } = {}) {
  const mta = await startReception(t, options.text ?? config(), options.dir ? { dir: options.dir } : {});
  await mta.send({ to: options.to ?? ['kim@a.test'], content: `X-Job: j1\r\n${CONTENT}` });
  const { envelope, content } = mta.stored();
  const header = content.toString('latin1').split('\r\n\r\n')[0]!;
  return { mta, envelope, header };
}

async function told(mta: ReceptionUnderTest, content: string, to = 'r@bounces.test'): Promise<Outcome[]> {
  const before = mta.outcomes().length;
  assert.match(await mta.send({ from: '', to: [to], content }), /^250 /);
  return mta.outcomes().slice(before);
}

const marks = (outcomes: readonly Outcome[]) =>
  (outcomes as (RemoteBounce | Complaint)[]).map(({ matched, repeated }) =>
    matched ? matched.recipient : repeated ? 'repeated' : 'no',
  );

test('a match has the job, VMTA and recipient of the original', async (t) => {
  const { mta, envelope, header } = await sent(t);
  const [outcome] = (await told(mta, dsn(header, ['KIM@A.test']))) as [RemoteBounce];
  assert.equal(outcome.matched?.messageId, envelope.recipients[0]!.messageId);
  assert.equal(outcome.matched?.recipient, 'kim@a.test');
  assert.equal(outcome.matched?.sender, 'news@brand.test');
  assert.equal(outcome.matched?.vmta, '{default}');
  assert.equal(outcome.matched?.jobId, envelope.facts.jobId);
});

test('the same report twice matches once, after a restart too; at the same time only one of both does', async (t) => {
  const dir = folder(t);
  const { mta, header } = await sent(t, { dir });
  const report = dsn(header, ['kim@a.test']);
  const both = await Promise.all([
    mta.send({ from: '', to: ['r@bounces.test'], content: report }),
    mta.send({ from: '', to: ['r@bounces.test'], content: report }),
  ]);
  assert.ok(both.every((answer) => answer.startsWith('250 ')));
  assert.deepEqual(marks(mta.outcomes().filter(({ kind }) => kind === 'remote-bounce')).sort(), [
    'kim@a.test',
    'repeated',
  ]);
  assert.deepEqual(marks(await told(mta, report)), ['repeated']);
  await mta.spool.close();
  const again = await startReception(t, config(), { dir });
  assert.deepEqual(marks(await told(again, report)), ['repeated']);
  assert.deepEqual(marks(await told(again, arf(header, 'abuse'), 'c@fbl.test')), ['kim@a.test']);
});

test('complaints of another type about the same message are another thing to say', async (t) => {
  const { mta, header } = await sent(t);
  const to = 'c@fbl.test';
  assert.deepEqual(marks(await told(mta, arf(header, 'abuse'), to)), ['kim@a.test']);
  assert.deepEqual(marks(await told(mta, arf(header, 'not-spam'), to)), ['kim@a.test']);
  assert.deepEqual(marks(await told(mta, arf(header, 'abuse'), to)), ['repeated']);
  for (const type of ['x-own-1', 'x-own-2']) await told(mta, arf(header, type), to);
  assert.deepEqual(
    marks(await told(mta, arf(header, 'x-own-3'), to)),
    ['repeated'],
    'types of their own are one',
  );
});

test('an id that is used for another recipient than it was signed for matches nothing', async (t) => {
  const { mta, header } = await sent(t);
  assert.deepEqual(marks(await told(mta, dsn(header, ['victim@a.test']))), ['no']);
  assert.deepEqual(marks(await told(mta, arf(header, 'abuse', 'victim@a.test'), 'c@fbl.test')), ['no']);
  assert.deepEqual(marks(await told(mta, dsn(header, ['victim@a.test', 'kim@a.test']))), [
    'no',
    'kim@a.test',
  ]);
  const several = await sent(t, { to: ['kim@a.test', 'lou@a.test'] });
  assert.deepEqual(marks(await told(several.mta, dsn(several.header, ['victim@a.test', 'lou@a.test']))), [
    'no',
    'lou@a.test',
  ]);
});

test('a forwarded message: Original-Recipient or the return path of VERP tells whom we sent it to', async (t) => {
  const { mta, header } = await sent(t);
  assert.deepEqual(marks(await told(mta, dsn(header, ['kim@elsewhere.test'], 'kim@a.test'))), ['kim@a.test']);
  const verp = await sent(t, { to: ['kim@a.test', 'lou@a.test'] });
  const path = 'my-news-lou=a.test@bounces.test';
  assert.deepEqual(marks(await told(verp.mta, dsn(verp.header, ['lou@elsewhere.test']), path)), [
    'lou@a.test',
  ]);
  assert.deepEqual(
    marks(await told(verp.mta, dsn('Subject: cut', ['lou@a.test']), path)),
    ['no'],
    'anybody can make that up',
  );
});

test('a redacted complaint about a message to one matches it', async (t) => {
  for (const rcpt of ['', 'xxxxx@a.test', 'redacted-address@a.test', '<0123456789abcdef0123@a.test>']) {
    const { mta, header } = await sent(t);
    assert.deepEqual(marks(await told(mta, arf(header, 'abuse', rcpt), 'c@fbl.test')), ['kim@a.test'], rcpt);
  }
});

test('where Received is cut away, the header of add-reference-header serves', async (t) => {
  const { mta, header } = await sent(t, { text: config('', 'add-reference-header yes') });
  const reference = /^X-Posthorn-Reference: .*$/m.exec(header)![0];
  assert.deepEqual(marks(await told(mta, dsn(reference, ['kim@a.test']))), ['kim@a.test']);
  const plain = await sent(t);
  assert.doesNotMatch(plain.header, /X-Posthorn/);
});

test('what is delivered is remembered for 14 days and then forgotten, with what was reported of it', async (t) => {
  const { mta, envelope, header } = await sent(t);
  const { spool } = mta;
  const [recipient] = envelope.recipients;
  const attempt = {
    queue: 'a.test/v',
    vmta: 'v',
    transport: 'smtp' as const,
    retries: 0,
    sourceIp: '192.0.2.9',
  };
  await spool.settle(
    [{ spoolId: envelope.facts.spoolId, index: 0, state: 'done' }],
    [
      {
        kind: 'delivered',
        at: mta.clock.now(),
        message: { ...envelope.facts, pool: 'p' },
        recipient: recipient!,
        attempt: { ...attempt, destinationIp: '', remoteHost: '', esmtp: [], tlsProtocol: '', tlsCipher: '' },
        result: { status: '2.0.0', statusText: '', diagnostic: '', category: '', bounceClass: 0 },
        action: 'relayed',
        size: 1,
      },
    ],
  );
  assert.equal(spool.envelope(envelope.facts.spoolId), undefined);
  const [bounce] = (await told(mta, dsn(header, ['kim@a.test']))) as [RemoteBounce];
  assert.deepEqual(
    [bounce.matched?.vmta, bounce.matched?.pool, bounce.matched?.sendingIp],
    ['v', 'p', '192.0.2.9'],
  );
  assert.equal(await spool.forgetSent(mta.clock.now() + REMEMBERED_MS - 2000), false);
  assert.equal(spool.sent.size, 1);
  await spool.forgetSent(mta.clock.now() + REMEMBERED_MS + 2000);
  assert.equal(spool.sent.size, 0);
  assert.equal(spool.sent.wasReported({ messageId: recipient!.messageId, what: 'bounce' }), false);
  assert.deepEqual(marks(await told(mta, dsn(header, ['kim@a.test']))), ['no']);
});

test('what cannot be read is copied to people: once, marked, from nobody, and never to a processor', async (t) => {
  const text = config(
    'forward-unmatched-to ops@people.test\nforward-unmatched-to x@bounces.test\nforward-errors-to err@people.test',
  );
  const mta = await startReception(t, text);
  await mta.send({ from: '', to: ['r@bounces.test', 'r2@bounces.test'], content: CONTENT.toString() });
  const copies = () => mta.queued.filter(({ domain }) => domain === 'people.test');
  assert.equal(copies().length, 1);
  const { spoolId } = copies()[0]!;
  const envelope = mta.spool.envelope(spoolId)!;
  assert.deepEqual(
    envelope.recipients.map(({ address, notify }) => [address, notify]),
    [['ops@people.test', ['never']]],
  );
  assert.equal(envelope.facts.sender, '');
  assert.equal(envelope.ownMail, true);
  const content = mta.spool.content(spoolId)!.toString();
  assert.match(content, /^X-Posthorn-Forwarded: r@bounces\.test\r\n/);
  assert.ok(content.endsWith(CONTENT.toString()));
  await mta.send({ from: '', to: ['r@bounces.test'], content });
  assert.equal(copies().length, 1, 'what came back is not copied again');
  await mta.send({ from: '', to: ['r@bounces.test'], content: dsn('', []) });
  assert.equal(mta.spool.envelope(copies()[1]!.spoolId)!.recipients[0]!.address, 'err@people.test');
  for (let n = 0; n < 150; n++)
    await mta.send({ from: '', to: ['r@bounces.test'], content: CONTENT.toString() });
  assert.ok(copies().length > 100 && copies().length <= 120, 'a flood is not passed on');
});
