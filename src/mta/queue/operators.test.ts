import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TURN_MS } from './interruption.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import { type ConnectionGrant, Scheduler } from './scheduler.ts';
import { grants, limit, limitSource, modeLimits, queueLimits, recipient, silentOwner } from './testing.ts';

const HOUR = 3_600_000;

function start(given: Parameters<typeof limitSource>[0] = {}): Scheduler {
  return new Scheduler(limitSource(given), silentOwner);
}

/** Opens one connection of the queue and sends all it is given; ids in the order they went. */
function sendAll(
  scheduler: Scheduler,
  now: number,
  grant: ConnectionGrant | undefined = grants(scheduler, now)[0],
): string[] {
  const ids: string[] = [];
  if (!grant) return ids;
  scheduler.opened(grant.id, now);
  for (;;) {
    const work = scheduler.take(grant.id, now);
    if (work.kind !== 'deliver') break;
    for (const { spoolId } of work.items) {
      ids.push(spoolId);
      scheduler.done(grant.queue, true, now);
    }
  }
  scheduler.closed(grant.id, now);
  return ids;
}

const add = (scheduler: Scheduler, spoolId: string, given: Partial<QueuedRecipient> = {}, domain = 'a') =>
  scheduler.add(domain, 'v', recipient(0, { spoolId, ...given }), 0);

test('section 12: recipients of one queue go by priority, equal ones in the order they came; pmta set priority', () => {
  const one = { normal: modeLimits({ maxConnections: limit('max-smtp-out', 1) }) };
  const scheduler = start({ queue: queueLimits(one) });
  for (const [id, priority] of [
    ['m1', 50],
    ['low', 10],
    ['m2', 50],
    ['high', 90],
  ] as const)
    add(scheduler, id, { priority });
  scheduler.setPriority({ recipient: ({ spoolId }) => spoolId === 'low' }, 95);
  assert.deepEqual(sendAll(scheduler, 0), ['low', 'high', 'm1', 'm2']);
});

const priorities = (of: Record<string, number>, allowInterruption = true) => ({
  queue: (domain: string) =>
    queueLimits({ priority: of[domain] ?? 50, allowInterruption: domain === 'b' ? allowInterruption : true }),
  server: 2,
});

test('section 12: slots full with queue B(30); mail for A(75) ⇒ one B connection ends after its current message, A connects', () => {
  const scheduler = start(priorities({ a: 75, b: 30 }));
  for (let i = 0; i < 9; i++) add(scheduler, `b${i}`, {}, 'b');
  const held = grants(scheduler, 0);
  assert.equal(held.length, 2);
  for (const { id } of held) {
    scheduler.opened(id, 0);
    assert.equal(scheduler.take(id, 0).kind, 'deliver');
  }
  add(scheduler, 'a0');
  assert.deepEqual(grants(scheduler, 0), []);
  const next = held.map(({ id, queue }) => {
    scheduler.done(queue, true, 1);
    return scheduler.take(id, 1).kind;
  });
  assert.deepEqual(next, ['close', 'deliver']);
  scheduler.closed(held[0]!.id, 1);
  assert.deepEqual(
    grants(scheduler, 1).map(({ queue }) => queue.domain),
    ['a'],
  );
});

test('section 12: same, B allow-priority-interruption no ⇒ A waits; A(50) and B(50) ⇒ no interruption', () => {
  for (const limits of [priorities({ a: 75, b: 30 }, false), priorities({ a: 50, b: 50 })]) {
    const scheduler = start(limits);
    for (let i = 0; i < 9; i++) add(scheduler, `b${i}`, {}, 'b');
    const held = grants(scheduler, 0);
    add(scheduler, 'a0');
    assert.deepEqual(grants(scheduler, 0), []);
    for (const { id } of held) {
      scheduler.opened(id, 0);
      assert.equal(scheduler.take(id, 0).kind, 'deliver');
    }
    assert.equal(scheduler.explain(scheduler.find('a', 'v')!, 0)[0]?.kind, 'server-connections');
  }
});

test('section 12: A(50) and B(50): B keeps its connections for a turn, then one ends after its current message', () => {
  for (const [allowed, expected] of [
    [true, ['close', 'deliver']],
    [false, ['deliver', 'deliver']],
  ] as const) {
    const scheduler = start(priorities({ a: 50, b: 50 }, allowed));
    for (let i = 0; i < 9; i++) add(scheduler, `b${i}`, {}, 'b');
    const held = grants(scheduler, 0);
    for (const { id } of held) scheduler.opened(id, 0);
    add(scheduler, 'a0');
    grants(scheduler, 0);
    const next = (now: number) =>
      held.map(({ id, queue }) => {
        const { kind } = scheduler.take(id, now);
        if (kind === 'deliver') scheduler.done(queue, true, now);
        return kind;
      });
    assert.deepEqual(next(TURN_MS - 1), ['deliver', 'deliver']);
    assert.deepEqual(next(TURN_MS), expected);
  }
});

test('a queue that waits for a shared limit is not passed by one that comes back', () => {
  const scheduler = start({ server: 1 });
  for (let i = 0; i < 5; i++) add(scheduler, `a${i}`);
  add(scheduler, 'b0', {}, 'b');
  const [first] = grants(scheduler, 0);
  scheduler.opened(first!.id, 0);
  scheduler.take(first!.id, 0);
  scheduler.done(first!.queue, true, 0);
  scheduler.closed(first!.id, 0);
  assert.equal(grants(scheduler, 0)[0]?.queue.domain, 'b');
});

test('D16.1 attempts only inside a window; D7.7 D16.2 bounce-after does not matter, the last window does', () => {
  const scheduler = start({ queue: queueLimits({ bounceAfter: limit('bounce-after', 10) }) });
  const windows = [
    { start: 100, end: 200 },
    { start: 300, end: 400 },
  ];
  add(scheduler, 's', { windows });
  assert.deepEqual(grants(scheduler, 99), []);
  assert.equal(
    scheduler.explainRecipient(scheduler.find('a', 'v')!, recipient(0, { windows }), 99)[0]?.kind,
    'outside-schedule',
  );
  assert.equal(scheduler.nextWake, 100);
  const [grant] = grants(scheduler, 100);
  scheduler.opened(grant!.id, 200);
  assert.equal(scheduler.take(grant!.id, 200).kind, 'close');
  scheduler.closed(grant!.id, 200);
  assert.deepEqual(grants(scheduler, 200), []);
  assert.equal(scheduler.nextWake, 300);
  const [last] = grants(scheduler, 300);
  scheduler.opened(last!.id, 400);
  const work = scheduler.take(last!.id, 400);
  assert.ok(work.kind === 'expired' && work.items[0]?.spoolId === 's');
});

test('D16.3 a queue in retry mode is not woken by the start of a window', () => {
  const scheduler = start({ queue: queueLimits({ normal: modeLimits({}, [1000]) }) });
  add(scheduler, 'now');
  const [grant] = grants(scheduler, 0);
  scheduler.failed(grant!.queue, 0, 'x');
  scheduler.closed(grant!.id, 0);
  add(scheduler, 's', { windows: [{ start: 100, end: 2000 }] });
  assert.deepEqual(grants(scheduler, 100), []);
  assert.equal(grants(scheduler, 1000).length, 2);
});

test('pause and resume of a job: its recipients are put aside when met, the others go; resuming brings them back', () => {
  const one = { normal: modeLimits({ maxConnections: limit('max-smtp-out', 1) }) };
  const scheduler = start({ queue: queueLimits(one) });
  for (const [id, job] of [
    ['j0', 'j'],
    ['x0', ''],
    ['j1', 'j'],
    ['x1', 'k'],
  ] as const)
    add(scheduler, id, { job });
  scheduler.pauseJob('j', 'ops');
  assert.deepEqual(sendAll(scheduler, 0), ['x0', 'x1']);
  const queue = scheduler.find('a', 'v')!;
  assert.deepEqual(grants(scheduler, 0), []);
  assert.deepEqual(
    scheduler.explain(queue, 0).map(({ kind, current }) => [kind, current]),
    [['job-paused', 2]],
  );
  assert.equal(scheduler.explainJob('j')[0]?.current, 2);
  assert.equal(queue.size, 2);
  scheduler.resumeJob('j', 0);
  assert.deepEqual(sendAll(scheduler, 0), ['j0', 'j1']);
});

test('D7.4 pmta schedule ignores the queue clock; --retry-recipients also the recipient holds', () => {
  const scheduler = start({ queue: queueLimits({ normal: modeLimits({}, [HOUR]) }) });
  add(scheduler, 'held', { holdUntil: HOUR });
  add(scheduler, 'ready');
  const [grant] = grants(scheduler, 0);
  scheduler.failed(grant!.queue, 0, 'x');
  scheduler.closed(grant!.id, 0);
  const queue = scheduler.find('a', 'v')!;
  scheduler.schedule(queue, false, 1);
  assert.deepEqual(sendAll(scheduler, 1), ['ready']);
  scheduler.schedule(queue, true, 2);
  assert.deepEqual(sendAll(scheduler, 2), ['held']);
});

test('delete: what waits is taken out wherever it waits, and counts until its outcome is on disk', () => {
  const scheduler = start();
  for (const [id, given] of [
    ['r', {}],
    ['h', { holdUntil: HOUR }],
    ['p', { job: 'j' }],
    ['stays', { priority: 9 }],
  ] as const)
    add(scheduler, id, given);
  scheduler.pauseJob('j', 'ops');
  const removed = scheduler.remove({ recipient: ({ priority }) => priority !== 9 }, 0);
  assert.deepEqual(removed.flatMap(({ items }) => items.map(({ spoolId }) => spoolId)).sort(), [
    'h',
    'p',
    'r',
  ]);
  const queue = scheduler.find('a', 'v')!;
  assert.equal(queue.inDelivery, 3);
  for (let i = 0; i < 3; i++) scheduler.done(queue, false, 0);
  assert.equal(queue.size, 1);
});

test('D7.1 connections of one run that fail together are one failed run; who began before says nothing new later', () => {
  const scheduler = start({ queue: queueLimits({ normal: modeLimits({}, [1000, 9000]) }) });
  for (let i = 0; i < 3; i++) add(scheduler, `m${i}`);
  const [one, two, slow] = grants(scheduler, 0);
  const { queue } = one!;
  assert.deepEqual(scheduler.failed(queue, 0, 'x', { id: one!.id }), { until: 1000, newRun: true });
  assert.deepEqual(scheduler.failed(queue, 5, 'x', { id: two!.id }), { until: 1000, newRun: false });
  assert.equal(scheduler.failed(queue, 2000, 'x', { id: slow!.id }).newRun, false);
  for (const { id } of [one!, two!]) scheduler.closed(id, 2000);
  const [again] = grants(scheduler, 2000);
  assert.deepEqual(scheduler.failed(queue, 2000, 'x', { id: again!.id }), { until: 11_000, newRun: true });
});
