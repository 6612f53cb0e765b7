// A client against the receiving half: who may send what, and what is stored, journaled and queued of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../events/outcome.ts';
import { Header } from '../../mail/header.ts';
import { CONTENT, smallDisk, startReception, until } from '../testing.ts';

const OPEN = `
  domain-suffix local.test
  <source 0/0>
    always-allow-relaying yes
    SETTINGS
  </source>`;
const open = (settings = '') => OPEN.replace('SETTINGS', settings);

const kinds = (outcomes: Outcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'received' ? outcome.recipient.address : outcome.kind));

test('a message is stored, journaled and queued for each of its recipients before its 250', async (t) => {
  const mta = await startReception(t, open());
  const answer = await mta.send({ to: ['kim@a.test', 'LOU@B.Test'] });
  const { envelope } = mta.stored();
  assert.equal(answer, `250 2.0.0 message accepted, id ${envelope.facts.spoolId}`);
  assert.deepEqual(kinds(mta.outcomes()), ['kim@a.test', 'LOU@B.Test']);
  assert.deepEqual(
    mta.queued.map(({ domain, vmta, index, attempts }) => ({ domain, vmta, index, attempts })),
    [
      { domain: 'a.test', vmta: '{default}', index: 0, attempts: 0 },
      { domain: 'b.test', vmta: '{default}', index: 1, attempts: 0 },
    ],
  );
  const { facts } = envelope;
  assert.equal(facts.sender, 'news@brand.test');
  assert.equal(facts.fromName, 'News');
  assert.equal(facts.senderDomain, 'brand.test');
  assert.equal(facts.subject, 'Hello');
  assert.equal(facts.heloName, 'client.test');
  assert.equal(facts.clientIp, '127.0.0.1');
  assert.equal(facts.size, mta.stored().content.length);
  const [first, second] = envelope.recipients.map(({ messageId }) => messageId);
  assert.match(first!, /^[0-9a-f]{20}$/);
  assert.notEqual(first, second);
});

test('Received, Message-ID and Date are added on top; what the message has stays, byte for byte', async (t) => {
  const mta = await startReception(t, open('add-message-id-header yes\nadd-date-header yes'));
  await mta.send({ to: ['kim@a.test'] });
  let { content } = mta.stored();
  let header = new Header(content);
  assert.deepEqual(
    header.fields.slice(0, 3).map(({ key }) => key),
    ['received', 'message-id', 'date'],
  );
  assert.match(
    header.get('received')!,
    /^from client\.test \(\[127\.0\.0\.1\]\) by mta\.test with ESMTP id [0-9a-f]{16}\.[0-9a-f]{20}s\.[0-9a-f]{12} for <kim@a\.test>; Sat, 21 Nov 2026 00:00:00 \+0000$/,
  );
  assert.match(header.get('message-id')!, /^<[^<>@\s]+@mta\.test>$/);
  assert.ok(content.subarray(content.indexOf('From:')).equals(CONTENT));

  const own = `Date: yesterday\r\nMessage-ID: <x@y>\r\n${CONTENT}`;
  await mta.send({ to: ['kim@a.test', 'lou@a.test'], content: own });
  ({ content } = mta.stored());
  header = new Header(content);
  assert.equal(header.all('date').length, 1);
  assert.equal(header.all('message-id').length, 1);
  assert.ok(!header.get('received')!.includes(' for <'), 'several recipients are not shown to each other');
});

test('what a source switches off is not added; hide-message-source tells no client', async (t) => {
  const none = await startReception(
    t,
    open('add-received-header no\nadd-message-id-header no\nadd-date-header no'),
  );
  await none.send({ to: ['kim@a.test'] });
  assert.ok(none.stored().content.equals(CONTENT));
  const hidden = await startReception(t, open('hide-message-source yes'));
  await hidden.send({ to: ['kim@a.test'] });
  assert.match(new Header(hidden.stored().content).get('received')!, /^by mta\.test with ESMTP id /);
});

test('a message that has passed more than max-message-hops hosts is refused', async (t) => {
  const mta = await startReception(t, open('max-message-hops 3'));
  const hops = (n: number) => `${'Received: by x; Thu\r\n'.repeat(n)}${CONTENT}`;
  assert.match(await mta.send({ to: ['kim@a.test'], content: hops(3) }), /^250 /);
  assert.match(await mta.send({ to: ['kim@a.test'], content: hops(4) }), /^554 5\.4\.6 .*4 hosts/);
  assert.equal(mta.queued.length, 1);
});

test('the envelope sender is rewritten, and the VMTA is chosen by the rewritten one', async (t) => {
  const mta = await startReception(
    t,
    `<rewrite-list r>
      mail-from *@brand.test return@bounces.test
    </rewrite-list>
    <virtual-mta v>
    </virtual-mta>
    <pattern-list p>
      mail-from /@bounces\\.test$/ virtual-mta=v
    </pattern-list>
    ${open('rewrite-list r\npattern-list p')}`,
  );
  await mta.send({ to: ['kim@a.test'] });
  const { facts } = mta.stored().envelope;
  assert.equal(facts.sender, 'return@bounces.test');
  assert.equal(facts.from, 'news@brand.test');
  assert.equal(facts.vmta, 'v');
  assert.equal(mta.queued[0]?.vmta, 'v');
});

test('a pool: the record keeps its name, the queue its member (D4.1, D4.7)', async (t) => {
  const mta = await startReception(
    t,
    `<virtual-mta v>
    </virtual-mta>
    <virtual-mta-pool P>
      virtual-mta v
    </virtual-mta-pool>
    ${open('default-virtual-mta P')}`,
  );
  await mta.send({ to: ['kim@a.test'] });
  const { facts } = mta.stored().envelope;
  assert.deepEqual([facts.vmta, facts.pool, mta.queued[0]?.vmta], ['v', 'P', 'v']);
});

const ALWAYS = ['X-DKIM-Key', 'X-Schedule'];
const ALWAYS_FIELDS = 'X-DKIM-Key: k\r\nX-Schedule: when it suits\r\n';

test('control headers: processed ones count and go, others stay and count for nothing', async (t) => {
  const headers = `${ALWAYS_FIELDS}X-Job: spring 31\r\nX-Envid: e7\r\nX-Virtual-MTA: {default}\r\nX-SP-Subaccount-Id: 42\r\nX-Mine: m-1\r\nX-GONE: 1\r\n`;
  const signals = (more = '') =>
    `<signals>\napi-key ${'0'.repeat(40)}\ncustomer-id 1\ncustom-message-id-header X-Mine\n${more}</signals>`;
  const on = await startReception(
    t,
    `${signals('process-x-sp-subaccount-id yes\n')}
    ${open('process-x-job yes\nprocess-x-envid yes\nprocess-x-virtual-mta yes\nremove-header X-Gone,X-Absent,Received')}`,
  );
  await on.send({ to: ['kim@a.test'], content: headers + CONTENT });
  let { envelope } = on.stored();
  assert.equal(envelope.facts.jobId.includes(' '), false);
  assert.match(envelope.facts.jobId, /^spring/);
  assert.equal(envelope.facts.envId, 'e7');
  assert.equal(envelope.facts.subaccountId, 42);
  assert.equal(envelope.facts.customMessageId, 'm-1');
  assert.deepEqual(envelope.removeHeaders.map((name) => name.toLowerCase()).sort(), [
    // Ours, which the message has got meanwhile.
    'received',
    'x-dkim-key',
    'x-envid',
    'x-gone',
    'x-job',
    'x-schedule',
    'x-sp-subaccount-id',
    'x-virtual-mta',
  ]);
  assert.ok(on.stored().content.includes('X-Job: spring 31'), 'the stored copy keeps them');

  const off = await startReception(t, `${signals()}\n${open()}`);
  await off.send({ to: ['kim@a.test'], content: headers + CONTENT });
  ({ envelope } = off.stored());
  const { jobId, envId, subaccountId } = envelope.facts;
  assert.deepEqual({ jobId, envId, subaccountId }, { jobId: '', envId: '', subaccountId: 0 });
  assert.deepEqual(envelope.removeHeaders, ALWAYS, 'a key never leaks, a schedule is our business');

  const kept = await startReception(t, open('process-x-job yes\nretain-x-job yes\njobid-header X-Campaign'));
  await kept.send({ to: ['kim@a.test'], content: `${ALWAYS_FIELDS}X-Job: a\r\nX-Campaign: b\r\n${CONTENT}` });
  assert.equal(kept.stored().envelope.facts.jobId, 'a');
  assert.deepEqual(kept.stored().envelope.removeHeaders, ALWAYS);
  await kept.send({ to: ['kim@a.test'], content: CONTENT });
  assert.deepEqual(kept.stored().envelope.removeHeaders, [], 'what the message does not have');
  await kept.send({ to: ['kim@a.test'], content: `X-Campaign: b\r\n${CONTENT}` });
  assert.equal(kept.stored().envelope.facts.jobId, 'b');
});

test('a subaccount or message id that is none counts for nothing', async (t) => {
  const mta = await startReception(
    t,
    `<signals>
      api-key ${'0'.repeat(40)}
      customer-id 1
      process-x-sp-subaccount-id yes
      custom-message-id-header X-Mine
    </signals>
    ${open()}`,
  );
  for (const [subaccount, id] of [
    ['0', 'x'.repeat(513)],
    ['-1', 'b\u00e4d'],
    ['2147483648', '\u0001'],
    ['1e3', ''],
  ]) {
    await mta.send({
      to: ['kim@a.test'],
      content: `X-SP-Subaccount-Id: ${subaccount}\r\nX-Mine: ${id}\r\n${CONTENT}`,
    });
    const { facts } = mta.stored().envelope;
    assert.deepEqual([facts.subaccountId, facts.customMessageId], [0, ''], subaccount);
  }
});

test('ENVID, ORCPT, NOTIFY, RET and BODY of the submission are kept; X-Envid wins over ENVID', async (t) => {
  const mta = await startReception(t, open('process-x-envid yes'));
  const client = await mta.client();
  await client.ask('MAIL FROM:<news@brand.test> RET=HDRS ENVID=e+2B1 BODY=8BITMIME');
  await client.ask('RCPT TO:<kim@a.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old@a.test');
  await client.ask('DATA');
  await client.ask(`${CONTENT}.`);
  const { envelope } = mta.stored();
  assert.equal(envelope.facts.envId, 'e+1');
  assert.equal(envelope.returnContent, 'headers');
  assert.equal(envelope.eightBit, true);
  assert.deepEqual(envelope.recipients[0]?.notify, ['success', 'failure']);
  assert.equal(envelope.recipients[0]?.originalRecipient, 'old@a.test');
  await client.ask('MAIL FROM:<news@brand.test> ENVID=e2');
  await client.ask('RCPT TO:<kim@a.test>');
  await client.ask('DATA');
  await client.ask(`X-Envid: e3\r\n${CONTENT}.`);
  assert.equal(mta.stored().envelope.facts.envId, 'e3');
});

test('headers that accounting asks for are kept, as they stood, in their order', async (t) => {
  const mta = await startReception(t, open(), { headersWanted: ['x-one', 'x-two'] });
  await mta.send({
    to: ['kim@a.test'],
    content: `x-TWO: b\r\nX-Other: no\r\nX-One: a\r\n  folded\r\nX-Two: c\r\n${CONTENT}`,
  });
  assert.deepEqual(mta.stored().envelope.facts.headers, [
    ['x-TWO', 'b'],
    ['X-One', 'a folded'],
    ['X-Two', 'c'],
  ]);
});

test('unqualified addresses get the domain-suffix where the source allows them', async (t) => {
  const mta = await startReception(t, open());
  assert.match(await mta.send({ from: 'root', to: ['kim'] }), /^250 /);
  const { envelope } = mta.stored();
  assert.equal(envelope.facts.sender, 'root@local.test');
  assert.equal(envelope.recipients[0]?.address, 'kim@local.test');
  const strict = await startReception(t, open('auto-qualify-domain no'));
  assert.match(await strict.send({ to: ['kim'] }), /^5/);
});

test('relaying: allowed to relay-domains, denied else, and only temporarily under relay-debug', async (t) => {
  const text = 'relay-domain in.test\n<source 0/0>\nsmtp-service yes\n</source>';
  const mta = await startReception(t, text);
  assert.match(await mta.send({ to: ['kim@in.test'] }), /^250 /);
  assert.match(await mta.send({ to: ['kim@out.test'] }), /^550 5\.7\.1 relaying denied for <kim@out\.test>/);
  assert.ok(mta.logged.includes('relaying denied'));
  const debug = await startReception(t, `relay-debug yes\n${text}`);
  assert.match(await debug.send({ to: ['kim@out.test'] }), /^450 4\.7\.1 /);
});

test('a VMTA that does not exist refuses the message in one line, whatever its name holds', async (t) => {
  const mta = await startReception(t, open('process-x-virtual-mta yes'));
  const answer = await mta.send({
    to: ['kim@a.test'],
    content: `X-Virtual-MTA: a\u0001b\r\n 250 ok ${'x'.repeat(500)}\r\n${CONTENT}`,
  });
  assert.match(answer, /^550 5\.3\.5 X-Virtual-MTA names "a.b 250 ok x+", which is no VirtualMTA/);
  assert.ok(answer.length < 250);
  assert.deepEqual(mta.outcomes(), []);
});

test('while the disk is nearly full no mail is taken: 452 to MAIL, and the log says why', async (t) => {
  const mta = await startReception(t, open());
  mta.refusal = '/spool has 3 kB free, min-free-space is 10 kB';
  assert.match(await mta.send({ to: ['kim@a.test'] }), /^452 4\.3\.1 /);
  assert.ok(mta.logged.some((line) => line.includes('min-free-space')));
  mta.refusal = null;
  assert.match(await mta.send({ to: ['kim@a.test'] }), /^250 /);
});

test('a disk that refuses the message: 452, nothing is queued, and it works again when there is room', async (t) => {
  const dir = smallDisk(t, '2m');
  if (dir === null) return;
  const mta = await startReception(t, open(), { dir });
  const large = `${CONTENT}${`${'x'.repeat(998)}\r\n`.repeat(3000)}`;
  assert.match(await mta.send({ to: ['kim@a.test'], content: large }), /^452 4\.3\.1 /);
  assert.deepEqual(mta.queued, []);
  assert.equal(mta.spool.messageCount, 0);
  assert.match(await mta.send({ to: ['kim@a.test'] }), /^250 /);
});

test('total-max-smtp-in: one session more is turned away with 421, and counted out again', async (t) => {
  const mta = await startReception(t, `total-max-smtp-in 2\n${open()}`);
  const first = await mta.client();
  await mta.client();
  assert.equal(mta.reception.openSessions, 2);
  await assert.rejects(async () => (await mta.client()).ask('NOOP'));
  assert.ok(mta.logged.some((line) => line.includes('total-max-smtp-in')));
  await first.ask('QUIT');
  await first.end();
  await until(() => mta.reception.openSessions === 1);
  const again = await mta.client();
  assert.match(await again.ask('NOOP'), /^250/);
  assert.equal(mta.reception.mostSessions, 2);
});

test('an address without SMTP service is refused at the door', async (t) => {
  const mta = await startReception(t, '<source 0/0>\nsmtp-service no\n</source>');
  await assert.rejects(mta.client());
});

test('what a user may do is the source of the user, not that of the address', async (t) => {
  const mta = await startReception(
    t,
    `<source 0/0>
      allow-auth yes
      allow-unencrypted-plain-auth yes
    </source>
    <source {auth}>
      always-allow-relaying yes
      process-x-job yes
    </source>
    <smtp-user demo>
      password secret
      source {auth}
    </smtp-user>`,
  );
  assert.match(await mta.send({ to: ['kim@out.test'] }), /^550 5\.7\.1/);
  const client = await mta.client();
  const login = (password: string) =>
    client.ask(`AUTH PLAIN ${Buffer.from(`\0demo\0${password}`).toString('base64')}`);
  assert.match(await login('wrong'), /^535/);
  assert.match(await login('secret'), /^235/);
  await client.ask('MAIL FROM:<news@brand.test>');
  assert.match(await client.ask('RCPT TO:<kim@out.test>'), /^250/);
  await client.ask('DATA');
  await client.ask(`X-Job: j\r\n${CONTENT}.`);
  const { facts } = mta.stored().envelope;
  assert.deepEqual([facts.user, facts.jobId], ['demo', 'j']);
});
