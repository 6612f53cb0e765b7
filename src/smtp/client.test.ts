import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { SmtpClient } from './client.ts';
import { type ConnectOptions, type SendResult, wasAccepted } from './client-types.ts';
import { connectSmtp } from './connect.ts';
import { reply } from './reply.ts';
import { makeSelfSignedCertificate } from './self-signed.ts';
import { createSmtpSecureContext } from './server.ts';
import type { SmtpExtension } from './server-types.ts';
import { settled, startPeer, startServer } from './test-peer.ts';

type Test = Parameters<typeof startServer>[0];

async function open(t: Test, port: number, options: Partial<ConnectOptions> = {}): Promise<SmtpClient> {
  const result = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test', ...options });
  assert.ok(result.ok, JSON.stringify(result));
  t.after(() => result.client.destroy());
  return result.client;
}

const codes = (result: SendResult) => ({
  mail: result.mail?.code ?? null,
  recipients: result.recipients.map((r) => r?.code ?? null),
  data: result.data?.code ?? null,
  lost: result.lost?.stage ?? null,
});

const to = (...addresses: string[]) => addresses.map((address) => ({ address }));

const EXTENSIONS: Record<string, SmtpExtension[]> = {
  'nothing offered': [],
  PIPELINING: ['PIPELINING', 'SIZE', 'ENHANCEDSTATUSCODES'],
  CHUNKING: ['CHUNKING'],
  'PIPELINING and CHUNKING': ['PIPELINING', 'CHUNKING', '8BITMIME', 'DSN', 'SMTPUTF8', 'SIZE'],
};

for (const [name, extensions] of Object.entries(EXTENSIONS)) {
  test(`transactions with ${name}: all, some and no recipients taken, content refused, and again`, async (t) => {
    const server = await startServer(
      t,
      { extensions: new Set(extensions) },
      {
        onRcpt: async ({ localPart }) => (localPart === 'bad' ? reply(550, '5.1.1', 'No') : null),
        onMail: async ({ localPart }) => (localPart === 'bad' ? reply(553, '5.1.8', 'No') : null),
      },
    );
    const refuseContent = server.messages;
    const client = await open(t, server.port);
    const content = Buffer.from('Subject: x\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n');
    const all = await client.send({ from: 'a@b', recipients: to('x@y', 'z@y'), content });
    assert.deepEqual(codes(all), { mail: 250, recipients: [250, 250], data: 250, lost: null });
    assert.ok(wasAccepted(all, 0) && wasAccepted(all, 1));
    const some = await client.send({ from: '', recipients: to('bad@y', 'z@y'), content });
    assert.deepEqual(codes(some), { mail: 250, recipients: [550, 250], data: 250, lost: null });
    assert.deepEqual([wasAccepted(some, 0), wasAccepted(some, 1)], [false, true]);
    const none = await client.send({ from: 'a@b', recipients: to('bad@y'), content });
    assert.equal(none.recipients[0]?.code, 550);
    assert.equal(wasAccepted(none, 0), false);
    assert.equal(none.lost, null);
    const noSender = await client.send({ from: 'bad@b', recipients: to('x@y'), content });
    assert.equal(noSender.mail?.code, 553);
    assert.equal(wasAccepted(noSender, 0), false);
    assert.ok(client.usable);
    const again = await client.send({ from: 'a@b', recipients: to('x@y'), content: Buffer.from('last') });
    assert.deepEqual(codes(again), { mail: 250, recipients: [250], data: 250, lost: null });
    assert.deepEqual(
      refuseContent.map((message) => message.content.toString()),
      [content.toString(), content.toString(), 'last\r\n'],
    );
    await client.quit();
    assert.equal(client.usable, false);
  });

  test(`large content with ${name} arrives byte for byte`, async (t) => {
    const server = await startServer(t, { extensions: new Set(extensions) });
    const client = await open(t, server.port);
    const content = Buffer.from(`${'.'.repeat(70)}\r\n${'y'.repeat(70)}\r\n`.repeat(10_000));
    for (let i = 0; i < 2; i++) {
      const result = await client.send({ from: 'a@b', recipients: to('x@y'), content });
      assert.equal(result.data?.code, 250);
      assert.ok(result.bytes >= content.length);
      assert.ok(server.messages[i]!.content.equals(content));
    }
  });
}

test('parameters go to a server that knows them, and are left out for one that does not', async (t) => {
  const content = Buffer.from('grüße\r\n', 'utf8');
  const message = {
    from: 'jörg@b.example',
    params: { body: '8BITMIME', ret: 'HDRS', envid: 'a+b c' } as const,
    recipients: [
      {
        address: 'x@y',
        params: { notify: ['FAILURE', 'DELAY'], orcpt: { type: 'rfc822', address: 'o+p@q' } } as const,
      },
    ],
    content,
  };
  const server = await startServer(t);
  const client = await open(t, server.port);
  assert.equal((await client.send(message)).data?.code, 250);
  const { from, recipients } = server.messages[0]!.envelope;
  assert.deepEqual(from.params, { size: 9, body: '8BITMIME', smtputf8: true, ret: 'HDRS', envid: 'a+b c' });
  assert.deepEqual(recipients[0]!.params, message.recipients[0]!.params);

  const plain = await startServer(t, { extensions: new Set() });
  const second = await open(t, plain.port);
  const ascii = { ...message, from: 'a@b' };
  assert.equal((await second.send(ascii)).data?.code, 250);
  assert.deepEqual(plain.messages[0]!.envelope.from.params, {});
  assert.deepEqual(plain.messages[0]!.envelope.recipients[0]!.params, {});
});

test('what the server can not do is said before anything is sent', async (t) => {
  const server = await startServer(t, { extensions: new Set(['SIZE']), maxMessageSize: 10 });
  const client = await open(t, server.port);
  const content = Buffer.from('x\r\n');
  const needs = async (message: object) =>
    (await client.send({ from: 'a@b', recipients: to('x@y'), content, ...message })).needs;
  assert.equal(await needs({ from: 'jörg@b' }), 'SMTPUTF8');
  assert.equal(await needs({ recipients: to('jörg@b') }), 'SMTPUTF8');
  const smtputf8 = { params: { smtputf8: true } };
  assert.equal(await needs({ ...smtputf8, content: Buffer.from('Subject: é\r\n\r\nx\r\n') }), 'SMTPUTF8');
  assert.equal(await needs({ params: { body: '8BITMIME' }, require8BitMime: true }), '8BITMIME');
  assert.equal(await needs({ content: Buffer.alloc(11, 'x') }), 'SIZE');
  assert.equal(client.transactions, 0);
  // Asked for, and not needed: the header is ASCII.
  assert.equal(await needs({ ...smtputf8, content: Buffer.from('S: e\r\n\r\n') }), null);
  assert.equal(server.messages.pop()!.envelope.from.params.smtputf8, undefined);
  assert.equal(await needs({ from: 'a@bücher.example', recipients: to('x@пример.example') }), null);
  const envelope = server.messages[0]?.envelope;
  assert.equal(envelope?.from.address, 'a@xn--bcher-kva.example');
  assert.equal(envelope?.recipients[0]?.address, 'x@xn--e1afmkfd.example');
  assert.equal(await needs({ params: { body: '8BITMIME' } }), null);
  assert.equal(client.sizeLimit, 10);
});

test('keywords that are to be ignored are, and the facts still show them', async (t) => {
  const server = await startServer(t);
  const client = await open(t, server.port, { ignore: new Set(['PIPELINING', 'CHUNKING']) });
  assert.ok(client.facts.keywords.includes('PIPELINING'));
  assert.deepEqual([client.offers('PIPELINING'), client.offers('DSN')], [false, true]);
  assert.equal(client.facts.greeting?.code, 220);
  assert.equal(client.facts.remotePort, server.port);
  assert.equal(client.facts.localAddress, '127.0.0.1');
});

test('the local address is the one that was asked for; the preamble comes first', async (t) => {
  const server = await startServer(t);
  const client = await open(t, server.port, { localAddress: '127.0.0.9' });
  assert.equal(client.facts.localAddress, '127.0.0.9');
  assert.equal([...server.server.sessions][0]?.remoteAddress, '127.0.0.9');
  const received: string[] = [];
  const port = await startPeer(t, (socket) => {
    socket.once('data', (piece) => {
      received.push(piece.toString());
      socket.end('554 no\r\n');
    });
  });
  const result = await connectSmtp({
    host: '127.0.0.1',
    port,
    heloName: 'c',
    preamble: 'PROXY TCP4 192.0.2.1 127.0.0.1 0 25\r\n',
  });
  assert.ok(!result.ok && result.stage === 'greeting');
  assert.deepEqual(received, ['PROXY TCP4 192.0.2.1 127.0.0.1 0 25\r\n']);
});

test('the final dot may go in a segment of its own', async (t) => {
  const server = await startServer(t, { extensions: new Set(['PIPELINING', 'CHUNKING']) });
  const client = await open(t, server.port);
  const message = { from: 'a@b', recipients: to('x@y'), content: Buffer.from('x\r\n'), separateDot: true };
  assert.equal((await client.send(message)).data?.code, 250);
});

test('the three mechanisms authenticate; passwords stay home in clear', async (t) => {
  const server = await startServer(
    t,
    { authMechanisms: ['PLAIN', 'LOGIN', 'CRAM-MD5'], allowClearPasswords: true, requireAuth: true },
    { passwordOf: (user) => (user === 'kim' ? 'secret' : null) },
  );
  const auth = { user: 'kim', password: 'secret' };
  assert.equal((await open(t, server.port, { auth })).facts.authMechanism, 'CRAM-MD5');
  for (const mechanism of ['PLAIN', 'LOGIN'] as const) {
    const client = await open(t, server.port, {
      auth: { ...auth, mechanisms: [mechanism], allowClear: true },
    });
    assert.equal(client.facts.authMechanism, mechanism);
  }
  const options = { host: '127.0.0.1', port: server.port, heloName: 'c' };
  const clear = await connectSmtp({ ...options, auth: { ...auth, mechanisms: ['PLAIN'] } });
  assert.ok(!clear.ok);
  assert.deepEqual([clear.stage, clear.error], ['auth', 'AUTH PLAIN needs TLS']);
  const wrong = await connectSmtp({ ...options, auth: { ...auth, password: 'no' } });
  assert.ok(!wrong.ok);
  assert.deepEqual([wrong.stage, wrong.reply?.code, wrong.error], ['auth', 535, '']);
  const none = await connectSmtp({ ...options, port: (await startServer(t)).port, auth });
  assert.ok(!none.ok);
  assert.equal(none.error, 'the remote host does not offer AUTH');
});

test('TLS: opportunistic, required, verified, immediate, and each of its failures', async (t) => {
  const made = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  const tls = { secureContext: createSmtpSecureContext(made) };
  const secure = await startServer(t, { tls });
  const clear = await startServer(t);
  const immediate = await startServer(t, { tls, immediateTls: true });
  const options = { host: '127.0.0.1', heloName: 'c', port: secure.port };

  const wished = await open(t, secure.port, { tls: { mode: 'opportunistic' } });
  assert.equal(wished.facts.tls?.protocol, 'TLSv1.3');
  const message = { from: 'a@b', recipients: to('x@y'), content: Buffer.from('x\r\n') };
  assert.equal((await wished.send(message)).data?.code, 250);
  assert.equal((await open(t, clear.port, { tls: { mode: 'opportunistic' } })).facts.tls, null);
  assert.equal((await open(t, secure.port, { tls: { mode: 'no' } })).facts.tls, null);
  assert.ok((await open(t, immediate.port, { tls: { mode: 'immediate' } })).facts.tls);

  const missing = await connectSmtp({ ...options, port: clear.port, tls: { mode: 'require' } });
  assert.ok(!missing.ok);
  assert.deepEqual([missing.stage, missing.code], ['starttls', 'ENOTLS']);

  const verify = { mode: 'require', verify: 'chain', ca: made.cert } as const;
  assert.ok((await open(t, secure.port, { tls: { ...verify, servername: 'mx.test' } })).facts.tls);
  const otherName = await connectSmtp({ ...options, tls: { ...verify, servername: 'other.test' } });
  assert.ok(!otherName.ok);
  assert.match(otherName.error, /for another host/);
  const untrusted = await connectSmtp({
    ...options,
    tls: { ...verify, servername: 'mx.test', ca: undefined },
  });
  assert.ok(!untrusted.ok);
  assert.match(untrusted.error, /not trusted/);
  const judged = await connectSmtp({
    ...options,
    tls: { mode: 'require', check: () => 'no TLSA record matches' },
  });
  assert.ok(!judged.ok);
  assert.match(judged.error, /no TLSA record matches/);

  const fallen = await open(t, secure.port, {
    tls: { ...verify, mode: 'opportunistic', servername: 'other.test' },
  });
  assert.equal(fallen.facts.tls, null);
  assert.match(fallen.facts.tlsFailure, /for another host/);
  assert.equal((await fallen.send(message)).data?.code, 250);
});

test('a server that refuses STARTTLS, or answers the handshake with nonsense', async (t) => {
  const answers = (reply: string) => (socket: import('node:net').Socket) => {
    let n = 0;
    socket.write('220 x\r\n');
    socket.on('data', () => {
      n++;
      if (n === 1) socket.write('250-x\r\n250 STARTTLS\r\n');
      else if (n === 2) socket.write(reply);
      else socket.write('500 what?\r\n');
    });
  };
  const refusing = await startPeer(t, answers('454 4.7.0 not now\r\n'));
  const client = await open(t, refusing, { tls: { mode: 'opportunistic' } });
  assert.match(client.facts.tlsFailure, /454 4\.7\.0 not now/);
  const required = await connectSmtp({
    host: '127.0.0.1',
    port: refusing,
    heloName: 'c',
    tls: { mode: 'require' },
  });
  assert.ok(!required.ok);
  assert.deepEqual([required.stage, required.reply?.code], ['starttls', 454]);
  const nonsense = await startPeer(t, answers('220 go\r\n'));
  const failed = await connectSmtp({
    host: '127.0.0.1',
    port: nonsense,
    heloName: 'c',
    tls: { mode: 'require' },
  });
  assert.ok(!failed.ok);
  assert.match(failed.error, /^TLS handshake failed/);
  const injected = await startPeer(t, answers('220 go\r\n250-x\r\n250 AUTH PLAIN\r\n'));
  const spoilt = await connectSmtp({
    host: '127.0.0.1',
    port: injected,
    heloName: 'c',
    tls: { mode: 'require' },
  });
  assert.ok(!spoilt.ok);
  assert.match(spoilt.error, /data came before the TLS handshake/);
});

test('RSET and NOOP get their replies; the end of the connection is told', async (t) => {
  const server = await startServer(t);
  const client = await open(t, server.port);
  assert.equal((await client.reset())?.code, 250);
  assert.equal((await client.noop())?.code, 250);
  const closed = new Promise<void>((resolve) => client.onClose(resolve));
  for (const session of server.server.sessions) session.destroy();
  await closed;
  assert.equal(client.usable, false);
  assert.equal(await client.noop(), null);
});

test('an aborted connection fails where it is', async (t) => {
  let connected = false;
  const port = await startPeer(t, () => {
    connected = true;
  });
  const abort = new AbortController();
  const connecting = connectSmtp({ host: '127.0.0.1', port, heloName: 'c', signal: abort.signal });
  while (!connected) await settled();
  await settled();
  abort.abort();
  const result = await connecting;
  assert.ok(!result.ok);
  assert.deepEqual([result.stage, result.code], ['greeting', 'EABORTED']);
  const before = await connectSmtp({ host: '127.0.0.1', port, heloName: 'c', signal: AbortSignal.abort() });
  assert.ok(!before.ok);
  assert.equal(before.stage, 'connect');
});

test('an address with a line end is never written', async (t) => {
  const server = await startServer(t);
  const client = await open(t, server.port);
  const content = Buffer.from('x\r\n');
  await assert.rejects(
    client.send({ from: 'a@b>\r\nRCPT TO:<evil@x', recipients: to('x@y'), content }),
    /control character/,
  );
  assert.ok(client.usable);
  assert.equal((await client.send({ from: 'a@b', recipients: to('x@y'), content })).data?.code, 250);
});

test('closing leaves neither timer nor socket', async (t) => {
  const server = await startServer(t);
  const before = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const client = await open(t, server.port);
  await client.send({ from: 'a@b', recipients: to('x@y'), content: Buffer.from('x\r\n') });
  const closed = new Promise<void>((resolve) => client.onClose(resolve));
  await client.quit();
  await closed;
  while (server.server.sessions.size > 0)
    await once(process, 'nothing', { signal: AbortSignal.timeout(10) }).catch(() => {});
  const after = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  assert.ok(after <= before, `${after} timers, ${before} before`);
});
