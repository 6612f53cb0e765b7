// Rules about whole queues (delivery, sections 5 and 7), end to end: from what is submitted to what is written down.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { load } from '../../config/testing.ts';
import type { RecordType } from '../accounting/columns.ts';
import { rowsOf } from '../accounting/rows.ts';
import { printSuccess } from '../monitor/answer.ts';
import { queueTree } from '../monitor/lists.ts';
import { QueueEvents } from '../monitor/queue-events.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { folder, startDelivery, until } from '../testing.ts';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;

test('D5.3 while a rate binds, show queues and inspect queue say which; afterwards they do not', async (t) => {
  for (const [directive, settings] of [
    ['max-msg-rate', 'max-msg-rate 1/h'],
    ['max-data-volume-rate', 'max-data-volume-rate 1/h'],
  ] as const) {
    const remote = await remoteHost(t);
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['a@a.test']);
    await mta.submit(['b@a.test']);
    await mta.quiet();
    const queue = mta.scheduler.find('a.test', '{default}')!;
    const shown = () => {
      const events = new QueueEvents(() => false);
      const show = { errors: true, modeEvents: false, recipientEvents: false };
      return printSuccess(queueTree(mta.scheduler, events, queue, show, mta.clock.now()), 'xml');
    };
    assert.equal(queue.size, 1);
    assert.ok(
      shown().includes(`<text>message rate limit reached (based on ${directive} in configuration)</text>`),
      shown(),
    );
    mta.scheduler.remove({ queue }, mta.clock.now());
    assert.ok(!shown().includes('rate limit'), shown());
  }
});

test('D7.2 a restart resets the retry list: the queue is tried at once, then waits the first step', async (t) => {
  const dir = folder(t);
  const refusing = [{ port: 1 }];
  const settings = 'retry-after 5m,20m,40m';
  const first = await deliveryTo(t, refusing, { dir, settings });
  await first.submit(['kim@a.test']);
  await first.quiet();
  await first.advance(5 * MINUTE);
  const waits = (mta: typeof first) => mta.scheduler.find('a.test', '{default}')!.retryAt - mta.clock.now();
  assert.equal(waits(first), 20 * MINUTE);
  await first.stop();

  const second = await deliveryTo(t, refusing, { dir, settings });
  for (const item of [...second.spool.recover()].flat()) {
    second.scheduler.add(item.domain, item.vmta, queuedRecipient(item), second.clock.now());
  }
  second.dispatcher.kick();
  await until(() => second.story().length === 3);
  await second.quiet();
  assert.equal(waits(second), 5 * MINUTE);
});

test('D7.5 D7.6 mail in a paused queue bounces with 4.4.7 when it is older than bounce-after', async (t) => {
  const remote = await remoteHost(t);
  const mta = await deliveryTo(t, [remote], { settings: 'bounce-after 2d' });
  await mta.submit(['kim@a.test', 'lou@a.test']);
  // Before the dispatcher has its turn.
  mta.scheduler.pause(mta.scheduler.find('a.test', '{default}')!, 'pmta pause');
  await mta.advance(2 * DAY - 1);
  assert.deepEqual(mta.story(), []);
  await mta.advance(1);
  await until(() => mta.story().length === 2);
  assert.deepEqual(mta.story(), ['bounced kim@a.test 4.4.7', 'bounced lou@a.test 4.4.7']);
  await mta.quiet();
  assert.equal(mta.spool.messageCount, 0);
  assert.equal(remote.connections, 0);
});

test('D7.8 a queue that fails writes one tq, a recipient that is refused for now a t', async (t) => {
  const remote = await remoteHost(t, {
    answer: (verb, line) => (verb === 'RCPT' && line.includes('full@') ? '452 4.2.2 full' : null),
  });
  const mta = await deliveryTo(t, [remote], {
    config: '<domain dead.test>\nsmtp-hosts [127.0.0.1]:1\n</domain>',
  });
  await mta.submit(['full@a.test', 'kim@a.test']);
  await mta.submit(['x@dead.test']);
  await mta.submit(['y@dead.test']);
  await mta.quiet();
  const written = (...records: RecordType[]) => {
    const rows = rowsOf({ records, recordFields: new Map(records.map((type) => [type, ['queue']])) });
    return mta.journal().flatMap((outcome) => rows.row(outcome) ?? []);
  };
  assert.deepEqual(written('d', 'b'), ['d,a.test/{default}']);
  assert.deepEqual(written('t'), ['t,a.test/{default}']);
  assert.deepEqual(written('tq'), ['tq,dead.test/{default}']);
});

test('D21.6 the client address of a proxy need not be ours, but must be an address', () => {
  const errors = (client: string) =>
    load(`<proxy p>\nserver 192.0.2.1:3000\nclient ${client} out.test\n</proxy>`).diagnostics.filter(
      ({ severity }) => severity === 'error',
    );
  for (const good of ['203.0.113.77', '2001:db8::77', '203.0.113.77:4000'])
    assert.deepEqual(errors(good), []);
  for (const bad of ['203.0.113.777', 'out.example', '203.0.113.0/24'])
    assert.equal(errors(bad).length, 1, bad);
});

/** Accepts connections and never says a word. */
async function silentHost(t: TestContext): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

const OTHERS = 200;

test('one dead destination among many, on real sockets: the others get all of theirs while it is in retry', async (t) => {
  const silent = await silentHost(t);
  const sink = await remoteHost(t);
  const mta = await startDelivery(t, {
    config: `total-max-smtp-out 20
      <domain silent.test>
        smtp-hosts [127.0.0.1]:${silent}
        max-smtp-out 5
      </domain>
      <domain refusing.test>
        smtp-hosts [127.0.0.1]:1
      </domain>
      <domain *>
        smtp-hosts [127.0.0.1]:${sink.port}
        use-starttls no
        retry-after 10m
      </domain>`,
  });
  for (let i = 0; i < 20; i++) await mta.submit([`r${i}@silent.test`, `r${i}@refusing.test`]);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < OTHERS; i++) await mta.submit([`r${round}@d${i}.test`]);
  }
  const delivered = () => mta.story().filter((line) => line.startsWith('delivered')).length;
  await until(() => sink.contents.length === 2 * OTHERS);
  await until(() => delivered() === 2 * OTHERS);
  assert.equal(sink.contents.length, 2 * OTHERS);
  const dead = (domain: string) => mta.scheduler.find(domain, '{default}')!;
  assert.equal(dead('silent.test').size, 20);
  assert.equal(dead('silent.test').connections, 5, 'still at it, with no more than its own connections');
  assert.equal(dead('refusing.test').size, 20);
  assert.deepEqual(mta.holds('refusing.test'), ['queue-retry']);
  // The silent one gives up when the greeting does not come, and waits as well.
  mta.clock.advance(11 * MINUTE);
  await until(() => dead('silent.test').connections === 0);
  // The record is written after the queue is told to wait.
  await mta.outcomes.settled();
  assert.ok(dead('silent.test').retryAt > mta.clock.now());
  assert.equal(dead('silent.test').size, 20);
  assert.equal(mta.story().filter((line) => line === 'queue-deferred silent.test/{default} 4.4.1').length, 1);
});
