// What the sink sends back must be readable by those who read reports.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readComplaint } from '../mail/complaint-report.ts';
import { readDeliveryReport } from '../mail/delivery-report.ts';
import { Header } from '../mail/header.ts';
import type { Accepted } from './records.ts';
import { buildAutoReply, buildBounce, buildComplaint, type ReportFacts } from './reports.ts';

const record: Accepted = {
  ...{ k: 'accepted', id: 't1.0', at: 1_700_000_000_000, mid: 'm@brand.test', rcpt: 'x@oob.sink.test' },
  ...{ from: 'news@brand.test', client: '127.0.0.1', label: '', provider: '', reply: '250', size: 10 },
  ...{ envid: 'e7', orcpt: 'old@oob.sink.test', tls: '', tag: '', dup: false, trap: false },
  ...{ foreignImages: 0, foreignLinks: 0, plan: [] },
};

function facts(original = Buffer.from('X-MSFBL: abc\r\nSubject: x\r\n\r\nbody\r\n')): ReportFacts {
  return { record, original, host: 'mx1.mx.sink.test', now: 1_700_000_001_000, sourceIp: '127.0.0.1' };
}

for (const [form, original] of [
  ['full', true],
  ['headers', true],
  ['noorig', false],
] as const) {
  test(`a bounce in the form ${form}`, () => {
    const report = readDeliveryReport(buildBounce(facts(), '5.1.1', form));
    assert.ok(report.kind === 'report');
    const [recipient] = report.recipients;
    assert.equal(recipient?.recipient, 'x@oob.sink.test');
    assert.equal(recipient?.originalRecipient, 'old@oob.sink.test');
    assert.equal(recipient?.status, '5.1.1');
    assert.match(recipient!.diagnostic, /^smtp; ?550 5\.1\.1 /);
    assert.equal(report.envId, 'e7');
    assert.equal(report.reportingMta, 'mx1.mx.sink.test');
    const returned =
      report.original?.headers.some(([name, value]) => name === 'X-MSFBL' && value === 'abc') ?? false;
    assert.equal(returned, original);
  });
}

test('a bounce in words alone is no report', () => {
  const mail = buildBounce(facts(), '5.1.1', 'text');
  assert.equal(readDeliveryReport(mail).kind, 'unrecognised');
  assert.ok(mail.includes('<x@oob.sink.test>: user unknown'));
});

test('of a large original only the header goes back', () => {
  const large = Buffer.concat([facts().original, Buffer.alloc(2 * 1024 * 1024, 'x')]);
  const mail = buildBounce(facts(large), '5.1.1', 'full');
  assert.ok(mail.length < 10_000);
  assert.ok(mail.includes('X-MSFBL: abc'));
});

test('a complaint names the recipient, the sender and the host', () => {
  const mail = buildComplaint(facts(), 'abuse', 'feedback@sink.test', 'fbl@fbl.test');
  const report = readComplaint(mail);
  assert.ok(report.kind === 'report');
  assert.equal(report.feedbackType, 'abuse');
  assert.deepEqual(report.originalRcptTo, ['x@oob.sink.test']);
  assert.equal(report.originalMailFrom, 'news@brand.test');
  assert.equal(report.sourceIp, '127.0.0.1');
  assert.equal(report.reportedDomain, 'brand.test');
  assert.match(new Header(mail).get('to')!, /fbl@fbl\.test/);
});

test('an absence notice answers the message and says that nobody wrote it', () => {
  const header = new Header(buildAutoReply(facts()));
  assert.equal(header.get('in-reply-to'), '<m@brand.test>');
  assert.equal(header.get('auto-submitted'), 'auto-replied');
  assert.match(header.get('to')!, /news@brand\.test/);
});
