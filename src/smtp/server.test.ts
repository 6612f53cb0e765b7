import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '../system/log.ts';
import { TestClock } from '../system/testing.ts';
import { ContentRoom } from './content-room.ts';
import { lastReply } from './reply.ts';
import { createSmtpServer } from './server.ts';
import { smtpServerOptions } from './server-types.ts';
import { Peer, settled, startServer } from './test-peer.ts';

test('a client is turned away by its address in one line, or cut', async (t) => {
  const answers = [lastReply(421, '4.7.0', 'Too many connections'), 'drop'] as const;
  const clock = new TestClock();
  const seen: string[] = [];
  const server = createSmtpServer(
    ({ remoteAddress }) => {
      seen.push(remoteAddress);
      return answers[seen.length - 1]!;
    },
    { clock, log: silentLog },
  );
  // A socket of both families shows an IPv4 client as ::ffff:127.0.0.1.
  const port = await server.listen('::', 0, 'a test');
  const first = await Peer.open(t, port);
  assert.equal(await first.text(), '421 4.7.0 Too many connections');
  await first.end();
  const second = await Peer.open(t, port);
  await second.end();
  assert.deepEqual(second.reader.replies, []);
  assert.deepEqual(seen, ['127.0.0.1', '127.0.0.1']);
  await server.close(0);
});

test('a client that is turned away and goes on talking is cut', async (t) => {
  const clock = new TestClock();
  const server = createSmtpServer(() => lastReply(421, '4.7.0', 'No'), { clock, log: silentLog });
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.resume();
  await once(socket, 'end');
  let closed = false;
  socket.on('error', () => {});
  socket.once('close', () => {
    closed = true;
  });
  for (let seconds = 0; seconds < 5; seconds++) {
    assert.equal(closed, false);
    socket.write('x');
    await settled();
    clock.advance(1_000);
  }
  while (!closed) {
    socket.write('x');
    await settled();
  }
  assert.equal(clock.waiting, 0);
  await server.close(0);
});

test('messages on their way in have a bound together; what finds no room is tried later, and takes none', async (t) => {
  const contentRoom = new ContentRoom(1_000_000);
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { port } = await startServer(
    t,
    { contentRoom, maxMessageSize: 1_000_000 },
    { onMessage: () => answered.then(() => null) },
  );
  const begin = async (words: string) => {
    const peer = await Peer.open(t, port);
    await peer.reply();
    for (const line of ['EHLO c', 'MAIL FROM:<a@b>', 'RCPT TO:<a@b>']) await peer.ask(line);
    peer.write(words);
    return peer;
  };
  const text = 'x'.repeat(998).concat('\r\n').repeat(600);
  const first = await begin(`DATA\r\n${text}.\r\n`);
  assert.match(await first.text(), /^354 /);
  while (contentRoom.used < 600_000) await settled();
  const second = await begin(`DATA\r\n${text}.\r\nNOOP\r\n`);
  assert.match(await second.text(), /^354 /);
  assert.match(await second.text(), /^452 4\.3\.1 /);
  assert.match(await second.text(), /^250 /, 'the session goes on');
  const third = await begin(`BDAT ${text.length} LAST\r\n${text}`);
  assert.match(await third.text(), /^452 4\.3\.1 /);
  answer();
  assert.match(await first.text(), /^250 /);
  assert.equal(contentRoom.used, 0);
  // Given up in the middle, refused for its size, closed: all of it is given back.
  const fourth = await begin(`DATA\r\n${text}`);
  while (contentRoom.used < 600_000) await settled();
  fourth.socket.destroy();
  while (contentRoom.used > 0) await settled();
  const fifth = await begin(`DATA\r\n${'x'.repeat(1_100_000)}\r\n.\r\n`);
  await fifth.reply();
  assert.match(await fifth.text(), /^(?:552|452) /);
  assert.equal(contentRoom.used, 0);
});

test('an address that can not be bound is named in the error', async (t) => {
  const { port } = await startServer(t);
  const server = createSmtpServer(() => 'drop', { clock: new TestClock(), log: silentLog });
  await assert.rejects(
    server.listen('127.0.0.1', port, 'inbound mail'),
    /127\.0\.0\.1:\d+ \(inbound mail\) is in use/,
  );
});

test('closing sends 421 to idle sessions and lets a message in progress finish', async (t) => {
  let finish = () => {};
  const { port, server, messages } = await startServer(
    t,
    {},
    {
      onMessage: (message) => {
        messages.push(message);
        return new Promise((resolve) => {
          finish = () => resolve(null);
        });
      },
    },
  );
  const idle = await Peer.open(t, port);
  await idle.reply();
  const halfway = await Peer.open(t, port);
  await halfway.reply();
  halfway.write('EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
  for (let i = 0; i < 4; i++) await halfway.reply();
  halfway.write('first half\r\n');
  await settled();
  const closed = server.close(60_000);
  assert.match(await idle.text(), /^421 4\.3\.2/);
  await idle.end();
  halfway.write('second half\r\n.\r\n');
  while (messages.length === 0) await settled();
  finish();
  assert.match(await halfway.text(), /^250 2\.0\.0/);
  assert.match(await halfway.text(), /^421 4\.3\.2/);
  await halfway.end();
  await closed;
  assert.equal(messages[0]?.content.toString(), 'first half\r\nsecond half\r\n');
  await assert.rejects(once(connect(port, '127.0.0.1'), 'connect'), /ECONNREFUSED/);
});

test('what is still open after the grace is cut', async (t) => {
  const clock = new TestClock();
  let busy = false;
  const onEhlo = () => {
    busy = true;
    return new Promise<never>(() => {});
  };
  const { port, server } = await startServer(t, {}, { onEhlo }, clock);
  const peer = await Peer.open(t, port);
  await peer.reply();
  peer.write('EHLO c\r\n');
  while (!busy) await settled();
  const closed = server.close(1000);
  await settled();
  assert.equal(peer.closed, false);
  clock.advance(1000);
  await closed;
  await peer.end();
  assert.equal(clock.waiting, 0);
});

test('a client that sends no command, or one byte a minute of one, gets 421 when its time is over', async (t) => {
  for (const drip of [false, true]) {
    const clock = new TestClock();
    const { port } = await startServer(t, {}, {}, clock);
    const peer = await Peer.open(t, port);
    await peer.reply();
    for (let minute = 0; minute < 5; minute++) {
      assert.equal(peer.reader.replies.length, 0, `minute ${minute}`);
      if (drip) peer.write('x');
      await settled();
      clock.advance(60_000);
      await settled();
    }
    assert.match(await peer.text(), /^421 4\.4\.2/);
    await peer.end();
    assert.equal(clock.waiting, 0);
  }
});

test('commands renew the time, a slow handler does not use it up', async (t) => {
  const clock = new TestClock();
  let finish: (() => void) | null = null;
  const { port } = await startServer(
    t,
    {},
    {
      onMail: () =>
        new Promise((resolve) => {
          finish = () => resolve(null);
        }),
    },
    clock,
  );
  const peer = await Peer.open(t, port);
  await peer.reply();
  for (let i = 0; i < 3; i++) {
    clock.advance(290_000);
    assert.match(await peer.ask('EHLO c'), /^250/);
  }
  peer.write('MAIL FROM:<a@b>\r\n');
  while (!finish) await settled();
  clock.advance(900_000);
  (finish as () => void)();
  assert.match(await peer.text(), /^250 2\.1\.0/);
  clock.advance(299_000);
  assert.match(await peer.ask('NOOP'), /^250/);
});

test('content may neither stop for long nor drip for ever', async (t) => {
  for (const [pieces, gap] of [
    [1, 180_000],
    [31, 120_000],
  ] as const) {
    const clock = new TestClock();
    const contentRoom = new ContentRoom(1_000_000);
    const { port } = await startServer(t, { contentRoom, maxMessageSize: 1_000_000 }, {}, clock);
    const peer = await Peer.open(t, port);
    peer.write('EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
    for (let i = 0; i < 5; i++) await peer.reply();
    for (let i = 0; i < pieces; i++) {
      assert.equal(peer.reader.replies.length, 0, `piece ${i}`);
      const before = contentRoom.used;
      peer.write('one more line\r\n');
      while (contentRoom.used === before && peer.reader.replies.length === 0) await settled();
      clock.advance(gap);
    }
    assert.match(await peer.text(), /^421 4\.4\.2/);
    await peer.end();
  }
});

test('after QUIT the connection is closed, whether the client hangs up or not', async (t) => {
  const { port, server } = await startServer(t, {}, {}, new TestClock());
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  let said = '';
  socket.on('data', (piece) => {
    said += piece.toString();
  });
  socket.write('QUIT\r\n');
  await once(socket, 'end');
  assert.match(said, /^220 .*\r\n221 2\.0\.0 .*\r\n$/);
  while (server.sessions.size > 0) await settled();
});

test('what comes after QUIT does not swallow its reply; a client that does not hang up then is cut', async (t) => {
  const clock = new TestClock();
  const { port, server } = await startServer(t, {}, {}, clock);
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  let said = '';
  socket.on('data', (piece) => {
    said += piece.toString();
  });
  socket.write('QUIT\r\nNOOP\r\n');
  await once(socket, 'end');
  assert.match(said, /^220 .*\r\n221 2\.0\.0 .*\r\n$/);
  assert.equal(server.sessions.size, 1);
  clock.advance(5000);
  while (server.sessions.size > 0) await settled();
});

test('replies do not wait for a slow handler for ever', async (t) => {
  const clock = new TestClock();
  let finish: (() => void) | null = null;
  const { port } = await startServer(
    t,
    {},
    {
      onRcpt: () =>
        new Promise((resolve) => {
          finish = () => resolve(null);
        }),
    },
    clock,
  );
  const peer = await Peer.open(t, port);
  await peer.reply();
  peer.write('EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n');
  while (!finish) await settled();
  assert.equal(peer.reader.replies.length, 0);
  clock.advance(200);
  assert.match(await peer.text(), /^250 mx/);
  assert.match(await peer.text(), /^250 2\.1\.0/);
  (finish as () => void)();
  assert.match(await peer.text(), /^250 2\.1\.5/);
});

test('options of one connection are its own', async () => {
  const given = smtpServerOptions({ hostName: 'a.test' });
  assert.equal(given.maxRecipients, 1000);
  assert.notEqual(smtpServerOptions({ hostName: 'b.test' }).extensions, given.extensions);
});
