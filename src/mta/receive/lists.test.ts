// Section 19 of the delivery guide: suppression lists, rewrite lists, aliases; and bcc of section 1.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Header } from '../../mail/header.ts';
import { REFUSED_QUEUE } from '../../spool/stored-message.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { CONTENT, messageFacts, startDelivery, startReception, until } from '../testing.ts';

const open = (source: string, global = '') =>
  `${global}\n<source 0/0>\nalways-allow-relaying yes\n${source}\n</source>`;

const LIST = (entries: string, name = 'gone') => `<address-list ${name}>\n${entries}\n</address-list>`;

test('suppression, SMTP without accept-invalid-recipients: RCPT refused, for every kind of entry', async (t) => {
  const entries = [
    'address full@a.test',
    'address locally',
    'address /^re[0-9]+@/',
    'domain gone.test',
    'address-file /etc/pmta/gone.txt',
  ].join('\n');
  const files = { '/etc/pmta/gone.txt': '# gone\r\nfiled@a.test\r\n\r\n  FiledLocal' };
  const mta = await startReception(t, open('suppression-lists gone', LIST(entries)), { files });
  for (const address of [
    'full@a.test',
    'FULL@A.test',
    'locally@anywhere.test',
    're12@a.test',
    'x@gone.test',
    'filed@a.test',
    'filedlocal@b.test',
  ]) {
    assert.equal(
      await mta.send({ to: [address] }),
      `550 5.7.1 recipient is in suppression list "gone": <${address}>`,
    );
  }
  for (const address of ['full@b.test', 'x@sub.gone.test', 'rex@a.test', 'kim@a.test']) {
    assert.match(await mta.send({ to: [address] }), /^250 /, address);
  }
});

test('suppression: an address file of a million lines', async (t) => {
  const lines = Array.from({ length: 1_000_000 }, (_, i) => `user${i}@d${i % 5000}.test`);
  const files = { '/etc/pmta/gone.txt': lines.join('\n') };
  const list = LIST('address-file /etc/pmta/gone.txt');
  const mta = await startReception(t, open('suppression-lists gone', list), { files });
  assert.match(await mta.send({ to: ['USER999999@d4999.test'] }), /^550 5\.7\.1/);
  assert.match(await mta.send({ to: ['user0@d0.test'] }), /^550 5\.7\.1/);
  assert.match(await mta.send({ to: ['user0@d1.test'] }), /^250 /);
});

test('suppression, SMTP with accept-invalid-recipients: queued, then bounced 5.7.1 (delivery not authorized)', async (t) => {
  const mta = await startReception(
    t,
    open(
      'suppression-lists other,gone\naccept-invalid-recipients yes',
      `${LIST('address x@y.test', 'other')}\n${LIST('domain gone.test')}`,
    ),
  );
  assert.match(await mta.send({ to: ['kim@gone.test', 'lou@a.test'] }), /^250 /);
  const [kim, lou] = mta.stored().envelope.recipients;
  assert.deepEqual(
    [kim!.refusal!.status, kim!.refusal!.statusText, kim!.refusal!.diagnostic],
    [
      '5.7.1',
      'delivery not authorized',
      'smtp;550 5.7.1 recipient is in suppression list "gone": <kim@gone.test>',
    ],
  );
  assert.equal(lou!.refusal, undefined);
  assert.deepEqual(
    mta.queued.map(({ domain }) => domain),
    [REFUSED_QUEUE, 'a.test'],
  );
});

test('accept-invalid-recipients: a malformed address is taken and bounced too; relaying is refused all the same', async (t) => {
  const mta = await startReception(
    t,
    '<source 0/0>\naccept-invalid-recipients yes\n</source>\nrelay-domain in.test',
  );
  const client = await mta.client();
  await client.ask('MAIL FROM:<news@brand.test>');
  assert.match(await client.ask('RCPT TO:<kim@@in..test>'), /^250 2\.1\.5/);
  assert.match(await client.ask('RCPT TO:<kim@out.test>'), /^550 5\.7\.1/);
  assert.match(await client.ask('RCPT TO:<kim@in.test> BAD=1'), /^555/);
  await client.ask('DATA');
  assert.match(await client.ask(`${CONTENT}.`), /^250 /);
  const { recipients } = mta.stored().envelope;
  assert.equal(recipients.length, 1);
  assert.match(recipients[0]!.refusal!.status, /^5\.1\./);
});

test('a recipient that was taken only to be bounced: bounced with that status and never tried', async (t) => {
  const mta = await startDelivery(t, { config: '' });
  const refusal = {
    status: '5.7.1',
    statusText: 'delivery not authorized',
    diagnostic: 'smtp;550 5.7.1 recipient is in suppression list "gone": <kim@a.test>',
    category: 'policy-related',
    bounceClass: 25,
  };
  const stored = { address: 'kim@a.test', originalRecipient: '', messageId: 'm1', notify: [], refusal };
  const facts = messageFacts({ spoolId: '018bcfe568000009' });
  const { spoolId } = facts;
  const envelope = {
    ...{ facts, recipients: [stored], eightBit: false, smtpUtf8: false, returnContent: '' as const },
    ...{ removeHeaders: [], suppressReports: false },
  };
  const item = { spoolId, index: 0, receivedAt: 0, attempts: 0, holdUntil: 0, priority: 50 };
  const pending = { ...item, domain: REFUSED_QUEUE, vmta: '{default}' };
  await mta.spool.store(envelope, CONTENT, [pending], []);
  const queued = queuedRecipient(item);
  mta.scheduler.add(REFUSED_QUEUE, '{default}', queued, mta.clock.now());
  mta.dispatcher.kick();
  await until(() => mta.journal().length === 1);
  const [bounced] = mta.journal();
  assert.ok(bounced?.kind === 'bounced');
  assert.deepEqual([bounced.result, bounced.attempt, bounced.queue], [refusal, null, 'a.test/{default}']);
});

test('rewrite `mail-from ops@* *@b.example`: ops@a.example becomes ops@b.example', async (t) => {
  assert.equal(await rewritten(t, 'mail-from ops@* *@b.example', 'ops@a.example'), 'ops@b.example');
});

test('rewrite `mail-from *@a.example bounce@*`: x@a.example becomes bounce@a.example', async (t) => {
  assert.equal(await rewritten(t, 'mail-from *@a.example bounce@*', 'x@a.example'), 'bounce@a.example');
});

test('rewrite `mail-from *@* *@b.example`: <> is unchanged (`*@*` excludes the empty address)', async (t) => {
  assert.equal(await rewritten(t, 'mail-from *@* *@b.example', ''), '');
});

test('rewrite `mail-from <> mailer@b.example`: <> becomes mailer@b.example', async (t) => {
  assert.equal(await rewritten(t, 'mail-from <> mailer@b.example', ''), 'mailer@b.example');
});

test('rewrite `mail-from k@a.example <>`: k@a.example becomes <>', async (t) => {
  assert.equal(await rewritten(t, 'mail-from k@a.example <>', 'k@a.example'), '');
});

test('rewrite, two rules match: the first in file order', async (t) => {
  const rules = 'mail-from *@a.example first@*\nmail-from x@a.example second@*';
  assert.equal(await rewritten(t, rules, 'x@a.example'), 'first@a.example');
});

async function rewritten(t: Parameters<typeof startReception>[0], rules: string, sender: string) {
  const mta = await startReception(t, open('rewrite-list r', `<rewrite-list r>\n${rules}\n</rewrite-list>`));
  assert.match(await mta.send({ from: sender, to: ['kim@a.test'] }), /^250 /);
  return mta.stored().envelope.facts.sender;
}

test('rewrite `from-domain *.a.example c.example`: From: J <j@m.a.example> becomes From: J <j@c.example>', async (t) => {
  const list = '<rewrite-list r>\nfrom-domain *.a.example c.example\n</rewrite-list>';
  const mta = await startReception(t, open('rewrite-list r', list));
  const body = 'Subject: j@m.a.example\r\n\r\nj@m.a.example\r\n';
  await mta.send({ to: ['kim@a.test'], content: `From: J <j@m.a.example>\r\n${body}` });
  const { content } = mta.stored();
  assert.ok(content.toString().endsWith(`From: J <j@c.example>\r\n${body}`), content.toString());
  await mta.send({ to: ['kim@a.test'], content: `From: "j@M.a.example" \r\n <j@M.a.example>\r\n${body}` });
  assert.match(mta.stored().content.toString(), /From: "j@M\.a\.example" \r\n <j@c\.example>\r\n/);
  await mta.send({ to: ['kim@a.test'], content: `From: J <j@a.example>\r\n${body}` });
  assert.match(
    mta.stored().content.toString(),
    /From: J <j@a\.example>/,
    'the domain itself is not below itself',
  );
});

test('rewrite lists of a VMTA and of a pool act after that of the source', async (t) => {
  const global = `<rewrite-list s>
      mail-from a@brand.test b@brand.test
    </rewrite-list>
    <rewrite-list v>
      mail-from b@brand.test c@brand.test
      from-domain brand.test own.test
    </rewrite-list>
    <rewrite-list p>
      mail-from b@brand.test d@brand.test
    </rewrite-list>
    <virtual-mta v1>
      rewrite-list v
    </virtual-mta>
    <virtual-mta v2>
    </virtual-mta>
    <virtual-mta-pool P>
      virtual-mta v2
      rewrite-list p
    </virtual-mta-pool>`;
  for (const [vmta, sender, from] of [
    ['v1', 'c@brand.test', 'news@own.test'],
    ['P', 'd@brand.test', 'news@brand.test'],
  ] as const) {
    const mta = await startReception(t, open(`rewrite-list s\ndefault-virtual-mta ${vmta}`, global));
    await mta.send({ from: 'a@brand.test', to: ['kim@a.test'] });
    const { envelope, content } = mta.stored();
    assert.equal(envelope.facts.sender, sender);
    assert.match(new Header(content).get('from')!, new RegExp(from));
  }
});

const HOSTS = 'host-name h1.example\nhost-name h2.example\n';

async function aliased(t: Parameters<typeof startReception>[0], aliases: string, to: string) {
  const mta = await startReception(
    t,
    open('default-virtual-mta v', `${HOSTS}${aliases}\n<virtual-mta v>\n</virtual-mta>`),
  );
  assert.match(await mta.send({ to: [to] }), /^250 /);
  assert.ok(
    mta.queued.every(({ vmta }) => vmta === 'v'),
    'targets keep the VMTA',
  );
  return mta.stored().envelope.recipients.map(({ address }) => address);
}

test('`alias jo x@z.example`; mail to jo@h2.example: x@z.example; mail to jo@other.example: untouched', async (t) => {
  const aliases = '<aliases>\nalias jo x@z.example\n</aliases>';
  assert.deepEqual(await aliased(t, aliases, 'jo@h2.example'), ['x@z.example']);
  assert.deepEqual(await aliased(t, aliases, 'Jo@H1.example'), ['x@z.example']);
  assert.deepEqual(await aliased(t, aliases, 'jo@other.example'), ['jo@other.example']);
});

test('`alias *@d.example a@z.example,b@z.example`; mail to q@d.example: both targets', async (t) => {
  const aliases = '<aliases>\nalias *@d.example a@z.example,b@z.example\n</aliases>';
  assert.deepEqual(await aliased(t, aliases, 'q@d.example'), ['a@z.example', 'b@z.example']);
});

test('aliases: the exact address goes before the local part, both before *@domain; targets are final', async (t) => {
  const aliases =
    '<aliases>\nalias *@h1.example a@z.example\nalias jo b@z.example\nalias jo@h1.example q@h1.example\n</aliases>';
  assert.deepEqual(await aliased(t, aliases, 'jo@h1.example'), ['q@h1.example']);
  assert.deepEqual(await aliased(t, aliases, 'jo@h2.example'), ['b@z.example']);
  assert.deepEqual(await aliased(t, aliases, 'al@h1.example'), ['a@z.example']);
});

test('section 1, bcc: an extra recipient at reception, whom nobody else sees', async (t) => {
  const mta = await startReception(t, open('bcc archive@own.test'));
  await mta.send({ to: ['kim@a.test'] });
  const { envelope, content } = mta.stored();
  assert.deepEqual(
    envelope.recipients.map(({ address, notify }) => [address, notify]),
    [
      ['kim@a.test', []],
      ['archive@own.test', ['never']],
    ],
  );
  assert.ok(!content.includes('archive@own.test'));
  await mta.send({ to: ['archive@own.test'] });
  assert.equal(mta.stored().envelope.recipients.length, 1, 'who gets it anyway gets it once');
});
