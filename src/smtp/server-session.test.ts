import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { TestClock } from '../system/testing.ts';
import { lastReply, reply } from './reply.ts';
import { replyText } from './reply-reader.ts';
import type { SmtpServerHandlers, SmtpServerOptions } from './server-types.ts';
import { Peer, startServer } from './test-peer.ts';

/**
 * A conversation: `C:` lines are sent, `S:` lines are the beginnings of the replies that must come, in order. It is
 * held in lockstep, all at once in one packet, and byte by byte: the replies may not depend on it.
 */
interface Conversation {
  readonly name: string;
  readonly options?: Partial<SmtpServerOptions>;
  readonly handlers?: Partial<SmtpServerHandlers>;
  readonly lines: string;
  /** Sender, recipients and content of what must have been taken. */
  readonly messages?: readonly (readonly [from: string, to: readonly string[], content: string])[];
  /** The server hangs up in the end. */
  readonly closes?: boolean;
}

const refuseBad: Partial<SmtpServerHandlers> = {
  onRcpt: async ({ localPart }) =>
    localPart === 'bad'
      ? reply(550, '5.1.1', 'No such mailbox')
      : localPart === 'later'
        ? reply(451, '4.7.1', 'Wait')
        : null,
};

const CONVERSATIONS: Conversation[] = [
  {
    name: 'a message is taken, and another on the same connection',
    lines: `
      S: 220 mx.test ESMTP
      C: EHLO client.example
      S: 250 mx.test PIPELINING SIZE 52428800 8BITMIME ENHANCEDSTATUSCODES DSN SMTPUTF8 CHUNKING
      C: MAIL FROM:<a@b.example> SIZE=20 BODY=8BITMIME
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: rcpt to:<z@y.example> NOTIFY=NEVER
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: Subject: one
      C:
      C: ..dot
      C: .
      S: 250 2.0.0
      C: MAIL FROM:<>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: .
      S: 250 2.0.0
      C: QUIT
      S: 221 2.0.0 mx.test`,
    messages: [
      ['a@b.example', ['x@y.example', 'z@y.example'], 'Subject: one\r\n\r\n.dot\r\n'],
      ['', ['x@y.example'], ''],
    ],
    closes: true,
  },
  {
    name: 'HELO offers nothing and enhanced codes stay out when they are switched off',
    options: { extensions: new Set(['SIZE']) },
    lines: `
      S: 220 
      C: HELO client.example
      S: 250 mx.test
      C: MAIL FROM:<a@b.example>
      S: 250 Sender OK
      C: MAIL FROM:<a@b.example>
      S: 503 The sender
      C: BDAT 4
      C: aa
      S: 502 Command
      C: NOOP
      S: 250 OK`,
  },
  {
    name: 'commands out of order, unknown or malformed',
    lines: `
      S: 220 
      C: MAIL FROM:<a@b.example>
      S: 503 5.5.1
      C: EHLO
      S: 501 5.5.4
      C: EHLO two words
      S: 501 5.5.4
      C: EHLO [192.0.2.1]
      S: 250 
      C: RCPT TO:<x@y.example>
      S: 503 5.5.1
      C: DATA
      S: 503 5.5.1
      C: MAIL FROM:<a@b.example> FOO=1
      S: 555 5.5.4
      C: MAIL FROM:<a@b.example> SIZE=99999999999
      S: 552 5.3.4
      C: MAIL FROM:a@b.example
      S: 501 5.5.4
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: DATA now
      S: 501 5.5.4
      C: DATA
      S: 503 5.5.1
      C: RCPT TO:<>
      S: 553 5.1.3
      C: DATA
      S: 554 5.5.1
      C: RSET
      S: 250 2.0.0
      C: RCPT TO:<x@y.example>
      S: 503 5.5.1
      C: VRFY a
      S: 252 2.1.5
      C: HELP
      S: 214 2.0.0
      C: EXPN list
      S: 502 5.5.1
      C: STARTTLS
      S: 502 5.5.1
      C: AUTH PLAIN
      S: 502 5.5.1
      C: XYZZY
      S: 500 5.5.1
      C: QUIT now
      S: 501 5.5.4
      C: quit
      S: 221 2.0.0`,
    closes: true,
  },
  {
    name: 'some recipients refused, all recipients refused, too many recipients',
    options: { maxRecipients: 2 },
    handlers: refuseBad,
    lines: `
      S: 220 
      C: EHLO c
      S: 250 
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<bad@y.example>
      S: 550 5.1.1
      C: DATA
      S: 554 5.5.1
      C: RCPT TO:<later@y.example>
      S: 451 4.7.1
      C: RCPT TO:<one@y.example>
      S: 250 2.1.5
      C: RCPT TO:<two@y.example>
      S: 250 2.1.5
      C: RCPT TO:<three@y.example>
      S: 452 4.5.3
      C: DATA
      S: 354 
      C: text
      C: .
      S: 250 2.0.0`,
    messages: [['a@b.example', ['one@y.example', 'two@y.example'], 'text\r\n']],
  },
  {
    name: 'CHUNKING: several chunks, an empty last one, chunks that nobody asked for',
    handlers: refuseBad,
    lines: `
      S: 220 
      C: EHLO c
      S: 250 
      C: BDAT 6 LAST
      C: QUIT
      S: 503 5.5.1
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<bad@y.example>
      S: 550 5.1.1
      C: BDAT 6 LAST
      C: QUIT
      S: 554 5.5.1
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: BDAT 5
      C: .aa
      S: 250 2.0.0 5 bytes
      C: DATA
      S: 503 5.5.1
      C: RCPT TO:<late@y.example>
      S: 503 5.5.1
      C: BDAT 7
      C: .
      C: bb
      S: 250 2.0.0 7 bytes
      C: BDAT 0 LAST
      S: 250 2.0.0
      C: BDAT x LAST
      S: 501 5.5.4`,
    messages: [['a@b.example', ['x@y.example'], '.aa\r\n.\r\nbb\r\n']],
    closes: true,
  },
  {
    name: 'content over the limit is refused, and the next message is not',
    options: { maxMessageSize: 20 },
    lines: `
      S: 220 
      C: EHLO c
      S: 250 mx.test PIPELINING SIZE 20
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: 123456789 1234567890
      C: .
      S: 552 5.3.4
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: ..23456789 12345678
      C: .
      S: 250 2.0.0
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: BDAT 22
      C: 12345678901234567890
      S: 250 2.0.0
      C: BDAT 0 LAST
      S: 552 5.3.4
      C: NOOP
      S: 250 2.0.0`,
    messages: [['a@b.example', ['x@y.example'], '.23456789 12345678\r\n']],
  },
  {
    name: 'no limit shows as SIZE 0',
    options: { maxMessageSize: Number.POSITIVE_INFINITY, extensions: new Set(['SIZE']) },
    lines: `
      S: 220 
      C: EHLO c
      S: 250 mx.test SIZE 0`,
  },
  {
    name: 'addresses beyond ASCII need SMTPUTF8',
    lines: `
      S: 220 
      C: EHLO c
      S: 250 
      C: MAIL FROM:<jörg@b.example>
      S: 553 5.6.7
      C: MAIL FROM:<jörg@b.example> SMTPUTF8
      S: 250 2.1.0
      C: RCPT TO:<иван@пример.example>
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: x
      C: .
      S: 250 2.0.0`,
    messages: [['jörg@b.example', ['иван@пример.example'], 'x\r\n']],
  },
  {
    name: 'too many errors end the session',
    options: { maxErrors: 3 },
    lines: `
      S: 220 
      C: A
      S: 500 5.5.1
      C: B
      S: 500 5.5.1
      C: C
      S: 500 5.5.1
      S: 421 4.7.0`,
    closes: true,
  },
  {
    name: 'a banner that refuses leaves only QUIT',
    handlers: { onConnect: async () => reply(554, '5.7.1', 'Not you') },
    lines: `
      S: 554 5.7.1 Not you
      C: EHLO c
      S: 503 5.5.1
      C: QUIT
      S: 221 2.0.0`,
    closes: true,
  },
  {
    name: 'handlers word the replies, refuse anywhere and hang up',
    handlers: {
      onConnect: () => ({ code: 220, text: ['mx.test ESMTP', 'be nice'] }),
      onEhlo: (name) => (name === 'odd' ? reply(550, '5.7.1', 'Odd name') : null),
      onMail: ({ localPart }) =>
        localPart === 'spam' ? reply(451, '4.7.0', 'Not now') : reply(250, '2.1.0', 'Fine'),
      onData: ({ from }) => (from.localPart === 'nodata' ? reply(552, '5.2.2', 'Full') : null),
      onMessage: () => lastReply(554, '5.6.0', 'No thanks'),
    },
    lines: `
      S: 220 mx.test ESMTP be nice
      C: EHLO odd
      S: 550 5.7.1
      C: EHLO c
      S: 250 
      C: MAIL FROM:<spam@b.example>
      S: 451 4.7.0
      C: MAIL FROM:<nodata@b.example>
      S: 250 2.1.0 Fine
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: DATA
      S: 552 5.2.2
      C: BDAT 3
      C: a
      S: 552 5.2.2
      C: RSET
      S: 250 2.0.0
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0 Fine
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: DATA
      S: 354 
      C: x
      C: .
      S: 554 5.6.0`,
    closes: true,
  },
  {
    name: 'a handler that throws costs one 451, whether at once or later',
    handlers: {
      onMail: () => {
        throw new Error('disk on fire');
      },
      onEhlo: async (name) => {
        if (name === 'bad') throw new Error('disk on fire');
        return null;
      },
    },
    lines: `
      S: 220 
      C: EHLO bad
      S: 451 4.3.0
      C: EHLO c
      S: 250 
      C: MAIL FROM:<a@b.example>
      S: 451 4.3.0
      C: NOOP
      S: 250 2.0.0`,
  },
  {
    name: 'a handler that throws at BDAT costs the chunk, whose bytes are no commands',
    handlers: {
      onData: async () => {
        throw new Error('disk on fire');
      },
    },
    lines: `
      S: 220 
      C: EHLO c
      S: 250 
      C: MAIL FROM:<a@b.example>
      S: 250 2.1.0
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: BDAT 6 LAST
      C: QUIT
      S: 451 4.3.0
      C: RCPT TO:<x@y.example>
      S: 503 5.5.1`,
  },
  {
    name: 'commands of an extension: one in the place of MAIL, one that collects content, one without a reply',
    options: { extraKeywords: ['XMRG'], extensions: new Set(['ENHANCEDSTATUSCODES', 'SIZE']) },
    handlers: {
      onCommand(verb, argument, session) {
        if (verb === 'XMRG') return { treatAs: 'MAIL', argument, success: reply(250, '2.1.0', 'XMRG ok') };
        if (verb === 'XDFN') return 'silent';
        if (verb !== 'XPRT') return 'unknown';
        return {
          start: { code: 354, text: 'send part' },
          collected(content) {
            if (argument.endsWith('LAST')) session.endTransaction();
            return reply(250, '2.6.0', `part of ${content.length} ok`);
          },
        };
      },
    },
    lines: `
      S: 220 
      C: EHLO c
      S: 250 mx.test SIZE 52428800 ENHANCEDSTATUSCODES XMRG
      C: XMRG FROM:<a@b.example>
      S: 250 2.1.0 XMRG ok
      C: XDFN a=b
      C: RCPT TO:<x@y.example>
      S: 250 2.1.5
      C: XPRT 1
      S: 354 send part
      C: ..abc
      C: .
      S: 250 2.6.0 part of 6 ok
      C: XPRT 2 LAST
      S: 354 send part
      C: .
      S: 250 2.6.0 part of 0 ok
      C: RCPT TO:<x@y.example>
      S: 503 5.5.1
      C: XFOO
      S: 500 5.5.1`,
  },
];

function parse(lines: string): { to: 'C' | 'S'; text: string }[] {
  return lines
    .trim()
    .split('\n')
    .map((line) => {
      const match = /^\s*([CS]):(?: (.*))?$/.exec(line);
      assert.ok(match, line);
      return { to: match[1] as 'C' | 'S', text: match[2] ?? '' };
    });
}

for (const conversation of CONVERSATIONS) {
  for (const way of ['in lockstep', 'in one packet', 'byte by byte'] as const) {
    test(`${conversation.name} (${way})`, async (t) => {
      const server = await startServer(t, conversation.options, conversation.handlers);
      const peer = await Peer.open(t, server.port);
      const steps = parse(conversation.lines);
      const input = steps.filter(({ to }) => to === 'C').map(({ text }) => `${text}\r\n`);
      const dripping = way === 'byte by byte' ? peer.drip(input.join('')) : undefined;
      if (way === 'in one packet') peer.write(input.join(''));
      for (const { to, text } of steps) {
        if (to === 'C' && way === 'in lockstep') peer.write(`${text}\r\n`);
        if (to === 'S')
          assert.ok((await next(peer)).startsWith(text.replace(/ $/, '')), `expected ${text}, got ${last}`);
      }
      await dripping;
      if (conversation.closes) {
        await peer.end();
        assert.deepEqual(peer.reader.replies, []);
      } else if (!conversation.closes) assert.match(await peer.ask('QUIT'), /^221 /);
      const messages = server.messages.map(({ envelope, content }) => [
        envelope.from.address,
        envelope.recipients.map(({ address }) => address),
        content.toString('utf8'),
      ]);
      assert.deepEqual(messages, conversation.messages ?? []);
    });
  }
}

let last = '';

async function next(peer: Peer): Promise<string> {
  last = replyText(await peer.reply());
  return last;
}

test('the replies of a batch come in one packet, in the order of the commands', async (t) => {
  const waits = [30, 0, 15, 0];
  const server = await startServer(
    t,
    {},
    {
      onRcpt: async () => {
        await new Promise((resolve) => setTimeout(resolve, waits.shift()));
        return null;
      },
    },
  );
  const peer = await Peer.open(t, server.port);
  await peer.reply();
  await peer.ask('EHLO c');
  const pieces: string[] = [];
  peer.socket.on('data', (piece) => pieces.push(piece.toString()));
  peer.write(
    'MAIL FROM:<a@b>\r\nRCPT TO:<1@b>\r\nRCPT TO:<2@b>\r\nNOOP\r\nRCPT TO:<3@b>\r\nRCPT TO:<4@b>\r\nDATA\r\n',
  );
  for (let i = 0; i < 7; i++) await peer.reply();
  assert.equal(pieces.length, 1);
  assert.deepEqual(pieces[0]!.match(/^\d{3} \d\.\d\.\d|^354/gm), [
    '250 2.1.0',
    '250 2.1.5',
    '250 2.1.5',
    '250 2.0.0',
    '250 2.1.5',
    '250 2.1.5',
    '354',
  ]);
});

test('a line without CRLF at its end is never obeyed, and a line without end is cut', async (t) => {
  const { port } = await startServer(t, { maxCommandLine: 100 });
  const peer = await Peer.open(t, port);
  await peer.reply();
  peer.write('EHLO c\n');
  assert.match(await peer.text(), /^500 5\.5\.2/);
  peer.write('NOOP\rNOOP\r\n');
  assert.match(await peer.text(), /^500 5\.5\.2/);
  peer.write(`NOOP ${'x'.repeat(93)}\r\n`);
  assert.match(await peer.text(), /^250 /);
  peer.write(`NOOP ${'x'.repeat(500)}`);
  assert.match(await peer.text(), /^500 5\.5\.6/);
  await peer.end();
});

test('text that is not UTF-8 is refused as a command', async (t) => {
  const { port } = await startServer(t);
  const peer = await Peer.open(t, port);
  await peer.reply();
  await peer.ask('EHLO c');
  peer.write(Buffer.from('MAIL FROM:<j\xf6rg@b.example> SMTPUTF8\r\n', 'latin1'));
  assert.match(await peer.text(), /^500 5\.5\.2/);
});

test('a handler may cut the connection at any step', async (t) => {
  const steps = ['onConnect', 'onEhlo', 'onMail', 'onRcpt', 'onData', 'onMessage'] as const;
  for (const [i, step] of steps.entries()) {
    const reasons: string[] = [];
    const { port } = await startServer(
      t,
      {},
      { [step]: async () => 'drop', onClose: (why) => void reasons.push(why) },
    );
    const peer = await Peer.open(t, port);
    peer.write('EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n');
    await peer.end();
    assert.equal(peer.reader.replies.length, i, step);
    assert.deepEqual(reasons, ['dropped']);
  }
});

test('a client that goes away at any point leaves no session, and its open transaction is abandoned', async (t) => {
  const whole = 'EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nBDAT 5\r\n';
  const abandoned: string[] = [];
  const server = await startServer(t, {}, { onAbandoned: ({ from }) => void abandoned.push(from.address) });
  for (let cut = 0; cut <= whole.length; cut += 3) {
    const peer = await Peer.open(t, server.port);
    await peer.reply();
    peer.write(whole.slice(0, cut));
    if (cut % 2 === 0) peer.socket.end();
    else peer.socket.resetAndDestroy();
    await peer.end();
  }
  while (server.server.sessions.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(abandoned.length > 0);
});

test('a client that sends all and shuts its side still gets every reply', async (t) => {
  const { port, messages } = await startServer(t, {}, { onRcpt: async () => null });
  const peer = await Peer.open(t, port);
  peer.socket.end('EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n');
  await peer.end();
  assert.deepEqual(
    peer.reader.replies.map(({ code }) => code),
    [220, 250, 250, 250, 354, 250, 221],
  );
  assert.equal(messages.length, 1);
});

test('input waits in the socket while a handler is busy, however much there is', async (t) => {
  let free = () => {};
  const busy = new Promise<null>((resolve) => {
    free = () => resolve(null);
  });
  const { port } = await startServer(t, {}, { onEhlo: () => busy });
  const peer = await Peer.open(t, port);
  await peer.reply();
  const line = `NOOP ${'x'.repeat(1000)}\r\n`;
  const lines = 20_000;
  peer.write(`EHLO c\r\n${line.repeat(lines)}`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  // 20 MB do not fit into the buffers of the system and of the session: some must still be on our side.
  assert.ok(peer.socket.writableLength > 1_000_000, `${peer.socket.writableLength} bytes left`);
  free();
  for (let i = 0; i <= lines; i++) assert.equal((await peer.reply()).code, 250);
});

test('a client that does not read its replies is not answered without end', async (t) => {
  let commands = 0;
  const { port } = await startServer(
    t,
    { extraKeywords: ['XBIG'] },
    {
      onCommand() {
        commands++;
        return reply(250, '2.0.0', 'x'.repeat(8000));
      },
    },
  );
  const peer = await Peer.open(t, port);
  await peer.reply();
  peer.socket.pause();
  const lines = 2000;
  peer.write('XBIG\r\n'.repeat(lines));
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(commands < lines, `${commands} commands were answered`);
  peer.socket.resume();
  for (let i = 0; i < lines; i++) await peer.reply();
});

test('a chunk larger than any message ends the session; a refused one has as long as a message', async (t) => {
  const clock = new TestClock();
  const { port, messages } = await startServer(t, {}, {}, clock);
  const huge = await Peer.open(t, port);
  await huge.reply();
  await huge.ask('EHLO c');
  await huge.ask('MAIL FROM:<a@b>');
  await huge.ask('RCPT TO:<a@b>');
  assert.match(await huge.ask('BDAT 999999999999999 LAST'), /^552 5\.3\.4 /);
  await huge.end();
  const slow = await Peer.open(t, port);
  await slow.reply();
  await slow.ask('EHLO c');
  slow.write('BDAT 100000 LAST\r\n');
  for (let minutes = 0; minutes < 62 && !slow.closed; minutes += 2) {
    slow.write('x');
    await wait(10);
    clock.advance(120_000);
  }
  assert.match(await slow.text(), /^421 4\.4\.2 /);
  assert.equal(messages.length, 0);
});
