import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readComplaint } from './complaint-report.ts';
import { readDeliveryReport } from './delivery-report.ts';

const MEGABYTE = 1024 * 1024;
const DSN = 'Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n';
const ARF = 'Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n';
const STATUS = '--b\r\nContent-Type: message/delivery-status\r\n\r\n';
const FEEDBACK = '--b\r\nContent-Type: message/feedback-report\r\n\r\n';
const BLOCK = 'Final-Recipient: rfc822; a@f.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n';
const END = '\r\n--b--\r\n';
const QMAIL = 'From: x@f.example\r\n\r\nHi. This is the qmail-send program at f.example.\r\n\r\n';

/** What became of a mail, and how many recipients it names: small whatever went in. */
function both(text: string | Buffer): string {
  const raw = Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1');
  const delivery = readDeliveryReport(raw);
  const complaint = readComplaint(raw);
  const first = delivery.kind === 'report' ? `${delivery.recipients.length}` : delivery.kind;
  const second = complaint.kind === 'report' ? `${complaint.fields.length}` : complaint.kind;
  return `${first} ${second}`;
}

/** Octets that look random and are the same on each run. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

function nested(depth: number): string {
  let text = `Content-Type: message/delivery-status\r\n\r\n${BLOCK}`;
  for (let i = 0; i < depth; i++) {
    text = `Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n--b${i}\r\n${text}\r\n--b${i}--\r\n`;
  }
  return text;
}

// Each of these would take minutes, or all memory, if the work grew faster than the mail.
const hostile: [name: string, raw: () => string | Buffer, expected: string][] = [
  ['8 levels of parts', () => nested(8), '1 unrecognised'],
  ['9 levels of parts', () => nested(9), 'unrecognised unrecognised'],
  ['2,000 levels of parts', () => nested(2000), 'unrecognised unrecognised'],
  [
    '5,000 parts',
    () => `${DSN}${'--b\r\n\r\nx\r\n'.repeat(5000)}${STATUS}${BLOCK}${END}`,
    'damaged unrecognised',
  ],
  [
    '99 parts that announce parts and have none',
    () =>
      `${DSN}${'--b\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\nx\r\n'.repeat(90)}${STATUS}${BLOCK}\r\n--b\r\n\r\n${'y\r\n'.repeat(MEGABYTE)}${END}`,
    '1 unrecognised',
  ],
  [
    'a field of 8 MiB',
    () =>
      `${DSN}${STATUS}Final-Recipient: rfc822; a@f.example\r\nAction: failed\r\nDiagnostic-Code: smtp; 550 ${'x'.repeat(8 * MEGABYTE)}${END}`,
    '1 unrecognised',
  ],
  [
    'a field of a million folds',
    () => `${DSN}${STATUS}${BLOCK.trimEnd()}\r\nDiagnostic-Code: smtp;${'\r\n '.repeat(MEGABYTE)}x${END}`,
    '1 unrecognised',
  ],
  [
    'a status part beyond 16 MiB',
    () => `${DSN}${STATUS}${BLOCK}${'x\r\n'.repeat(6 * MEGABYTE)}${END}`,
    'damaged unrecognised',
  ],
  ['10,000 recipients', () => `${DSN}${STATUS}${BLOCK.repeat(10_000)}${END}`, '10000 unrecognised'],
  ['10,001 recipients', () => `${DSN}${STATUS}${BLOCK.repeat(10_001)}${END}`, 'damaged unrecognised'],
  ['100,000 recipients', () => `${DSN}${STATUS}${BLOCK.repeat(100_000)}${END}`, 'damaged unrecognised'],
  [
    'no empty line in 3 MiB of fields',
    () => `${DSN}${STATUS}${BLOCK.slice(0, -2).repeat(40_000)}${END}`,
    'damaged unrecognised',
  ],
  [
    'a million empty lines',
    () => `${DSN}${STATUS}${'\r\n'.repeat(MEGABYTE)}${BLOCK}${END}`,
    '1 unrecognised',
  ],
  [
    'a million blocks of one field each',
    () => `${DSN}${STATUS}${'A: b\n\n'.repeat(MEGABYTE)}${BLOCK}${END}`,
    'damaged unrecognised',
  ],
  [
    'a megabyte of colons',
    () => `${DSN}${STATUS}${':'.repeat(MEGABYTE)}\r\n${BLOCK}${END}`,
    '1 unrecognised',
  ],
  [
    'binary for fields',
    () => Buffer.concat([Buffer.from(DSN + STATUS), noise(MEGABYTE), Buffer.from(END)]),
    'damaged unrecognised',
  ],
  ['binary for a mail', () => noise(4 * MEGABYTE), 'unrecognised unrecognised'],
  ['zeros', () => Buffer.alloc(4 * MEGABYTE), 'unrecognised unrecognised'],
  [
    'base64 that is none',
    () =>
      `${DSN}${STATUS.replace('\r\n\r\n', '\r\nContent-Transfer-Encoding: base64\r\n\r\n')}${'-'.repeat(MEGABYTE)}${END}`,
    'damaged unrecognised',
  ],
  [
    '10,000 fields of a complaint',
    () => `${ARF}${FEEDBACK}${'Original-Rcpt-To: <a@f.example>\r\n'.repeat(10_000)}${END}`,
    'unrecognised 10000',
  ],
  [
    '10,001 fields of a complaint',
    () => `${ARF}${FEEDBACK}${'Original-Rcpt-To: <a@f.example>\r\n'.repeat(10_001)}${END}`,
    'unrecognised damaged',
  ],
  [
    'brackets, quotes and comments for an address',
    () =>
      `${ARF}${FEEDBACK}${['<', '"', '(', '@,', '<>', '(\\', '"\\'].map((s) => `Original-Rcpt-To: ${s.repeat(60_000)}\r\n`).join('')}Feedback-Type: abuse${END}`,
    'unrecognised 8',
  ],
  [
    'an open comment of 64 KiB for an encoding, in 90 parts',
    () =>
      `${DSN}${`--b\r\nContent-Transfer-Encoding: ${'('.repeat(65_000)}\r\n\r\n`.repeat(90)}${STATUS}${BLOCK}${END}`,
    '1 unrecognised',
  ],
  [
    'the same, folded',
    () =>
      `${DSN}--b\r\nContent-Transfer-Encoding:${`\r\n ${'('.repeat(60)}`.repeat(1000)}\r\n\r\n${STATUS}${BLOCK}${END}`,
    '1 unrecognised',
  ],
  [
    'qmail: 10,000 recipients',
    () => `${QMAIL}${'<a@f.example>:\r\nno\r\n\r\n'.repeat(10_000)}`,
    '10000 unrecognised',
  ],
  [
    'qmail: 10,001 recipients',
    () => `${QMAIL}${'<a@f.example>:\r\nno\r\n\r\n'.repeat(10_001)}`,
    'unrecognised unrecognised',
  ],
  [
    'qmail: one paragraph of 4 MiB',
    () => `${QMAIL}<a@f.example>:\r\n${'x\r\n'.repeat((4 * MEGABYTE) / 3)}`,
    'unrecognised unrecognised',
  ],
  [
    'qmail: an address of 4 MiB',
    () => `${QMAIL}<${'a'.repeat(4 * MEGABYTE)}@f.example>:\r\nno\r\n`,
    'unrecognised unrecognised',
  ],
  [
    'qmail: a million brackets',
    () => `${QMAIL}${'<'.repeat(5000)}>:\r\n\r\n${'<\r\n\r\n'.repeat(MEGABYTE)}`,
    'unrecognised unrecognised',
  ],
];

for (const [name, raw, expected] of hostile) {
  test(`hostile: ${name}`, () => assert.equal(both(raw()), expected));
}

test('a field gives at most 64 KiB, a returned header at most 1,000 fields', () => {
  const got = readDeliveryReport(
    Buffer.from(
      `${DSN}${STATUS}${BLOCK.trimEnd()}\r\nDiagnostic-Code: smtp; ${'x'.repeat(200_000)}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${'A: b\r\n'.repeat(5000)}${END}`,
    ),
  );
  assert.ok(got.kind === 'report');
  assert.ok(got.recipients[0]!.diagnostic.length <= 64 * 1024);
  assert.equal(got.original!.headers.length, 1000);
});

test('a report cut anywhere never throws and never names another recipient', () => {
  const whole = Buffer.from(
    `${DSN}--b\r\nContent-Type: text/plain\r\n\r\nx\r\n${STATUS}Reporting-MTA: dns; gw\r\n\r\n${BLOCK}--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\n\r\nx${END}`,
  );
  const seen = new Set<string>();
  for (let length = 0; length <= whole.length; length++) {
    const got = readDeliveryReport(whole.subarray(0, length));
    seen.add(got.kind);
    if (got.kind !== 'report') continue;
    assert.equal(got.recipients.length, 1);
    assert.ok('a@f.example'.startsWith(got.recipients[0]!.recipient));
  }
  assert.deepEqual([...seen].sort(), ['damaged', 'report', 'unrecognised']);
});

test('a report with any one octet replaced never throws', () => {
  const whole = Buffer.from(`${ARF}${FEEDBACK}Feedback-Type: abuse\r\n${END}${DSN}${STATUS}${BLOCK}${END}`);
  const kinds = new Set<string>();
  for (let i = 0; i < whole.length; i++) {
    for (const octet of [0, 0x0a, 0x0d, 0x20, 0x22, 0x3c, 0xff]) {
      const damaged = Buffer.from(whole);
      damaged[i] = octet;
      kinds.add(readDeliveryReport(damaged).kind);
      kinds.add(readComplaint(damaged).kind);
    }
  }
  assert.ok(kinds.has('report') && kinds.has('unrecognised'));
});
