import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeliveryReport, readDeliveryReport } from './delivery-report.ts';

const crlf = (text: string) => text.replace(/\r?\n/g, '\r\n');

/** A multipart/report; each part is its own header, an empty line and its body. */
function report(parts: readonly string[], type = 'multipart/report; report-type=delivery-status'): Buffer {
  const header = `Return-Path: <>
From: Mail Delivery <postmaster@mx.far.example>
To: news-di=far.example@b.example.com
Subject: Undelivered
MIME-Version: 1.0
Content-Type: ${type};
	boundary="=_limit"

preamble
`;
  return Buffer.from(
    crlf(`${header}${parts.map((part) => `--=_limit\n${part}\n`).join('')}--=_limit--\nepilogue\n`),
  );
}

const WORDS = 'Content-Type: text/plain\n\nSorry.\n';
const STATUS = (fields: string) => `Content-Type: message/delivery-status\n\n${fields}`;
const ORIGINAL = `Content-Type: message/rfc822

Received: from a by b;
	Mon, 7 Apr 2031 09:12:41 +0200
From: News <news@example.com>
X-rid: 77
Subject: =?utf-8?Q?gr=C3=BCn?=

<di@far.example>: is no report
`;
const ORIGINAL_HEADERS = [
  ['Received', 'from a by b; Mon, 7 Apr 2031 09:12:41 +0200'],
  ['From', 'News <news@example.com>'],
  ['X-rid', '77'],
  ['Subject', '=?utf-8?Q?gr=C3=BCn?='],
];
const FAILED = `Reporting-MTA: dns; mx.far.example
Original-Envelope-Id: E7-1
Arrival-Date: Mon, 7 Apr 2031 09:12:41 +0200 (CEST)

Original-Recipient: rfc822;Di@far.example
Final-Recipient: rfc822; di@far.example
Action: failed
Status: 5.2.2 (mailbox full)
Remote-MTA: dns; store.far.example
Diagnostic-Code: smtp; 552 5.2.2 quota
`;

/** A recognised report on one line per recipient, and what was returned. */
function outline(raw: Buffer): string[] {
  const result = readDeliveryReport(raw);
  if (result.kind === 'unrecognised') return ['unrecognised'];
  if (result.kind === 'damaged') return [`damaged: ${result.reason}`];
  return [
    `${result.format} ${result.reportingMta || '-'} ${result.envId || '-'} ${result.original ? result.original.headers.length : 'none'}`,
    ...result.recipients.map(
      (r) =>
        `${r.recipient || '-'} ${r.originalRecipient || '-'} ${r.action} ${r.status} ${r.remoteMta || '-'} ${r.diagnostic || '-'}`,
    ),
  ];
}

function recognised(raw: Buffer): DeliveryReport {
  const result = readDeliveryReport(raw);
  assert.equal(result.kind, 'report');
  return result as DeliveryReport;
}

const DI = 'di@far.example Di@far.example failed 5.2.2 store.far.example smtp;552 5.2.2 quota';
const PLAIN_DI = 'di@far.example - failed 5.1.1 - smtp;550 5.1.1 no';
const SHORT = `Reporting-MTA: dns; mx.far.example

Final-Recipient: rfc822; di@far.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no
`;
const SHORT_OUTLINE = ['dsn mx.far.example - none', PLAIN_DI];
const qmail = (body: string, header = '') =>
  Buffer.from(
    crlf(
      `From: MAILER-DAEMON@mx.far.example\nTo: news@b.example.com\nSubject: failure notice\n${header}\n${body}`,
    ),
  );
const HI = `Hi. This is the qmail-send program at mx.far.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.
`;

const corpus: [name: string, raw: Buffer, expected: string[]][] = [
  [
    'all fields and the message',
    report([WORDS, STATUS(FAILED), ORIGINAL]),
    ['dsn mx.far.example E7-1 4', DI],
  ],
  ['nothing returned', report([WORDS, STATUS(FAILED)]), ['dsn mx.far.example E7-1 none', DI]],
  [
    'the header alone, as text/rfc822-headers',
    report([WORDS, STATUS(FAILED), 'Content-Type: text/rfc822-headers\n\nFrom: a@b.example\nX-rid: 7\n']),
    ['dsn mx.far.example E7-1 2', DI],
  ],
  [
    'the header alone, as message/rfc822-headers',
    report([WORDS, STATUS(FAILED), 'Content-Type: message/rfc822-headers\n\nFrom: a@b.example\n']),
    ['dsn mx.far.example E7-1 1', DI],
  ],
  [
    'three recipients with three fates',
    report([
      WORDS,
      STATUS(`Reporting-MTA: dns; mx.far.example

Final-Recipient: rfc822; a@far.example
Action: failed
Status: 5.1.1

Final-Recipient: rfc822; b@far.example
Action: delayed
Status: 4.4.1
Will-Retry-Until: Tue, 8 Apr 2031 09:12:41 +0200

Final-Recipient: rfc822; c@far.example
Action: delivered
Status: 2.1.5
`),
    ]),
    [
      'dsn mx.far.example - none',
      'a@far.example - failed 5.1.1 - -',
      'b@far.example - delayed 4.4.1 - -',
      'c@far.example - delivered 2.1.5 - -',
    ],
  ],
  [
    'relayed and expanded',
    report([
      WORDS,
      STATUS(
        'Reporting-MTA: dns;gw\n\nFinal-Recipient: rfc822;a@f.example\nAction: relayed\nStatus: 2.0.0\n\nFinal-Recipient: rfc822;b@f.example\nAction: expanded (to a list)\nStatus: 2.0.0\n',
      ),
    ]),
    ['dsn gw - none', 'a@f.example - relayed 2.0.0 - -', 'b@f.example - expanded 2.0.0 - -'],
  ],
  [
    'mixed case, folded fields, blanks before colons',
    report([
      'CONTENT-TYPE: Text/Plain\n\nx\n',
      `content-type: MESSAGE/Delivery-Status

REPORTING-MTA :
  DNS;
  mx.far.example

final-recipient: RFC822
 ;di@far.example
ACTION: Failed
status:
	5.1.1
DIAGNOSTIC-code: SMTP; 550-5.1.1 no
	such
  user
`,
    ]),
    ['dsn mx.far.example - none', 'di@far.example - failed 5.1.1 - smtp;550-5.1.1 no such user'],
  ],
  [
    'no empty line between the message and the recipient, nor between recipients',
    report([
      WORDS,
      STATUS(`Reporting-MTA: dns; mx.far.example
Final-Recipient: rfc822; a@far.example
Action: failed
Status: 5.1.1
Original-Recipient: rfc822; B@far.example
Final-Recipient: rfc822; b@far.example
Action: delayed
Status: 4.0.0
Final-Recipient: rfc822; c@far.example
Action: failed
Status: 5.7.1
`),
    ]),
    [
      'dsn mx.far.example - none',
      'a@far.example - failed 5.1.1 - -',
      'b@far.example B@far.example delayed 4.0.0 - -',
      'c@far.example - failed 5.7.1 - -',
    ],
  ],
  ['an empty line after each field', report([WORDS, STATUS(SHORT.replace(/\n+/g, '\n\n'))]), SHORT_OUTLINE],
  [
    'a line of blanks for an empty line',
    report([
      WORDS,
      STATUS(`${SHORT} \t\nFinal-Recipient: rfc822; e@far.example\nAction: failed\nStatus: 5.1.2\n`),
    ]),
    [...SHORT_OUTLINE, 'e@far.example - failed 5.1.2 - -'],
  ],
  [
    'the empty line after the header of the part is missing',
    report([WORDS, `Content-Type: message/delivery-status\n${SHORT}`]),
    SHORT_OUTLINE,
  ],
  [
    'the empty line after the header of the returned message is missing',
    report([WORDS, STATUS(SHORT), 'Content-Type: message/rfc822\nFrom: a@b.example\nX-rid: 7\n\nbody\n']),
    ['dsn mx.far.example - 2', PLAIN_DI],
  ],
  [
    'fields before the recipient within a block; the recipient comes last',
    report([
      WORDS,
      STATUS(
        'Reporting-MTA: dns; gw\n\nAction: failed\nStatus: 5.1.1\nFinal-Recipient: rfc822;a@f.example\n\nAction: failed\nStatus: 5.1.2\nFinal-Recipient: rfc822;b@f.example\n',
      ),
    ]),
    ['dsn gw - none', 'a@f.example - failed 5.1.1 - -', 'b@f.example - failed 5.1.2 - -'],
  ],
  [
    'the original recipient after the final one, with blocks apart',
    report([
      WORDS,
      STATUS(
        'Reporting-MTA: dns; gw\n\nFinal-Recipient: rfc822;a@f.example\nOriginal-Recipient: rfc822;A@f.example\nAction: failed\nStatus: 5.1.1\n\nFinal-Recipient: rfc822;b@f.example\nOriginal-Recipient: rfc822;B@f.example\nAction: failed\nStatus: 5.1.1\n',
      ),
    ]),
    ['dsn gw - none', 'a@f.example A@f.example failed 5.1.1 - -', 'b@f.example B@f.example failed 5.1.1 - -'],
  ],
  [
    'no Action: the status decides; no Status: the reply does; neither: the action does',
    report([
      WORDS,
      STATUS(`Reporting-MTA: dns; gw

Final-Recipient: rfc822; a@f.example
Status: 4.2.2

Final-Recipient: rfc822; b@f.example
Diagnostic-Code: smtp; 554 5.7.1 blocked

Final-Recipient: rfc822; c@f.example
Action: failed
Diagnostic-Code: 550 no such user

Final-Recipient: rfc822; d@f.example
Action: delayed
`),
    ]),
    [
      'dsn gw - none',
      'a@f.example - delayed 4.2.2 - -',
      'b@f.example - failed 5.7.1 - smtp;554 5.7.1 blocked',
      'c@f.example - failed 5.0.0 - smtp;550 no such user',
      'd@f.example - delayed 4.0.0 - -',
    ],
  ],
  [
    'redacted recipients',
    report([
      WORDS,
      STATUS('Reporting-MTA: dns; gw\n\nFinal-Recipient: rfc822;\nAction: failed\nStatus: 5.1.1\n'),
    ]),
    ['dsn gw - none', '- - failed 5.1.1 - -'],
  ],
  [
    'a word in the place of the recipient, and an address of X.400 that only looks like one',
    report([
      WORDS,
      STATUS(
        'Final-Recipient: rfc822; [redacted]\nAction: failed\nStatus: 5.1.1\n\nFinal-Recipient: x400; /S=Hidden/C=de\nAction: failed\nStatus: 5.1.1\n',
      ),
    ]),
    ['dsn - - none', '- - failed 5.1.1 - -', '/S=Hidden/C=de - failed 5.1.1 - -'],
  ],
  [
    'only the original recipient is named',
    report([WORDS, STATUS('Original-Recipient: rfc822;<a@f.example>\nAction: failed\nStatus: 5.1.1\n')]),
    ['dsn - - none', 'a@f.example a@f.example failed 5.1.1 - -'],
  ],
  [
    'addresses in brackets, with comments, without a type, of another type',
    report([
      WORDS,
      STATUS(
        [
          'rfc822;<a@f.example>',
          'rfc822; b@f.example (Bo; not here)',
          'c@f.example',
          'x400; /C=DE/O=far/S=di/',
          'rfc822; "d e"@f.example',
        ]
          .map((address) => `Final-Recipient: ${address}\nAction: failed\nStatus: 5.1.1\n`)
          .join('\n'),
      ),
    ]),
    [
      'dsn - - none',
      'a@f.example - failed 5.1.1 - -',
      'b@f.example - failed 5.1.1 - -',
      'c@f.example - failed 5.1.1 - -',
      '/C=DE/O=far/S=di/ - failed 5.1.1 - -',
      '"d e"@f.example - failed 5.1.1 - -',
    ],
  ],
  [
    'diagnostics of other types, empty ones',
    report([
      WORDS,
      STATUS(
        ['X-Unix; exit 67', 'smtp;', 'SMTP;550 x; y', 'no type at all']
          .map(
            (text) =>
              `Final-Recipient: rfc822;a@f.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: ${text}\n`,
          )
          .join('\n'),
      ),
    ]),
    [
      'dsn - - none',
      'a@f.example - failed 5.1.1 - X-Unix;exit 67',
      'a@f.example - failed 5.1.1 - -',
      'a@f.example - failed 5.1.1 - smtp;550 x; y',
      'a@f.example - failed 5.1.1 - smtp;no type at all',
    ],
  ],
  [
    'internationalized: utf-8 addresses in both forms, global parts',
    report([
      WORDS,
      `Content-Type: message/global-delivery-status

Reporting-MTA: dns; mx.far.example

Original-Recipient: utf-8;m\\x{FC}ller@f.example
Final-Recipient: utf-8; müller@fär.example
Action: failed
Status: 5.6.7
`,
      'Content-Type: message/global\n\nFrom: müller@b.example\nX-rid: 7\n\nbody\n',
    ]),
    ['dsn mx.far.example - 2', 'müller@fär.example müller@f.example failed 5.6.7 - -'],
  ],
  [
    'parts in base64 and quoted-printable',
    report([
      WORDS,
      `Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n${Buffer.from(crlf(SHORT)).toString('base64')}\n`,
      `Content-Type: message/rfc822-headers\nContent-Transfer-Encoding: quoted-printable\n\nFrom: a=\n@b.example\nX-rid: =37\n`,
    ]),
    ['dsn mx.far.example - 2', PLAIN_DI],
  ],
  [
    'a delivery-status part inside multipart/mixed, below a report with a footer',
    report(
      [
        'Content-Type: multipart/report; boundary=in\n\n--in\nContent-Type: text/plain\n\nSorry\n--in\n' +
          `${STATUS(SHORT)}\n--in\n${ORIGINAL}\n--in--\n`,
        'Content-Type: text/plain\n\n-- \nScanned by a gateway\n',
      ],
      'multipart/mixed',
    ),
    ['dsn mx.far.example - 4', PLAIN_DI],
  ],
  [
    'a bare delivery-status part as the whole mail',
    Buffer.from(crlf(`From: x@far.example\nContent-Type: message/delivery-status\n\n${SHORT}`)),
    SHORT_OUTLINE,
  ],
  [
    'a second part under the name of plain text',
    report([WORDS, `Content-Type: text/plain; name=status.txt\n\n${SHORT}`]),
    SHORT_OUTLINE,
  ],
  [
    'the fields as a mail of plain text',
    Buffer.from(crlf(`From: x@far.example\nContent-Type: text/plain\n\n${SHORT}`)),
    SHORT_OUTLINE,
  ],
  [
    'cut off in transport, within the returned message',
    report([WORDS, STATUS(SHORT), ORIGINAL]).subarray(0, -30),
    ['dsn mx.far.example - 4', PLAIN_DI],
  ],
  [
    'line feeds alone',
    Buffer.from(
      report([WORDS, STATUS(FAILED), ORIGINAL])
        .toString()
        .replaceAll('\r\n', '\n'),
    ),
    ['dsn mx.far.example E7-1 4', DI],
  ],
  [
    'a message returned with an mbox line and empty lines before its header',
    report([
      WORDS,
      STATUS(SHORT),
      'Content-Type: message/rfc822\n\n\nFrom x@y Mon Apr  7\nFrom: a@b.example\n\nbody\n',
    ]),
    ['dsn mx.far.example - 1', PLAIN_DI],
  ],
  [
    'the returned message is itself a report: only the outer one counts',
    report([
      WORDS,
      STATUS(SHORT),
      `Content-Type: message/rfc822\n\nFrom: a@b.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=in\n\n--in\n${STATUS(FAILED)}\n--in--\n`,
    ]),
    ['dsn mx.far.example - 2', PLAIN_DI],
  ],
  [
    'a report whose status part is missing',
    report([WORDS, ORIGINAL]),
    ['damaged: the report has no delivery-status part'],
  ],
  [
    'a report without any recipient',
    report([WORDS, STATUS('Reporting-MTA: dns; gw\n')]),
    ['damaged: the delivery-status part says nothing about any recipient'],
  ],
  [
    'a report without a boundary',
    Buffer.from('Content-Type: multipart/report; report-type=delivery-status\r\n\r\nx\r\n'),
    ['damaged: no boundary'],
  ],
  [
    'a receipt of a reader (RFC 8098)',
    report(
      [
        WORDS,
        'Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;a@f.example\nDisposition: manual-action/MDN-sent-manually; displayed\n',
      ],
      'multipart/report; report-type=disposition-notification',
    ),
    ['unrecognised'],
  ],
  [
    'a complaint',
    report(
      [WORDS, 'Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n', ORIGINAL],
      'multipart/report; report-type=feedback-report',
    ),
    ['unrecognised'],
  ],
  ['an absence notice', qmail('I am out of the office.\n\n<boss@f.example>: ask him\n'), ['unrecognised']],
  [
    'words for people alone',
    qmail(
      'This is the mail system at host mx.\n\nYour message could not be delivered:\n\n<a@f.example>: user unknown\n',
    ),
    ['unrecognised'],
  ],
  ['an empty mail', Buffer.alloc(0), ['unrecognised']],
  [
    'qmail: remote replies, local words, the copy of the message',
    qmail(`${HI}
<bo@old.example>:
192.0.2.9 does not like recipient.
Remote host said: 550-5.1.1 no such
550 5.1.1 user
Giving up on 192.0.2.9.

<cy@old.example>:
Sorry, no mailbox here by that name. (#5.1.1)

<dy@old.example>:
Connected to 192.0.2.10 but sender was rejected.
Remote host said: 451 4.7.1 later
I'm not going to try again; this message has been in the queue too long.

--- Below this line is a copy of the message.

Return-Path: <news@b.example.com>
Received: (qmail 1 invoked by uid 2); 7 Apr 2031
X-rid: 77

<no@recipient.example>:
--- body
`),
    [
      'qmail mx.far.example - 3',
      'bo@old.example - failed 5.1.1 192.0.2.9 smtp;550-5.1.1 no such 550 5.1.1 user',
      'cy@old.example - failed 5.1.1 - smtp;Sorry, no mailbox here by that name. (#5.1.1)',
      "dy@old.example - failed 4.7.1 192.0.2.10 smtp;451 4.7.1 later I'm not going to try again; this message has been in the queue too long.",
    ],
  ],
  [
    'qmail: nothing returned',
    qmail(`${HI}\n<bo@old.example>:\nThis address no longer accepts mail.\n`),
    [
      'qmail mx.far.example - none',
      'bo@old.example - failed 5.0.0 - smtp;This address no longer accepts mail.',
    ],
  ],
  [
    'qmail: words on the line of the address, header alone, quoted-printable',
    qmail(
      `${HI}\n<bo@old.example>: mailbox full (#5=2E2.2)\n\n--- Enclosed are the original headers of the message.\n\nX-rid:=\n 7\n`.replace(
        '#5=2E2.2',
        '#5=2E2.2',
      ),
      'Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n',
    ),
    ['qmail mx.far.example - 1', 'bo@old.example - failed 5.2.2 - smtp;mailbox full (#5.2.2)'],
  ],
  [
    "a relative of qmail's",
    qmail(`Sorry, we were unable to deliver your message to the following address.

<bo@old.example>:
Remote host said: 554 delivery error: dd This user doesn't have an account [0] - mta1.old.example [BODY]

--- Below this line is a copy of the message.

X-rid: 7

body
`),
    [
      'qmail - - 1',
      "bo@old.example - failed 5.0.0 - smtp;554 delivery error: dd This user doesn't have an account [0] - mta1.old.example [BODY]",
    ],
  ],
  [
    "a relative's opening without the copy of the message",
    qmail('We were unable to deliver your message, dear customer.\n\n<bo@old.example>:\nis gone\n'),
    ['unrecognised'],
  ],
];

for (const [name, raw, expected] of corpus) {
  test(`corpus: ${name}`, () => assert.deepEqual(outline(raw), expected));
}

test('the arrival date is read with a comment behind it, and absent when it is none', () => {
  assert.equal(recognised(report([STATUS(FAILED)])).arrivalDate, Date.parse('2031-04-07T07:12:41Z'));
  const without = recognised(report([STATUS(FAILED.replace(/Arrival-Date: .*/, 'Arrival-Date: soon'))]));
  assert.equal('arrivalDate' in without, false);
});

test('headers of the returned message keep order, names and encoded words, unfolded', () => {
  const { original } = recognised(report([WORDS, STATUS(FAILED), ORIGINAL]));
  assert.deepEqual(original!.headers, ORIGINAL_HEADERS);
});

test('a reply with controls in it is one line', () => {
  const [recipient] = recognised(
    report([STATUS(SHORT.replace('5.1.1 no', '5.1.1 n\u0000\u001b[31mo\rX: y\u0085\u2028z'))]),
  ).recipients;
  assert.equal(recipient!.diagnostic, 'smtp;550 5.1.1 n [31mo X: y z');
});

test('the enhanced code is never taken from an address of a host', () => {
  const [recipient] = recognised(
    report([
      STATUS(
        'Final-Recipient: rfc822;a@f.example\nAction: failed\nDiagnostic-Code: smtp; 550 5.1.1.2 listed\n',
      ),
    ]),
  ).recipients;
  assert.equal(recipient!.status, '5.0.0');
});
