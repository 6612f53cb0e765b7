import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ComplaintReport, readComplaint } from './complaint-report.ts';

const crlf = (text: string) => text.replace(/\r?\n/g, '\r\n');

function report(parts: readonly string[], type = 'multipart/report; report-type=feedback-report'): Buffer {
  const header = `From: FBL <fbl@shop.example.org>
To: fbl@fbl.b.example.com
Subject: FW: April offers
MIME-Version: 1.0
Content-Type: ${type}; boundary=limit

`;
  return Buffer.from(crlf(`${header}${parts.map((part) => `--limit\n${part}\n`).join('')}--limit--\n`));
}

function recognised(raw: Buffer): ComplaintReport {
  const result = readComplaint(raw);
  assert.equal(result.kind, 'report', JSON.stringify(result));
  return result as ComplaintReport;
}

const WORDS = 'Content-Type: text/plain\n\nThis is an abuse report.\n';
const FEEDBACK = (fields: string) => `Content-Type: message/feedback-report\n\n${fields}`;
const ORIGINAL = `Content-Type: message/rfc822
Content-Disposition: inline

From: News <news@example.com>
X-rid: 77
Subject: April
	offers

body
`;
const HEADERS = [
  ['From', 'News <news@example.com>'],
  ['X-rid', '77'],
  ['Subject', 'April offers'],
];
const FULL = `Feedback-Type: abuse
User-Agent: ExampleFBL/2
 (beta)
Version: 1
Original-Envelope-Id: E7-1
Original-Mail-From: <news@b.example.com>
Original-Rcpt-To: <li@shop.example.org>
ORIGINAL-rcpt-TO: mo@shop.example.org
Arrival-Date: Mon, 7 Apr 2031 09:12:41 +0200
Reporting-MTA: dns; fbl.shop.example.org
Source-IP: 192.0.2.80
Reported-Domain: b.example.com
Reported-Domain: example.com
Reported-Uri: http://b.example.com/x
Authentication-Results: mx.shop.example.org;
	spf=pass
`;

test('ARF: every field has its place, and all fields stay in order', () => {
  const got = recognised(report([WORDS, FEEDBACK(FULL), ORIGINAL]));
  assert.deepEqual(got, {
    kind: 'report',
    format: 'arf',
    feedbackType: 'abuse',
    userAgent: 'ExampleFBL/2 (beta)',
    reportingMta: 'fbl.shop.example.org',
    sourceIp: '192.0.2.80',
    reportedDomain: 'b.example.com',
    envId: 'E7-1',
    originalMailFrom: 'news@b.example.com',
    originalRcptTo: ['li@shop.example.org', 'mo@shop.example.org'],
    arrivalDate: Date.parse('2031-04-07T07:12:41Z'),
    fields: [
      ['Feedback-Type', 'abuse'],
      ['User-Agent', 'ExampleFBL/2 (beta)'],
      ['Version', '1'],
      ['Original-Envelope-Id', 'E7-1'],
      ['Original-Mail-From', '<news@b.example.com>'],
      ['Original-Rcpt-To', '<li@shop.example.org>'],
      ['ORIGINAL-rcpt-TO', 'mo@shop.example.org'],
      ['Arrival-Date', 'Mon, 7 Apr 2031 09:12:41 +0200'],
      ['Reporting-MTA', 'dns; fbl.shop.example.org'],
      ['Source-IP', '192.0.2.80'],
      ['Reported-Domain', 'b.example.com'],
      ['Reported-Domain', 'example.com'],
      ['Reported-Uri', 'http://b.example.com/x'],
      ['Authentication-Results', 'mx.shop.example.org; spf=pass'],
    ],
    original: { headers: HEADERS },
  });
});

/** What tells one complaint from the next: type, sender, recipients, address, headers of the message. */
function outline(raw: Buffer): string {
  const got = readComplaint(raw);
  if (got.kind === 'unrecognised') return 'unrecognised';
  if (got.kind === 'damaged') return `damaged: ${got.reason}`;
  return `${got.format} ${got.feedbackType || '-'} ${got.originalMailFrom || '-'} [${got.originalRcptTo}] ${got.sourceIp || '-'} ${got.original?.headers.length ?? 'none'}`;
}

const MINIMAL = 'Feedback-Type: fraud\nUser-Agent: X/1\nVersion: 1\n';
const corpus: [name: string, raw: Buffer, expected: string][] = [
  ['required fields alone', report([WORDS, FEEDBACK(MINIMAL), ORIGINAL]), 'arf fraud - [] - 3'],
  ['nothing returned', report([WORDS, FEEDBACK(MINIMAL)]), 'arf fraud - [] - none'],
  [
    'the header alone',
    report([WORDS, FEEDBACK(MINIMAL), 'Content-Type: text/rfc822-headers\n\nFrom: a@b.example\n']),
    'arf fraud - [] - 1',
  ],
  [
    'under multipart/mixed',
    report([WORDS, FEEDBACK(MINIMAL), ORIGINAL], 'multipart/mixed'),
    'arf fraud - [] - 3',
  ],
  [
    'base64, and an empty line before the fields and within them',
    report([
      WORDS,
      `Content-Type: message/feedback-report\nContent-Transfer-Encoding: base64\n\n${Buffer.from(`\r\n${FULL.replace('Version', '\nVersion')}`).toString('base64')}`,
      ORIGINAL,
    ]),
    'arf abuse news@b.example.com [li@shop.example.org,mo@shop.example.org] 192.0.2.80 3',
  ],
  [
    'the empty line after the header of the part is missing',
    report([WORDS, `Content-Type: message/feedback-report\n${FULL}`, ORIGINAL]),
    'arf abuse news@b.example.com [li@shop.example.org,mo@shop.example.org] 192.0.2.80 3',
  ],
  [
    'redacted recipient, null sender, IPv6 in brackets',
    report([
      WORDS,
      FEEDBACK(`${MINIMAL}Original-Mail-From: <>\nOriginal-Rcpt-To: <>\nSource-IP: [IPv6:2001:db8::9]\n`),
    ]),
    'arf fraud - [] 2001:db8::9 none',
  ],
  [
    'words in the place of recipients',
    report([
      WORDS,
      FEEDBACK(
        `${MINIMAL}Original-Mail-From: [removed]\n${[
          '[redacted]',
          '<***>',
          'xxxx',
          '(hidden by request)',
          '-',
        ]
          .map((text) => `Original-Rcpt-To: ${text}\n`)
          .join('')}`,
      ),
    ]),
    'arf fraud - [] - none',
  ],
  [
    'a source address that is none',
    report([WORDS, FEEDBACK(`${MINIMAL}Source-IP: mail.example.com\n`)]),
    'arf fraud - [] - none',
  ],
  [
    'no type of feedback',
    report([WORDS, FEEDBACK('User-Agent: X/1\nOriginal-Rcpt-To: a@shop.example.org\n')]),
    'arf - - [a@shop.example.org] - none',
  ],
  [
    'cut off within the returned message',
    report([WORDS, FEEDBACK(MINIMAL), ORIGINAL]).subarray(0, -20),
    'arf fraud - [] - 3',
  ],
  [
    'a complaint about a bounce',
    report([
      WORDS,
      FEEDBACK(MINIMAL),
      'Content-Type: message/rfc822\n\nFrom: a@b.example\nContent-Type: multipart/report; boundary=in\n\n--in\nContent-Type: message/feedback-report\n\nFeedback-Type: virus\n--in--\n',
    ]),
    'arf fraud - [] - 2',
  ],
  ['no fields', report([WORDS, FEEDBACK(''), ORIGINAL]), 'damaged: the feedback-report part has no fields'],
  ['no such part', report([WORDS, ORIGINAL]), 'damaged: the report has no feedback-report part'],
  [
    'JMRP: the message attached, with the header of the programme',
    report(
      [
        `Content-Type: message/rfc822

X-HmXmrOriginalRecipient: li@hot.example
From: a@b.example
X-rid: 7

body
`,
      ],
      'multipart/mixed',
    ),
    'jmrp - - [] - 3',
  ],
  [
    'JMRP after words and another attached message',
    report(
      [WORDS, ORIGINAL, ORIGINAL.replace('X-rid: 77', 'x-hmxmroriginalrecipient: li@hot.example')],
      'multipart/mixed',
    ),
    'jmrp - - [] - 3',
  ],
  ['a forwarded message without that header', report([WORDS, ORIGINAL], 'multipart/mixed'), 'unrecognised'],
  [
    'that header in the mail itself',
    Buffer.from('X-HmXmrOriginalRecipient: a@b.example\r\n\r\nx'),
    'unrecognised',
  ],
  [
    'a delivery report',
    report(
      [
        WORDS,
        'Content-Type: message/delivery-status\n\nReporting-MTA: dns; gw\n\nFinal-Recipient: rfc822;a@f.example\nAction: failed\nStatus: 5.1.1\n',
        ORIGINAL,
      ],
      'multipart/report; report-type=delivery-status',
    ),
    'unrecognised',
  ],
];

for (const [name, raw, expected] of corpus) {
  test(`corpus: ${name}`, () => assert.equal(outline(raw), expected));
}

test('JMRP: the address that complained is in the headers of the message', () => {
  const got = recognised(
    report(
      ['Content-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: li@hot.example\nX-rid: 7\n\n'],
      'multipart/mixed',
    ),
  );
  assert.deepEqual(got.original!.headers, [
    ['X-HmXmrOriginalRecipient', 'li@hot.example'],
    ['X-rid', '7'],
  ]);
  assert.deepEqual(got.fields, []);
});
