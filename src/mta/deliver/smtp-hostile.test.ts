// Hosts that mean us no good: what they do ends in a defined way, in bounded time, and other queues never notice.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startPeer } from '../../smtp/test-peer.ts';
import { until } from '../testing.ts';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';

/** Sends without end, as fast as it is read. */
function flood(socket: Socket, text: string): void {
  const piece = text.repeat(Math.ceil(65_536 / text.length));
  const more = () => {
    while (!socket.destroyed && socket.write(piece));
    if (!socket.destroyed) socket.once('drain', more);
  };
  more();
}

/** Says `before` at once and, after the first line that comes, does the rest. */
const after = (before: string, then: (socket: Socket) => void) => (socket: Socket) => {
  socket.write(before);
  socket.once('data', () => then(socket));
};

const CASES: [what: string, serve: (socket: Socket) => void, lastError: RegExp][] = [
  ['greetings without end', (s) => flood(s, '220 x\r\n'), /EPROTOCOL/],
  ['one greeting without end', (s) => flood(s, '220-x\r\n'), /EPROTOCOL .*too many lines/],
  [
    'a greeting of 10 MB in one line',
    (s) => void s.write(`220 ${'x'.repeat(10_000_000)}\r\n`),
    /EPROTOCOL .*too long/,
  ],
  ['bytes that are no SMTP', (s) => flood(s, '\u0000\u0001\u0002\n'), /EPROTOCOL/],
  [
    'an EHLO list without end',
    after('220 x\r\n', (s) => flood(s, '250-X\r\n')),
    /EPROTOCOL .*too many lines/,
  ],
  ['replies to commands that nobody gave', after('220 x\r\n', (s) => flood(s, '250 x\r\n')), /EPROTOCOL/],
  ['1xx to EHLO', after('220 x\r\n', (s) => void s.write('150 x\r\n')), /EPROTOCOL .*not SMTP/],
  ['3xx to EHLO', after('220 x\r\n', (s) => void s.write('354 x\r\n')), /^354 x/],
  ['2xx but 220 for a greeting', (s) => void s.write('250 x\r\n'), /^250 x/],
  ['closing without a word', (s) => void s.end(), /ECLOSED/],
  ['a reset', (s) => void s.resetAndDestroy(), /ECONNRESET|ECLOSED/],
];

for (const [what, serve, lastError] of CASES) {
  test(`hostile host: ${what}: the queue waits, another queue is served`, async (t) => {
    const good = await remoteHost(t);
    const bad = await startPeer(t, serve);
    const mta = await deliveryTo(t, [{ port: bad }], {
      config: `<domain good.test>\nsmtp-hosts [127.0.0.1]:${good.port}\n</domain>`,
    });
    await mta.submit(['kim@bad.test', 'lou@good.test']);
    await mta.quiet();
    const story = mta.story();
    assert.ok(story.includes('delivered lou@good.test 2.0.0'), story.join());
    assert.ok(
      story.some((line) => /^queue-deferred bad\.test\/\{default\} 4\./.test(line)),
      story.join(),
    );
    assert.match(mta.scheduler.find('bad.test', '{default}')!.lastError, lastError);
    assert.equal(mta.scheduler.openConnections, 0);
  });
}

for (const [what, serve, limitMs] of [
  ['silence', () => {}, 300_000],
  ['one byte now and then, never a line', (s: Socket) => drip(s, '2'), 300_000],
  ['one line now and then, never the last', (s: Socket) => drip(s, '220-x\r\n'), 600_000],
] as const) {
  test(`hostile host: ${what}: given up within ${limitMs / 60_000} minutes, whatever comes meanwhile`, async (t) => {
    let connected = false;
    const port = await startPeer(t, (socket) => {
      connected = true;
      serve(socket);
    });
    const mta = await deliveryTo(t, [{ port }]);
    await mta.submit(['kim@a.test']);
    await until(() => connected);
    for (let passed = 0; passed <= limitMs && mta.story().length === 0; passed += 30_000) {
      await wait(10);
      mta.clock.advance(30_000);
    }
    // Its time is up. The clock stands still while what it set off comes to its end, however slow the machine is.
    await until(() => mta.story().length > 0);
    assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
  });
}

function drip(socket: Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), 15);
  socket.on('close', () => clearInterval(timer));
}

test('hostile host: replies put behind the one to STARTTLS are not taken for replies inside TLS', async (t) => {
  const remote = await remoteHost(t, {
    keywords: ['STARTTLS'],
    answer: (verb) => (verb === 'STARTTLS' ? '220 go\r\n250-x\r\n250 AUTH PLAIN' : null),
  });
  const mta = await deliveryTo(t, [remote], {
    settings: 'use-starttls yes\nrequire-starttls yes\nauth-username me\nauth-password secret',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
  assert.match(mta.scheduler.find('a.test', '{default}')!.lastError, /data came before the TLS handshake/);
  assert.ok(!remote.seen.some((line) => line.startsWith('AUTH')), 'the password is not given away');
});
