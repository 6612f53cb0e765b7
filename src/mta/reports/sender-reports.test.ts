import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { readDeliveryReport } from '../../mail/delivery-report.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import { CONTENT, type DeliveryUnderTest, folder, startDelivery } from '../testing.ts';

/** Mail for a.test is piped to a program with this exit code; reports go to brand.test and wait there. */
function started(t: TestContext, code: number, more = '', global = '') {
  const file = path.join(folder(t), 'program');
  writeFileSync(file, `#!/bin/sh\nexit ${code}\n`, { mode: 0o755 });
  return startDelivery(t, {
    config: `${global}\n<domain a.test>\ntype pipe\ncommand "${file}"\n${more}\n</domain>\n<domain brand.test>\nsmtp-hosts [127.0.0.1]:1\nretry-after 30d\n</domain>`,
    reports: true,
  });
}

/** Our own mail in the spool, in order. */
function own(mta: DeliveryUnderTest): { envelope: Envelope; content: Buffer }[] {
  const ids = new Set<string>();
  for (const outcome of mta.journal()) if (outcome.kind === 'received') ids.add(outcome.message.spoolId);
  return [...ids].map((id) => ({ envelope: mta.spool.envelope(id)!, content: mta.spool.content(id)! }));
}

const rcpt = (
  address: string,
  notify: ('never' | 'success' | 'failure' | 'delay')[] = [],
  originalRecipient = '',
) => ({
  address,
  originalRecipient,
  messageId: `0000${Buffer.from(address).toString('hex')}`.slice(0, 20).padEnd(20, '0'),
  notify,
});

test('failure: recipients that fail together share one report, which our own reader and Python read', async (t) => {
  const mta = await started(t, 67);
  await mta.submit(['kim@a.test'], {
    facts: { envId: 'E-1' },
    envelope: { recipients: [rcpt('kim@a.test', [], 'kim@first.test')] },
  });
  await mta.quiet();
  const [report, ...others] = own(mta);
  assert.ok(report && others.length === 0);
  assert.equal(report.envelope.facts.sender, '');
  assert.deepEqual(
    report.envelope.recipients.map(({ address }) => address),
    ['news@brand.test'],
  );
  const read = readDeliveryReport(report.content);
  assert.ok(read.kind === 'report', read.kind);
  const text = report.content.toString();
  assert.match(text, /Original-Envelope-Id: E-1/);
  assert.match(text, /Original-Recipient: rfc822; ?kim@first\.test/);
  assert.match(text, /Final-Recipient: rfc822; ?kim@a\.test\r\nAction: failed\r\nStatus: 5\.1\.1/);
  const python = spawnSync(
    'python3',
    [
      '-c',
      'import sys,email\nm=email.message_from_binary_file(sys.stdin.buffer)\nprint(m.get_content_type(),m.get_param("report-type"),[p.get_content_type() for p in m.get_payload()],[b["Action"] for b in m.get_payload(1).get_payload()][1:])',
    ],
    { input: report.content, encoding: 'utf8' },
  );
  if (python.error) t.diagnostic('SKIPPED: python3 is not on this machine');
  else
    assert.equal(
      python.stdout.trim(),
      "multipart/report delivery-status ['text/plain', 'message/delivery-status', 'text/rfc822-headers'] ['failed']",
      python.stderr,
    );
});

test('expiry of several recipients of one message in one transaction is one report', async (t) => {
  const mta = await started(t, 75, 'bounce-after 1h\nretry-recipients-after 2h');
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  await mta.advance(3 * 3_600_000);
  const reports = own(mta);
  assert.equal(reports.length, 1);
  assert.match(reports[0]!.content.toString(), /kim@a\.test[\s\S]*lee@a\.test/);
});

const CASES: [
  string,
  ('never' | 'success' | 'failure' | 'delay')[],
  number,
  string,
  Partial<Envelope>,
  string[],
][] = [
  ['failure without NOTIFY', [], 67, 'news@brand.test', {}, ['failed']],
  ['failure, NOTIFY=FAILURE', ['failure'], 67, 'news@brand.test', {}, ['failed']],
  ['failure, NOTIFY=NEVER', ['never'], 67, 'news@brand.test', {}, []],
  ['failure, NOTIFY=SUCCESS', ['success'], 67, 'news@brand.test', {}, []],
  ['failure of mail from <>', [], 67, '', {}, []],
  ['failure, suppress-local-dsn', [], 67, 'news@brand.test', { suppressReports: true }, []],
  ['success, NOTIFY=SUCCESS on local delivery', ['success'], 0, 'news@brand.test', {}, ['delivered']],
  ['success without NOTIFY', [], 0, 'news@brand.test', {}, []],
  ['failure of a message of our own', [], 67, 'news@brand.test', { ownMail: true }, []],
];
for (const [what, notify, code, sender, envelope, actions] of CASES) {
  test(`a report is sent for ${what}: ${actions.join() || 'none'}`, async (t) => {
    const mta = await started(t, code);
    await mta.submit(['kim@a.test'], {
      facts: { sender },
      envelope: { recipients: [rcpt('kim@a.test', notify)], ...envelope },
    });
    await mta.quiet();
    assert.deepEqual(
      own(mta).map(({ content }) => /^Action: (.*)$/m.exec(content.toString())?.[1]),
      actions,
    );
    assert.ok(mta.story().some((line) => line.startsWith(code === 0 ? 'delivered kim' : 'bounced kim')));
  });
}

test('deliver-local-dsn no in the domain of the sender: none', async (t) => {
  const mta = await started(t, 67, '</domain>\n<domain quiet.test>\ndeliver-local-dsn no');
  await mta.submit(['kim@a.test'], { facts: { sender: 'x@quiet.test' } });
  await mta.quiet();
  assert.deepEqual(own(mta), []);
});

test('dsn-format plain-text, custom-dsn-from-header, RET=FULL, a VERP sender', async (t) => {
  const plain = await started(t, 67, 'dsn-format plain-text', 'custom-dsn-from-header "Post <p@q.test>"');
  await plain.submit(['kim@a.test'], { envelope: { returnContent: 'full' } });
  await plain.quiet();
  const text = own(plain)[0]!.content.toString();
  assert.match(text, /^From: Post <p@q\.test>\r\n/m);
  assert.match(text, /Content-Type: text\/plain/);
  assert.doesNotMatch(text, /multipart|Subject: Hello/);

  const full = await started(t, 67);
  await full.submit(['kim@a.test'], { envelope: { returnContent: 'full', verp: true } });
  await full.quiet();
  const [report] = own(full);
  assert.ok(report!.content.includes(CONTENT));
  assert.equal(report!.envelope.recipients[0]!.address, 'news-kim=a.test@brand.test');
});

test('delay: NOTIFY=DELAY is told when notify-of-delay-every is over, once, and the next time is on disk', async (t) => {
  const mta = await started(t, 75, 'notify-of-delay-every 4h\nretry-recipients-after 30d');
  const recipients = [rcpt('kim@a.test', ['delay']), rcpt('lee@a.test', [])];
  await mta.submit(['kim@a.test', 'lee@a.test'], { envelope: { recipients } });
  await mta.quiet();
  const hour = 3_600_000;
  await mta.delayNotices.work();
  assert.equal(own(mta).length, 0);
  mta.clock.advance(4 * hour);
  await mta.delayNotices.work();
  await mta.delayNotices.work();
  const [notice, ...more] = own(mta);
  assert.equal(more.length, 0);
  assert.match(notice!.content.toString(), /Action: delayed\r\nStatus: 4\.0\.0/);
  assert.doesNotMatch(notice!.content.toString(), /lee@a\.test/);
  assert.equal(mta.spool.nextDelayNotice, mta.clock.now() + 4 * hour);
});

test('bcc-upon-delivery: a copy after delivery, none of the copy itself', async (t) => {
  const mta = await startDelivery(t, {
    config: '<domain *>\ntype discard\nbcc-upon-delivery keep@archive.test\n</domain>',
    reports: true,
  });
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), [
    'delivered kim@a.test 2.0.0',
    'delivered lee@a.test 2.0.0',
    'received keep@archive.test ',
    'delivered keep@archive.test 2.0.0',
  ]);
});

test('dsn-return-default full: our own report returns the message whole where RET said nothing', async (t) => {
  const mta = await started(t, 67);
  await mta.submit(['kim@a.test'], { envelope: { returnDefault: 'full' } });
  await mta.quiet();
  await mta.submit(['kim@a.test'], { envelope: { returnDefault: 'full', returnContent: 'headers' } });
  await mta.quiet();
  assert.deepEqual(
    own(mta).map(({ content }) => content.includes(CONTENT)),
    [true, false],
  );
});

test('a report never carries X-DKIM-Key, whole message or headers alone', async (t) => {
  const mta = await started(t, 67);
  const content = Buffer.from(`X-DKIM-Key: c2VjcmV0\r\n ZXZlbiBtb3Jl\r\n${CONTENT}`);
  for (const returnContent of ['full', 'headers'] as const) {
    await mta.submit(['kim@a.test'], {
      content,
      envelope: { returnContent, removeHeaders: ['X-DKIM-Key'] },
    });
  }
  await mta.quiet();
  const reports = own(mta);
  assert.equal(reports.length, 2);
  for (const { content: text } of reports) {
    assert.match(text.toString(), /Subject: Hello/);
    assert.doesNotMatch(text.toString(), /X-DKIM-Key|c2VjcmV0|ZXZlbi/i);
  }
});
