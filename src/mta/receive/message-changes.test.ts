// Section 1 of the delivery guide, "message changes made on the way", as far as reception makes them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Header } from '../../mail/header.ts';
import { CONTENT, startReception } from '../testing.ts';

const open = (source = '', global = '') =>
  `${global}\n<source 0/0>\nalways-allow-relaying yes\n${source}\n</source>`;

test('extra headers: include-headers-from lines follow directly after our Received; global and VMTA files both', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-headers-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [all, own] = [path.join(dir, 'all.txt'), path.join(dir, 'own.txt')];
  const texts = { [all]: 'X-All: 1\nX-Folded: a\n b\nnot a header\n', [own]: 'X-Own: [2]\r\n' };
  for (const [file, text] of Object.entries(texts)) writeFileSync(file, text);
  const global = `include-headers-from ${all}
    <virtual-mta v>
      include-headers-from ${own}
    </virtual-mta>`;
  const source = 'default-virtual-mta v\nadd-date-header yes\nallow-mailmerge yes';
  const mta = await startReception(t, open(source, global), { files: texts });
  await mta.send({ to: ['kim@a.test'] });
  const { content } = mta.stored();
  const keys = new Header(content).fields.map(({ key }) => key);
  assert.deepEqual(keys.slice(0, 5), ['received', 'x-all', 'x-folded', 'x-own', 'date']);
  assert.match(content.toString(), /X-Folded: a\r\n b\r\nX-Own: \[2\]\r\n/);
  assert.ok(mta.logged.some((line) => line.includes('no header')));
});

test('remove-received-headers drops those that the message came with; ours and the hop limit stay', async (t) => {
  const mta = await startReception(t, open('remove-received-headers yes\nmax-message-hops 2'));
  const came = (n: number) => 'Received: from x by y;\r\n\tThu\r\n'.repeat(n);
  await mta.send({ to: ['kim@a.test'], content: `${came(2)}${CONTENT}` });
  const header = new Header(mta.stored().content);
  assert.equal(header.all('received').length, 1);
  assert.match(header.get('received')!, /by mta\.test/);
  assert.match(await mta.send({ to: ['kim@a.test'], content: `${came(3)}${CONTENT}` }), /^554 5\.4\.6/);
});

test('Date: never on mailmerge mail, always set with override', async (t) => {
  const mta = await startReception(t, open('add-date-header override\nallow-mailmerge yes'));
  await mta.send({ to: ['kim@a.test'], content: `Date: long ago\r\n${CONTENT}` });
  assert.equal(new Header(mta.stored().content).get('date'), 'Sat, 21 Nov 2026 00:00:00 +0000');
  const peer = await mta.client();
  for (const line of ['XMRG FROM:<a@b.test>', 'RCPT TO:<kim@a.test>', 'XPRT 1 LAST']) await peer.ask(line);
  await peer.ask('Date: of the template\r\nSubject: x\r\n\r\n.');
  assert.match(mta.stored().content.toString(), /Date: of the template/);
});

test('Message-Id on mail merge: each recipient has its own', async (t) => {
  const mta = await startReception(t, open('add-message-id-header yes\nallow-mailmerge yes'));
  const peer = await mta.client();
  for (const line of [
    'XMRG FROM:<a@b.test>',
    'RCPT TO:<kim@a.test>',
    'RCPT TO:<lou@a.test>',
    'XPRT 1 LAST',
  ]) {
    await peer.ask(line);
  }
  await peer.ask('Subject: x\r\n\r\n.');
  const { envelope, content } = mta.stored();
  const { mergedContent } = await import('../deliver/merged-content.ts');
  const ids = [0, 1].map((i) => new Header(mergedContent(envelope, i, content)!).get('message-id')!);
  assert.match(ids[0]!, /^<1\.[^<>@]+@mta\.test>$/);
  assert.match(ids[1]!, /^<2\.[^<>@]+@mta\.test>$/);
});

test('unqualified domains: domain-suffix, else the host’s own parent domain; not with auto-qualify-domain no', async (t) => {
  const sent = async (text: string, to: string) => {
    const mta = await startReception(t, text);
    const answer = await mta.send({ to: [to] });
    return answer.startsWith('250') ? mta.stored().envelope.recipients[0]!.address : answer.slice(0, 3);
  };
  assert.equal(await sent(open('', 'domain-suffix local.test'), 'kim@mail'), 'kim@mail.local.test');
  assert.equal(await sent(open('', 'domain-suffix local.test'), 'kim'), 'kim@local.test');
  assert.equal(await sent(open('', 'host-name mx.own.example'), 'kim@mail'), 'kim@mail.own.example');
  assert.equal(await sent(open('', 'domain-suffix local.test'), 'kim@[192.0.2.1]'), 'kim@[192.0.2.1]');
  assert.equal(
    await sent(open('auto-qualify-domain no', 'domain-suffix local.test'), 'kim@mail'),
    'kim@mail',
  );
  assert.equal(
    await sent(open('', 'host-name mail\ndomain-suffix local.test'), 'kim@mail'),
    'kim@mail',
    'a local name',
  );
});

test('size: over max-message-size refused; EHLO SIZE shows the limit, 0 for none', async (t) => {
  const mta = await startReception(t, open('max-message-size 1k'));
  assert.match(await (await mta.client()).ask('EHLO x.test'), /SIZE 1024/);
  assert.match(
    await mta.send({ to: ['kim@a.test'], content: `${CONTENT}${'x'.repeat(990)}\r\n` }),
    /^552 5\.3\.4/,
  );
  const free = await startReception(t, open());
  assert.match(await (await free.client()).ask('EHLO x.test'), /SIZE 0/);
});

test('section 14, VERP: verp-default or the VERP parameter of MAIL and XMRG; otherwise not', async (t) => {
  const byDefault = await startReception(t, open('verp-default yes'));
  await byDefault.send({ to: ['kim@a.test'] });
  assert.equal(byDefault.stored().envelope.verp, true);
  const mta = await startReception(t, open('allow-mailmerge yes'));
  await mta.send({ to: ['kim@a.test'] });
  assert.equal(mta.stored().envelope.verp, undefined);
  const peer = await mta.client();
  assert.match(await peer.ask('EHLO again.test'), /VERP/);
  assert.match(await peer.ask('MAIL FROM:<news@brand.test> VERP'), /^250 /);
  await peer.ask('RCPT TO:<kim@a.test>');
  await peer.ask('DATA');
  await peer.ask(`${CONTENT}.`);
  assert.equal(mta.stored().envelope.verp, true);
  await peer.ask('XMRG FROM:<news@brand.test> VERP');
  await peer.ask('RCPT TO:<kim@a.test>');
  await peer.ask('XPRT 1 LAST');
  await peer.ask(`${CONTENT}.`);
  assert.equal(mta.stored().envelope.verp, true);
});

test('section 14, dsn-return-default: RET of the submission, else the source’s for our own reports alone, else left open', async (t) => {
  for (const [source, param, expected, own] of [
    ['dsn-return-default full', '', '', 'full'],
    ['dsn-return-default full', ' RET=HDRS', 'headers', 'full'],
    ['dsn-return-default system', '', '', undefined],
    ['', '', '', undefined],
  ] as const) {
    const mta = await startReception(t, open(source));
    const peer = await mta.client();
    await peer.ask(`MAIL FROM:<a@b.test>${param}`);
    await peer.ask('RCPT TO:<kim@a.test>');
    await peer.ask('DATA');
    await peer.ask(`${CONTENT}.`);
    // The next host gets what the submitter said, and nothing where they said nothing.
    assert.equal(mta.stored().envelope.returnContent, expected);
    assert.equal(mta.stored().envelope.returnDefault, own);
  }
});

test('text without a header stays text: an empty line stands between it and our fields', async (t) => {
  const mta = await startReception(t, open('add-date-header yes\nremove-received-headers yes'));
  for (const [content, body] of [
    ['hello there\r\nReceived: no field\r\n', 'hello there\r\nReceived: no field\r\n'],
    [' folded\r\nSubject: x\r\n\r\nb\r\n', ' folded\r\nSubject: x\r\n\r\nb\r\n'],
    ['\r\nhello\r\n', 'hello\r\n'],
    ['From a@b.test Mon Jan  1 00:00:00 2026\r\nSubject: x\r\n\r\nb\r\n', 'b\r\n'],
    ['Subject : x\r\nno field\r\n\r\nb\r\n', 'b\r\n'],
    ['', ''],
  ] as const) {
    assert.match(await mta.send({ to: ['kim@a.test'], content }), /^250 /);
    const stored = mta.stored().content;
    const header = new Header(stored);
    assert.equal(stored.subarray(header.bodyStart).toString(), body, JSON.stringify(content));
    assert.equal(header.get('date'), 'Sat, 21 Nov 2026 00:00:00 +0000');
    assert.equal(header.all('received').length, 1);
  }
});
