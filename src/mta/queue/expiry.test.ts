import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Queue, QueuedRecipient } from './queue.ts';
import { Scheduler } from './scheduler.ts';
import { grants, limit, limitSource, modeLimits, queueLimits, recipient, silentOwner } from './testing.ts';

type QueuedRecipients = readonly QueuedRecipient[];

const AFTER = 1000;

function start(given: Parameters<typeof queueLimits>[0] = {}): Scheduler {
  const queue = queueLimits({ bounceAfter: limit('bounce-after', AFTER), ...given });
  return new Scheduler(limitSource({ queue }), silentOwner);
}

const add = (
  scheduler: Scheduler,
  spoolId: string,
  receivedAt: number,
  given: Partial<QueuedRecipient> = {},
) => {
  scheduler.add('a', 'v', recipient(receivedAt, { spoolId, ...given }), receivedAt);
  return scheduler.find('a', 'v')!;
};

/** Everything that has expired; it gets its outcome at once. */
function expired(scheduler: Scheduler, now: number): string[] {
  const ids: string[] = [];
  for (let next = scheduler.nextExpired(now); next; next = scheduler.nextExpired(now)) {
    ids.push(...next.items.map(({ spoolId }) => spoolId));
    for (const _ of next.items) scheduler.done(next.queue, false, now);
  }
  return ids;
}

test('D7.5 age is measured from reception: one behind younger ones of its priority expires in its time', () => {
  const scheduler = start();
  const queue = add(scheduler, 'young', 500);
  for (const [id, receivedAt, priority] of [
    ['old', 0, 50],
    ['older', -400, 50],
    ['low', 100, 10],
  ] as const) {
    scheduler.add('a', 'v', recipient(receivedAt, { spoolId: id, priority }), 500);
  }
  assert.equal(scheduler.nextWake, 600);
  assert.deepEqual(expired(scheduler, 599), []);
  assert.deepEqual(expired(scheduler, 600), ['older']);
  const ids = scheduler.takeExpired(queue, 1100).map(({ spoolId }) => spoolId);
  assert.deepEqual(ids, ['old', 'low']);
  // What expired is not handed out for delivery.
  const [grant] = grants(scheduler, 1100);
  scheduler.opened(grant!.id, 1100);
  const work = scheduler.take(grant!.id, 1100);
  assert.deepEqual(work.kind === 'deliver' && work.items.map(({ spoolId }) => spoolId), ['young']);
});

const NEVER_HANDLED: readonly [string, (scheduler: Scheduler, queue: Queue) => void][] = [
  ['paused by an operator', (scheduler, queue) => scheduler.pause(queue, 'ops')],
  [
    'every source disabled',
    (scheduler, queue) => {
      const [grant] = grants(scheduler, 0);
      const source = { address: '192.0.2.1', host: 'out' };
      scheduler.reserve(grant!.id, { host: 'mx', address: '203.0.113.1' }, [source], 0);
      scheduler.disableSource(queue, source.address, null, 'a reply', 0);
      scheduler.closed(grant!.id, 0);
      for (const { id } of grants(scheduler, 0)) {
        const held = scheduler.reserve(id, { host: 'mx', address: '203.0.113.1' }, [source], 0);
        if (held.kind === 'held') scheduler.heldBack(id, held.hold, 0);
        scheduler.closed(id, 0);
      }
    },
  ],
  [
    'in retry for days',
    (scheduler, queue) => {
      const [grant] = grants(scheduler, 0);
      scheduler.failed(queue, 0, 'no answer', { id: grant!.id });
      scheduler.closed(grant!.id, 0);
    },
  ],
  [
    'recipients refused for now',
    (scheduler, queue) => {
      const [grant] = grants(scheduler, 0);
      scheduler.opened(grant!.id, 0);
      for (let work = scheduler.take(grant!.id, 0); work.kind === 'deliver'; ) {
        for (const item of work.items) scheduler.hold(queue, item, 0);
        work = scheduler.take(grant!.id, 0);
      }
      scheduler.closed(grant!.id, 0);
    },
  ],
  [
    'job paused, and its recipients put aside',
    (scheduler) => {
      scheduler.pauseJob('j', 'ops');
      assert.deepEqual(grants(scheduler, 0), []);
    },
  ],
];

for (const [how, put] of NEVER_HANDLED) {
  test(`D7.6 a queue that is never handled expires its mail in time all the same: ${how}`, () => {
    const steps = [864_000_000];
    const scheduler = start({
      normal: modeLimits({ maxConnections: limit('max-smtp-out', 1) }, steps),
      retryRecipientsAfter: limit('retry-recipients-after', 864_000_000),
    });
    for (let i = 0; i < 300; i++) add(scheduler, `m${i}`, 0, { job: 'j' });
    const queue = scheduler.find('a', 'v')!;
    put(scheduler, queue);
    assert.equal(scheduler.nextConnection(0), null);
    assert.equal(scheduler.nextWake, AFTER, 'it asks to be looked at when the first expires');
    assert.deepEqual(expired(scheduler, AFTER - 1), []);
    const ids = expired(scheduler, AFTER);
    assert.equal(new Set(ids).size, 300);
    assert.equal(ids.length, 300);
    assert.equal(queue.size, 0);
    assert.deepEqual([...scheduler.items(queue)], []);
    // Nothing comes back of what is gone.
    scheduler.resumeJob('j', AFTER);
    scheduler.schedule(queue, true, AFTER);
    assert.deepEqual(grants(scheduler, AFTER), []);
  });
}

test('D7.6 held back by a limit of the server that another queue uses up', () => {
  const queue = queueLimits({ bounceAfter: limit('bounce-after', AFTER) });
  const scheduler = new Scheduler(limitSource({ queue, server: 1 }), silentOwner);
  scheduler.add('busy', 'v', recipient(900, {}), 900);
  assert.equal(grants(scheduler, 900).length, 1);
  add(scheduler, 'waits', 0);
  assert.deepEqual(grants(scheduler, 900), []);
  assert.deepEqual(expired(scheduler, AFTER), ['waits']);
});

test('D7.6 what is in delivery does not expire under way; back in the queue it does at once', () => {
  const scheduler = start();
  const queue = add(scheduler, 'm', 0);
  const [grant] = grants(scheduler, 0);
  scheduler.opened(grant!.id, 0);
  const work = scheduler.take(grant!.id, 0);
  assert.deepEqual(expired(scheduler, AFTER), []);
  scheduler.putBack(queue, (work as { items: QueuedRecipients }).items, AFTER + 5);
  assert.deepEqual(expired(scheduler, AFTER + 5), ['m']);
});

test('D16.2 in a paused queue: bounce when no window remains', () => {
  const scheduler = start();
  scheduler.pause(add(scheduler, 'other', 4000), 'ops');
  add(scheduler, 's', 0, { windows: [{ start: 2000, end: 3000 }] });
  assert.deepEqual(expired(scheduler, 2999), []);
  assert.deepEqual(expired(scheduler, 3000), ['s']);
});

test('mail that moves to another queue expires there, and lines of expiry stay as small as what waits', () => {
  const scheduler = start();
  const from = add(scheduler, 'm', 0);
  scheduler.pause(from, 'ops');
  scheduler.move(from, 'b', 'v', 10);
  scheduler.pause(scheduler.find('b', 'v')!, 'ops');
  const next = scheduler.nextExpired(AFTER);
  assert.equal(next?.queue.domain, 'b');
  assert.equal(scheduler.nextExpired(AFTER), null);
});
