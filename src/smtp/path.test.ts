import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeXtext,
  encodeOrcpt,
  encodeXtext,
  isFault,
  type ParamRules,
  parseMail,
  parseRcpt,
} from './path.ts';

const RULES: ParamRules = {
  size: true,
  eightBitMime: true,
  smtputf8: true,
  dsn: true,
  auth: true,
  binaryMime: false,
  extraMail: new Set(['XVRP']),
  extraRcpt: new Set(),
  unqualified: false,
};
const NONE: ParamRules = {
  ...RULES,
  size: false,
  eightBitMime: false,
  smtputf8: false,
  dsn: false,
  auth: false,
};

const ADDRESSES: [given: string, address: string, localPart: string, domain: string][] = [
  ['<a@b.example>', 'a@b.example', 'a', 'b.example'],
  ['<>', '', '', ''],
  [' <a@b>', 'a@b', 'a', 'b'],
  ['<A.b+c-d@Sub.Example>', 'A.b+c-d@Sub.Example', 'A.b+c-d', 'Sub.Example'],
  ['<"a b"@b.example>', '"a b"@b.example', '"a b"', 'b.example'],
  ['<"a>b"@b.example>', '"a>b"@b.example', '"a>b"', 'b.example'],
  ['<"a\\"@x"@b.example>', '"a\\"@x"@b.example', '"a\\"@x"', 'b.example'],
  ['<a@[192.0.2.1]>', 'a@[192.0.2.1]', 'a', '[192.0.2.1]'],
  ['<a@[IPv6:2001:db8::1]>', 'a@[IPv6:2001:db8::1]', 'a', '[IPv6:2001:db8::1]'],
  ['<@hop.example,@two.example:a@b.example>', 'a@b.example', 'a', 'b.example'],
  ['<news-kim=b.example@a.example>', 'news-kim=b.example@a.example', 'news-kim=b.example', 'a.example'],
  ['<a..b.@b.example>', 'a..b.@b.example', 'a..b.', 'b.example'],
  ['<postmaster>', 'postmaster', 'postmaster', ''],
  [`<${'l'.repeat(256)}@b.example>`, `${'l'.repeat(256)}@b.example`, 'l'.repeat(256), 'b.example'],
];

for (const [given, address, localPart, domain] of ADDRESSES) {
  test(`MAIL FROM:${given.slice(0, 60)} is read`, () => {
    assert.deepEqual(parseMail(`FROM:${given}`, RULES), {
      address,
      localPart,
      domain,
      internationalized: false,
      params: {},
    });
  });
}

const REFUSED: [command: string, code: number, enhanced: string][] = [
  ['', 501, '5.5.4'],
  ['a@b.example', 501, '5.5.4'],
  ['FROM:a@b.example', 501, '5.5.4'],
  ['FROM:<a@b.example', 501, '5.5.4'],
  ['FROM:<a@b.example>SIZE=1', 501, '5.5.4'],
  ['FROM:<a@b.example> =1', 501, '5.5.4'],
  ['FROM:<a@b.example> SIZE=1 SIZE=1', 501, '5.5.4'],
  ['FROM:<a@b.example> SIZE=-1', 501, '5.5.4'],
  ['FROM:<a@b.example> SIZE', 501, '5.5.4'],
  ['FROM:<a@b.example> BODY=9BIT', 501, '5.5.4'],
  ['FROM:<a@b.example> BODY=BINARYMIME', 501, '5.5.4'],
  ['FROM:<a@b.example> RET=NONE', 501, '5.5.4'],
  ['FROM:<a@b.example> ENVID=a+zz', 501, '5.5.4'],
  ['FROM:<a@b.example> SMTPUTF8=1', 501, '5.5.4'],
  ['FROM:<a@b.example> NOTIFY=NEVER', 555, '5.5.4'],
  ['FROM:<a@b.example> __PROTO__=1', 501, '5.5.4'],
  ['FROM:<a@b.example> CONSTRUCTOR=1', 555, '5.5.4'],
  [`FROM:<a@b.example>${' A=1'.repeat(21)}`, 501, '5.5.4'],
  ['FROM:<a>', 553, '5.1.7'],
  ['FROM:<@b.example>', 553, '5.1.7'],
  ['FROM:<a@>', 553, '5.1.7'],
  ['FROM:<a b@c.example>', 553, '5.1.7'],
  ['FROM:<a@b@c.example>', 553, '5.1.7'],
  ['FROM:<a@-b.example>', 553, '5.1.7'],
  ['FROM:<a@b..example>', 553, '5.1.7'],
  ['FROM:<a@[300.0.0.1]>', 553, '5.1.7'],
  ['FROM:<"a@b.example>', 501, '5.5.4'],
  ['FROM:<"@b.example>', 501, '5.5.4'],
  [`FROM:<${'l'.repeat(257)}@b.example>`, 553, '5.1.7'],
  [`FROM:<a@${'d'.repeat(64)}.example>`, 553, '5.1.7'],
  [`FROM:<a@${'d.'.repeat(130)}example>`, 553, '5.1.7'],
  ['FROM:<jörg@b.example>', 553, '5.6.7'],
];

for (const [command, code, enhanced] of REFUSED) {
  test(`MAIL ${command.slice(0, 60)} is refused with ${code} ${enhanced}`, () => {
    const fault = parseMail(command, RULES);
    assert.ok(isFault(fault), JSON.stringify(fault));
    assert.deepEqual([fault.code, fault.enhanced], [code, enhanced]);
  });
}

test('parameters of MAIL and RCPT are read and decoded', () => {
  const mail = parseMail(
    'FROM:<jörg@bücher.example> size=12 Body=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<> XVRP',
    RULES,
  );
  assert.ok(!isFault(mail));
  assert.deepEqual(mail.params, {
    size: 12,
    body: '8BITMIME',
    smtputf8: true,
    ret: 'HDRS',
    envid: 'a+b',
    auth: '',
    extra: new Map([['XVRP', '']]),
  });
  assert.equal(mail.internationalized, true);
  const rcpt = parseRcpt('TO:<a@b.example> NOTIFY=success,delay ORCPT=rfc822;x+2By@z.example', RULES, false);
  assert.ok(!isFault(rcpt));
  assert.deepEqual(rcpt.params, {
    notify: ['SUCCESS', 'DELAY'],
    orcpt: { type: 'rfc822', address: 'x+y@z.example' },
  });
});

test('RCPT refuses the null recipient, bad DSN parameters and addresses beyond ASCII without SMTPUTF8', () => {
  const refusal = (text: string, rules = RULES, smtputf8 = false) => {
    const fault = parseRcpt(text, rules, smtputf8);
    return isFault(fault) ? `${fault.code} ${fault.enhanced}` : 'taken';
  };
  assert.equal(refusal('TO:<>'), '553 5.1.3');
  for (const brackets of [
    'a@b.example',
    '<a@b.example',
    '<"a@b.example>',
    '<a@b.example>>',
    '<a@b.example>x',
  ]) {
    assert.equal(refusal(`TO:${brackets}`), '501 5.1.3', brackets);
  }
  assert.equal(refusal('a@b.example'), '501 5.5.4');
  assert.equal(refusal('FROM:<a@b.example>'), '501 5.5.4');
  assert.equal(refusal('TO:<a@b_.example> NOTIFY=NEVER,DELAY'), '501 5.5.4');
  assert.equal(refusal('TO:<a@b.example> NOTIFY=SUCCESS,SUCCESS'), '501 5.5.4');
  assert.equal(refusal('TO:<a@b.example> ORCPT=x@y'), '501 5.5.4');
  assert.equal(refusal('TO:<a@b.example> ORCPT=rfc822;a+0D+0Ab'), '501 5.5.4');
  assert.equal(refusal('TO:<a@b.example> SIZE=1'), '555 5.5.4');
  assert.equal(refusal('TO:<a@b.example> NOTIFY=NEVER', NONE), '555 5.5.4');
  assert.equal(refusal('TO:<a@bücher.example>'), '553 5.6.7');
  assert.equal(refusal('TO:<a@bücher.example>', RULES, true), 'taken');
  assert.equal(refusal('TO:<a>', { ...RULES, unqualified: true }), 'taken');
  assert.equal(refusal('TO:<Postmaster>'), 'taken');
});

test('a parameter that was not offered is not known', () => {
  for (const param of ['SIZE=1', 'BODY=7BIT', 'SMTPUTF8', 'RET=FULL', 'AUTH=<>']) {
    const fault = parseMail(`FROM:<a@b.example> ${param}`, NONE);
    assert.ok(isFault(fault));
    assert.equal(fault.code, 555);
  }
});

test('xtext comes back as it went', () => {
  const text = 'a+b=c d\u0007é';
  assert.equal(encodeXtext(text), 'a+2Bb+3Dc+20d+07+E9');
  assert.equal(decodeXtext(encodeXtext(text)), text);
  for (const wrong of ['a b', 'a=b', 'a+', 'a+2', 'a+2b']) assert.equal(decodeXtext(wrong), null, wrong);
});

test('ORCPT of type utf-8: octets in xtext, the form of RFC 6533, and what goes on to the next host', () => {
  for (const [given, address, sent] of [
    ['utf-8;j+C3+9Crgen@z.example', 'jÜrgen@z.example', 'utf-8;j\\x{DC}rgen@z.example'],
    ['utf-8;j\\x{DC}rgen@z.example', 'j\\x{DC}rgen@z.example', 'utf-8;j\\x{DC}rgen@z.example'],
    ['UTF-8;jürgen+2Bx@z.example', 'jürgen+x@z.example', 'utf-8;j\\x{FC}rgen\\x{2B}x@z.example'],
    ['utf-8;😀@z.example', '😀@z.example', 'utf-8;\\x{1F600}@z.example'],
    ['rfc822;a+2Bb@z.example', 'a+b@z.example', 'rfc822;a+2Bb@z.example'],
    ['utf-8;j+FCrgen@z.example', 'jürgen@z.example', 'utf-8;j\\x{FC}rgen@z.example'],
  ] as const) {
    const rcpt = parseRcpt(`TO:<a@b.example> ORCPT=${given}`, RULES, true);
    assert.ok(!isFault(rcpt), given);
    assert.equal(rcpt.params.orcpt!.address, address, given);
    assert.equal(encodeOrcpt(rcpt.params.orcpt!), sent, given);
  }
});
