// One remote host, one MTA: what each answer, and each way of losing the connection, makes of the recipients.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Answer, reply } from '../../smtp/index.ts';
import { startPeer, startServer } from '../../smtp/test-peer.ts';
import { type DeliveryUnderTest, messageFacts, smallDisk, startDelivery, until } from '../testing.ts';

const SETTINGS = `
  use-starttls no
  retry-after 10m, 20m
  retry-recipients-after 5m
  bounce-after 2h
`;

/** A delivery whose domain `a.test` is at a host that answers so. */
async function against(
  t: TestContext,
  remote: { port: number },
  more: { settings?: string; zone?: string; config?: string } = {},
): Promise<DeliveryUnderTest> {
  return await startDelivery(t, {
    config: `${more.config ?? ''}
      <domain *>
      ${SETTINGS}
      default-smtp-port ${remote.port}
      ${more.settings ?? ''}
      </domain>`,
    zone: more.zone ?? 'a.test A 127.0.0.1',
  });
}

const rcptAnswers = (answers: Record<string, Answer>) => ({
  onRcpt: ({ address }: { address: string }) => answers[address] ?? null,
});

test('2xx: delivered, once, and nothing is left', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'delivered');
  assert.match(outcome.result.diagnostic, /^smtp;250 /);
  assert.equal(outcome.attempt.destinationIp, '127.0.0.1');
  assert.equal(outcome.attempt.remoteHost, 'a.test');
  assert.equal(outcome.attempt.sourceIp, '127.0.0.1');
  assert.ok(outcome.attempt.esmtp.includes('PIPELINING'));
  assert.equal(remote.messages.length, 1);
  assert.equal(mta.spool.messageCount, 0);
  assert.equal([...mta.scheduler.queues()].length, 0, 'an empty queue is forgotten');
});

test('D7.9: 5xx to RCPT bounces that recipient, 4xx holds that one, the others are delivered', async (t) => {
  const remote = await startServer(
    t,
    {},
    rcptAnswers({
      'no@a.test': reply(550, '5.1.1', 'no such user'),
      'later@a.test': reply(452, '4.2.2', 'full'),
    }),
  );
  const mta = await against(t, remote);
  await mta.submit(['no@a.test', 'kim@a.test', 'later@a.test', 'lou@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), [
    'bounced no@a.test 5.1.1',
    'delivered kim@a.test 2.0.0',
    'deferred later@a.test 4.2.2',
    'delivered lou@a.test 2.0.0',
  ]);
  assert.equal(remote.messages.length, 1, 'one transaction for all');
  assert.equal(mta.spool.messageCount, 1);
  assert.deepEqual(mta.holds('a.test'), ['recipient-retry']);

  await mta.advance(5 * 60_000 - 1);
  assert.equal(mta.story().length, 4, 'not before its time');
  await mta.advance(2);
  assert.deepEqual(mta.story().slice(4), ['deferred later@a.test 4.2.2']);
  const again = mta.journal().at(-1);
  assert.ok(again?.kind === 'deferred');
  assert.equal(again.attempt.retries, 1);
});

for (const [code, kind, status] of [
  [554, 'bounced', '5.6.0'],
  [451, 'deferred', '4.3.0'],
] as const) {
  test(`${code} to the content: every recipient that it was for is ${kind}`, async (t) => {
    const remote = await startServer(t, {}, { onMessage: () => reply(code, status, 'not this') });
    const mta = await against(t, remote);
    await mta.submit(['kim@a.test', 'lou@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), [`${kind} kim@a.test ${status}`, `${kind} lou@a.test ${status}`]);
    assert.equal(mta.spool.messageCount, kind === 'bounced' ? 0 : 1);
  });
}

for (const [code, kind] of [
  [550, 'bounced'],
  [451, 'deferred'],
] as const) {
  test(`${code} to MAIL: all recipients are ${kind}, and the connection serves the next message`, async (t) => {
    const remote = await startServer(
      t,
      {},
      { onMail: ({ address }) => (address === 'bad@brand.test' ? reply(code, '', 'not from you') : null) },
    );
    const mta = await against(t, remote, { settings: 'max-smtp-out 1' });
    await mta.submit(['kim@a.test', 'lou@a.test'], { facts: { sender: 'bad@brand.test' } });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), [
      `${kind} kim@a.test ${code === 550 ? 5 : 4}.0.0`,
      `${kind} lou@a.test ${code === 550 ? 5 : 4}.0.0`,
      'delivered kim@a.test 2.0.0',
    ]);
  });
}

test('D9.11: a 5xx greeting bounces the queue', async (t) => {
  const remote = await startServer(t, {}, { onConnect: () => reply(554, '5.7.1', 'we know you') });
  const mta = await against(t, remote, { settings: 'bounce-upon-5xx-greeting true' });
  await mta.submit(['kim@a.test']);
  await mta.submit(['lou@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['bounced kim@a.test 5.7.1', 'bounced lou@a.test 5.7.1']);
  assert.equal(mta.spool.messageCount, 0);
});

test('D9.11: with bounce-upon-5xx-greeting false the next MX is tried, and the queue waits when none is left', async (t) => {
  const remote = await startServer(t, {}, { onConnect: () => reply(554, '5.7.1', 'we know you') });
  const mta = await against(t, remote, {
    settings: 'bounce-upon-5xx-greeting false',
    zone: 'a.test MX 10 one.test\na.test MX 20 two.test\none.test A 127.0.0.1\ntwo.test A 127.0.0.1',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.7.1']);
  assert.deepEqual(mta.holds('a.test'), ['queue-retry']);
});

test('connection refused by the first MX, accepted by the second: delivered there', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, {
    // Nobody listens at 127.0.0.2.
    zone: 'a.test MX 10 one.test\na.test MX 20 two.test\none.test A 127.0.0.2\ntwo.test A 127.0.0.1',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'delivered');
  assert.equal(outcome.attempt.remoteHost, 'two.test');
});

test('a VMTA with an IPv4 address alone passes by IPv6 hosts; one that can reach none waits and says so', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, {
    config: 'smtp-source-host 127.0.0.1 mta.test',
    zone: 'a.test MX 10 six.test\na.test MX 20 four.test\nsix.test AAAA ::1\nfour.test A 127.0.0.1\nb.test AAAA ::1',
  });
  await mta.submit(['kim@a.test', 'lou@b.test']);
  await mta.quiet();
  assert.ok(mta.story().includes('delivered kim@a.test 2.0.0'), mta.story().join());
  assert.ok(mta.story().includes('queue-deferred b.test/{default} 4.4.1'), mta.story().join());
  assert.match(
    mta.scheduler.find('b.test', '{default}')?.lastError ?? '',
    /VMTA \{default\} has no source address on this machine for b\.test/,
  );
});

test('nobody answers: D7.1, the queue waits by the steps of retry-after and goes on from the last', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, { zone: 'a.test A 127.0.0.2' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
  const queue = mta.scheduler.find('a.test', '{default}')!;
  assert.match(queue.lastError, /ECONNREFUSED connecting to a\.test \(127\.0\.0\.2\)/);
  const waits: number[] = [];
  for (let i = 0; i < 3; i++) {
    const step = queue.retryAt - mta.clock.now();
    waits.push(step / 60_000);
    await mta.advance(step);
  }
  assert.deepEqual(waits, [10, 20, 20]);
  assert.equal(mta.story().length, 4);
  assert.equal(mta.spool.messageCount, 1);
});

test('D7.3: new mail does not wake a queue in retry, with retry-upon-new-mail it does', async (t) => {
  for (const [settings, attempts] of [
    ['', 1],
    ['retry-upon-new-mail yes', 2],
  ] as const) {
    const remote = await startServer(t);
    const mta = await against(t, remote, {
      zone: 'a.test A 127.0.0.2',
      settings: `max-smtp-out 1\n${settings}`,
    });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    await mta.submit(['lou@a.test']);
    await mta.quiet();
    assert.equal(mta.story().length, attempts, settings);
  }
});

test('D7.5, D7.6: what has outlived bounce-after bounces at the next attempt, though nobody answers', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, { zone: 'a.test A 127.0.0.2' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  await mta.advance(10 * 60_000);
  await mta.submit(['young@a.test']);
  while (mta.clock.now() < Date.UTC(2026, 10, 21, 2)) await mta.advance(5 * 60_000);
  await mta.advance(20 * 60_000);
  const bounces = mta.journal().filter(({ kind }) => kind === 'bounced');
  assert.deepEqual(
    mta.story().filter((line) => line.startsWith('bounced')),
    ['bounced kim@a.test 4.4.7', 'bounced young@a.test 4.4.7'],
  );
  const [first] = bounces;
  assert.ok(first?.kind === 'bounced');
  assert.equal(first.attempt, null);
  assert.equal(first.result.category, 'message-expired');
  // Programs compare the text (accounting 3.3); no host has said anything.
  assert.equal(first.result.statusText, 'delivery time expired');
  assert.equal(first.result.diagnostic, '');
  assert.equal(mta.spool.messageCount, 0);
});

test('an empty queue that failed is forgotten once its wait is over', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, { zone: 'a.test A 127.0.0.2', settings: 'bounce-after 1m' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  await mta.advance(10 * 60_000);
  assert.deepEqual(mta.story().at(-1), 'bounced kim@a.test 4.4.7');
  await mta.advance(60 * 60_000);
  assert.equal([...mta.scheduler.queues()].length, 0, 'else every dead domain would stay in memory for ever');
});

for (const [what, zone, domain, story] of [
  ['a domain that does not exist bounces', 'x.test A 127.0.0.1', 'gone.test', 'bounced kim@gone.test 5.1.2'],
  ['a null MX bounces', 'null.test MX 0 .', 'null.test', 'bounced kim@null.test 5.1.10'],
  ['no address anywhere bounces', 'b.test MX 1 c.test\nc.test TXT', 'b.test', 'bounced kim@b.test 5.4.4'],
  ['a failing DNS server only delays', 'f.test fails', 'f.test', 'queue-deferred f.test/{default} 4.4.3'],
] as const) {
  test(what, async (t) => {
    const remote = await startServer(t);
    const mta = await against(t, remote, { zone });
    await mta.submit([`kim@${domain}`]);
    await mta.quiet();
    assert.deepEqual(mta.story(), [story]);
    const waits = story.startsWith('queue');
    assert.equal(mta.spool.messageCount, waits ? 1 : 0);
    assert.deepEqual(mta.holds(domain), waits ? ['queue-retry'] : []);
    if (!waits) return;
    // Records have one text for the status; operators read what it was in the queue's errors.
    const [outcome] = mta.journal();
    assert.ok(outcome?.kind === 'queue-deferred');
    assert.equal(outcome.result.statusText, 'directory server failure');
    const error = mta.scheduler.find(domain, '{default}')?.errors[0]?.text;
    assert.match(error!, /^StatusDnsQueryFailed resolving f\.test: .*SERVFAIL/);
  });
}

test('mail queued for a VMTA that is no longer configured bounces with 5.3.5', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote);
  await mta.submit(['kim@a.test'], { facts: { vmta: 'gone' } });
  await mta.quiet();
  assert.deepEqual(mta.story(), ['bounced kim@a.test 5.3.5']);
});

// Losing the connection. The peer is scripted: it knows where to hang up.

/** Serves SMTP without extensions until `hangUp` says so of a command; answers 250 (354 to DATA) else. */
function hangsUpAt(hangUp: (verb: string, connection: number) => boolean | string) {
  const seen: string[] = [];
  let connections = 0;
  const serve = (socket: Socket) => {
    const connection = connections++;
    let pending = '';
    let inData = false;
    socket.write('220 peer ESMTP\r\n');
    socket.on('data', (piece) => {
      pending += piece.toString('latin1');
      for (let end = pending.indexOf('\r\n'); end !== -1; end = pending.indexOf('\r\n')) {
        const line = pending.slice(0, end);
        pending = pending.slice(end + 2);
        if (inData && line !== '.') continue;
        const verb = inData ? '.' : line.replace(/[ :].*/, '');
        seen.push(inData ? '.' : line);
        inData = false;
        const answer = hangUp(verb, connection);
        if (answer === true) return socket.destroy();
        if (typeof answer === 'string') socket.write(`${answer}\r\n`);
        else if (verb === 'DATA') {
          inData = true;
          socket.write('354 go\r\n');
        } else socket.write('250 ok\r\n');
      }
    });
  };
  return { serve, seen };
}

for (const stage of ['EHLO', 'MAIL', 'RCPT', 'DATA', '.']) {
  test(`connection lost at ${stage}: the queue waits, and the message is sent again after that`, async (t) => {
    const peer = hangsUpAt((verb, connection) => connection === 0 && verb === stage);
    const mta = await against(t, { port: await startPeer(t, peer.serve) });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.equal(mta.story().length, 1);
    assert.match(mta.story()[0]!, /^queue-deferred a\.test\/\{default\} 4\.4\.[12]$/);
    assert.deepEqual(mta.holds('a.test'), ['queue-retry']);
    await mta.advance(10 * 60_000);
    assert.deepEqual(mta.story().slice(1), ['delivered kim@a.test 2.0.0']);
    const last = mta.journal().at(-1);
    assert.ok(last?.kind === 'delivered');
    assert.equal(last.attempt.retries, 0, 'a lost connection says nothing about the recipient');
  });
}

test('connection lost after some answers: who has one is not asked again, the others are', async (t) => {
  const peer = hangsUpAt((verb, connection) => {
    if (connection > 0) return false;
    if (verb === 'RCPT') return peer.seen.at(-1)!.includes('no@') ? '550 5.1.1 no' : false;
    return verb === '.';
  });
  // One connection at a time: with another beside it, that one may take the message.
  const mta = await against(t, { port: await startPeer(t, peer.serve) }, { settings: 'max-smtp-out 1' });
  await mta.submit(['kim@a.test', 'no@a.test', 'lou@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['bounced no@a.test 5.1.1', 'queue-deferred a.test/{default} 4.4.2']);
  await mta.advance(10 * 60_000);
  assert.deepEqual(mta.story().slice(2), ['delivered kim@a.test 2.0.0', 'delivered lou@a.test 2.0.0']);
  assert.equal(peer.seen.filter((line) => line.startsWith('RCPT') && line.includes('no@')).length, 1);
});

test('a host that hangs up after each message still gets all of them, without a wait', async (t) => {
  const peer = hangsUpAt(
    (verb) =>
      verb === 'MAIL' &&
      peer.seen.filter((line) => line === '.').length % 2 === 1 &&
      peer.seen.at(-2) === '.',
  );
  const mta = await against(t, { port: await startPeer(t, peer.serve) }, { settings: 'max-smtp-out 1' });
  for (let i = 0; i < 4; i++) await mta.submit([`u${i}@a.test`]);
  await mta.quiet();
  assert.deepEqual(
    mta.story(),
    [0, 1, 2, 3].map((i) => `delivered u${i}@a.test 2.0.0`),
  );
});

for (const [verb, odd] of [
  ['DATA', '334 odd'],
  ['RCPT', '354 odd'],
  ['MAIL', '300 odd'],
  ['.', '354 odd'],
] as const) {
  test(`a reply ${odd} to ${verb} is no delivery`, async (t) => {
    const peer = hangsUpAt((said) => {
      // Of two recipients one is taken in order, so that the content is sent.
      if (said !== verb) return false;
      return verb === 'RCPT' && !peer.seen.at(-1)!.includes('kim@') ? false : odd;
    });
    const mta = await against(t, { port: await startPeer(t, peer.serve) });
    await mta.submit(['kim@a.test', 'lou@a.test']);
    await mta.quiet();
    assert.ok(!mta.story().some((line) => line.startsWith('delivered kim@')), mta.story().join('\n'));
    assert.equal(mta.spool.messageCount, 1, 'it is still here');
  });
}

// Connections

test('D5.5: a message for more recipients than max-rcpt-per-message goes in several transactions', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, { settings: 'max-rcpt-per-message 2\nmax-smtp-out 1' });
  await mta.submit(['u0@a.test', 'u1@a.test', 'u2@a.test', 'u3@a.test', 'u4@a.test']);
  await mta.quiet();
  assert.deepEqual(
    remote.messages.map(({ envelope }) => envelope.recipients.length),
    [2, 2, 1],
  );
});

test('max-msg-per-connection: the connection closes after so many messages, and another one takes the rest', async (t) => {
  const sessions = new Map<unknown, number>();
  const remote = await startServer(
    t,
    {},
    {
      onMessage: (_, session) => {
        sessions.set(session, (sessions.get(session) ?? 0) + 1);
        return null;
      },
    },
  );
  const mta = await against(t, remote, { settings: 'max-msg-per-connection 2\nmax-smtp-out 1' });
  await Promise.all([0, 1, 2, 3, 4].map((i) => mta.submit([`u${i}@a.test`])));
  await mta.quiet();
  assert.deepEqual([...sessions.values()], [2, 2, 1]);
  assert.equal(mta.spool.messageCount, 0);
});

test('an idle connection takes new mail, often, and closes when its time is over', async (t) => {
  let connections = 0;
  const remote = await startServer(
    t,
    {},
    {
      onConnect: () => {
        connections++;
        return null;
      },
    },
  );
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const mta = await against(t, remote, { settings: 'connection-idle-timeout 1m' });
  for (let i = 0; i < 15; i++) {
    await mta.submit([`u${i}@a.test`]);
    await until(() => mta.story().length === i + 1);
    await mta.quiet();
    mta.clock.advance(50_000);
  }
  assert.equal(connections, 1);
  assert.equal(mta.scheduler.openConnections, 1);
  await mta.advance(60_000);
  await until(() => mta.scheduler.openConnections === 0);
  assert.deepEqual(warnings, [], 'each wait leaves nothing behind on the connection');
});

test('an idle connection that the remote host closes is replaced, and nothing is lost', async (t) => {
  const remote = await startServer(t);
  const mta = await against(t, remote, { settings: 'connection-idle-timeout 1m' });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.equal(mta.scheduler.openConnections, 1);
  for (const session of remote.server.sessions) session.destroy();
  await until(() => mta.scheduler.openConnections === 0);
  await mta.submit(['lou@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0', 'delivered lou@a.test 2.0.0']);
});

test('once drained, the dispatcher leaves no timer behind, though outcomes are still being written', async (t) => {
  const remote = await startServer(t, {}, rcptAnswers({ 'later@a.test': reply(452, '4.2.2', 'full') }));
  const mta = await against(t, remote);
  // The write of the outcome ends after the connection.
  let written: (() => void) | null = null;
  const { settle } = mta.spool;
  mta.spool.settle = async (...args) => {
    await new Promise<void>((resolve) => {
      written = resolve;
    });
    await settle.apply(mta.spool, args);
  };
  await mta.submit(['later@a.test']);
  await until(() => written !== null);
  mta.scheduler.stop();
  await mta.dispatcher.drained();
  (written as unknown as () => void)();
  await mta.stop();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.equal(mta.clock.waiting, 0);
});

test('the disk refuses the outcome: it is written when there is room, and the message is sent once', async (t) => {
  const dir = smallDisk(t, '1m');
  if (dir === null) return;
  let fill = async () => {};
  const remote = await startServer(
    t,
    {},
    {
      // The disk fills up while the remote host has the message and we have no answer yet.
      onMessage: async (message) => {
        remote.messages.push(message);
        await fill();
        return null;
      },
    },
  );
  const mta = await startDelivery(t, {
    config: `<domain *>\n${SETTINGS}\ndefault-smtp-port ${remote.port}\n</domain>`,
    dir,
  });
  fill = async () => {
    // To the last octet: what is refused large may have room when it is small.
    for (const [count, size] of [
      [400, 900],
      [50, 900],
      [10, 900],
      [1, 900],
      [1, 0],
    ] as const) {
      for (let full = false; !full; ) {
        await mta.spool.settle([], Array(count).fill(filler(size))).catch(() => {
          full = true;
        });
      }
    }
  };
  await mta.submit(['kim@a.test']);
  await until(() => remote.messages.length === 1 && mta.scheduler.openConnections === 0);
  const fate = () => mta.story().filter((line) => line.startsWith('delivered'));
  for (let i = 0; i < 3; i++) {
    mta.clock.advance(2000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual(fate(), []);
  assert.equal(mta.scheduler.find('a.test', '{default}')?.inDelivery, 1, 'neither done nor to be tried');
  spawnSync('mount', ['-o', 'remount,size=8m', dir]);
  await until(() => {
    mta.clock.advance(2000);
    return fate().length > 0;
  });
  await mta.quiet();
  assert.deepEqual(fate(), ['delivered kim@a.test 2.0.0']);
  assert.equal(remote.messages.length, 1);
  assert.equal(mta.spool.messageCount, 0);
});

const filler = (size: number) => ({
  kind: 'received' as const,
  at: 0,
  message: messageFacts({ subject: 'x'.repeat(size) }),
  recipient: { address: 'x@x.test', originalRecipient: '', messageId: '' },
});
