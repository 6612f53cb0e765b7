import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounceClassOf, replyParts } from './bounce-class.ts';
import { bounceRules } from './bounce-class-rules.ts';
import { bounceClasses } from './bounce-classes.ts';

/** Replies in our own words with the tokens that receivers are known for, and the class they must get. */
const table: readonly (readonly [expected: number, reply: string])[] = [
  // Gmail
  [10, '550-5.1.1 We could not find the account you wrote to; no such user here 41be03b00d2f7 - gsmtp'],
  [10, '550-5.2.1 The account you tried to reach is disabled. a1 - gsmtp'],
  [22, '452-4.2.2 The recipient is over quota and cannot take mail now. a1 - gsmtp'],
  [22, '552-5.2.2 The inbox is out of storage space. a1 - gsmtp'],
  [70, '450-4.2.1 This user is receiving mail at a rate that keeps more from coming in. a1 - gsmtp'],
  [70, '421-4.7.0 Something is wrong here, try again later. a1 - gsmtp'],
  [51, '421-4.7.28 Our system has seen an unusual amount of mail from your network. a1 - gsmtp'],
  [50, '421-4.7.26 Your mail is rate limited because it is unauthenticated. a1 - gsmtp'],
  [50, '550-5.7.26 This mail is blocked because the sender is unauthenticated. a1 - gsmtp'],
  [50, '421-4.7.27 SPF did not pass, rate limited. a1 - gsmtp'],
  [50, '550-5.7.27 SPF did not pass. a1 - gsmtp'],
  [50, '421-4.7.30 DKIM did not pass, rate limited. a1 - gsmtp'],
  [50, '550-5.7.30 DKIM did not pass. a1 - gsmtp'],
  [50, '421-4.7.32 The From header is not aligned, rate limited. a1 - gsmtp'],
  [50, '421-4.7.29 No TLS, rate limited. a1 - gsmtp'],
  [50, '550-5.7.29 This mail came without TLS. a1 - gsmtp'],
  [50, '550-5.7.25 The sending address has no PTR record. a1 - gsmtp'],
  [51, '550-5.7.1 This mail is likely unsolicited, so it was stopped to keep it from inboxes. a1 - gsmtp'],
  [53, '552-5.7.0 Stopped because its attachment may be a danger. a1 - gsmtp'],
  [53, '552 5.7.0 This message was blocked because its content presents a potential security issue'],
  // Yahoo, AOL
  [70, '421 4.7.0 [TSS04] Mail from 192.0.2.1 is deferred for volume or complaints'],
  [70, '421 4.7.1 [TS03] All mail from 192.0.2.1 will be permanently deferred'],
  [70, '421 4.7.0 [GL01] Mail from 192.0.2.1 is deferred'],
  [50, '553 5.7.1 [BL21] Connections are not taken: address listed'],
  [51, '553 5.7.2 [TSS09] All mail from 192.0.2.1 is refused'],
  [51, '553 5.7.2 [TSS11] All mail from 192.0.2.1 is refused'],
  [50, '554 5.7.9 Mail not taken for policy reasons'],
  [50, '554 5.7.9 Mail not taken: DMARC of the domain asks for it'],
  [10, '554 delivery error: dd Sorry, there is no such account here'],
  [22, '552 5.2.2 User is over quota'],
  // Microsoft, consumer
  [50, '550 5.7.1 Mail from [192.0.2.1] was not sent: network is on our block list (S3140)'],
  [50, '550 5.7.1 Mail from [192.0.2.1] was not sent (S3150)'],
  [70, '451 4.7.650 The server [192.0.2.1] is temporarily limited due to IP reputation'],
  [70, '451 4.7.651 The server is temporarily limited due to reputation'],
  [70, '451 4.7.652 Too many connections from your server'],
  [70, '421 RP-001 The sending rate is higher than allowed'],
  [50, '550 SC-001 Mail refused for policy'],
  [50, '550 OU-001 Mail refused for policy'],
  [50, '550 DY-001 Mail refused: dynamic address'],
  [10, '550 5.5.0 Requested action not taken: mailbox unavailable'],
  [22, '552 5.2.2 Mailbox full'],
  [50, '550 5.7.515 Access denied, the domain does not meet the required authentication level'],
  // Microsoft 365
  [10, '550 5.1.10 Recipient not found by its SMTP address'],
  [10, '550 5.4.1 Recipient address rejected: Access denied'],
  [70, '451 4.7.500 Server busy. Please try later'],
  [50, '550 5.7.606 Access denied, banned sending IP [192.0.2.1]'],
  [50, '550 5.7.649 Access denied, banned sending IP'],
  [50, '550 5.7.509 Access denied, the domain does not pass DMARC'],
  [70, '432 4.3.2 Concurrent connections limit exceeded'],
  // Apple, Comcast
  [50, '554 5.7.1 [CS01] Refused by local policy'],
  [10, '550 5.1.1 <ana@example.net>: user does not exist'],
  [22, '552 5.2.2 Over quota'],
  [10, '550 5.1.1 Not a customer of ours'],
  [10, '550 5.2.0 This account is closed'],
  [50, '554 192.0.2.1 is on a block list, BL000001'],
  [70, '421 Try later, RL000001'],
  // European providers
  [70, '421 Service refused, too many connections'],
  [70, '421 4.3.2 Too many sessions from your host'],
  [50, '554 Your host has a bad reputation'],
  [10, '550 Requested action not taken: mailbox unavailable'],
  [51, '550 Message looks like spam and was refused'],
  [51, '554 DT:SPM 163 mx1'],
  [22, '552 sorry, the mailbox is over its storage limit'],
  [22, '550 User mailbox exceeds allowed size: ana@example.net'],
  [10, '550 Utilisateur inconnu'],
  [10, '550 Benutzer unbekannt'],
  [10, '550 El usuario no existe'],
  [10, '550 #5.1.0 Address rejected.'],
  [50, '550-Verification failed for <news@brand.example> 550-Unrouteable address 550 Sender verify failed'],
  [50, '550 Could not complete sender verify callout: user unknown'],
  [21, '550 5.1.2 <ana@nowhere.example>: Recipient address rejected: Domain not found'],
  [50, '554 IP address is black listed'],
  [50, '550 Administrative prohibition'],
  [52, '550 Mail content denied'],
  // Filter vendors
  [50, '554 5.7.1 Service refused; client listed using zen.spamhaus.org'],
  [50, '550 Refused, see bl.spamcop.net'],
  [51, '550 5.7.1 Denied AUP#POL'],
  [50, '554 Denied: poor reputation, see https://reputation.example/check?ip=192.0.2.1'],
  [70, '451 4.7.1 Greylisted, come back in 5 minutes'],
  // Without an enhanced code
  [40, '550 Sorry'],
  [40, '554 Transaction failed'],
  [70, '452 Requested action not taken'],
  [70, '421 Closing'],
  // Odd
  [50, '550 4.7.1 Not authorised'],
  [10, '550 5.7.1 User unknown'],
  [10, '550 5.1.1 Üñbekannt: unknown user'],
  [10, `550 5.1.1 unknown user ${'x'.repeat(2000)}`],
  [0, '250 2.0.0 mailbox does not exist, but thank you'],
  [54, '550 5.7.1 Relaying denied'],
  [54, '554 5.7.1 <ana@example.net>: Relay access denied'],
  [23, '552 5.3.4 Message too big'],
  [23, '552 Message size exceeds maximum permitted'],
  [23, '552 5.2.3 Length exceeds what the administrator allows'],
  [52, '550 5.7.1 Message rejected: content scored as spam'],
  [52, '554 5.7.1 Blocked for a link to a phishing site in the body'],
  [53, '550 5.7.0 Virus found'],
  [50, '550 5.7.1 Too many invalid recipients in this session'],
  [50, '550 5.1.8 Sender address rejected: domain of sender does not resolve'],
  [70, '450 4.1.1 <ana@example.net>: user unknown'],
  [21, '550 5.1.2 Host unknown'],
  [60, '550 Out of office until Monday'],
  [100, '550 Challenge-response: please answer the question'],
];

test('known replies of receivers get their class', () => {
  const wrong: string[] = [];
  for (const [expected, reply] of table) {
    for (const diagnostic of [`smtp;${reply}`, reply]) {
      const got = bounceClassOf({ status: '', diagnostic });
      if (got.code !== expected)
        wrong.push(`${reply}\n   expected ${expected}, got ${got.code} (${got.explain})`);
    }
  }
  assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
});

test('failures that this host finds by itself', () => {
  const of = (status: string, statusText: string) =>
    bounceClassOf({ status, statusText, diagnostic: '' }).code;
  assert.equal(of('5.4.7', 'message expired'), 24);
  assert.equal(of('4.4.7', 'delivery time expired'), 24);
  assert.equal(of('5.1.2', 'bad destination system: no such domain'), 21);
  assert.equal(of('5.3.5', 'specified VirtualMTA does not exist'), 25);
  assert.equal(of('5.7.1', 'deleted by administrator'), 25);
  assert.equal(of('4.4.1', 'no answer from host'), 70);
  assert.equal(of('', ''), 1);
  assert.equal(
    bounceClassOf({
      status: '5.7.1',
      diagnostic: 'smtp;550 5.7.1 recipient is in suppression list "a": <b@c.example>',
    }).code,
    25,
  );
});

test('an expired message is classified by the last reply', () => {
  assert.equal(bounceClassOf({ status: '5.4.7', diagnostic: 'smtp;452 4.2.2 mailbox full' }).code, 22);
});

test('no temporary reply is a hard bounce, whatever it says', () => {
  const hard = new Set(bounceClasses.filter((c) => c.category === 'Hard').map((c) => c.code));
  for (const [, reply] of table) {
    const temporary = reply.replace(/^\d\d\d/, '451');
    assert.ok(!hard.has(bounceClassOf({ status: '5.1.1', diagnostic: temporary }).code), temporary);
  }
});

test('explain names the rule and what it saw', () => {
  assert.deepEqual(bounceClassOf({ status: '', diagnostic: 'smtp;550 5.1.1 User unknown' }), {
    code: 10,
    explain: 'no such recipient: "user unknown"',
  });
  assert.equal(bounceClassOf({ status: '5.1.1', diagnostic: 'smtp;550 x' }).explain, 'address status: 5.1.1');
  assert.equal(
    bounceClassOf({ status: '', diagnostic: '550 x' }).explain,
    'final reply without a reason: 5xx',
  );
});

test('rules give only classes that exist, and have names of their own', () => {
  const codes = new Set(bounceClasses.map((c) => c.code));
  for (const rule of bounceRules) assert.ok(codes.has(rule.class), rule.name);
  assert.equal(new Set(bounceRules.map((r) => r.name)).size, bounceRules.length);
});

test('the parts of a reply', () => {
  assert.deepEqual(replyParts('smtp;550-5.1.1 no'), { code: 550, status: '5.1.1', text: 'no' });
  assert.deepEqual(replyParts('x-unix; 550 no'), { code: 550, status: '', text: 'no' });
  assert.deepEqual(replyParts('5.1.1 no'), { code: 0, status: '5.1.1', text: 'no' });
  assert.deepEqual(replyParts('4111 no'), { code: 0, status: '', text: '4111 no' });
  assert.deepEqual(replyParts(''), { code: 0, status: '', text: '' });
});

test('the longest replies are read to their bound and no further', () => {
  const pieces = [
    'a ',
    'mailbox ',
    'user x',
    'exceeds ',
    'message too',
    'content ',
    'auto',
    'sender a',
    '@',
    '- ',
  ];
  for (const piece of pieces) {
    const diagnostic = `smtp;550 ${piece.repeat(100_000)} user unknown`;
    assert.notEqual(bounceClassOf({ status: '', diagnostic }).explain, 'no such recipient: "user unknown"');
  }
});
