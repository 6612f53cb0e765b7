import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { TestClock } from '../system/testing.ts';
import { makeSelfSignedCertificate } from './self-signed.ts';
import { createSmtpSecureContext } from './server.ts';
import type { SmtpServerTls } from './server-types.ts';
import { Peer, startServer } from './test-peer.ts';

let tls: SmtpServerTls;
let cert: string;

before(async () => {
  const made = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  cert = made.cert;
  tls = { secureContext: createSmtpSecureContext(made) };
});

test('STARTTLS secures the session, and everything said in clear is forgotten', async (t) => {
  const abandoned: string[] = [];
  const server = await startServer(
    t,
    { tls },
    { onAbandoned: ({ from }) => void abandoned.push(from.address) },
  );
  const peer = await Peer.open(t, server.port);
  await peer.reply();
  assert.match(await peer.ask('EHLO c'), /STARTTLS/);
  assert.match(await peer.ask('STARTTLS now'), /^501 5\.5\.4/);
  await peer.ask('MAIL FROM:<a@b>');
  assert.match(await peer.ask('STARTTLS'), /^220 2\.0\.0/);
  assert.deepEqual(abandoned, ['a@b']);
  await peer.secure({ ca: cert, servername: 'mx.test' });
  assert.match(await peer.ask('MAIL FROM:<a@b>'), /^503 5\.5\.1/);
  assert.doesNotMatch(await peer.ask('EHLO c'), /STARTTLS/);
  assert.match(await peer.ask('STARTTLS'), /^503 5\.5\.1/);
  const [session] = server.server.sessions;
  assert.equal(session?.tls?.protocol, 'TLSv1.3');
  assert.match(session?.tls?.cipher ?? '', /AES|CHACHA/);
  await peer.ask('MAIL FROM:<a@b>');
  await peer.ask('RCPT TO:<c@d>');
  assert.match(await peer.ask('DATA'), /^354/);
  const large = 'x'.repeat(998).concat('\r\n').repeat(500);
  assert.match(await peer.ask(`${large}.`), /^250 2\.0\.0/);
  assert.match(await peer.ask('QUIT'), /^221/);
  await peer.end();
  assert.equal(server.messages[0]?.content.toString(), large);
});

test('commands sent along with STARTTLS are never obeyed (CVE-2011-0411)', async (t) => {
  const mails: string[] = [];
  const { port } = await startServer(t, { tls }, { onMail: ({ address }) => void mails.push(address) });
  for (const injected of ['MAIL FROM:<inject@b>\r\n', 'MAIL FROM:<inject@b>\r\nRSET\r\nNOO', 'x', '\r\n']) {
    const peer = await Peer.open(t, port);
    await peer.reply();
    await peer.ask('EHLO c');
    peer.write(`STARTTLS\r\n${injected}`);
    assert.match(await peer.text(), /^220/);
    await peer.secure();
    assert.match(await peer.ask('NOOP'), /^250/);
    assert.deepEqual(peer.reader.replies, []);
    await peer.ask('EHLO c');
    await peer.ask('MAIL FROM:<clean@b>');
    peer.socket.destroy();
  }
  assert.deepEqual([...new Set(mails)], ['clean@b']);
});

test('commands in a packet of their own right behind STARTTLS spoil the handshake and nothing else', async (t) => {
  const mails: string[] = [];
  const { port } = await startServer(t, { tls }, { onMail: ({ address }) => void mails.push(address) });
  const peer = await Peer.open(t, port);
  await peer.reply();
  await peer.ask('EHLO c');
  peer.write('STARTTLS\r\n');
  peer.socket.once('data', () => peer.write('MAIL FROM:<inject@b>\r\n'));
  assert.match(await peer.text(), /^220/);
  await peer.end();
  assert.deepEqual(mails, []);
});

test('immediate TLS greets inside', async (t) => {
  const { port } = await startServer(t, { tls, immediateTls: true });
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, servername: 'mx.test' });
  const peer = new Peer(socket);
  assert.match(await peer.text(), /^220 mx\.test/);
  assert.doesNotMatch(await peer.ask('EHLO c'), /STARTTLS/);
  assert.match(await peer.ask('QUIT'), /^221/);
  await peer.end();
});

test('a version that is not allowed does not connect', async (t) => {
  const made = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  const old = { secureContext: createSmtpSecureContext({ ...made, minVersion: 'TLSv1.3' }) };
  const reasons: string[] = [];
  const { port } = await startServer(
    t,
    { tls: old, immediateTls: true },
    { onClose: (why) => void reasons.push(why) },
  );
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  await assert.rejects(once(socket, 'secureConnect'));
  while (reasons.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(reasons, ['error']);
});

test('a handshake that never comes is given up', async (t) => {
  const clock = new TestClock();
  const { port, server } = await startServer(t, { tls, immediateTls: true }, {}, clock);
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  while (server.sessions.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  clock.advance(30_000);
  socket.resume();
  await once(socket, 'close');
  assert.equal(clock.waiting, 0);
});

test('where TLS is required, mail in clear is refused with 530 and AUTH is not offered', async (t) => {
  const { port } = await startServer(
    t,
    { tls, requireTls: true, authMechanisms: ['CRAM-MD5'] },
    { passwordOf: () => 'secret' },
  );
  const peer = await Peer.open(t, port);
  await peer.reply();
  assert.doesNotMatch(await peer.ask('EHLO c'), /AUTH/);
  assert.match(await peer.ask('MAIL FROM:<a@b>'), /^530 5\.7\.0/);
  assert.match(await peer.ask('AUTH CRAM-MD5'), /^538 5\.7\.11/);
  await peer.ask('STARTTLS');
  await peer.secure();
  assert.match(await peer.ask('EHLO c'), /AUTH CRAM-MD5/);
  assert.match(await peer.ask('MAIL FROM:<a@b>'), /^250/);
});

test("a client's certificate is there for the handlers to judge", async (t) => {
  const client = await makeSelfSignedCertificate({ names: ['client.test'], days: 2 });
  const trusting = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  const seen: unknown[] = [];
  for (const ca of [undefined, client.cert]) {
    const { port } = await startServer(
      t,
      {
        tls: { secureContext: createSmtpSecureContext({ ...trusting, ca }), requestCertificate: true },
        immediateTls: true,
      },
      {
        onConnect: (session) =>
          void seen.push(session.clientCertificate?.verified, session.clientCertificate?.subject),
      },
    );
    const peer = new Peer(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...client }));
    await peer.reply();
    peer.socket.destroy();
  }
  assert.deepEqual(seen, [false, 'CN=client.test', true, 'CN=client.test']);
});

test('a client that asks for another handshake (TLS 1.2) is cut off', async (t) => {
  const server = await startServer(t, { tls });
  const peer = await Peer.open(t, server.port);
  await peer.reply();
  await peer.ask('EHLO c');
  await peer.ask('STARTTLS');
  await peer.secure({ maxVersion: 'TLSv1.2' });
  assert.match(await peer.ask('EHLO c'), /^250/);
  (peer.socket as TLSSocket).renegotiate({ rejectUnauthorized: false }, () => {});
  await peer.end();
  assert.equal(server.server.sessions.size, 0);
});

test('what is no TLS any more, after the handshake, ends the connection', async (t) => {
  const server = await startServer(t, { tls });
  const peer = await Peer.open(t, server.port);
  const raw = peer.socket;
  await peer.reply();
  await peer.ask('EHLO c');
  await peer.ask('STARTTLS');
  await peer.secure();
  assert.match(await peer.ask('EHLO c'), /^250/);
  raw.write(Buffer.from('MAIL FROM:<a@b>\r\n'));
  await once(raw, 'close');
  assert.deepEqual(server.messages, []);
});
