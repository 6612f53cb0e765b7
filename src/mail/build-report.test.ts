import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildComplaintReport, type ComplaintFacts } from './build-complaint.ts';
import {
  buildDeliveryReport,
  type DeliveryReportFacts,
  type RecipientToReport,
} from './build-delivery-report.ts';
import { readComplaint } from './complaint-report.ts';
import { readDeliveryReport } from './delivery-report.ts';
import { Header } from './header.ts';
import { leaves, parseMime } from './mime.ts';
import { partContent } from './report-parts.ts';

const ORIGINAL = Buffer.from(
  'Received: from a by b;\r\n\tMon, 7 Apr 2031 09:12:41 +0200\r\nFrom: News <news@example.com>\r\nX-rid: 77\r\n\r\nbody\r\n',
);
const HEADERS = [
  ['Received', 'from a by b; Mon, 7 Apr 2031 09:12:41 +0200'],
  ['From', 'News <news@example.com>'],
  ['X-rid', '77'],
];
const FAILED: RecipientToReport = {
  recipient: 'di@far.example',
  originalRecipient: 'Di@far.example',
  action: 'failed',
  status: '5.2.2',
  diagnostic: 'smtp;552 5.2.2 quota',
  remoteMta: 'store.far.example (198.51.100.7)',
};
const FACTS: DeliveryReportFacts = {
  format: 'standard',
  return: 'headers',
  host: 'mta.b.example.com',
  from: '',
  to: 'news@b.example.com',
  envId: 'E7-1',
  arrivalDate: Date.parse('2031-04-07T07:12:41Z'),
  now: Date.parse('2031-04-07T11:12:41Z'),
  unique: '00aa.1',
  recipients: [FAILED],
  original: ORIGINAL,
};
const COMPLAINT: ComplaintFacts = {
  host: 'fbl.shop.example.org',
  from: '',
  to: 'fbl@fbl.b.example.com',
  now: Date.parse('2031-04-08T15:03:10Z'),
  unique: 'c1',
  feedbackType: 'abuse',
  userAgent: 'ExampleFBL/2',
  envId: 'E7-1',
  originalMailFrom: 'news@b.example.com',
  originalRcptTo: ['li@shop.example.org', 'mo@shop.example.org'],
  sourceIp: '192.0.2.80',
  reportedDomain: 'b.example.com',
  arrivalDate: Date.parse('2031-04-07T07:12:41Z'),
  return: 'full',
  original: ORIGINAL,
};

const types = (raw: Buffer) => [...leaves(parseMime(raw))].map((part) => part.type);

/** CRLF everywhere, no line over 998 octets, ASCII unless told. */
function assertLines(raw: Buffer, ascii = true): void {
  const text = raw.toString('latin1');
  assert.doesNotMatch(text, /(?:^|[^\r])\n|\r(?!\n)|\0/);
  for (const line of text.split('\r\n')) assert.ok(line.length <= 998, line.slice(0, 100));
  assert.ok(text.endsWith('\r\n'));
  if (ascii) assert.doesNotMatch(text, /[^\0-\x7f]/);
}

test('where no host said anything, people are told in words what the status means', () => {
  const expired = { ...FAILED, status: '4.4.7', statusText: 'delivery time expired\r\né', diagnostic: '' };
  const text = buildDeliveryReport({ ...FACTS, recipients: [expired] });
  assertLines(text);
  assert.match(text.toString(), /\n {6}delivery time expired.*\(status 4\.4\.7\)\r\n/);
  const told = buildDeliveryReport({ ...FACTS, recipients: [{ ...expired, diagnostic: 'smtp;450 later' }] });
  assert.match(told.toString(), /\n {6}450 later\r\n/);
});

test('what is written is read back: every action, two recipients with all facts and with none', () => {
  for (const action of ['failed', 'delayed', 'delivered', 'relayed', 'expanded'] as const) {
    const status = {
      failed: '5.2.2',
      delayed: '4.2.2',
      delivered: '2.0.0',
      relayed: '2.0.0',
      expanded: '2.0.0',
    }[action];
    const bare = {
      recipient: 'bo@x.example',
      originalRecipient: '',
      action,
      status,
      diagnostic: '',
      remoteMta: '',
    };
    const raw = buildDeliveryReport({ ...FACTS, recipients: [{ ...FAILED, action, status }, bare] });
    assertLines(raw);
    assert.deepEqual(readDeliveryReport(raw), {
      kind: 'report',
      format: 'dsn',
      reportingMta: 'mta.b.example.com',
      envId: 'E7-1',
      arrivalDate: FACTS.arrivalDate,
      recipients: [{ ...FAILED, action, status }, bare],
      original: { headers: HEADERS },
    });
  }
});

test('the mail has the header of a report, and its parts in order', () => {
  const raw = buildDeliveryReport(FACTS);
  const header = new Header(raw);
  assert.equal(header.get('from'), 'Mail Delivery System <postmaster@mta.b.example.com>');
  assert.equal(header.get('to'), '<news@b.example.com>');
  assert.equal(header.get('auto-submitted'), 'auto-replied');
  assert.equal(header.get('subject'), 'Delivery Status Notification (Failure)');
  assert.equal(header.get('message-id'), '<00aa.1@mta.b.example.com>');
  assert.equal(header.get('mime-version'), '1.0');
  assert.equal(Date.parse(header.get('date')!), FACTS.now);
  const root = parseMime(raw);
  assert.equal(root.type, 'multipart/report');
  assert.equal(root.parameters.get('report-type'), 'delivery-status');
  assert.deepEqual(types(raw), ['text/plain', 'message/delivery-status', 'text/rfc822-headers']);
});

test('the message comes back octet for octet, its header alone without the body', () => {
  const eightBit = Buffer.concat([ORIGINAL, Buffer.from('grün\r\n')]);
  for (const original of [ORIGINAL, eightBit, Buffer.concat([ORIGINAL, Buffer.from('x'.repeat(2000))])]) {
    const raw = buildDeliveryReport({ ...FACTS, return: 'full', original });
    assertLines(raw, original !== eightBit);
    const part = [...leaves(parseMime(raw))][2]!;
    assert.deepEqual(partContent(raw, part, 1e6), original);
    const got = readDeliveryReport(raw);
    assert.deepEqual(got.kind === 'report' && got.original, { headers: HEADERS });
  }
  assert.deepEqual(types(buildDeliveryReport({ ...FACTS, return: 'full' }))[2], 'message/rfc822');
  assert.doesNotMatch(buildDeliveryReport(FACTS).toString(), /^body/m);
  assert.deepEqual(types(buildDeliveryReport({ ...FACTS, original: null })), [
    'text/plain',
    'message/delivery-status',
  ]);
});

test('a header beyond ASCII or with bare line feeds comes back through quoted-printable', () => {
  const original = Buffer.from('Subject: grün\nX-rid: 7\n\nbody\n');
  const raw = buildDeliveryReport({ ...FACTS, original });
  assertLines(raw);
  const got = readDeliveryReport(raw);
  assert.deepEqual(got.kind === 'report' && got.original?.headers, [
    ['Subject', 'grün'],
    ['X-rid', '7'],
  ]);
});

test('plain text holds the fields alone and is read back, too', () => {
  const raw = buildDeliveryReport({ ...FACTS, format: 'plain-text', return: 'full' });
  assertLines(raw);
  assert.equal(parseMime(raw).type, 'text/plain');
  assert.equal(new Header(raw).get('auto-submitted'), 'auto-replied');
  const got = readDeliveryReport(raw);
  assert.ok(got.kind === 'report');
  assert.deepEqual(got.recipients, [FAILED]);
  assert.equal(got.original, null);
});

test('a delay says until when we try, other fates do not', () => {
  const until = Date.parse('2031-04-11T19:12:41Z');
  const delayed = { ...FAILED, action: 'delayed' as const, status: '4.2.2', willRetryUntil: until };
  const text = buildDeliveryReport({ ...FACTS, recipients: [delayed] }).toString();
  assert.equal(Date.parse(/^Will-Retry-Until: (.*)\r$/m.exec(text)![1]!), until);
  assert.match(text, /Notification \(Delay\)/);
  const failed = buildDeliveryReport({ ...FACTS, recipients: [{ ...FAILED, willRetryUntil: until }] });
  assert.doesNotMatch(failed.toString(), /Will-Retry/);
});

test('absent facts leave no field', () => {
  const text = buildDeliveryReport({
    ...FACTS,
    envId: '',
    recipients: [{ ...FAILED, originalRecipient: '', diagnostic: '', remoteMta: '', status: '' }],
  }).toString();
  assert.doesNotMatch(text, /Original-|Remote-MTA|Diagnostic/);
  assert.match(text, /^Status: 5\.0\.0\r$/m);
  assert.throws(() => buildDeliveryReport({ ...FACTS, recipients: [] }), /at least one/);
});

test("the operator's From is kept; a name beyond ASCII is encoded", () => {
  const from = (text: string) => new Header(buildDeliveryReport({ ...FACTS, from: text })).get('from');
  assert.equal(from('Returned "mail" <bounces@b.example.com>'), 'Returned "mail" <bounces@b.example.com>');
  assert.equal(
    from('Müller Post <a@müller.example>'),
    '=?utf-8?B?TcO8bGxlciBQb3N0?= <a@xn--mller-kva.example>',
  );
});

test('addresses beyond ASCII survive a part of ASCII', () => {
  const recipients = ['mü+l=l\\er@far.example', 'ana@fär.example', '"d e"@far.example'].map((recipient) => ({
    ...FAILED,
    recipient,
    originalRecipient: '',
  }));
  const raw = buildDeliveryReport({ ...FACTS, recipients });
  assertLines(raw);
  const got = readDeliveryReport(raw);
  assert.deepEqual(got.kind === 'report' && got.recipients.map((r) => r.recipient), [
    'mü+l=l\\er@far.example',
    'ana@xn--fr-via.example',
    '"d e"@far.example',
  ]);
});

const EVIL = 'x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; eve@e.example\r\n--b\r\n\r\n\0\u2028é';

test('texts from outside add no field, no recipient, no part, and no long line', () => {
  for (const evil of [EVIL, `${EVIL}${'y'.repeat(20_000)}`, ' '.repeat(3000), `a ${'\r\n'.repeat(5000)}b`]) {
    const recipient: RecipientToReport = {
      recipient: evil,
      originalRecipient: evil,
      action: 'failed',
      status: evil,
      diagnostic: `smtp;${evil}`,
      remoteMta: evil,
    };
    for (const format of ['standard', 'plain-text'] as const) {
      const raw = buildDeliveryReport({
        ...FACTS,
        format,
        host: `h${evil}`,
        from: evil,
        to: evil,
        envId: evil,
        unique: evil,
        recipients: [recipient],
      });
      assertLines(raw);
      const got = readDeliveryReport(raw);
      assert.ok(got.kind === 'report', JSON.stringify(got));
      assert.equal(got.recipients.length, 1);
      assert.equal(got.recipients[0]!.action, 'failed');
      assert.equal(got.recipients[0]!.status, '5.0.0');
      if (format === 'standard') {
        assert.deepEqual(types(raw), ['text/plain', 'message/delivery-status', 'text/rfc822-headers']);
      }
      const names = new Header(raw).fields.map((field) => field.key);
      assert.deepEqual([...new Set(names)].length, names.length);
      assert.equal(new Header(raw).find('action'), undefined);
    }
  }
});

test('a message cannot contain the boundary of the report that returns it', () => {
  const first = buildDeliveryReport({ ...FACTS, return: 'full' });
  const boundary = parseMime(first).parameters.get('boundary')!;
  const original = Buffer.concat([ORIGINAL, Buffer.from(`--${boundary}--\r\n\r\n`)]);
  const raw = buildDeliveryReport({ ...FACTS, return: 'full', original });
  const [, , part] = [...leaves(parseMime(raw))];
  assert.deepEqual(partContent(raw, part!, 1e6), original);
});

test('a complaint is read back, whole and with the header alone', () => {
  const raw = buildComplaintReport(COMPLAINT);
  assertLines(raw);
  assert.deepEqual(types(raw), ['text/plain', 'message/feedback-report', 'message/rfc822']);
  const got = readComplaint(raw);
  assert.ok(got.kind === 'report');
  const { fields, ...rest } = got;
  assert.deepEqual(rest, {
    kind: 'report',
    format: 'arf',
    feedbackType: 'abuse',
    userAgent: 'ExampleFBL/2',
    reportingMta: 'fbl.shop.example.org',
    sourceIp: '192.0.2.80',
    reportedDomain: 'b.example.com',
    envId: 'E7-1',
    originalMailFrom: 'news@b.example.com',
    originalRcptTo: ['li@shop.example.org', 'mo@shop.example.org'],
    arrivalDate: COMPLAINT.arrivalDate,
    original: { headers: HEADERS },
  });
  assert.deepEqual(fields[2], ['Version', '1']);
  const short = buildComplaintReport({ ...COMPLAINT, return: 'headers' });
  assert.equal(types(short)[2], 'text/rfc822-headers');
});

test('a complaint keeps a UTF-8 local part and takes no field from outside', () => {
  const raw = buildComplaintReport({
    ...COMPLAINT,
    feedbackType: `abuse${EVIL}`,
    userAgent: EVIL,
    envId: EVIL,
    originalMailFrom: EVIL,
    originalRcptTo: ['müller@shop.example.org', EVIL],
    sourceIp: EVIL,
    reportedDomain: EVIL,
  });
  assertLines(raw, false);
  const got = readComplaint(raw);
  assert.ok(got.kind === 'report');
  assert.deepEqual(got.originalRcptTo, ['müller@shop.example.org']);
  assert.equal(got.originalMailFrom, '');
  assert.deepEqual(
    got.fields.map(([name]) => name),
    [
      'Feedback-Type',
      'User-Agent',
      'Version',
      'Original-Envelope-Id',
      'Original-Rcpt-To',
      'Arrival-Date',
      'Reporting-MTA',
      'Source-IP',
      'Reported-Domain',
    ],
  );
});
