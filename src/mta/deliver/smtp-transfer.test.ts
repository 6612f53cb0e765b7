// From the greeting to the final reply: what the host says, what we send, and what a break in between means.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../testing.ts';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';

test('D9.2 bounce-upon-no-mx: no, at once, or what is old enough', async (t) => {
  for (const [value, ageMs, story] of [
    ['no', 0, 'delivered kim@a.test 2.0.0'],
    ['yes', 0, 'bounced kim@a.test 5.4.4'],
    ['45m', 44 * 60_000, 'delivered kim@a.test 2.0.0'],
    ['45m', 45 * 60_000, 'bounced kim@a.test 5.4.4'],
  ] as const) {
    const remote = await remoteHost(t);
    const mta = await deliveryTo(t, [], {
      settings: `bounce-upon-no-mx ${value}\ndefault-smtp-port ${remote.port}`,
    });
    await mta.submit(['kim@a.test'], { facts: { receivedAt: mta.clock.now() - ageMs } });
    await mta.quiet();
    assert.deepEqual(mta.story(), [story], value);
  }
});

test('D9.3 smtp-hosts: bounce-upon-no-mx is not looked at', async (t) => {
  const remote = await remoteHost(t);
  const mta = await deliveryTo(t, [remote], { settings: 'bounce-upon-no-mx yes' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
});

test('D9.9 route is the old name of smtp-hosts', async (t) => {
  const remote = await remoteHost(t);
  const mta = await deliveryTo(t, [], { settings: `route [127.0.0.1]:${remote.port}` });
  await mta.submit(['kim@elsewhere.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@elsewhere.test 2.0.0']);
});

test('D9.11 a 5xx greeting bounces the queue; with bounce-upon-5xx-greeting no the next host is tried', async (t) => {
  const first = await remoteHost(t, { greeting: '554 5.7.1 not you' });
  const second = await remoteHost(t);
  const strict = await deliveryTo(t, [first, second]);
  await strict.submit(['kim@a.test']);
  await strict.quiet();
  assert.deepEqual(strict.story(), ['bounced kim@a.test 5.7.1']);
  const mild = await deliveryTo(t, [first, second], { settings: 'bounce-upon-5xx-greeting no' });
  await mild.submit(['kim@a.test']);
  await mild.quiet();
  assert.deepEqual(mild.story(), ['delivered kim@a.test 2.0.0']);
});

test('D9.12 421 to RCPT: the connection goes on with others; smtp-421-means-mx-unavailable: to the next host', async (t) => {
  const busy = {
    answer: (verb: string, line: string) =>
      verb === 'RCPT' && line.includes('kim') ? '421 4.7.0 busy' : null,
  };
  const first = await remoteHost(t, busy);
  const mta = await deliveryTo(t, [first, await remoteHost(t)], { settings: 'max-smtp-out 1' });
  await mta.submit(['kim@a.test', 'lou@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.7.0', 'delivered lou@a.test 2.0.0']);
  assert.equal(first.connections, 1);

  const second = await remoteHost(t);
  const hasty = await deliveryTo(t, [await remoteHost(t, busy), second], {
    settings: 'max-smtp-out 1\nsmtp-421-means-mx-unavailable yes',
  });
  await hasty.submit(['kim@a.test', 'lou@a.test']);
  await hasty.quiet();
  assert.deepEqual(hasty.story(), ['delivered lou@a.test 2.0.0', 'delivered kim@a.test 2.0.0']);
  assert.equal(second.contents.length, 1);
});

test('D9.14 mx-connection-attempts ends a run', async (t) => {
  const refusing = await Promise.all([0, 1, 2].map(() => remoteHost(t, { greeting: '421 4.7.0 later' })));
  const mta = await deliveryTo(t, refusing, { settings: 'mx-connection-attempts 2' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(
    refusing.map(({ connections }) => connections),
    [1, 1, 0],
  );
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.7.0']);
});

test('D9.15 check-spf-outbound: pass sends, a failing DNS server waits, anything else bounces', async (t) => {
  for (const [record, story] of [
    ['v=spf1 ip4:127.0.0.1 -all', 'delivered kim@a.test 2.0.0'],
    ['v=spf1 -all', 'bounced kim@a.test 5.7.23'],
    ['', 'bounced kim@a.test 5.7.23'],
    ['fails', 'deferred kim@a.test 4.7.24'],
  ] as const) {
    const remote = await remoteHost(t);
    const mta = await deliveryTo(t, [remote], {
      config: 'smtp-source-host 127.0.0.1 mta.test',
      settings: 'check-spf-outbound yes',
      zone: record === 'fails' ? 'brand.test fails' : `brand.test TXT ${record}`,
    });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), [story], record);
  }
});

test('D9.15 check-spf-outbound without a source address: waits, and the log says what is missing', async (t) => {
  const mta = await deliveryTo(t, [await remoteHost(t)], { settings: 'check-spf-outbound yes' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.3.5']);
});

test('a host that is ourselves: only better hosts are used, and without one the mail bounces as a loop', async (t) => {
  const remote = await remoteHost(t);
  const zone = `
    loop.test MX 10 me.test
    near.test MX 10 far.test
    near.test MX 20 me.test
    me.test A 127.0.0.1
    far.test A 127.0.0.9`;
  const mta = await deliveryTo(t, [], {
    zone,
    config: `smtp-listener 127.0.0.1:${remote.port}`,
    settings: `default-smtp-port ${remote.port}`,
  });
  await mta.submit(['kim@loop.test', 'lou@near.test']);
  await mta.quiet();
  assert.deepEqual(mta.story().toSorted(), [
    'bounced kim@loop.test 5.4.6',
    'queue-deferred near.test/{default} 4.4.1',
  ]);
  assert.equal(remote.connections, 0);
});

// The end of a transfer

for (const [settings, greeting, story] of [
  ['', '', 'queue-deferred a.test/{default} 4.4.2'],
  ['assume-delivery-upon-data-termination-timeout yes', '', 'delivered kim@a.test 2.0.0'],
  ['bounce-upon-transfer-failure yes', '', 'bounced kim@a.test 5.4.2'],
  ['bounce-upon-pix-transfer-failure yes', '', 'queue-deferred a.test/{default} 4.4.2'],
  ['bounce-upon-pix-transfer-failure yes', '220 **********', 'bounced kim@a.test 5.4.2'],
] as const) {
  test(`the final reply is lost, ${settings || 'nothing set'} ${greeting}: ${story}`, async (t) => {
    const remote = await remoteHost(t, {
      greeting: greeting || undefined,
      answer: (verb) => (verb === '.' ? 'hang up' : null),
    });
    const second = await remoteHost(t);
    const mta = await deliveryTo(t, [remote, second], { settings });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.equal(mta.story()[0], story);
    // What became of the message is told once: a bounce is no failure of the queue besides.
    if (!story.startsWith('queue')) assert.deepEqual(mta.story(), [story]);
    assert.equal(second.connections, 0, 'the first host may have taken it: the next one would get it twice');
  });
}

test('bounce-upon-transfer-failure: each message whose transfer breaks bounces, and what else waits goes on at once', async (t) => {
  let broken = 0;
  const remote = await remoteHost(t, {
    answer: (verb) => (verb === '.' && ++broken <= 2 ? 'hang up' : null),
  });
  const mta = await deliveryTo(t, [remote], { settings: 'bounce-upon-transfer-failure yes\nmax-smtp-out 1' });
  await mta.submit(['kim@a.test', 'lou@a.test'], {
    facts: { sender: 'news@a.example' },
    envelope: { verp: true },
  });
  await mta.submit(['max@a.test']);
  await mta.quiet();
  const story = mta.story();
  assert.deepEqual(story.map((line) => line.split(' ')[0]).toSorted(), ['bounced', 'bounced', 'delivered']);
});

test('replace-smtp-421-service-response: the words of a 421 are not told, the rules see them', async (t) => {
  const remote = await remoteHost(t, {
    answer: (verb) => (verb === 'RCPT' ? '421 4.7.0 secret words' : null),
  });
  const mta = await deliveryTo(t, [remote], {
    config: '<smtp-pattern-list l>\nreply /secret/ bounce-rcpt\n</smtp-pattern-list>',
    settings: 'replace-smtp-421-service-response yes\nsmtp-pattern-list l',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'bounced');
  assert.equal(outcome.result.diagnostic, 'smtp;421 4.7.0 service unavailable');
});

test('max-errors-per-connection: so many refused recipients end the connection', async (t) => {
  const remote = await remoteHost(t, { answer: (verb) => (verb === 'RCPT' ? '550 5.1.1 no' : null) });
  const mta = await deliveryTo(t, [remote], { settings: 'max-errors-per-connection 2\nmax-smtp-out 1' });
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => mta.submit([`${name}@a.test`])));
  await mta.quiet();
  assert.equal(mta.story().length, 4);
  assert.equal(remote.connections, 2);
});

// What is offered, what is used

const DSN = {
  facts: { envId: 'job=7' },
  envelope: {
    returnContent: 'headers' as const,
    recipients: [
      {
        address: 'kim@a.test',
        originalRecipient: 'kim+x@b.test',
        messageId: '',
        notify: ['success' as const, 'delay' as const],
      },
    ],
  },
};

test('DSN parameters go on to a host that offers DSN, unless ignore-dsn', async (t) => {
  for (const [keywords, settings, mail, rcpt] of [
    [
      ['DSN'],
      '',
      'MAIL FROM:<news@brand.test> RET=HDRS ENVID=job+3D7',
      'RCPT TO:<kim@a.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;kim+2Bx@b.test',
    ],
    [['DSN'], 'ignore-dsn yes', 'MAIL FROM:<news@brand.test>', 'RCPT TO:<kim@a.test>'],
    [[], '', 'MAIL FROM:<news@brand.test>', 'RCPT TO:<kim@a.test>'],
  ] as const) {
    const remote = await remoteHost(t, { keywords });
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['kim@a.test'], DSN);
    await mta.quiet();
    assert.ok(remote.seen.includes(mail), remote.seen.join('\n'));
    assert.ok(remote.seen.includes(rcpt), remote.seen.join('\n'));
  }
});

test('ORCPT beyond ASCII goes on as type utf-8', async (t) => {
  for (const originalRecipient of ['jürgen@b.test', 'j\\x{FC}rgen@b.test']) {
    const remote = await remoteHost(t, { keywords: ['DSN'] });
    const mta = await deliveryTo(t, [remote]);
    const recipients = [{ address: 'kim@a.test', originalRecipient, messageId: '', notify: [] }];
    await mta.submit(['kim@a.test'], { envelope: { recipients } });
    await mta.quiet();
    const rcpt = 'RCPT TO:<kim@a.test> ORCPT=utf-8;j\\x{FC}rgen@b.test';
    assert.ok(remote.seen.includes(rcpt), remote.seen.join('\n'));
  }
});

test('verp-default: MAIL `news@a.example`, RCPT `kim@b.example`: each recipient has a return path of its own', async (t) => {
  const remote = await remoteHost(t);
  const mta = await deliveryTo(t, [remote]);
  await mta.submit(['kim@b.example', 'lou@b.example'], {
    facts: { sender: 'news@a.example' },
    envelope: { verp: true },
  });
  await mta.quiet();
  assert.deepEqual(remote.seen.filter((line) => line.startsWith('MAIL')).toSorted(), [
    'MAIL FROM:<news-kim=b.example@a.example>',
    'MAIL FROM:<news-lou=b.example@a.example>',
  ]);
  const senders = mta.journal().map((one) => (one.kind === 'delivered' ? one.message.sender : ''));
  assert.deepEqual(
    senders.toSorted(),
    ['news-kim=b.example@a.example', 'news-lou=b.example@a.example'],
    'orig of d',
  );
});

test('SMTPUTF8 needed but not offered: that recipient bounces, the others get the message', async (t) => {
  const remote = await remoteHost(t, { keywords: ['8BITMIME'] });
  const mta = await deliveryTo(t, [remote]);
  await mta.submit(['kim@a.test', 'jürgen@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['bounced jürgen@a.test 5.6.7', 'delivered kim@a.test 2.0.0']);
});

test('section 13, SMTPUTF8 asked for but not needed: an ordinary message goes to a host without it', async (t) => {
  const remote = await remoteHost(t, { keywords: ['8BITMIME'] });
  const mta = await deliveryTo(t, [remote]);
  await mta.submit(['kim@a.test'], { envelope: { smtpUtf8: true } });
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  assert.ok(!remote.seen.some((line) => line.includes('SMTPUTF8')));
});

test('a message above the SIZE that is offered bounces before DATA', async (t) => {
  const remote = await remoteHost(t, { keywords: ['SIZE 20'] });
  const mta = await deliveryTo(t, [remote]);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['bounced kim@a.test 5.3.4']);
  assert.ok(!remote.seen.some((line) => line.startsWith('MAIL')));
});

test('8BITMIME is told as the submitter told it, unless ignore-8bitmime', async (t) => {
  for (const [settings, mail] of [
    ['', 'MAIL FROM:<news@brand.test> BODY=8BITMIME'],
    ['ignore-8bitmime yes', 'MAIL FROM:<news@brand.test>'],
  ] as const) {
    const remote = await remoteHost(t, { keywords: ['8BITMIME'] });
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['kim@a.test'], { envelope: { eightBit: true } });
    await mta.quiet();
    assert.ok(remote.seen.includes(mail), remote.seen.join('\n'));
  }
});

test('AUTH: with a name or a password set nothing goes out without; LOGIN and PLAIN in clear need leave', async (t) => {
  const answer = (verb: string, line: string) =>
    verb === 'AUTH'
      ? line.includes(Buffer.from('\0me\0key').toString('base64'))
        ? '235 ok'
        : '535 5.7.8 no'
      : null;
  for (const [keywords, settings, story] of [
    [
      ['AUTH PLAIN'],
      'auth-username me\nauth-password key\nuse-unencrypted-plain-auth yes',
      'delivered kim@a.test 2.0.0',
    ],
    [
      ['AUTH PLAIN'],
      'auth-username me\nauth-password bad\nuse-unencrypted-plain-auth yes',
      'queue-deferred a.test/{default} 4.7.8',
    ],
    [['AUTH PLAIN'], 'auth-username me\nauth-password key', 'queue-deferred a.test/{default} 4.4.1'],
    [[], 'auth-password key', 'queue-deferred a.test/{default} 4.4.1'],
  ] as const) {
    const remote = await remoteHost(t, { keywords, answer });
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), [story], settings);
  }
});

test('D11.1 D11.2 D11.5 mail for {sparkpost} logs in as SMTP_Injection, in a queue of that name', async (t) => {
  const remote = await remoteHost(t, { keywords: ['AUTH PLAIN'] });
  const mta = await deliveryTo(t, [], {
    config: `<domain {sparkpost}>
      auth-password key
      smtp-hosts [127.0.0.1]:${remote.port}
      require-starttls no
      use-unencrypted-plain-auth yes
      </domain>
      <domain a.test>
      queue-to {sparkpost}
      </domain>`,
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'delivered');
  assert.equal(outcome.attempt.queue, '{sparkpost}/{default}');
  const login = Buffer.from('\0SMTP_Injection\0key').toString('base64');
  assert.ok(remote.seen.includes(`AUTH PLAIN ${login}`));
  const preset = mta.config.queue('{sparkpost}', 'other');
  assert.equal(preset.get('add-x-msys-api-header'), true);
  assert.equal(mta.config.queue('a.test', 'other').get('add-x-msys-api-header'), false);
});

// Proxies

const PROXY = (name: string, port: number) =>
  `<proxy ${name}>\nserver 127.0.0.1:${port}\nclient 192.0.2.7 out.test\n</proxy>\n`;

test('D21.1 D21.2 D21.3 D21.5 a proxy is told who connects where, and gets SMTP after that', async (t) => {
  const proxy = await remoteHost(t, { greeting: '220 through the proxy' });
  const mta = await deliveryTo(t, [], {
    config: `${PROXY('p', proxy.port)}use-proxy p`,
    zone: 'a.test MX 10 mx.test\nmx.test AAAA 2001:db8::9\nmx.test A 192.0.2.9',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(proxy.seen.slice(0, 2), ['PROXY TCP4 192.0.2.7 192.0.2.9 0 25', 'EHLO out.test']);
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'delivered');
  assert.deepEqual([outcome.attempt.sourceIp, outcome.attempt.destinationIp], ['192.0.2.7', '192.0.2.9']);
});

test('D21.4 the next proxy when the first cannot be reached; D21.7 hosts of the other family are passed by', async (t) => {
  const second = await remoteHost(t);
  const config = `${PROXY('dead', 1)}${PROXY('alive', second.port)}use-proxy dead,alive`;
  const mta = await deliveryTo(t, [], { config, zone: 'a.test A 192.0.2.9\nb.test AAAA 2001:db8::9' });
  await mta.submit(['kim@a.test', 'lou@b.test']);
  await mta.quiet();
  assert.deepEqual(mta.story().toSorted(), [
    'delivered kim@a.test 2.0.0',
    'queue-deferred b.test/{default} 4.4.1',
  ]);
  assert.match(mta.scheduler.find('b.test', '{default}')!.lastError, /no proxy has an address of the family/);
});

// Faults of ours

test('a fault between the remote 250 and our record: the message is delivered once, and the log has the fault', async (t) => {
  const remote = await remoteHost(t);
  const mta = await deliveryTo(t, [remote]);
  let faults = 0;
  const { settle } = mta.spool;
  mta.spool.settle = async (...args) => {
    if (faults++ < 2) throw new TypeError('a fault');
    await settle.apply(mta.spool, args);
  };
  await mta.submit(['kim@a.test']);
  await until(() => remote.contents.length === 1 && faults > 0);
  await until(() => {
    mta.clock.advance(2000);
    return mta.story().length > 0;
  });
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  assert.equal(remote.contents.length, 1);
});

test('several connections that fail in one run write one record', async (t) => {
  const mta = await deliveryTo(t, [{ port: 1 }], { settings: 'max-smtp-out 5' });
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => mta.submit([`${name}@a.test`])));
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
});
