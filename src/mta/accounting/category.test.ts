import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Config, loadConfig } from '../../config/index.ts';
import { categories, categorise, categoryOf, matchText } from './category.ts';

/** Rules in force under a configuration with these lines. */
function rules(lines = ''): Config['bounceCategories'] {
  const text = lines === '' ? '' : `<bounce-category-patterns>\n${lines}\n</bounce-category-patterns>\n`;
  const { config } = loadConfig('/etc/pmta/config', {
    readFile: () => text,
    exists: (file) => file === '/etc/pmta/config',
  });
  return config!.bounceCategories;
}

const stock = rules();

/** Status, text of ours, reply → category. */
const table: readonly (readonly [status: string, text: string, reply: string, category: string])[] = [
  ['5.1.1', '', '550 5.1.1 your address is on our blocklist', 'spam-related'],
  ['5.7.1', '', '554 5.7.1 Service unavailable; client blocked using zen.spamhaus.org', 'spam-related'],
  ['5.7.1', '', '550 5.7.1 This looks like spam', 'spam-related'],
  ['5.7.1', '', '554 5.7.1 blacklisted', 'spam-related'],
  ['5.7.1', '', '550 5.7.1 your network is on our block list (S3140)', 'spam-related'],
  ['4.2.1', '', '450 4.2.1 this user gets mail too quickly', 'other'],
  ['5.7.0', '', '554 virus found in message', 'virus-related'],
  ['5.7.0', '', '550 message content not acceptable', 'content-related'],
  ['5.6.0', '', '554 5.6.0 content rejected', 'content-related'],
  ['4.2.2', '', '452 4.2.2 over quota', 'quota-issues'],
  ['5.2.2', '', '552 5.2.2 mailbox is full', 'quota-issues'],
  ['4.2.2', '', '452 try later', 'quota-issues'],
  ['5.2.1', '', '550 5.2.1 account disabled', 'inactive-mailbox'],
  ['5.1.1', '', '550 mailbox <ana@example.net> is inactive', 'inactive-mailbox'],
  ['5.1.1', '', '550 5.1.1 too many invalid recipients', 'other'],
  ['5.1.8', '', '553 5.1.8 domain of sender address does not resolve', 'invalid-sender'],
  ['5.0.0', '', '550 sender verification failed', 'invalid-sender'],
  ['5.0.0', '', '550 no such user here', 'bad-mailbox'],
  ['5.0.0', '', '550 <ana@example.net>: user unknown', 'bad-mailbox'],
  ['5.1.1', '', '550 5.1.1 recipient address rejected: user unknown in table', 'bad-mailbox'],
  ['5.0.0', '', '550 address no longer available', 'bad-mailbox'],
  ['5.1.1', '', '550 sorry', 'bad-mailbox'],
  ['5.7.1', '', '550 5.7.1 unable to relay', 'relaying-issues'],
  ['5.7.1', '', '554 5.7.1 relaying denied', 'relaying-issues'],
  ['5.0.0', '', '550 domain is retired', 'bad-domain'],
  ['5.1.2', 'bad destination system: no such domain', '', 'bad-domain'],
  ['5.1.2', '', '', 'bad-domain'],
  ['5.0.0', '', '550 access denied', 'policy-related'],
  [
    '5.7.1',
    'delivery not authorized',
    '550 5.7.1 recipient is in suppression list "a": <b@c.example>',
    'policy-related',
  ],
  ['5.7.9', '', '554 rejected for policy reasons', 'policy-related'],
  ['5.7.1', '', '550 go away', 'policy-related'],
  ['5.5.1', '', '503 bad sequence of commands', 'protocol-errors'],
  ['5.5.2', '', '501 syntax error in parameters', 'protocol-errors'],
  ['5.4.4', '', '550 cannot route', 'routing-errors'],
  ['5.4.6', '', '554 mail loop', 'routing-errors'],
  ['5.3.5', 'specified VirtualMTA does not exist', '', 'bad-configuration'],
  ['5.0.0', '', '550 <ana@example.net> does not exist', 'bad-mailbox'],
  ['5.3.5', '', '', 'bad-configuration'],
  ['4.4.1', 'no answer from host', '', 'no-answer-from-host'],
  ['4.4.2', '', '', 'bad-connection'],
  ['5.4.7', 'message expired', '452 4.2.2 mailbox full', 'message-expired'],
  ['5.4.1', '', '550 5.4.1 recipient address rejected: access denied', 'bad-mailbox'],
  ['4.2.0', '', '450 recipient address rejected: greylisted', 'policy-related'],
  ['5.1.0', '', '550 #5.1.0 address rejected.', 'bad-mailbox'],
  ['5.1.10', 'recipient address has null MX', '', 'bad-domain'],
  ['5.0.0', '', '550 utilisateur inconnu', 'bad-mailbox'],
  ['5.0.0', '', '550 Empfänger unbekannt', 'bad-mailbox'],
  ['5.0.0', '', '550 El usuario no existe', 'bad-mailbox'],
  ['5.0.0', '', '552 boîte du destinataire pleine', 'quota-issues'],
  ['5.0.0', '', '550 User mailbox exceeds allowed size', 'quota-issues'],
  ['5.0.0', '', '554 DT:SPM 163 mx1', 'spam-related'],
  ['5.0.0', '', '550 administrative prohibition', 'policy-related'],
  ['5.5.1', '', '500 5.5.1 command unrecognized', 'protocol-errors'],
  ['5.4.14', '', '554 5.4.14 hop count exceeded', 'routing-errors'],
  ['5.0.0', '', '550 reverse-path verification failed', 'invalid-sender'],
  ['4.0.0', '', '451 try again', 'other'],
  ['', '', '', 'other'],
  ['2.0.0', '', '250 ok', 'success'],
];

test('the stock list, row by row', () => {
  const wrong: string[] = [];
  for (const [status, text, reply, category] of table) {
    const subject = matchText(status, text, reply === '' ? '' : `smtp;${reply}`);
    const got = categorise(subject, stock);
    if (got.category !== category)
      wrong.push(`${subject}\n   expected ${category}, got ${got.category} (${got.pattern})`);
  }
  assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
});

test('the text begins with the status and has the reply behind it', () => {
  assert.equal(
    matchText('5.1.1', '', 'smtp;550 5.1.1 no such box'),
    '5.1.1 (bad destination mailbox address) smtp;550 5.1.1 no such box',
  );
  assert.equal(matchText('4.4.1', 'no answer from host', ''), '4.4.1 (no answer from host)');
  assert.ok(matchText('5.0.0', '', 'x'.repeat(5000)).length <= 1000);
});

test("the configuration's patterns come first; a catch-all among them ends the list; custom names pass through", () => {
  const own = rules('/^5\\.1\\.1.*no such/ dead-address\n/(?-i)SPAM/ shouted');
  assert.equal(categoryOf('5.1.1 (x) smtp;550 no such user', own), 'dead-address');
  assert.equal(categoryOf('5.7.1 (x) smtp;550 spam', own), 'spam-related');
  assert.equal(categoryOf('5.7.1 (x) smtp;550 SPAM', own), 'shouted');
  const all = rules('/(?-i)SPAM/ shouted\n// rest');
  assert.equal(categoryOf('5.7.1 (x) smtp;550 spam', all), 'rest');
  assert.equal(categoryOf('x', []), 'other');
});

test('the stock list gives documented categories, each of them, and success', () => {
  const given = new Set(stock.map((rule) => rule.category));
  assert.deepEqual(
    [...given].filter((c) => !categories.has(c)),
    ['success'],
  );
  assert.deepEqual(
    [...categories.keys()].filter((c) => !given.has(c)),
    [],
  );
});
