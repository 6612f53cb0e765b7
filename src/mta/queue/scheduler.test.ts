import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeHold } from './hold.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import { type ConnectionGrant, Scheduler } from './scheduler.ts';
import {
  grants,
  limit,
  limitSource,
  modeLimits,
  queueLimits,
  recipient,
  silentOwner,
  vmtaLimits,
} from './testing.ts';

/** One queue's settings in the short form of these tests. */
function settings(
  given: {
    maxConnections?: number;
    retrySteps?: readonly number[];
    maxRecipients?: number;
    idleTimeout?: number;
    bounceAfter?: number;
    retryRecipientsAfter?: number;
    retryUponNewMail?: boolean;
  } = {},
) {
  const { maxConnections = 20, retrySteps, maxRecipients = 1000, idleTimeout = 0 } = given;
  const { bounceAfter = 86_400_000, retryRecipientsAfter = 30_000, retryUponNewMail = false } = given;
  return queueLimits({
    normal: modeLimits({ maxConnections: limit('max-smtp-out', maxConnections) }, retrySteps),
    maxRecipientsPerMessage: limit('max-rcpt-per-message', maxRecipients),
    idleTimeout: limit('connection-idle-timeout', idleTimeout),
    bounceAfter: limit('bounce-after', bounceAfter),
    retryRecipientsAfter: limit('retry-recipients-after', retryRecipientsAfter),
    retryUponNewMail,
  });
}

function start(queue = settings(), others: { vmta?: number; server?: number } = {}): Scheduler {
  const vmta = vmtaLimits({ connections: limit('max-smtp-out', others.vmta ?? Number.POSITIVE_INFINITY) });
  return new Scheduler(limitSource({ queue, vmta, server: others.server }), silentOwner);
}

test('a queue gets no more connections than max-smtp-out, and no more than it has work for', () => {
  const scheduler = start(settings({ maxConnections: 3 }));
  for (let i = 0; i < 2; i++) scheduler.add('a.example', 'v', recipient(0), 0);
  assert.equal(grants(scheduler, 0).length, 2);
  for (let i = 0; i < 8; i++) scheduler.add('a.example', 'v', recipient(0), 0);
  const more = grants(scheduler, 0);
  assert.equal(more.length, 1);
  const [hold] = scheduler.explain(scheduler.find('a.example', 'v')!, 0);
  assert.equal(hold?.kind, 'queue-connections');
  assert.equal(hold?.limit?.directive, 'max-smtp-out');
  assert.equal(hold?.current, 3);
});

test('limits of one queue are independent of the same domain under another VMTA', () => {
  const scheduler = start(settings({ maxConnections: 1 }));
  for (const vmta of ['v1', 'v2']) {
    for (let i = 0; i < 5; i++) scheduler.add('a.example', vmta, recipient(0), 0);
  }
  assert.equal(grants(scheduler, 0).length, 2);
});

test('a connection that closes lets in one queue that waited for the shared limit', () => {
  const scheduler = start(settings(), { server: 2 });
  for (const domain of ['a', 'b', 'c', 'd']) scheduler.add(domain, 'v', recipient(0), 0);
  const first = grants(scheduler, 0);
  assert.deepEqual(
    first.map((g) => g.queue.domain),
    ['a', 'b'],
  );
  scheduler.opened(first[0]!.id, 0);
  assert.equal(scheduler.take(first[0]!.id, 0).kind, 'deliver');
  scheduler.done(first[0]!.queue, true, 0);
  scheduler.closed(first[0]!.id, 0);
  assert.deepEqual(
    grants(scheduler, 0).map((g) => g.queue.domain),
    ['c'],
  );
});

test('recipients of one message go in one transaction, up to max-rcpt-per-message', () => {
  const scheduler = start(settings({ maxRecipients: 1000, maxConnections: 1 }));
  for (let i = 0; i < 2500; i++)
    scheduler.add('a.example', 'v', recipient(0, { spoolId: 'one', index: i }), 0);
  scheduler.add('a.example', 'v', recipient(0, { spoolId: 'two', index: 0 }), 0);
  const [grant] = grants(scheduler, 0);
  scheduler.opened(grant!.id, 0);
  const sizes: number[] = [];
  for (
    let work = scheduler.take(grant!.id, 0);
    work.kind === 'deliver';
    work = scheduler.take(grant!.id, 0)
  ) {
    sizes.push(work.items.length);
    for (const _ of work.items) scheduler.done(grant!.queue, true, 0);
  }
  assert.deepEqual(sizes, [1000, 1000, 500, 1]);
});

test('D7.1 D7.2 the retry clock takes its steps per failed run, stays on the last, and a delivery resets it', () => {
  const scheduler = start(settings({ retrySteps: [5, 20] }));
  scheduler.add('a.example', 'v', recipient(0), 0);
  const seen: number[] = [];
  let now = 0;
  for (let run = 0; run < 4; run++) {
    const [grant] = grants(scheduler, now);
    const { until } = scheduler.failed(grant!.queue, now, 'connection refused');
    scheduler.closed(grant!.id, now);
    seen.push(until - now);
    assert.equal(grants(scheduler, until - 1).length, 0, 'nothing before the time');
    assert.equal(scheduler.nextWake, until);
    now = until;
  }
  assert.deepEqual(seen, [5, 20, 20, 20]);
  const [grant] = grants(scheduler, now);
  scheduler.opened(grant!.id, now);
  scheduler.take(grant!.id, now);
  scheduler.done(grant!.queue, true, now);
  assert.equal(scheduler.failed(grant!.queue, now, 'again').until - now, 5);
});

test('new mail does not wake a queue in retry, unless retry-upon-new-mail', () => {
  for (const [retryUponNewMail, expected] of [
    [false, 0],
    [true, 1],
  ] as const) {
    const scheduler = start(settings({ retryUponNewMail, retrySteps: [1000] }));
    scheduler.add('a.example', 'v', recipient(0), 0);
    const [grant] = grants(scheduler, 0);
    scheduler.failed(grant!.queue, 0, 'no answer');
    scheduler.closed(grant!.id, 0);
    scheduler.add('a.example', 'v', recipient(10), 10);
    assert.equal(grants(scheduler, 10).length > 0 ? 1 : 0, expected);
  }
});

test('a refused recipient waits by itself while the queue goes on', () => {
  const scheduler = start(settings({ maxConnections: 1 }));
  scheduler.add('a.example', 'v', recipient(0, { spoolId: 'refused' }), 0);
  scheduler.add('a.example', 'v', recipient(0, { spoolId: 'fine' }), 0);
  const [grant] = grants(scheduler, 0);
  scheduler.opened(grant!.id, 0);
  const work = scheduler.take(grant!.id, 0);
  assert.equal(work.kind, 'deliver');
  if (work.kind !== 'deliver') return;
  scheduler.hold(grant!.queue, work.items[0]!, 0);
  const next = scheduler.take(grant!.id, 0);
  assert.equal(next.kind === 'deliver' && next.items[0]!.spoolId, 'fine');
  scheduler.done(grant!.queue, true, 0);
  assert.equal(scheduler.take(grant!.id, 0).kind, 'close');
  scheduler.closed(grant!.id, 0);
  assert.equal(grants(scheduler, 0).length, 0);
  assert.equal(scheduler.nextWake, 30_000);
  assert.equal(scheduler.explain(grant!.queue, 0)[0]?.kind, 'recipient-retry');
  assert.equal(grants(scheduler, 30_000).length, 1);
});

test('what is older than bounce-after comes back as expired', () => {
  const scheduler = start(settings({ bounceAfter: 100 }));
  scheduler.add('a.example', 'v', recipient(0, { spoolId: 'old' }), 0);
  scheduler.add('a.example', 'v', recipient(90, { spoolId: 'young' }), 90);
  const [grant] = grants(scheduler, 120);
  scheduler.opened(grant!.id, 0);
  const work = scheduler.take(grant!.id, 120);
  assert.deepEqual(work.kind === 'expired' && work.items.map((i) => i.spoolId), ['old']);
  scheduler.done(grant!.queue, false, 0);
  const next = scheduler.take(grant!.id, 120);
  assert.equal(next.kind === 'deliver' && next.items[0]!.spoolId, 'young');
});

test('an idle connection is resumed by new mail instead of opening another', () => {
  const resumed: number[] = [];
  const scheduler = new Scheduler(limitSource({ queue: settings({ idleTimeout: 5000 }) }), {
    resume: (id) => resumed.push(id),
  });
  scheduler.add('a.example', 'v', recipient(0), 0);
  const [grant] = grants(scheduler, 0);
  scheduler.opened(grant!.id, 0);
  scheduler.take(grant!.id, 0);
  scheduler.done(grant!.queue, true, 0);
  assert.deepEqual(scheduler.take(grant!.id, 0), { kind: 'idle', until: 5000 });
  scheduler.add('a.example', 'v', recipient(1), 1);
  assert.deepEqual(resumed, [grant!.id]);
  assert.equal(scheduler.take(grant!.id, 1).kind, 'deliver');
});

test('a simulated world: no limit is exceeded, nothing is stuck, every recipient has one outcome', () => {
  let seed = 20260101;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const perQueue = 4;
  const perVmta = 25;
  const perServer = 60;
  const bounceAfter = 6 * 3_600_000;
  const scheduler = start(
    settings({
      maxConnections: perQueue,
      bounceAfter,
      retryRecipientsAfter: 600_000,
      retrySteps: [60_000, 900_000],
    }),
    { vmta: perVmta, server: perServer },
  );
  const outcomes = new Map<string, number>();
  const finish = (item: QueuedRecipient) => {
    const key = `${item.spoolId}/${item.index}`;
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
  };
  const total = 6000;
  let added = 0;
  let now = 0;
  const open: { grant: ConnectionGrant; at: number; failing: boolean }[] = [];
  const dead = new Set(['d0.example', 'd1.example', 'd2.example']);
  const countBy = (key: (g: ConnectionGrant) => string) => {
    const counts = new Map<string, number>();
    for (const { grant } of open) counts.set(key(grant), (counts.get(key(grant)) ?? 0) + 1);
    return counts;
  };
  while (outcomes.size < total) {
    assert.ok(now < 10 * 86_400_000, `stuck with ${total - outcomes.size} recipients left`);
    for (let i = 0; i < 20 && added < total; i++, added++) {
      const domain = `d${Math.floor(random() * 120)}.example`;
      scheduler.add(domain, `v${added % 3}`, recipient(now, { spoolId: `s${added}` }), now);
    }
    for (const grant of grants(scheduler, now)) {
      open.push({
        grant,
        at: now + random() * 5000,
        failing: dead.has(grant.queue.domain) || random() < 0.05,
      });
    }
    assert.ok(open.length <= perServer);
    for (const [, count] of countBy((g) => g.queue.name)) assert.ok(count <= perQueue);
    for (const [, count] of countBy((g) => g.queue.vmta)) assert.ok(count <= perVmta);
    // Everything that waits can say why.
    for (const queue of scheduler.queues()) {
      if (queue.ready.size + queue.held.size > 0 && queue.connections === 0) {
        assert.ok(scheduler.explain(queue, now).length > 0, `${queue.name} waits without a reason`);
      }
    }
    open.sort((a, b) => a.at - b.at);
    const next = open.shift();
    now = next ? Math.max(now, next.at) : Math.max(now + 1, Math.min(scheduler.nextWake, now + 3_600_000));
    if (!next) continue;
    const { grant, failing } = next;
    if (failing) {
      scheduler.failed(grant.queue, now, 'no answer');
      for (const item of scheduler.takeExpired(grant.queue, now)) {
        finish(item);
        scheduler.done(grant.queue, false, now);
      }
      scheduler.closed(grant.id, now);
      continue;
    }
    scheduler.opened(grant.id, now);
    for (
      let work = scheduler.take(grant.id, now);
      work.kind !== 'close';
      work = scheduler.take(grant.id, now)
    ) {
      if (work.kind === 'idle' || work.kind === 'wait') break;
      for (const item of work.items) {
        if (work.kind === 'deliver' && random() < 0.1) {
          scheduler.hold(grant.queue, item, now);
        } else {
          finish(item);
          scheduler.done(grant.queue, work.kind === 'deliver', now);
        }
      }
    }
    scheduler.closed(grant.id, now);
  }
  assert.equal(outcomes.size, total);
  for (const [key, count] of outcomes) assert.equal(count, 1, `${key} had ${count} outcomes`);
  assert.equal(scheduler.openConnections, open.length);
});

test('an empty queue keeps its retry clock until the wait is over, and is forgotten then', () => {
  const scheduler = start(settings({ bounceAfter: 1000, retrySteps: [60_000] }));
  scheduler.add('a', 'v', recipient(0), 0);
  const [grant] = grants(scheduler, 0);
  const { queue } = grant!;
  scheduler.failed(queue, 2000, 'no answer');
  assert.equal(scheduler.takeExpired(queue, 2000).length, 1);
  scheduler.closed(grant!.id, 2000);
  scheduler.done(queue, false, 2000);
  assert.equal(scheduler.find('a', 'v'), queue);
  assert.equal(scheduler.nextConnection(61_999), null);
  assert.equal(scheduler.find('a', 'v')?.retryAt, 62_000, 'new mail would still wait');
  assert.equal(scheduler.nextWake, 62_000);
  assert.equal(scheduler.nextConnection(62_000), null);
  assert.equal(scheduler.find('a', 'v'), undefined);
});

test('recipients that wait for their time in a paused queue: both are told', () => {
  const scheduler = start();
  scheduler.add('a', 'v', recipient(0, { holdUntil: 1000 }), 0);
  const queue = scheduler.find('a', 'v')!;
  const kinds = () => scheduler.explain(queue, 0).map(({ kind }) => kind);
  assert.deepEqual(kinds(), ['recipient-retry']);
  scheduler.pause(queue, 'ops');
  assert.deepEqual(kinds(), ['paused', 'recipient-retry']);
});

test('D16.1 a queue whose recipients wait for their window says so', () => {
  const scheduler = start();
  scheduler.add('a', 'v', recipient(0, { windows: [{ start: 1000, end: 2000 }] }), 0);
  const [hold] = scheduler.explain(scheduler.find('a', 'v')!, 0);
  assert.equal(hold?.kind, 'outside-schedule');
  assert.equal(hold?.freesAt, 1000);
});

test('an explanation shows times as times', () => {
  const waiting = start(settings({ retryRecipientsAfter: 4000 }));
  waiting.add('a', 'v', recipient(0, { holdUntil: 3000 }), 0);
  const [hold] = waiting.explain(waiting.find('a', 'v')!, 0);
  assert.match(describeHold(hold!, 0), /^retry-recipients-after 4 s \(default\), now 1, frees in 3 s:/);
});
