// A more urgent queue takes the connection of a less urgent one in the middle of a message (delivery, section 12).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { CONTENT, startDelivery, until } from '../testing.ts';
import { remoteHost } from './remote-host.testing.ts';

/** Takes the first `connections` up to the content, and reads no more of it then; hangs up on later ones. */
async function stuckHost(t: TestContext): Promise<{ port: number; stuck: number; ended: number }> {
  const host = { port: 0, stuck: 0, ended: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => host.ended++);
    socket.write('220 stuck ESMTP\r\n');
    socket.on('data', (piece) => {
      for (const line of piece.toString('latin1').split('\r\n').slice(0, -1)) {
        const data = line === 'DATA';
        socket.write(data ? '354 go\r\n' : '250 ok\r\n');
        if (!data) continue;
        host.stuck++;
        socket.pause();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  host.port = (server.address() as AddressInfo).port;
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return host;
}

const BIG = Buffer.concat([CONTENT, Buffer.alloc(24_000_000, `${'x'.repeat(70)}\r\n`)]);

for (const during of [true, false]) {
  test(`section 12: allow-priority-interruption-during-transfer ${during}`, async (t) => {
    const stuck = await stuckHost(t);
    const fast = await remoteHost(t);
    const mta = await startDelivery(t, {
      config: `total-max-smtp-out 1
        <domain low.test>
          smtp-hosts [127.0.0.1]:${stuck.port}
          queue-priority 30
          allow-priority-interruption-during-transfer ${during}
          retry-after 10m
        </domain>
        <domain high.test>
          smtp-hosts [127.0.0.1]:${fast.port}
          queue-priority 75
        </domain>
        <domain *>
          use-starttls no
        </domain>`,
    });
    await mta.submit(['kim@low.test', 'ana@low.test'], { content: BIG });
    await until(() => stuck.stuck === 1);
    const low = mta.scheduler.find('low.test', '{default}')!;
    assert.equal(low.inDelivery, 2);
    await mta.submit(['bo@high.test']);
    if (!during) {
      await until(() => mta.holds('high.test').includes('server-connections'));
      assert.deepEqual(mta.story(), []);
      assert.equal(low.inDelivery, 2);
      mta.scheduler.stop();
      return;
    }
    await until(() => mta.story().includes('delivered bo@high.test 2.0.0'));
    // Nothing is written down of those whose transfer was broken off, and nothing counted; they go out again at once.
    await until(() => stuck.stuck === 2);
    assert.deepEqual(mta.story(), ['delivered bo@high.test 2.0.0']);
    assert.equal(low.retryAt, 0);
    assert.equal(low.inDelivery, 2);
    assert.equal(low.lastError, '');
    mta.scheduler.stop();
  });
}
