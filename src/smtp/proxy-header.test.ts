import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { silentLog } from '../system/log.ts';
import { TestClock } from '../system/testing.ts';
import { parseProxyHeader } from './proxy-header.ts';
import { makeSelfSignedCertificate } from './self-signed.ts';
import { createSmtpSecureContext, createSmtpServer } from './server.ts';
import { type SmtpServerOptions, smtpServerOptions } from './server-types.ts';
import { Peer, startServer } from './test-peer.ts';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** A version 2 header: command, family, and what follows the fixed part. */
function v2(command: number, family: number, rest: Buffer): Buffer {
  const head = Buffer.from([command, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([SIGNATURE, head, rest]);
}

const V4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 9, 0x30, 0x39, 0, 25]);

function clientOf(bytes: Buffer | string) {
  const header = parseProxyHeader(Buffer.from(bytes as string, 'latin1'));
  assert.equal(header.kind, 'header', JSON.stringify(header));
  return header.kind === 'header' ? header.client : undefined;
}

test('PROXY version 1: TCP4, TCP6, UNKNOWN', () => {
  assert.deepEqual(clientOf('PROXY TCP4 192.0.2.1 198.51.100.9 12345 25\r\nEHLO'), {
    remoteAddress: '192.0.2.1',
    remotePort: 12345,
    localAddress: '198.51.100.9',
    localPort: 25,
  });
  assert.equal(clientOf('PROXY TCP6 2001:DB8::1 2001:db8::2 1 25\r\n')?.remoteAddress, '2001:db8::1');
  assert.equal(clientOf('PROXY TCP6 ::ffff:192.0.2.7 ::1 1 25\r\n')?.remoteAddress, '192.0.2.7');
  assert.equal(clientOf('PROXY UNKNOWN\r\n'), null);
  assert.equal(clientOf('PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n'), null);
});

test('PROXY version 2: IPv4, IPv6, LOCAL, unspecified; what follows the addresses is passed over', () => {
  assert.deepEqual(clientOf(v2(0x21, 0x11, Buffer.concat([V4, Buffer.from('040003616263', 'hex')]))), {
    remoteAddress: '192.0.2.1',
    remotePort: 12345,
    localAddress: '198.51.100.9',
    localPort: 25,
  });
  const v6 = Buffer.from(`20010db8${'0'.repeat(23)}1${'0'.repeat(20)}ffffc000020230390019`, 'hex');
  assert.equal(clientOf(v2(0x21, 0x21, v6))?.remoteAddress, '2001:db8::1');
  assert.equal(clientOf(v2(0x21, 0x21, v6))?.localAddress, '192.0.2.2');
  assert.equal(clientOf(v2(0x20, 0x00, Buffer.alloc(0))), null);
  assert.equal(clientOf(v2(0x20, 0x11, V4)), null, 'LOCAL: whatever follows');
  assert.equal(clientOf(v2(0x21, 0x00, Buffer.alloc(30))), null);
});

test('PROXY headers are incomplete until their last byte, at every length', () => {
  for (const whole of [Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.9 12345 25\r\n'), v2(0x21, 0x11, V4)]) {
    for (let n = 0; n < whole.length; n++)
      assert.equal(parseProxyHeader(whole.subarray(0, n)).kind, 'incomplete');
    const header = parseProxyHeader(Buffer.concat([whole, Buffer.from('EHLO x\r\n')]));
    assert.equal(header.kind === 'header' && header.length, whole.length);
  }
});

test('PROXY garbage is refused, and never more than a bounded piece of it is kept', () => {
  const garbage: (string | Buffer)[] = [
    'EHLO x\r\n',
    'PROXZ',
    'proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n',
    'PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n',
    'PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n',
    'PROXY TCP4 ::1 ::1 1 1\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n',
    'PROXY TCP6 1.2.3.4 ::1 1 1\r\n',
    'PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP4\r\n',
    'PROXY \r\n',
    `PROXY TCP4 ${'1'.repeat(107)}`,
    v2(0x11, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x12, V4),
    v2(0x21, 0x31, Buffer.alloc(216)),
    v2(0x21, 0x11, V4.subarray(1)),
    v2(0x21, 0x21, V4),
    Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0xff, 0xff])]),
    Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from([0])]),
  ];
  for (const bytes of garbage) {
    const header = parseProxyHeader(Buffer.from(bytes as string, 'latin1'));
    assert.equal(header.kind, 'bad', Buffer.from(bytes as string, 'latin1').toString('latin1'));
  }
});

/** A server whose every peer is a proxy; answers addresses of the sessions. */
async function behindProxy(t: Parameters<typeof startServer>[0], given: Partial<SmtpServerOptions> = {}) {
  const clock = new TestClock();
  const clients: string[] = [];
  const server = createSmtpServer(
    (endpoints) => {
      clients.push(`${endpoints.remoteAddress}:${endpoints.remotePort}`);
      return {
        options: smtpServerOptions({ hostName: 'mx.test', ...given }),
        handlers: { onMessage: () => null },
      };
    },
    { clock, log: silentLog },
    () => true,
  );
  const port = await server.listen('127.0.0.1', 0, 'a test');
  t.after(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close(0);
  });
  return { server, port, clients, clock };
}

test('PROXY: the session begins after the header with the client that it names, however the bytes come', async (t) => {
  const { port, clients, server } = await behindProxy(t);
  for (const header of [Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.9 12345 25\r\n'), v2(0x21, 0x11, V4)]) {
    const early = await Peer.open(t, port);
    early.write(Buffer.concat([header, Buffer.from('EHLO client.test\r\n')]));
    assert.match(await early.text(), /^220/);
    assert.match(await early.text(), /^250/);
    assert.match(await early.ask('NOOP'), /^250/);

    const slow = await Peer.open(t, port);
    await slow.drip(header);
    assert.match(await slow.text(), /^220/);
    assert.match(await slow.ask('EHLO client.test'), /^250/);
    assert.match(await slow.ask('QUIT'), /^221/);
  }
  assert.deepEqual(clients, Array(4).fill('192.0.2.1:12345'));
  assert.equal([...server.sessions][0]?.localAddress, '198.51.100.9');
});

test('PROXY: a proxy that speaks for itself is the client', async (t) => {
  const { port, clients } = await behindProxy(t);
  const peer = await Peer.open(t, port);
  peer.write('PROXY UNKNOWN\r\n');
  assert.match(await peer.text(), /^220/);
  assert.deepEqual(clients, [`127.0.0.1:${peer.socket.localPort}`]);
});

test('PROXY comes before immediate TLS', async (t) => {
  const made = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  const { port, clients } = await behindProxy(t, {
    tls: { secureContext: createSmtpSecureContext(made) },
    immediateTls: true,
  });
  for (const header of [Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.9 12345 25\r\n'), v2(0x21, 0x11, V4)]) {
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    // The client's first TLS bytes may share a packet with the header.
    socket.cork();
    socket.write(header);
    const secured = connectTls({ socket, ca: made.cert, servername: 'mx.test' });
    setImmediate(() => socket.uncork());
    await once(secured, 'secureConnect');
    const [greeting] = (await once(secured, 'data')) as [Buffer];
    assert.match(greeting.toString(), /^220/);
  }
  assert.deepEqual(clients, Array(2).fill('192.0.2.1:12345'));
});

test('PROXY: a proxy that sends no header, a wrong one or half of one is cut off without a session', async (t) => {
  const { port, clients, clock, server } = await behindProxy(t);
  const wrong = await Peer.open(t, port);
  wrong.write('EHLO client.test\r\n');
  await wrong.end();
  const short = await Peer.open(t, port);
  short.write('PROXY TCP4 192.0.2.1');
  short.socket.end();
  await short.end();
  const silent = await Peer.open(t, port);
  silent.write('PROXY');
  while (clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(5_000);
  await silent.end();
  const waiting = await Peer.open(t, port);
  while (clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  await server.close(0);
  await waiting.end();
  assert.deepEqual(clients, []);
});

test('PROXY from an address that is no trusted proxy is refused', async (t) => {
  const { port, server } = await startServer(t);
  const first = await Peer.open(t, port);
  await first.reply();
  assert.match(await first.ask('PROXY TCP4 192.0.2.1 198.51.100.9 1 25'), /^554 5\.7\.1/);
  await first.end();
  const second = await Peer.open(t, port);
  await second.reply();
  second.write(v2(0x21, 0x11, V4));
  assert.match(await second.text(), /^500/);
  assert.ok([...server.sessions].every(({ remoteAddress }) => remoteAddress === '127.0.0.1'));
});
