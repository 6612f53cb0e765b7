import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { good } from '../../config/testing.ts';
import { silentLog } from '../../system/log.ts';
import { folder } from '../testing.ts';
import { openChannels } from './channels.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Channels with time limits that a test can wait for. */
async function channels(t: TestContext): Promise<number> {
  const port = await freePort();
  const config = good(`http-mgmt-port ${port}\nstate-dir ${folder(t)}\nhttp-access 127.0.0.1 admin`);
  const opened = await openChannels(
    config,
    { config: () => config, log: silentLog },
    (_, response) => void response.end('yes'),
    {
      maxHeaderSize: 16 * 1024,
      requestTimeout: 300,
      headersTimeout: 200,
      connectionsCheckingInterval: 50,
      handshakeTimeout: 200,
    },
  );
  t.after(() => opened.close());
  return port;
}

test('a request that never ends is cut, in clear and inside TLS, and so is a handshake', async (t) => {
  const port = await channels(t);
  const clear = connect(port, '127.0.0.1');
  const handshake = connect(port, '127.0.0.1');
  const inside = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  const closed = [clear, handshake, inside].map(
    (socket) => new Promise((resolve) => socket.on('error', () => {}).once('close', resolve)),
  );
  for (const socket of [clear, handshake, inside]) {
    socket.resume();
    t.after(() => socket.destroy());
  }
  clear.write('GET / HTTP/1.1\r\nX: ');
  inside.write('GET / HTTP/1.1\r\nX: ');
  handshake.write('\x16');
  await Promise.all(closed);
});
