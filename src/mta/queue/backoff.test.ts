import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueLimits } from './limits.ts';
import { Scheduler, type SchedulerOwner } from './scheduler.ts';
import { grants, limit, limitSource, modeLimits, queueLimits, recipient, silentOwner } from './testing.ts';

const HOUR = 3_600_000;
const A = { address: '192.0.2.1', host: 'a.example' };
const B = { address: '192.0.2.2', host: 'b.example' };
const MX = { host: 'mx.example', address: '203.0.113.1' };

function start(
  queue: QueueLimits | ((domain: string, vmta: string) => QueueLimits),
  owner: Partial<SchedulerOwner> = {},
) {
  const scheduler = new Scheduler(limitSource({ queue }), { ...silentOwner, ...owner });
  return { scheduler, queueOf: (vmta = 'v') => scheduler.find('a.example', vmta)! };
}

/** backoff-reroute-to-virtual-mta by VMTA. */
const reroutes = (to: Record<string, string>) => (_: string, vmta: string) =>
  queueLimits({ backoff: modeLimits({ rerouteTo: to[vmta] ?? null }) });

test('D8.1 entering backoff does not itself defer the queue', () => {
  const { scheduler, queueOf } = start(queueLimits());
  scheduler.add('a.example', 'v', recipient(0), 0);
  scheduler.setMode(queueOf(), 'backoff', 'rule', 0);
  assert.equal(grants(scheduler, 0).length, 1);
});

test('modes: backoff-to-normal-after, backoff-to-normal-after-delivery, backoff-retry-after; each change is told once', () => {
  const told: string[] = [];
  const { scheduler, queueOf } = start(
    queueLimits({
      backoff: modeLimits({}, [HOUR]),
      backoffToNormalAfter: limit('backoff-to-normal-after', 2 * HOUR),
      backoffToNormalAfterDelivery: true,
    }),
    { onMode: (queue, mode, why) => told.push(`${queue.name} ${mode}: ${why}`) },
  );
  scheduler.add('a.example', 'v', recipient(0), 0);
  scheduler.setMode(queueOf(), 'backoff', 'ops', 0);
  scheduler.setMode(queueOf(), 'backoff', 'again', 0);
  assert.equal(scheduler.failed(queueOf(), 0, 'x').until, HOUR);
  assert.deepEqual(grants(scheduler, 2 * HOUR).length, 1);
  assert.equal(queueOf().mode, 'normal');
  scheduler.setMode(queueOf(), 'backoff', 'ops', 2 * HOUR);
  queueOf().inDelivery++;
  scheduler.done(queueOf(), true, 2 * HOUR);
  assert.deepEqual(told, [
    'a.example/v backoff: ops',
    'a.example/v normal: backoff-to-normal-after',
    'a.example/v backoff: ops',
    'a.example/v normal: a delivery',
  ]);
});

test('D8.2 chains v→v1→v2 are allowed, for what waits and for new mail; what moved is told and stays moved', () => {
  const moved: string[] = [];
  const { scheduler, queueOf } = start(reroutes({ v: 'v1', v1: 'v2' }), {
    onMoved: (items, queue) => moved.push(`${items.length} to ${queue.name}`),
  });
  scheduler.add('a.example', 'v1', recipient(0), 0);
  scheduler.setMode(queueOf('v1'), 'backoff', 'ops', 0);
  scheduler.add('a.example', 'v', recipient(0, { holdUntil: 500 }), 0);
  scheduler.add('a.example', 'v', recipient(0), 0);
  scheduler.setMode(queueOf('v'), 'backoff', 'ops', 0);
  scheduler.add('a.example', 'v', recipient(0), 0);
  assert.deepEqual(moved, ['1 to a.example/v2', '2 to a.example/v2', '1 to a.example/v2']);
  scheduler.setMode(queueOf('v'), 'normal', 'ops', 0);
  assert.equal(queueOf('v2').size, 4);
});

test('D8.3 v→w, w→v, both backoff ⇒ mail rests in w, and the circle is reported once', () => {
  const loops: string[] = [];
  const { scheduler, queueOf } = start(reroutes({ v: 'w', w: 'v' }), {
    onRerouteLoop: (queues) => loops.push(queues.join(' ')),
  });
  scheduler.add('a.example', 'w', recipient(0, { holdUntil: 1e9 }), 0);
  const w = queueOf('w');
  w.mode = 'backoff';
  for (let i = 0; i < 3; i++) scheduler.add('a.example', 'v', recipient(0), 0);
  assert.equal(queueOf('v').size, 3);
  scheduler.setMode(queueOf('v'), 'backoff', 'ops', 0);
  assert.equal(w.size, 4);
  scheduler.add('a.example', 'v', recipient(0), 0);
  assert.equal(w.size, 5);
  assert.equal(loops.length, 1);
});

test('D8.4 reroute to itself is ignored silently', () => {
  const loops: unknown[] = [];
  const { scheduler, queueOf } = start(reroutes({ v: 'v' }), {
    onRerouteLoop: (queues) => loops.push(queues),
  });
  scheduler.add('a.example', 'v', recipient(0), 0);
  scheduler.setMode(queueOf(), 'backoff', 'ops', 0);
  assert.equal(queueOf().size, 1);
  assert.deepEqual(loops, []);
});

test('D8.5 D8.14 a disabled address comes back after its time, and that does not end backoff mode', () => {
  const told: string[] = [];
  const { scheduler, queueOf } = start(queueLimits(), {
    onSource: (_, address, disabled, why, until) => told.push(`${address} ${disabled} ${why} ${until}`),
  });
  for (let i = 0; i < 4; i++) scheduler.add('a.example', 'v', recipient(0), 0);
  const all = grants(scheduler, 0);
  const chosen = () => {
    const reserved = scheduler.reserve(all.shift()!.id, MX, [A, B], 0);
    return reserved.kind === 'source' ? reserved.source!.address : '';
  };
  scheduler.setMode(queueOf(), 'backoff', 'rule', 0);
  scheduler.disableSource(queueOf(), A.address, 2 * HOUR, 'rule', 0);
  assert.deepEqual([chosen(), chosen()], [B.address, B.address]);
  scheduler.nextConnection(2 * HOUR);
  assert.deepEqual(told, [`${A.address} true rule ${2 * HOUR}`, `${A.address} false its time is over null`]);
  assert.ok([chosen(), chosen()].includes(A.address));
  assert.equal(queueOf().mode, 'backoff');
});

test('D8.16 last address disabled, no backoff-upon-all-sources-disabled ⇒ the queue idles until an address returns', () => {
  const { scheduler, queueOf } = start(queueLimits());
  scheduler.add('a.example', 'v', recipient(0), 0);
  scheduler.disableSource(queueOf(), A.address, 1000, 'rule', 0);
  scheduler.disableSource(queueOf(), B.address, null, 'rule', 0);
  const [grant] = grants(scheduler, 0);
  const reserved = scheduler.reserve(grant!.id, MX, [A, B], 0);
  assert.ok(reserved.kind === 'held' && reserved.hold.kind === 'sources-disabled');
  scheduler.heldBack(grant!.id, reserved.hold, 0);
  scheduler.closed(grant!.id, 0);
  assert.deepEqual(grants(scheduler, 999), []);
  assert.equal(scheduler.explain(queueOf(), 999)[0]?.kind, 'sources-disabled');
  assert.equal(queueOf().retryAt, 0);
  assert.equal(queueOf().mode, 'normal');
  assert.equal(grants(scheduler, 1000).length, 1);
});

test('backoff-upon-all-sources-disabled: losing the last address begins backoff', () => {
  const { scheduler, queueOf } = start(queueLimits({ backoffUponAllSourcesDisabled: true }));
  scheduler.add('a.example', 'v', recipient(0), 0);
  const [grant] = grants(scheduler, 0);
  scheduler.reserve(grant!.id, MX, [A, B], 0);
  scheduler.disableSource(queueOf(), A.address, null, 'rule', 0);
  assert.equal(queueOf().mode, 'normal');
  scheduler.disableSource(queueOf(), B.address, null, 'rule', 0);
  assert.equal(queueOf().mode, 'backoff');
});
