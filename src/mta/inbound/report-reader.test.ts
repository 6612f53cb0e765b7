// Reports about a message that this host has received before, sent back to it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Complaint, RemoteBounce, RemoteStatus } from '../../events/outcome.ts';
import { buildComplaintReport } from '../../mail/build-complaint.ts';
import { buildDeliveryReport } from '../../mail/build-delivery-report.ts';
import { CONTENT, type ReceptionUnderTest, startReception } from '../testing.ts';

const config = (bounces = '', complaints = '') => `
  relay-domain bounces.test
  relay-domain fbl.test
  <source 0/0>
    always-allow-relaying yes
  </source>
  <bounce-processor>
    ${bounces}
    <address-list>
      domain bounces.test
    </address-list>
  </bounce-processor>
  <feedback-loop-processor>
    ${complaints}
    <address-list>
      domain fbl.test
    </address-list>
  </feedback-loop-processor>`;

/** An MTA that has sent one message, and that message. */
async function sent(t: TestContext, text: string, to = ['kim@a.test']) {
  const mta = await startReception(t, text);
  await mta.send({ to, content: `X-Campaign: c\r\n${CONTENT}` });
  const { envelope, content } = mta.stored();
  return { mta, envelope, original: Buffer.from(content) };
}

const recipient = {
  recipient: 'kim@a.test',
  originalRecipient: 'old@a.test',
  action: 'failed' as const,
  status: '5.1.1',
  diagnostic: 'smtp;550 5.1.1 no such user',
  remoteMta: 'mx.a.test',
};

function bounce(original: Buffer | null, ...recipients: Partial<typeof recipient>[]): string {
  return buildDeliveryReport({
    format: 'standard',
    return: 'headers',
    host: 'mx.a.test',
    from: '',
    to: 'return@bounces.test',
    envId: 'e7',
    arrivalDate: 0,
    now: 0,
    unique: 'u',
    recipients: (recipients.length > 0 ? recipients : [{}]).map((one) => ({ ...recipient, ...one })),
    original,
  }).toString('latin1');
}

function complaint(original: Buffer, originalRcptTo: string[]): string {
  return buildComplaintReport({
    host: 'mx.a.test',
    from: '',
    to: 'complaints@fbl.test',
    now: 0,
    unique: 'u',
    feedbackType: 'abuse',
    userAgent: 'Tester/1.0',
    envId: '',
    originalMailFrom: 'news@brand.test',
    originalRcptTo,
    sourceIp: '192.0.2.7',
    reportedDomain: 'brand.test',
    return: 'full',
    original,
  }).toString('latin1');
}

const report = async (mta: ReceptionUnderTest, content: string, to = 'return@bounces.test') => {
  const before = mta.outcomes().length;
  const queued = mta.queued.length;
  assert.match(await mta.send({ from: '', to: [to], content }), /^250 /);
  return {
    outcomes: mta.outcomes().slice(before),
    delivered: mta.queued.slice(queued).map(({ domain }) => domain),
  };
};

test('a delivery report about a message of ours: one outcome per recipient, matched, and the mail goes no further', async (t) => {
  const { mta, envelope, original } = await sent(t, config());
  const { outcomes, delivered } = await report(mta, bounce(original));
  assert.deepEqual(delivered, []);
  const [outcome] = outcomes as [RemoteBounce];
  assert.equal(outcomes.length, 1);
  assert.equal(outcome.kind, 'remote-bounce');
  assert.equal(outcome.sentTo, 'return@bounces.test');
  assert.equal(outcome.recipient, 'kim@a.test');
  assert.equal(outcome.originalRecipient, 'old@a.test');
  assert.equal(outcome.format, 'dsn');
  assert.equal(outcome.envId, 'e7');
  assert.equal(outcome.remoteMta, 'mx.a.test');
  assert.equal(outcome.reportingMta, 'mx.a.test');
  assert.equal(outcome.result.status, '5.1.1');
  assert.equal(outcome.result.category, 'bad-mailbox');
  assert.equal(outcome.result.diagnostic, 'smtp;550 5.1.1 no such user');
  assert.equal(outcome.matched?.messageId, envelope.recipients[0]!.messageId);
  assert.ok(outcome.headers.some(([name, value]) => name === 'X-Campaign' && value === 'c'));
  assert.equal(outcome.clientIp, '127.0.0.1');
});

test('reports that are no failures say so: delayed, delivered, relayed, expanded', async (t) => {
  const { mta, original } = await sent(t, config());
  const actions = ['failed', 'delayed', 'delivered', 'relayed', 'expanded'] as const;
  const content = bounce(
    original,
    ...actions.map((action) => ({
      action: action as 'failed',
      status: action === 'failed' ? '5.0.0' : '2.0.0',
    })),
  );
  const { outcomes } = await report(mta, content);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.kind === 'remote-status' ? outcome.action : outcome.kind)),
    ['remote-bounce', 'delayed', 'delivered', 'relayed', 'expanded'],
  );
  assert.equal((outcomes[2] as RemoteStatus).result.category, '');
});

test('of a message to several the report’s recipient tells which', async (t) => {
  const { mta, envelope, original } = await sent(t, config(), ['lou@a.test', 'kim@a.test']);
  const { outcomes } = await report(mta, bounce(original));
  assert.equal((outcomes[0] as RemoteBounce).matched?.messageId, envelope.recipients[1]!.messageId);
});

test('a report about somebody else’s mail is recorded and matches nothing', async (t) => {
  const { mta, original } = await sent(t, config());
  for (const other of [
    null,
    CONTENT,
    Buffer.from(original.toString('latin1').replace(/[sm]\.[0-9a-f]{12}/, 's.000000000000'), 'latin1'),
  ]) {
    const { outcomes, delivered } = await report(mta, bounce(other));
    assert.deepEqual(delivered, []);
    assert.equal(outcomes.length, 1);
    assert.equal((outcomes[0] as RemoteBounce).matched, null);
  }
});

test('matched mail goes on with deliver-matched-email', async (t) => {
  const { mta, original } = await sent(t, config('deliver-matched-email yes', 'deliver-matched-email yes'));
  const { outcomes, delivered } = await report(mta, bounce(original));
  assert.deepEqual(delivered, ['bounces.test']);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['remote-bounce', 'received'],
  );
  const complained = await report(mta, complaint(original, ['kim@a.test']), 'complaints@fbl.test');
  assert.deepEqual(complained.delivered, ['fbl.test']);
});

test('what is no report is delivered, or discarded with deliver-unmatched-email no', async (t) => {
  for (const [setting, goesOn] of [
    ['', true],
    ['deliver-unmatched-email yes', true],
    ['deliver-unmatched-email no', false],
  ] as const) {
    const mta = await startReception(t, config(setting, setting));
    for (const [to, domain] of [
      ['return@bounces.test', 'bounces.test'],
      ['complaints@fbl.test', 'fbl.test'],
    ] as const) {
      const { outcomes, delivered } = await report(mta, CONTENT.toString(), to);
      assert.deepEqual(delivered, goesOn ? [domain] : [], setting);
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        goesOn ? ['received'] : [],
      );
    }
    assert.ok(mta.logged.some((line) => line.startsWith('no report recognised')));
  }
});

test('nobody is told what becomes of mail to a processor, whoever seems to have sent it', async (t) => {
  const mta = await startReception(t, config('deliver-matched-email yes', 'deliver-matched-email yes'));
  const arf = readFileSync(
    new URL('../../../test/reports/arf-comcast-redacted.eml', import.meta.url),
    'latin1',
  );
  for (const content of [CONTENT.toString(), arf]) {
    assert.match(await mta.send({ from: 'victim@far.test', to: ['x@bounces.test'], content }), /^250 /);
  }
  assert.match(await mta.send({ from: 'a@far.test', to: ['x@bounces.test', 'kim@a.test'] }), /^250 /);
  const kept = mta.queued
    .map(({ spoolId, index }) => mta.spool.envelope(spoolId)!.recipients[index]!)
    .map(({ address, notify }) => `${address} ${notify.join()}`);
  assert.deepEqual(kept.sort(), [
    'kim@a.test ',
    'x@bounces.test never',
    'x@bounces.test never',
    'x@bounces.test never',
  ]);
});

test('a report that cannot be read is always delivered', async (t) => {
  const { mta } = await sent(t, config('deliver-unmatched-email no'));
  const damaged =
    'From: x@y.test\r\nMIME-Version: 1.0\r\n' +
    'Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n' +
    '--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.a.test\r\n\r\n--r--\r\n';
  const { outcomes, delivered } = await report(mta, damaged);
  assert.deepEqual(delivered, ['bounces.test']);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['received'],
  );
  assert.ok(
    mta.logged.some((line) => line.startsWith('report could not be read: ') && line.endsWith('; delivered')),
  );
});

test('a complaint: one outcome for each recipient it names, with its fields', async (t) => {
  const { mta, envelope, original } = await sent(t, config(), ['kim@a.test', 'lou@a.test']);
  const to = 'complaints@fbl.test';
  const { outcomes, delivered } = await report(mta, complaint(original, ['kim@a.test', 'lou@a.test']), to);
  assert.deepEqual(delivered, []);
  const complaints = outcomes as Complaint[];
  assert.deepEqual(
    complaints.map((one) => [one.kind, one.recipient, one.matched?.messageId]),
    envelope.recipients.map(({ address, messageId }) => ['complaint', address, messageId]),
  );
  const [first] = complaints;
  assert.equal(first?.feedbackType, 'abuse');
  assert.equal(first?.userAgent, 'Tester/1.0');
  assert.equal(first?.originalSourceIp, '192.0.2.7');
  assert.equal(first?.originalSender, 'news@brand.test');
  assert.equal(first?.reportedDomain, 'brand.test');
  assert.ok(first?.fields.some(([name]) => name === 'Feedback-Type'));
});

test('a complaint without recipients: matched when the message had one, unmatched when it had several', async (t) => {
  const to = 'complaints@fbl.test';
  const one = await sent(t, config());
  const single = await report(one.mta, complaint(one.original, []), to);
  assert.equal((single.outcomes[0] as Complaint).matched?.messageId, one.envelope.recipients[0]!.messageId);
  const several = await sent(t, config(), ['kim@a.test', 'lou@a.test']);
  const redacted = await report(several.mta, complaint(several.original, []), to);
  assert.equal(redacted.outcomes.length, 1);
  assert.equal((redacted.outcomes[0] as Complaint).matched, null);
});

test('a report to a processor and to a person at once: recorded for one, delivered to the other', async (t) => {
  const { mta, original } = await sent(t, config());
  const before = mta.outcomes().length;
  await mta.send({ from: '', to: ['return@bounces.test', 'ops@a.test'], content: bounce(original) });
  assert.deepEqual(
    mta
      .outcomes()
      .slice(before)
      .map(({ kind }) => kind),
    ['remote-bounce', 'received'],
  );
  assert.deepEqual(
    mta.stored().envelope.recipients.map(({ address }) => address),
    ['ops@a.test'],
  );
});

// What a report costs must not grow with recipients times headers, nor with the addresses it is sent to.

test('a report about 10,000 recipients does not keep the headers of the message 10,000 times', async (t) => {
  const { mta, original } = await sent(t, config(), ['kim@a.test', 'lee@a.test']);
  const large = Buffer.concat([
    original.subarray(0, original.indexOf('\r\n\r\n') + 2),
    Buffer.from(`X-Large: ${'x'.repeat(60_000)}\r\n`.repeat(10)),
    Buffer.from('\r\n'),
  ]);
  const many = Array.from({ length: 10_000 }, () => ({ recipient: 'lee@a.test' }));
  const { outcomes } = await report(mta, bounce(large, ...many));
  assert.equal(outcomes.length, 10_000);
  const first = outcomes[0] as RemoteBounce;
  assert.ok(JSON.stringify(first.headers).length < 2_000);
  assert.ok(first.matched, 'the reference is found all the same');
  const one = (await report(mta, bounce(large))).outcomes[0] as RemoteBounce;
  assert.equal(one.headers.filter(([name]) => name === 'X-Large').length, 10);
});

test('a report to 500 addresses of a processor says no more than 10,000 times something', async (t) => {
  const { mta, original } = await sent(t, config());
  const content = bounce(original, ...Array.from({ length: 100 }, () => ({})));
  const before = mta.outcomes().length;
  const to = Array.from({ length: 500 }, (_, n) => `b${n}@bounces.test`);
  assert.match(await mta.send({ from: '', to, content }), /^250 /);
  const told = mta.outcomes().slice(before);
  assert.equal(told.filter(({ kind }) => kind === 'remote-bounce').length, 10_000);
  // The rest goes on to whoever reads it.
  assert.equal(told.filter(({ kind }) => kind === 'received').length, 400);
});
