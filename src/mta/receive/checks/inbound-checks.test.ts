// The checks against a real DNS server; what they find, refuse and write.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { good } from '../../../config/testing.ts';
import { Header } from '../../../mail/header.ts';
import { formatReply } from '../../../smtp/index.ts';
import { systemClock } from '../../../system/clock.ts';
import { TestClock } from '../../../system/testing.ts';
import { keptLog, startReception, startZone } from '../../testing.ts';
import type { CheckedSession, CheckResult } from '../reception-checks.ts';
import { InboundChecks } from './inbound-checks.ts';
import { forgedResults, resultsField } from './results-header.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PUBLIC = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');

const ZONE = `
  pass.test TXT v=spf1 ip4:192.0.2.1 -all
  fail.test TXT v=spf1 ip4:198.51.100.7 -all
  soft.test TXT v=spf1 ~all
  neutral.test TXT v=spf1 ?all
  broken.test TXT v=spf1 nonsense:x -all
  silent.test A 192.0.2.50
  dead.test fails x
  mx.test TXT v=spf1 mx -all
  mx.test MX 10 host.mx.test
  host.mx.test A 192.0.2.1
  void.test TXT v=spf1 a:n1.void.test a:n2.void.test a:n3.void.test ip4:192.0.2.1 -all
  onevoid.test TXT v=spf1 a:n1.void.test ip4:192.0.2.1 -all
  loop.test TXT v=spf1 include:loop.test -all
  helo.test TXT v=spf1 ip4:192.0.2.1 -all
  1.2.0.192.in-addr.arpa PTR helo.test
  1.2.0.192.in-addr.arpa PTR other.test
  helo.test A 192.0.2.1
  2.2.0.192.in-addr.arpa PTR lying.test
  lying.test A 192.0.2.99
  4.2.0.192.in-addr.arpa fails x
  5.2.0.192.in-addr.arpa PTR dead.test
  1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR six.test
  six.test AAAA 2001:db8::1
  s1._domainkey.brand.test TXT v=DKIM1; k=rsa; p=${PUBLIC}
  revoked._domainkey.brand.test TXT v=DKIM1; k=rsa; p=
  dead._domainkey.brand.test fails x
`;

const ALL = 'check-spf-inbound yes\ncheck-iprev-inbound yes\ncheck-dkim-inbound yes';

async function start(t: TestContext, settings: string) {
  const { resolver } = await startZone(t, ZONE);
  const { log, lines } = keptLog();
  const config = good(
    `host-name mx.brand.test\nhost-name Second.Brand.test\n<source 0/0>\n${settings}\n</source>`,
  );
  const checks = new InboundChecks({
    resolver: () => resolver,
    hostName: 'mx.brand.test',
    clock: systemClock,
    log,
  });
  const session = (sender: string, ip = '192.0.2.1', heloName = 'helo.test'): CheckedSession => ({
    client: { heloName, remoteAddress: ip, localAddress: '', user: null, tls: false, esmtp: true },
    source: config.sourceFor({ clientIp: ip }),
    config,
    sender,
  });
  return {
    ...{ checks, session, lines },
    /** The reply that refuses, or the fields that are added, unfolded. */
    async mail(sender: string, ip?: string, heloName?: string) {
      return told(await checks.atMail(session(sender, ip, heloName)));
    },
    async content(text: string | Buffer, sender = 'a@brand.test') {
      return await checks.atContent(session(sender), Buffer.from(text as string));
    },
  };
}

function told(result: CheckResult | null): string {
  if (!result) return '';
  if (result.refusal) return formatReply(result.refusal, true).trim();
  return result.fields.map((field) => field.replace(/\r\n\s/g, ' ').trim()).join('\n');
}

test('nothing is checked, added or taken out unless the source says so', async (t) => {
  const { mail, content } = await start(t, '');
  assert.equal(await mail('a@fail.test', '192.0.2.2'), '');
  assert.equal(await content('Authentication-Results: mx.brand.test; spf=pass\r\n\r\nx'), null);
});

test('check-spf-inbound: the result is noted, fail and permerror are refused with 5xx, temperror with 4xx', async (t) => {
  const { mail } = await start(t, 'check-spf-inbound yes');
  assert.match(
    await mail('news@pass.test'),
    /^Authentication-Results: mx\.brand\.test; spf=pass \(.*\) smtp\.mailfrom=news@pass\.test$/,
  );
  assert.match(await mail('a@mx.test'), /spf=pass/);
  assert.match(await mail('a@soft.test'), /spf=softfail/);
  assert.match(await mail('a@neutral.test'), /spf=neutral/);
  assert.match(await mail('a@silent.test'), /spf=none/);
  assert.match(await mail('a@nowhere.test'), /spf=none/);
  assert.match(await mail('a@fail.test'), /^550 5\.7\.23/);
  assert.match(await mail('a@broken.test'), /^550 5\.7\.24/);
  assert.match(await mail('a@loop.test'), /^550 5\.7\.24/);
  assert.match(await mail('a@dead.test'), /^451 4\.7\.24/);
});

test('check-spf-inbound: of the null sender the EHLO name is checked', async (t) => {
  const { mail } = await start(t, 'check-spf-inbound yes');
  assert.match(await mail('', '192.0.2.1', 'helo.test'), /spf=pass \(.*\) smtp\.helo=helo\.test$/);
  assert.match(await mail('', '192.0.2.9', 'fail.test'), /^550/);
});

test('reject-spf-check-fail, -permerror, -temperror no: noted instead of refused', async (t) => {
  const off = ['fail', 'permerror', 'temperror'].map((one) => `reject-spf-check-${one} no`).join('\n');
  const { mail } = await start(t, `check-spf-inbound yes\n${off}`);
  assert.match(await mail('a@fail.test'), /spf=fail/);
  assert.match(await mail('a@broken.test'), /spf=permerror/);
  assert.match(await mail('a@dead.test'), /spf=temperror/);
});

test('check-spf-inbound-max-void-lookups bounds the empty answers', async (t) => {
  const usual = await start(t, 'check-spf-inbound yes');
  assert.match(await usual.mail('a@void.test'), /^550 5\.7\.24/, 'two at most by default');
  assert.match(await usual.mail('a@onevoid.test'), /spf=pass/);
  const many = await start(t, 'check-spf-inbound yes\ncheck-spf-inbound-max-void-lookups 5');
  assert.match(await many.mail('a@void.test'), /spf=pass/);
  const none = await start(t, 'check-spf-inbound yes\ncheck-spf-inbound-max-void-lookups 0');
  assert.match(await none.mail('a@onevoid.test'), /^550 5\.7\.24/);
});

test('check-iprev-inbound: pass, fail, permerror, temperror are noted, and the EHLO name beside', async (t) => {
  const { mail } = await start(t, 'check-iprev-inbound yes');
  assert.match(
    await mail('a@b.test'),
    /^Authentication-Results: mx\.brand\.test; iprev=pass \(helo\.test\) policy\.iprev=192\.0\.2\.1 smtp\.helo=helo\.test$/,
  );
  assert.match(
    await mail('a@b.test', '192.0.2.1', 'else.test'),
    /pass \(helo\.test, which is not what the client/,
  );
  assert.match(await mail('a@b.test', '192.0.2.2'), /iprev=fail/);
  assert.match(await mail('a@b.test', '192.0.2.3'), /iprev=permerror/);
  assert.match(await mail('a@b.test', '192.0.2.4'), /iprev=temperror/);
  assert.match(await mail('a@b.test', '192.0.2.5'), /iprev=temperror/);
  assert.match(
    await mail('a@b.test', '2001:db8::1', 'six.test'),
    /iprev=pass \(six\.test\) policy\.iprev="2001:db8::1"/,
  );
});

test('reject-iprev-check-fail, -permerror with 5xx, -temperror with 4xx', async (t) => {
  const on = ['fail', 'permerror', 'temperror'].map((one) => `reject-iprev-check-${one} yes`).join('\n');
  const { mail } = await start(t, `check-iprev-inbound yes\n${on}`);
  assert.match(await mail('a@b.test', '192.0.2.2'), /^550 5\.7\.25/);
  assert.match(await mail('a@b.test', '192.0.2.3'), /^550 5\.7\.25/);
  assert.match(await mail('a@b.test', '192.0.2.4'), /^451 4\.7\.25/);
  assert.match(await mail('a@b.test'), /iprev=pass/);
});

test('trace-spf-check, trace-iprev-check, trace-dkim-check: the DNS look-ups are noted', async (t) => {
  const { mail, content } = await start(
    t,
    `${ALL}\ntrace-spf-check yes\ntrace-iprev-check yes\ntrace-dkim-check yes`,
  );
  const both = await mail('a@pass.test');
  assert.match(
    both,
    /iprev=pass \(helo\.test\) \(dns: 1\.2\.0\.192\.in-addr\.arpa PTR helo\.test other\.test/,
  );
  assert.match(both, /spf=pass .*\(dns: pass\.test TXT v=spf1 ip4:192\.0\.2\.1 -all\)/);
  assert.match(told(await content(await signed('s1'))), /dns: s1\._domainkey\.brand\.test TXT v=DKIM1/);
});

const MESSAGE = 'From: a@brand.test\r\nTo: kim@a.test\r\nSubject: x\r\n\r\nHello.\r\n';

async function signed(selector: string, message = MESSAGE): Promise<string> {
  const { signatures } = await dkimSign(message, {
    canonicalization: 'relaxed/relaxed',
    signatureData: [
      {
        signingDomain: 'brand.test',
        selector,
        privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      },
    ],
  } as never);
  return `${signatures}${message}`;
}

test('check-dkim-inbound: each signature has a result, and no result refuses the message', async (t) => {
  const { content } = await start(t, 'check-dkim-inbound yes');
  const pass = told(await content(await signed('s1')));
  assert.match(
    pass,
    /^Authentication-Results: mx\.brand\.test; dkim=pass.* header\.d=brand\.test header\.s=s1 header\.a=rsa-sha256 header\.b=\S{8,10}$/,
  );
  assert.match(told(await content((await signed('s1')).replace('Hello', 'Hallo'))), /dkim=fail \(body hash/);
  assert.match(
    told(await content((await signed('s1')).replace('Subject: x', 'Subject: y'))),
    /dkim=fail \(bad signature\)/,
  );
  assert.match(told(await content(await signed('revoked'))), /dkim=(?:neutral|permerror)/);
  assert.match(told(await content(await signed('nosuch'))), /dkim=(?:neutral|permerror)/);
  assert.match(told(await content(await signed('dead'))), /dkim=temperror/);
  assert.match(told(await content(MESSAGE)), /dkim=none/);
  const two = told(await content(await signed('dead', await signed('s1'))));
  assert.equal(two.match(/dkim=/g)?.length, 2);
});

test('hostile: a thousand signatures cost no more than ten', async (t) => {
  const { content } = await start(t, 'check-dkim-inbound yes');
  const one = (await signed('s1')).slice(0, -MESSAGE.length);
  const result = told(await content(one.repeat(1_000) + MESSAGE));
  assert.equal(result.match(/dkim=/g)?.length, 10);
  const garbage = 'DKIM-Signature: v=1; d=)(\\"\r\n ;s=\u0000;b==;;\r\n'.repeat(50);
  assert.match(told(await content(garbage + MESSAGE)), /dkim=/);
});

test('RFC 8601 section 5: results that claim to be ours are taken out, others stay byte for byte', async (t) => {
  const { content, lines } = await start(t, 'check-dkim-inbound yes');
  const forged = [
    'Authentication-Results: mx.brand.test; spf=pass\r\n',
    'authentication-results:MX.BRAND.TEST 1; dkim=pass\r\n\theader.d=x\r\n',
    'Authentication-Results: (a (nested) comment) second.brand.test; none\r\n',
    'Authentication-Results: "mx.brand.test"; spf=pass\r\n',
    'Authentication-Results:\r\n mx.brand.test; spf=pass\r\n',
    'Authentication-Results: mx.brand.test.; spf=pass\r\n',
    'Authentication-Results: mx.brand.test(x); spf=pass\r\n',
  ];
  const others =
    'Authentication-Results: mx.other.test; spf=pass (mx.brand.test)\r\nauthentication-Results: ;\r\n';
  const result = await content(`${forged.join('')}${others}${MESSAGE}`);
  assert.equal(result?.content?.toString(), others + MESSAGE);
  assert.deepEqual(lines.at(-1), 'forged Authentication-Results taken out');
  assert.equal((await content(others + MESSAGE))?.content, undefined);
});

test('a value from outside cannot add a result or a field', () => {
  const field = resultsField('mx.test', [
    {
      method: 'spf',
      result: 'pass',
      comment: 'x) spf=fail (\r\nX-Bad: y\\',
      properties: [['smtp.mailfrom', '"a;b"@c.test;\r\n dkim=pass header.d=bank.test']],
      trace: [],
    },
  ]);
  const header = new Header(Buffer.from(`${field}\r\n`));
  assert.equal(header.fields.length, 1);
  assert.equal(
    header.get('authentication-results'),
    'mx.test; spf=pass (x? spf=fail ???X-Bad: y?) smtp.mailfrom="\\"a;b\\"@c.test;?? dkim=pass header.d=bank.test"',
  );
  assert.deepEqual(forgedResults(header, ['mx.test']).length, 1);
});

test('a check that takes too long ends as temperror', async () => {
  const clock = new TestClock();
  const config = good('<source 0/0>\ncheck-iprev-inbound yes\ncheck-spf-inbound no\n</source>');
  const never = { query: () => new Promise<never>(() => {}), cached: 0, clear() {}, async close() {} };
  const checks = new InboundChecks({
    ...{ resolver: () => never as never, hostName: 'mx.test', clock, log: keptLog().log },
  });
  const result = checks.atMail({
    client: {
      heloName: 'h',
      remoteAddress: '192.0.2.1',
      localAddress: '',
      user: null,
      tls: false,
      esmtp: true,
    },
    ...{ source: config.sourceFor({ clientIp: '192.0.2.1' }), config, sender: 'a@b.test' },
  });
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(20_000);
  assert.match(told(await result), /iprev=temperror \(the check took too long\)/);
});

test('in a session: a refused sender, results below our Received, forged ones gone', async (t) => {
  const { resolver } = await startZone(
    t,
    `${ZONE}\n1.0.0.127.in-addr.arpa PTR client.test\nclient.test A 127.0.0.1`,
  );
  const mta = await startReception(
    t,
    `<source 0/0>\nalways-allow-relaying yes\n${ALL}\nreject-spf-check-fail yes\n</source>`,
    {
      checks: (log) => [
        new InboundChecks({ resolver: () => resolver, hostName: 'mta.test', clock: systemClock, log }),
      ],
    },
  );
  assert.match(await mta.send({ from: 'a@fail.test', to: ['kim@a.test'] }), /^550 5\.7\.23/);
  const forged = 'Authentication-Results: mta.test; dkim=pass\r\n';
  const answer = await mta.send({
    from: 'a@soft.test',
    to: ['kim@a.test'],
    content: forged + (await signed('s1')),
  });
  assert.match(answer, /^250/);
  const header = new Header(mta.stored().content);
  assert.deepEqual(
    header.fields.slice(0, 4).map(({ key }) => key),
    ['received', 'authentication-results', 'authentication-results', 'dkim-signature'],
  );
  const [atMail, atContent] = header.all('authentication-results').map((field) => header.value(field));
  assert.match(atMail!, /^mta\.test; iprev=pass \(client\.test\).*; spf=softfail /);
  assert.match(atContent!, /^mta\.test; dkim=pass /);
  assert.equal(header.all('authentication-results').length, 2);
});

test('check-dkim-inbound-max-size: larger messages are not checked', async (t) => {
  const { resolver } = await startZone(t, ZONE);
  const mta = await startReception(
    t,
    `<source 0/0>\nalways-allow-relaying yes\ncheck-spf-inbound no\ncheck-dkim-inbound yes\ncheck-dkim-inbound-max-size 2K\n</source>`,
    {
      checks: (log) => [
        new InboundChecks({ resolver: () => resolver, hostName: 'mta.test', clock: systemClock, log }),
      ],
    },
  );
  const message = await signed('s1');
  const results = async (content: string) => {
    assert.match(await mta.send({ to: ['kim@a.test'], content }), /^250/);
    return new Header(mta.stored().content).get('authentication-results')!;
  };
  assert.match(await results(message), /dkim=pass/);
  assert.match(
    await results(`${message}${'x'.repeat(70)}\r\n`.padEnd(3000, ' ')),
    /dkim=temperror .*too large/,
  );
});

test('DKIM of many large messages at once leaves others their turn', async (t) => {
  const { resolver } = await startZone(t, ZONE);
  const config = good('<source 0/0>\ncheck-dkim-inbound yes\ncheck-spf-inbound no\n</source>');
  const checks = new InboundChecks({
    ...{ resolver: () => resolver, hostName: 'mx.test', clock: systemClock, log: keptLog().log },
  });
  const client = { heloName: 'h', remoteAddress: '192.0.2.1', localAddress: '' };
  const session = {
    client: { ...client, user: null, tls: false, esmtp: true },
    ...{ source: config.sourceFor({ clientIp: '192.0.2.1' }), config, sender: 'a@b.test' },
  };
  const large = Buffer.from(`${await signed('s1')}${`${'words and  more '.repeat(5)}\r\n`.repeat(12_000)}`);
  let pieces = 0;
  let over = false;
  const count = () => {
    pieces++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(Array.from({ length: 8 }, () => checks.atContent(session, large)));
  over = true;
  // Each message is some sixty pieces, of two messages at a time.
  assert.ok(pieces >= 4 * 50, `${pieces} turns for others`);
});
