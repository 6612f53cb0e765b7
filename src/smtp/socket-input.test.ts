import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { before, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { makeSelfSignedCertificate } from './self-signed.ts';
import { createSmtpSecureContext } from './server.ts';
import { takeInput } from './socket-input.ts';

let made: { readonly key: string; readonly cert: string };

before(async () => {
  made = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
});

/** Both ends of a connection. */
async function pair(t: TestContext): Promise<{ accepted: Socket; connected: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connected = connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1' });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  await once(connected, 'connect');
  t.after(() => {
    for (const socket of [accepted, connected]) socket.on('error', () => {}).destroy();
    server.close();
  });
  return { accepted, connected };
}

async function securedPair(t: TestContext): Promise<{ accepted: Socket; connected: Socket }> {
  const raw = await pair(t);
  const accepted = new TLSSocket(raw.accepted, {
    isServer: true,
    secureContext: createSmtpSecureContext(made),
  });
  const connected = connectTls({ socket: raw.connected, rejectUnauthorized: false });
  await once(connected, 'secureConnect');
  return { accepted, connected };
}

/** Copies of the pieces that come, and the memory that they came in. */
function collect(socket: Socket) {
  const pieces: Buffer[] = [];
  const memory = new Set<ArrayBufferLike>();
  const stop = takeInput(socket, (piece) => {
    memory.add(piece.buffer);
    pieces.push(Buffer.from(piece));
  });
  return { memory, stop, text: () => Buffer.concat(pieces).toString('latin1') };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await wait(2);
}

test('sockets accepted and connected, in clear and with TLS, are read into one piece of memory', async (t) => {
  const memory = new Set<ArrayBufferLike>();
  for (const { accepted, connected } of [await pair(t), await securedPair(t)]) {
    const ends: [Socket, ReturnType<typeof collect>][] = [
      [accepted, collect(connected)],
      [connected, collect(accepted)],
    ];
    const sent = Array.from({ length: 60_000 }, (_, i) => `${i}\r\n`).join('');
    for (const [from, taken] of ends) {
      from.write(sent);
      await until(() => taken.text().length >= sent.length);
      assert.ok(taken.text() === sent, 'what came is what was sent');
      for (const one of taken.memory) memory.add(one);
    }
  }
  assert.equal(memory.size, 1);
});

test('so is one that has yet to connect, to a name with several addresses', async (t) => {
  const server = createServer((socket) => socket.end('220 hello\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as { port: number }).port, host: 'localhost' });
  t.after(() => {
    socket.destroy();
    server.close();
  });
  const taken = collect(socket);
  await once(socket, 'end');
  assert.equal(taken.text(), '220 hello\r\n');
  assert.equal(taken.memory.size, 1);
});

test('a paused socket gives nothing until it goes on; the end comes as an event', async (t) => {
  const { accepted, connected } = await pair(t);
  const taken = collect(accepted);
  connected.write('one');
  await until(() => taken.text() === 'one');
  accepted.pause();
  connected.write('two');
  await wait(50);
  assert.equal(taken.text(), 'one');
  accepted.resume();
  await until(() => taken.text() === 'onetwo');
  const ended = once(accepted, 'end');
  connected.end('three');
  await ended;
  assert.equal(taken.text(), 'onetwothree');
  // The other half is open.
  const rest = collect(connected);
  accepted.end('bye');
  await until(() => rest.text() === 'bye');
});

test('what comes after the stop is dropped, and TLS may then be put over the socket', async (t) => {
  const raw = await pair(t);
  const inClear = collect(raw.accepted);
  raw.connected.write('in clear');
  await until(() => inClear.text() === 'in clear');
  inClear.stop();
  raw.connected.write('dropped');
  await wait(50);
  assert.equal(inClear.text(), 'in clear');
  const accepted = new TLSSocket(raw.accepted, {
    isServer: true,
    secureContext: createSmtpSecureContext(made),
  });
  const connected = connectTls({ socket: raw.connected, rejectUnauthorized: false });
  await once(connected, 'secureConnect');
  const taken = collect(accepted);
  connected.write('secret');
  await until(() => taken.text() === 'secret');
  assert.equal(inClear.text(), 'in clear');
});

test('a socket that has read already gives that first', async (t) => {
  const { accepted, connected } = await pair(t);
  accepted.on('readable', () => {});
  connected.write('before ');
  await until(() => accepted.readableLength > 0);
  accepted.removeAllListeners('readable');
  const taken = collect(accepted);
  connected.write('after');
  accepted.resume();
  await until(() => taken.text() === 'before after');
});
