import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { atTurnEnd, whenQuiet } from './event-loop.ts';

/** Turns of the event loop until it counts as quiet. */
async function turnsUntilQuiet(): Promise<number> {
  let quiet = false;
  whenQuiet(() => {
    quiet = true;
  });
  let turns = 0;
  for (; !quiet; turns++) await turn();
  return turns;
}

test('what is put off to the end of a turn is done there, in order', async () => {
  const done: string[] = [];
  atTurnEnd(() => {
    done.push('first');
    atTurnEnd(() => done.push('next turn'));
  });
  atTurnEnd(() => done.push('second'));
  await Promise.resolve();
  assert.deepEqual(done, []);
  await turn();
  assert.deepEqual(done, ['first', 'second']);
  await turn();
  assert.deepEqual(done, ['first', 'second', 'next turn']);
});

test('an idle event loop is quiet at once, a busy one is waited for, but not for ever', async (t) => {
  const idle = await turnsUntilQuiet();
  assert.ok(idle <= 3, `${idle} turns`);
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const clients = Array.from({ length: 20 }, () => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('x'));
    // Back and forth for as long as it stands: this process serves both ends.
    socket.on('data', (piece) => socket.write(piece));
    return socket;
  });
  t.after(() => {
    for (const socket of clients) socket.destroy();
    server.close();
  });
  await Promise.all(clients.map((socket) => once(socket, 'data')));
  const busy = await turnsUntilQuiet();
  assert.ok(busy > 2 * idle, `${busy} turns beside ${idle}`);
});
