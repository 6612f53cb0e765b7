// The two forms of pickup files, as text in and a submission out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePickupFile } from './parse-file.ts';
import type { FileRules, PickupContent } from './pickup-content.ts';

const RULES: FileRules = {
  mostBytes: 1_000_000,
  mostRecipients: 50_000,
  unqualified: false,
  removeDot: false,
  refusal: ({ code, enhanced, text }) => ({
    ...{ status: enhanced, statusText: text, diagnostic: `smtp;${code} ${text}` },
    ...{ category: 'bad-mailbox', bounceClass: 10 },
  }),
};

const parse = (text: string | Buffer, rules: Partial<FileRules> = {}): PickupContent =>
  parsePickupFile(Buffer.from(text as string), { ...RULES, ...rules });

function good(text: string | Buffer, rules: Partial<FileRules> = {}) {
  const content = parse(text, rules);
  if (content.kind === 'bad') assert.fail(content.reason);
  return content;
}

function whyBad(text: string | Buffer, rules: Partial<FileRules> = {}): string {
  const content = parse(text, rules);
  if (content.kind === 'message') assert.fail(`taken, but must not be: ${String(text).slice(0, 200)}`);
  return content.reason;
}

const addresses = (content: { recipients: readonly { address: string }[] }) =>
  content.recipients.map(({ address }) => address);

test('D18.2 plain form: x-sender, x-receiver, x-envid, x-job, then the message, of which nothing else changes', () => {
  const file = good(
    'x-sender: news@brand.test\nX-Receiver:kim@a.test\r\nx-receiver: lou@b.test\nx-envid: E1\nx-job: j1\n' +
      'Subject: Hi\nx-receiver: inside@b.test\n\n..dots stay\nend',
  );
  assert.deepEqual(file.sender, {
    ...{ address: 'news@brand.test', envId: 'E1', returnContent: '', eightBit: false },
    ...{ smtpUtf8: false, verp: false },
  });
  assert.deepEqual(addresses(file), ['kim@a.test', 'lou@b.test']);
  assert.equal(file.jobId, 'j1');
  assert.equal(file.merge, false);
  assert.equal(
    file.parts[0]!.content.toString(),
    'Subject: Hi\r\nx-receiver: inside@b.test\r\n\r\n..dots stay\r\nend',
  );
});

test('D18.2 x-sender-override wins over x-sender; the null sender is an empty one', () => {
  const file = good(
    'x-sender: a@b.test\nx-sender-override: bounce@b.test\nx-receiver: kim@a.test\nSubject: x\n\n',
  );
  assert.equal(file.sender.address, 'bounce@b.test');
  assert.equal(good('x-sender:\nx-receiver: kim@a.test\nSubject: x\n\n').sender.address, '');
});

test('D18.2 addresses are bare: no names, no brackets; every line is checked', () => {
  const wrong = [
    'x-sender: <a@b.test>\nx-receiver: kim@a.test\nS: x\n\n',
    'x-sender: A Person <a@b.test>\nx-receiver: kim@a.test\nS: x\n\n',
    'x-sender: a@b.test\nx-receiver: <kim@a.test>\nS: x\n\n',
    'x-sender: a@b.test\nx-receiver: kim@a.test, lou@a.test\nS: x\n\n',
    'x-sender: a@b.test\nx-receiver:\nS: x\n\n',
    'x-sender: a@b.test\nx-sender: a@b.test\nx-receiver: kim@a.test\nS: x\n\n',
    'x-sender: a@b.test\nSubject: x\nx-receiver: kim@a.test\n\n',
    'x-sender-override: a@b.test\nx-receiver: kim@a.test\nS: x\n\n',
    `x-sender: a@b.test\nx-receiver: kim@a.test\nx-envid: ${'e'.repeat(101)}\nS: x\n\n`,
    'x-sender: a@b.test\nx-receiver: kim@a.test\n',
    'x-sender: a@b.test\nx-receiver: kim\nS: x\n\n',
    'x-receiver: kim@a.test\nx-sender: a@b.test\nS: x\n\n',
    'Subject: x\n\n',
    '',
    'x-sender: a@b.test\nx-receiver: kim@a.test\nS: x\rX: y\n\n',
  ];
  for (const text of wrong) assert.ok(whyBad(text), text);
  assert.deepEqual(
    addresses(good('x-sender: a\nx-receiver: kim\nS: x\n\n', { unqualified: true })),
    ['kim'],
    'auto-qualify-domain',
  );
});

test('a plain file with one malformed x-receiver is bad as a whole', () => {
  assert.match(
    whyBad('x-sender: a@b.test\nx-receiver: kim@a.test\nx-receiver: kim@@a\nS: x\n\n'),
    /^line 3: x-receiver: /,
  );
});

test('D18.6 pickup-remove-dot takes one of two leading dots, in plain files only', () => {
  const plain = 'x-sender: a@b.test\nx-receiver: kim@a.test\n..first: x\n\n..two\n.one\n...three\na..b\n..';
  assert.equal(
    good(plain, { removeDot: true }).parts[0]!.content.toString(),
    '.first: x\r\n\r\n.two\r\n.one\r\n..three\r\na..b\r\n.',
  );
  assert.match(good(plain).parts[0]!.content.toString(), /^\.\.first/);
  const batch = 'MAIL FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nDATA\nS: x\n\n...two\n.\n';
  assert.equal(good(batch, { removeDot: true }).parts[0]!.content.toString(), 'S: x\r\n\r\n..two\r\n');
});

test('D18.7 more than 5000 recipients are taken; what no process could hold is refused', () => {
  const many = Array.from({ length: 6_000 }, (_, i) => `x-receiver: u${i}@a.test\n`).join('');
  assert.equal(good(`x-sender: a@b.test\n${many}S: x\n\n`).recipients.length, 6_000);
  const million = Buffer.concat([
    Buffer.from('x-sender: a@b.test\n'),
    Buffer.from('x-receiver: kim@a.test\n'.repeat(1_000_000)),
    Buffer.from('S: x\n\n'),
  ]);
  assert.match(whyBad(million), /more than 50000 recipients/);
  assert.match(whyBad(`MAIL FROM:<a@b.test>\n${'RCPT TO:<k@a.test>\n'.repeat(60_000)}DATA\nx\n.\n`), /50000/);
});

test('D18.4 BSMTP is recognised by its first command: HELO, EHLO, MAIL, XACK or XMRG', () => {
  const rest = 'RCPT TO:<kim@a.test>\nDATA\nSubject: x\n\nHi\n.\n';
  for (const first of ['HELO h', 'EHLO h', 'XACK ON', 'helo h']) {
    assert.deepEqual(addresses(good(`${first}\nMAIL FROM:<a@b.test>\n${rest}`)), ['kim@a.test'], first);
  }
  assert.equal(good(`EHLO feed.test\nMAIL FROM:<>\n${rest}`).heloName, 'feed.test');
  assert.equal(good(`MAIL FROM:<>\n${rest}`).sender.address, '');
  assert.equal(good('XMRG FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nXPRT 1 LAST\nx\n.\n').merge, true);
  for (const first of ['MAILER', 'NOOP', 'RSET', 'RCPT TO:<a@b>', 'DATA', 'XDFN a=b', ' MAIL']) {
    assert.match(whyBad(`${first}\n${rest}`), /begins neither/, first);
  }
});

test('D18.4 BSMTP carries the parameters of MAIL and RCPT; dot-stuffing applies; CRLF and LF are line ends', () => {
  const file = good(
    'EHLO h\r\nMAIL FROM:<a@b.test> RET=HDRS ENVID=E+31 BODY=8BITMIME SIZE=10 VERP\r\n' +
      'RCPT TO:<kim@a.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;k@a.test\r\nDATA\r\nSubject: x\r\n\r\n..a\r\nb\r\n.\r\nQUIT\r\n\r\n',
  );
  assert.deepEqual(file.sender, {
    ...{ address: 'a@b.test', envId: 'E1', returnContent: 'headers', eightBit: true },
    ...{ smtpUtf8: false, verp: true },
  });
  assert.deepEqual(file.recipients[0]!.notify, ['success', 'failure']);
  assert.equal(file.recipients[0]!.originalRecipient, 'k@a.test');
  assert.equal(file.parts[0]!.content.toString(), 'Subject: x\r\n\r\n.a\r\nb\r\n');
  assert.equal(good('MAIL FROM:<a@b.test>\nRCPT TO:<k@a.test>\nDATA\n.\n').parts[0]!.content.length, 0);
  assert.equal(
    good('MAIL FROM:<a@b.test>\nRCPT TO:<k@a.test>\nDATA\nx\n.').parts[0]!.content.toString(),
    'x\r\n',
  );
});

test('D18.4 BSMTP mail merge: XMRG, XDFN for the next RCPT, XPRT parts', () => {
  const file = good(
    'XACK ON\nXMRG FROM:<a@b.test>\nXDFN fname="Kim L" *jobid=j1\nXDFN *parts=2,1\nRCPT TO:<kim@a.test>\n' +
      'XDFN fname=Lou\nRCPT TO:<lou@a.test>\nXPRT 2\n\nHi [fname]\n.\nXPRT 1 LAST\nSubject: x\n.\n',
  );
  assert.deepEqual(
    file.recipients.map(({ variables }) => Object.fromEntries(variables)),
    [{ fname: 'Kim L', '*jobid': 'j1', '*parts': '2,1' }, { fname: 'Lou' }],
  );
  assert.deepEqual(
    file.parts.map(({ number, content }) => [number, content.toString()]),
    [
      [1, 'Subject: x\r\n'],
      [2, '\r\nHi [fname]\r\n'],
    ],
  );
});

test('D18.5 any failing command rejects the whole file', () => {
  const begin = 'MAIL FROM:<a@b.test>\nRCPT TO:<kim@a.test>\n';
  const wrong = [
    'MAIL FROM:<a@@b>\nRCPT TO:<kim@a.test>\nDATA\nx\n.\n',
    'MAIL FROM:<a@b.test> NOSUCH=1\nRCPT TO:<kim@a.test>\nDATA\nx\n.\n',
    `${begin}NOOP\nDATA\nx\n.\n`,
    `${begin}MAIL FROM:<c@d.test>\nDATA\nx\n.\n`,
    `${begin}HELO h\nDATA\nx\n.\n`,
    `${begin}DATA now\nx\n.\n`,
    `${begin}XDFN a=b\nDATA\nx\n.\n`,
    `${begin}XPRT 1 LAST\nx\n.\n`,
    `${begin}DATA\nno end`,
    `${begin}`,
    'HELO\nMAIL FROM:<a@b.test>\n',
    'MAIL FROM:<a@b.test>\nDATA\nx\n.\n',
    'XACK MAYBE\n',
    'XMRG FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nDATA\nx\n.\n',
    'XMRG FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nXPRT 1\nx\n.\nXPRT 1 LAST\ny\n.\n',
    'XMRG FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nXPRT 1\nx\n.\n',
    'XMRG FROM:<a@b.test>\nRCPT TO:<kim@a.test>\nXPRT 1\nx\n.\nRCPT TO:<l@a.test>\nXPRT 2 LAST\ny\n.\n',
    'XMRG FROM:<a@b.test>\nXDFN *to=x\nRCPT TO:<kim@a.test>\nXPRT 1 LAST\nx\n.\n',
  ];
  for (const text of wrong) assert.ok(whyBad(text), text);
  assert.match(whyBad(`${begin}DATA\nx\n.\nMAIL FROM:<c@d.test>\n`), /something follows the submission/);
});

test('BSMTP, XACK ON, one malformed RCPT ⇒ the file is bad', () => {
  const text = 'XACK ON\nMAIL FROM:<a@b.test>\nRCPT TO:<kim@@a>\nRCPT TO:<lou@a.test>\nDATA\nx\n.\n';
  assert.match(whyBad(text), /^line 3: 553 /);
});

test('BSMTP, XACK OFF, a RCPT without its bracket ⇒ the others are queued, that one is to be bounced (D18.5)', () => {
  const file = good(
    'XACK OFF\nXMRG FROM:<a@b.test>\nXDFN fname=Kim\nRCPT TO:<kim@a.test\nRCPT TO:<lou@a.test>\nXPRT 1 LAST\nx\n.\n',
  );
  assert.deepEqual(
    file.recipients.map(({ address, refusal, variables }) => [address, refusal?.status, variables.size]),
    [
      ['kim@a.test', '5.1.3', 1],
      ['lou@a.test', undefined, 0],
    ],
  );
});

test('BSMTP, XACK OFF, one malformed RCPT ⇒ the others are queued, that one is to be bounced (D18.5)', () => {
  const file = good('XACK OFF\nMAIL FROM:<a@b.test>\nRCPT TO:<kim@@a>\nRCPT TO:<lou@a.test>\nDATA\nx\n.\n');
  assert.deepEqual(
    file.recipients.map(({ address, refusal }) => [address, refusal?.status ?? '']),
    [
      ['kim@@a', '5.1.2'],
      ['lou@a.test', ''],
    ],
  );
  // Errors that are not about an address still cost the file.
  for (const wrong of ['RCPT kim@a.test', 'RCPT TO:<kim@a.test> NOSUCH=1', 'XDFN a=b']) {
    assert.ok(whyBad(`XACK OFF\nMAIL FROM:<a@b.test>\n${wrong}\nRCPT TO:<lou@a.test>\nDATA\nx\n.\n`), wrong);
  }
});

test('D18 hostile: lines without end, control characters, wrong bytes', () => {
  const long = 'x'.repeat(10_000_000);
  assert.match(whyBad(`x-sender: ${long}\nx-receiver: kim@a.test\nS: x\n\n`), /longer than 2000/);
  assert.match(whyBad(`x-sender: a@b.test\nx-receiver: ${long}`), /longer than 2000/);
  assert.match(whyBad(`MAIL FROM:<${long}>\n`), /more than 65536 bytes/);
  assert.match(
    whyBad(`x-sender: a@b.test\nx-receiver: kim@a.test\nSubject: ${long}\n\n`),
    /more than 1000000 bytes/,
  );
  assert.match(whyBad('MAIL FROM:<a@b.test>\nRCPT TO:<k\0@a.test>\n'), /control character/);
  assert.ok(whyBad(Buffer.from('782d73656e6465723a20ff40622e746573740a', 'hex')));
  assert.match(
    whyBad(`MAIL FROM:<a@b.test>\nRCPT TO:<k@a.test>\nDATA\n${'x'.repeat(1_000_001)}\n.\n`),
    /more than 1000000 bytes/,
  );
});

test('addresses beyond ASCII make the message one for SMTPUTF8', () => {
  assert.equal(good('x-sender: a@b.test\nx-receiver: kïm@a.test\nS: x\n\n').sender.smtpUtf8, true);
  assert.equal(good('x-sender: a@b.test\nx-receiver: kim@a.test\nS: ï\n\n').sender.eightBit, true);
  assert.ok(whyBad('MAIL FROM:<a@b.test>\nRCPT TO:<kïm@a.test>\nDATA\nx\n.\n'));
  assert.ok(good('MAIL FROM:<a@b.test> SMTPUTF8\nRCPT TO:<kïm@a.test>\nDATA\nx\n.\n'));
});

const SUPPRESSED: Partial<FileRules> = {
  suppressed: (address) =>
    address === 'gone@a.test'
      ? { code: 550, enhanced: '5.7.1', text: `recipient is in suppression list "gone": <${address}>` }
      : null,
};
const BSMTP = (ack: string) =>
  `${ack}MAIL FROM:<a@b.test>\nRCPT TO:<gone@a.test>\nRCPT TO:<kim@a.test>\nDATA\nSubject: x\n\n.\n`;

test('section 19, suppression: BSMTP, XACK ON: refused while reading', () => {
  for (const ack of ['', 'XACK ON\n'])
    assert.match(whyBad(BSMTP(ack), SUPPRESSED), /suppression list "gone"/);
});

test('section 19, suppression: BSMTP, XACK OFF: bounced, the others go', () => {
  const { recipients } = good(BSMTP('XACK OFF\n'), SUPPRESSED);
  assert.equal(
    recipients[0]!.refusal?.diagnostic,
    'smtp;550 recipient is in suppression list "gone": <gone@a.test>',
  );
  assert.equal(recipients[1]!.refusal, null);
});

test('section 19, suppression: plain pickup: refused while reading', () => {
  const file = 'x-sender: a@b.test\nx-receiver: kim@a.test\nx-receiver: gone@a.test\nSubject: x\n\nx\n';
  assert.match(whyBad(file, SUPPRESSED), /suppression list "gone"/);
});
