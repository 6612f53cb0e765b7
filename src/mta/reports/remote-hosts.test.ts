// What senders are told about mail that went to a remote host, or did not.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { readDeliveryReport } from '../../mail/delivery-report.ts';
import { deliveryTo, type RemoteHostOptions, remoteHost } from '../deliver/remote-host.testing.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import type { DeliveryUnderTest } from '../testing.ts';
import { ownMail, stored } from './reports.testing.ts';

/** Mail goes to a host that answers so; reports, to brand.test, wait. */
async function sendingTo(t: TestContext, host: RemoteHostOptions, settings = '') {
  const remote = await remoteHost(t, host);
  const config =
    '<domain brand.test>\nsmtp-hosts [127.0.0.1]:1\nretry-after 30d\nbounce-after 60d\n</domain>';
  const mta = await deliveryTo(t, [remote], { settings, config, reports: true });
  return { mta, remote };
}

/** The reports in the spool, as our own reader takes them. */
function reports(mta: DeliveryUnderTest) {
  return ownMail(mta).map(({ envelope, content }) => {
    const read = readDeliveryReport(content);
    assert.ok(read.kind === 'report', read.kind);
    const to = envelope.recipients.map(({ address }) => address).join();
    return { to, read, text: content.toString() };
  });
}

const refuse = (reply: string) => (verb: string, line: string) =>
  verb === 'RCPT' && !line.includes('lou@') ? reply.replace('@', line.slice(9, line.indexOf('@'))) : null;

test('recipients that one transaction refused share a report, each with its own reply; who was taken is not in it', async (t) => {
  const { mta, remote } = await sendingTo(t, { answer: refuse('550 5.1.1 no @ here') });
  await mta.submit(['kim@a.test', 'lou@a.test', 'max@a.test'], { facts: { envId: 'E 1' } });
  await mta.quiet();
  assert.equal(remote.seen.filter((line) => line.startsWith('MAIL')).length, 1);
  const [report, ...more] = reports(mta);
  assert.ok(report);
  assert.equal(more.length, 0);
  assert.equal(report.to, 'news@brand.test');
  assert.equal(report.read.envId, 'E 1');
  assert.equal(report.read.reportingMta, 'mta.test');
  assert.deepEqual(
    report.read.recipients.map(({ recipient, action, status, diagnostic }) => [
      recipient,
      action,
      status,
      diagnostic,
    ]),
    [
      ['kim@a.test', 'failed', '5.1.1', 'smtp;550 5.1.1 no kim here'],
      ['max@a.test', 'failed', '5.1.1', 'smtp;550 5.1.1 no max here'],
    ],
  );
  assert.doesNotMatch(report.text, /lou@a\.test/);
});

test('recipients that the content was refused for share a report too', async (t) => {
  const { mta } = await sendingTo(t, { answer: (verb) => (verb === '.' ? '554 5.6.0 no' : null) });
  await mta.submit(['kim@a.test', 'lou@a.test']);
  await mta.quiet();
  assert.deepEqual(
    reports(mta).map(({ read }) => read.recipients.map(({ recipient }) => recipient)),
    [['kim@a.test', 'lou@a.test']],
  );
});

for (const [keywords, settings, actions] of [
  [['DSN'], '', []],
  [['PIPELINING', 'DSN'], '', []],
  [['DSN'], 'ignore-dsn yes', ['relayed']],
  [['PIPELINING', '8BITMIME'], '', ['relayed']],
  [['XDSN', 'DSN-LIKE'], '', ['relayed']],
] as const) {
  const what = `${keywords.join(' ')}${settings && `, ${settings}`}`;
  test(`relayed: NOTIFY=SUCCESS at a next host with ${what}: ${actions.join() || 'it reports, we do not'}`, async (t) => {
    const { mta, remote } = await sendingTo(t, { keywords }, settings);
    const recipients = [stored('kim@a.test', ['success', 'failure']), stored('lou@a.test', ['failure'])];
    await mta.submit(['kim@a.test', 'lou@a.test'], { envelope: { recipients } });
    await mta.quiet();
    assert.deepEqual(mta.story().slice(0, 2), ['delivered kim@a.test 2.0.0', 'delivered lou@a.test 2.0.0']);
    const asked = remote.seen.some((line) => line.startsWith('RCPT TO:<kim@a.test> NOTIFY=SUCCESS,FAILURE'));
    assert.equal(asked, actions.length === 0, 'either the next host is asked to report, or we do');
    assert.deepEqual(
      reports(mta).flatMap(({ read }) => read.recipients.map(({ recipient, action }) => [recipient, action])),
      actions.map((action) => ['kim@a.test', action]),
    );
  });
}

test('section 14, 421 text: replace-smtp-421-service-response hides it in reports, the enhanced code stays', async (t) => {
  const loud = '421 4.7.0 secret words of the host';
  for (const [settings, shown] of [
    ['', loud],
    ['replace-smtp-421-service-response yes', '421 4.7.0 service unavailable'],
  ] as const) {
    const more = `${settings}\nbounce-after 1h\nnotify-of-delay-every 30m`;
    const { mta } = await sendingTo(t, { answer: refuse(loud) }, more);
    await mta.submit(['kim@a.test'], {
      envelope: { recipients: [stored('kim@a.test', ['delay', 'failure'])] },
    });
    await mta.quiet();
    await mta.advance(30 * 60_000);
    await mta.delayNotices.work();
    await mta.advance(40 * 60_000);
    const told = reports(mta);
    assert.deepEqual(
      told.map(({ read }) => read.recipients.map(({ action, diagnostic }) => `${action} ${diagnostic}`)),
      [[`delayed smtp;${shown}`], [`failed smtp;${shown}`]],
    );
    for (const { text } of told) assert.equal(text.includes('secret'), settings === '');
  }
});

for (const [what, sender, notify] of [
  ['NOTIFY=NEVER', 'news@brand.test', ['never']],
  ['the null sender', '', ['success', 'failure', 'delay']],
] as const) {
  test(`${what}: no report of refusal, success, delay or expiry`, async (t) => {
    const settings = 'bounce-after 3h\nnotify-of-delay-every 1h';
    const { mta } = await sendingTo(
      t,
      {
        answer: (verb, line) => {
          if (verb !== 'RCPT' || line.includes('lou@')) return null;
          return line.includes('kim@') ? '550 5.1.1 no' : '450 4.2.1 later';
        },
      },
      settings,
    );
    const addresses = ['kim@a.test', 'lou@a.test', 'max@a.test'];
    const recipients = addresses.map((address) => stored(address, notify));
    await mta.submit(addresses, { facts: { sender }, envelope: { recipients } });
    await mta.quiet();
    await mta.advance(2 * 3_600_000);
    await mta.delayNotices.work();
    await mta.advance(2 * 3_600_000);
    const story = mta.story();
    for (const line of ['bounced kim@a.test 5.1.1', 'delivered lou@a.test 2.0.0', 'bounced max@a.test 4.4.7'])
      assert.ok(story.includes(line), line);
    assert.deepEqual(reports(mta), []);
  });
}

test('D7.5: bounce-after: one report of what expired, with the last reply and its host', async (t) => {
  let tries = 0;
  const { mta } = await sendingTo(
    t,
    { answer: (verb) => (verb === 'RCPT' ? `450 4.2.${tries++} try ${tries}` : null) },
    'bounce-after 12m\nretry-recipients-after 5m',
  );
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  for (let minutes = 0; minutes < 20; minutes += 5) await mta.advance(5 * 60_000);
  assert.ok(tries >= 2);
  const [report, ...more] = reports(mta);
  assert.ok(report);
  assert.equal(more.length, 0);
  assert.deepEqual(report.read.recipients, [
    {
      recipient: 'kim@a.test',
      originalRecipient: '',
      action: 'failed',
      status: '4.4.7',
      diagnostic: `smtp;450 4.2.${tries - 1} try ${tries}`,
      remoteMta: '127.0.0.1',
    },
  ]);
});

test('a recipient that was moved to another queue, or in it, keeps its last reply for the report of its expiry', async (t) => {
  const answer = refuse('450 4.2.1 later');
  const { mta } = await sendingTo(t, { answer }, 'bounce-after 12m\nretry-recipients-after 30m');
  const { spoolId } = await mta.submit(['kim@a.test']);
  await mta.quiet();
  const queue = mta.scheduler.find('a.test', '{default}')!;
  mta.outcomes.moved(queue, [queuedRecipient({ ...mta.spool.pending(spoolId, 0)!, size: 70 })]);
  await mta.outcomes.settled();
  assert.equal(mta.spool.pending(spoolId, 0)!.size, 70);
  await mta.advance(40 * 60_000);
  assert.deepEqual(
    reports(mta).map(({ read }) => read.recipients.map(({ diagnostic }) => diagnostic)),
    [['smtp;450 4.2.1 later']],
  );
});
