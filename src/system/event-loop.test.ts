import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { atTurnEnd, whenQuiet } from './event-loop.ts';

/** Whether the event loop counted as quiet within so many turns. */
async function quietWithin(turns: number, longestMs: number): Promise<boolean> {
  let quiet = false;
  whenQuiet(() => {
    quiet = true;
  }, longestMs);
  for (let i = 0; i < turns; i++) await turn();
  return quiet;
}

const LONG_MS = 600_000;

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
  assert.equal(await quietWithin(3, LONG_MS), true);
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
  assert.equal(await quietWithin(50, LONG_MS), false);
  assert.equal(await quietWithin(3, 0), true);
  let quiet = false;
  whenQuiet(() => {
    quiet = true;
  }, LONG_MS);
  for (const socket of clients) socket.destroy();
  while (!quiet) await turn();
});
