import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeVerp,
  domainOf,
  domainToAscii,
  domainToUnicode,
  encodeVerp,
  formatAddress,
  needsSmtpUtf8,
  parseAddress,
  quoteLocal,
  unquoteLocal,
} from './address.ts';

test('addresses of every form come back as they were written', () => {
  for (const text of [
    'kim@b.example',
    "Kim.O'Neil+tag@B.Example",
    '"kim smith"@b.example',
    '"a@b\\"c"@b.example',
    'kim@[192.0.2.1]',
    'kim@[IPv6:2001:db8::1]',
    'jörg@grün.example',
    '用户@例子.广告',
    'kim@localhost',
    'a..b.@b.example',
    'bounce-x_y=z.example@_spf.b.example',
    `${'a'.repeat(200)}@b.example`,
  ]) {
    const parsed = parseAddress(text);
    assert.ok(parsed, text);
    assert.equal(formatAddress(parsed), text);
  }
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    '@',
    'kim',
    'kim@',
    '@b.example',
    'kim@b..example',
    'kim@.example',
    'kim@b.example.',
    'kim@-b.example',
    'kim@b.exam ple',
    'kim smith@b.example',
    'kim\r\n@b.example',
    'kim@b.example\r\nRCPT TO:<x@y.example>',
    '"kim@b.example',
    '"kim"x@b.example',
    '"kim\u0000"@b.example',
    '"kim\\',
    '<kim@b.example>',
    'a@b@c.example',
    'kim@[192.0.2.256]',
    'kim@[IPv6:fe80::1%eth0]',
    'kim@[x:y]',
    'kim@b\u0000.example',
    'kim@１.２.３.４',
    'kim@b／c.example',
    'kim@%62.grün.example',
    `kim@${'a'.repeat(64)}.example`,
    `${'a'.repeat(256)}@b.example`,
    'kim\ud800@b.example',
  ]) {
    assert.equal(parseAddress(text), null, JSON.stringify(text));
  }
});

test('domains to A-labels and back', () => {
  assert.equal(domainToAscii('GRÜN.Example'), 'xn--grn-ioa.example');
  assert.equal(domainToAscii('XN--GRN-ioa.example'), 'xn--grn-ioa.example');
  assert.equal(domainToAscii('1.2.3'), '1.2.3', 'numbers are not rewritten as an IPv4 address');
  assert.equal(domainToAscii('[IPv6:2001:DB8::1]'), '[ipv6:2001:db8::1]');
  assert.equal(domainToAscii('[IPv6:2001:db8:0:0:0:0:0:01]'), '[ipv6:2001:db8::1]', 'one host, one spelling');
  assert.equal(domainToAscii('[IPv6:::ffff:192.0.2.1]'), '[192.0.2.1]');
  assert.equal(domainToUnicode('xn--grn-ioa.example'), 'grün.example');
  assert.equal(domainToUnicode('B.example'), 'B.example');
  assert.equal(domainOf('kim@GRÜN.example'), 'xn--grn-ioa.example');
  assert.equal(domainOf(''), '');
  assert.equal(needsSmtpUtf8({ local: 'kim', domain: 'grün.example' }), false);
  assert.equal(needsSmtpUtf8({ local: 'jörg', domain: 'b.example' }), true);
});

test('quoting of local parts', () => {
  assert.equal(quoteLocal('kim.smith'), 'kim.smith');
  assert.equal(quoteLocal('kim smith'), '"kim smith"');
  assert.equal(quoteLocal('a"b\\c'), '"a\\"b\\\\c"');
  assert.equal(quoteLocal('.a'), '".a"');
  assert.equal(quoteLocal(''), '""');
  for (const local of ['kim', 'kim smith', 'a"b\\c', 'x..y'])
    assert.equal(unquoteLocal(quoteLocal(local)), local);
});

test('VERP as the guide writes it', () => {
  assert.equal(encodeVerp('box@sd.example', 'who@rd.example'), 'box-who=rd.example@sd.example');
  assert.equal(encodeVerp('news@a.example', 'kim@b.example'), 'news-kim=b.example@a.example');
  assert.equal(encodeVerp('', 'kim@b.example'), null);
  assert.equal(encodeVerp('news@a.example', '"k m"@b.example'), '"news-k m=b.example"@a.example');
});

test('VERP is decoded from the right, exactly when the box is known', () => {
  assert.deepEqual(decodeVerp('box-who=rd.example@sd.example'), {
    sender: 'box@sd.example',
    recipient: 'who@rd.example',
    ambiguous: false,
  });
  assert.deepEqual(decodeVerp('my-box-who=rd.example@sd.example', 'my-box'), {
    sender: 'my-box@sd.example',
    recipient: 'who@rd.example',
    ambiguous: false,
  });
  assert.deepEqual(decodeVerp('box-anne-marie=x=rd.example@sd.example'), {
    sender: 'box@sd.example',
    recipient: 'anne-marie=x@rd.example',
    ambiguous: true,
  });
  const odd = encodeVerp('news@a.example', '"k m"@b.example')!;
  assert.equal(decodeVerp(odd, 'news')?.recipient, '"k m"@b.example');
  for (const none of [
    'who@rd.example',
    'box-who@sd.example',
    'box-=rd.example@sd.example',
    'who=rd.example@x.example',
  ]) {
    assert.equal(decodeVerp(none), null, none);
  }
  assert.equal(decodeVerp('box-who=rd.example@sd.example', 'other'), null);
});
