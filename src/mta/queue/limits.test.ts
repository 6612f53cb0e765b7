import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeHold, rateLimitStatus } from './hold.ts';
import { type ConnectionGrant, Scheduler } from './scheduler.ts';
import {
  grants,
  limit,
  limitSource,
  modeLimits,
  queueLimits,
  rate,
  recipient,
  silentOwner,
  sourceLimits,
  vmtaLimits,
} from './testing.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const A = { address: '192.0.2.1', host: 'a.example' };
const B = { address: '192.0.2.2', host: 'b.example' };
const MX = { host: 'mx.example', address: '203.0.113.1' };

type Source = Parameters<typeof limitSource>[0];

function start(limits: Source): Scheduler {
  return new Scheduler(limitSource(limits), silentOwner);
}

function fill(scheduler: Scheduler, n: number, domain = 'a.example', vmta = 'v', now = 0): void {
  for (let i = 0; i < n; i++) scheduler.add(domain, vmta, recipient(now), now);
}

function open(scheduler: Scheduler, grant: ConnectionGrant, now: number, sources = [A], target = MX) {
  const reserved = scheduler.reserve(grant.id, target, sources, now);
  if (reserved.kind === 'source') scheduler.opened(grant.id, now);
  return reserved;
}

/** Sends until the scheduler has no more for the connection; how many recipients went. */
function send(scheduler: Scheduler, grant: ConnectionGrant, now: number): number {
  let sent = 0;
  for (;;) {
    const work = scheduler.take(grant.id, now);
    if (work.kind !== 'deliver') return sent;
    sent += work.items.length;
    for (const _ of work.items) scheduler.done(grant.queue, true, now);
  }
}

const kinds = (scheduler: Scheduler, now: number, domain = 'a.example', vmta = 'v') =>
  scheduler.explain(scheduler.find(domain, vmta)!, now).map(({ kind }) => kind);

test('D5.1 max-smtp-out 2, backoff mode => up to 20 connections', () => {
  const scheduler = start({
    queue: queueLimits({
      normal: modeLimits({ maxConnections: limit('max-smtp-out', 2) }),
      backoff: modeLimits({ maxConnections: limit('backoff-max-smtp-out', 20) }),
    }),
  });
  fill(scheduler, 50);
  assert.equal(grants(scheduler, 0).length, 2);
  scheduler.setMode(scheduler.find('a.example', 'v')!, 'backoff', 'test', 0);
  assert.equal(grants(scheduler, 0).length, 18);
});

test('D5.2 without a limit a rate does not bind', () => {
  const scheduler = start({});
  fill(scheduler, 5000);
  const [grant] = grants(scheduler, 0);
  open(scheduler, grant!, 0);
  assert.equal(send(scheduler, grant!, 0), 5000);
});

test('D5.3 the status text of a queue whose rate binds names the directive', () => {
  const scheduler = start({
    queue: queueLimits({ normal: modeLimits({ messageRate: rate('max-msg-rate', 3, HOUR) }) }),
  });
  fill(scheduler, 10);
  const [grant] = grants(scheduler, 0);
  open(scheduler, grant!, 0);
  assert.equal(send(scheduler, grant!, 0), 1);
  const hold = scheduler.explain(grant!.queue, 0).find(({ kind }) => kind === 'message-rate')!;
  assert.equal(rateLimitStatus(hold), 'message rate limit reached (based on max-msg-rate in configuration)');
  assert.match(describeHold(hold, 0), /^max-msg-rate 3 per 3600 s \(default\), now 1, frees in \d+ s/);
});

test('D5.6 mx-connection-limit *.mx.example 5, two hosts => 5 each, per local address', () => {
  const scheduler = start({ host: (host) => (host.endsWith('.mx.example') ? 5 : 1e9) });
  fill(scheduler, 60, 'a.example');
  fill(scheduler, 60, 'b.example', 'v2');
  const counts = new Map<string, number>();
  const held: string[] = [];
  for (const [i, grant] of grants(scheduler, 0).entries()) {
    const target = { host: `h${i % 2}.mx.example`, address: '203.0.113.9' };
    for (const source of [A, B]) {
      const reserved = open(scheduler, grant, 0, [source], target);
      if (reserved.kind === 'held') {
        held.push(reserved.hold.limit!.directive);
        continue;
      }
      const key = `${target.host} ${source.address}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      break;
    }
  }
  assert.deepEqual([...counts.values()], [5, 5, 5, 5]);
  assert.deepEqual([...new Set(held)], ['mx-connection-limit']);
});

test('D5.7 several local addresses are used in turn, those at their limit are passed by', () => {
  const scheduler = start({
    queue: queueLimits({
      source: (address) =>
        sourceLimits({ connections: limit('source-ip-max-smtp-out', address === A.address ? 1 : 9) }),
    }),
  });
  fill(scheduler, 10);
  const used = grants(scheduler, 0).map((grant) => {
    const reserved = open(scheduler, grant, 0, [A, B]);
    return reserved.kind === 'source' ? reserved.source!.address : reserved.hold.kind;
  });
  assert.deepEqual(
    used.slice(0, 4),
    [A, B, B, B].map(({ address }) => address),
  );
  assert.equal(used.filter((address) => address === A.address).length, 1);
});

test('D5.8 a queue that is held back waits for the limit, not in retry mode, and goes on when it frees', () => {
  const scheduler = start({ address: () => 1 });
  fill(scheduler, 2, 'a.example');
  fill(scheduler, 2, 'b.example');
  const [first, second] = grants(scheduler, 0).filter(
    ({ queue }, i, all) => all.findIndex((g) => g.queue === queue) === i,
  );
  open(scheduler, first!, 0);
  const reserved = open(scheduler, second!, 0);
  assert.ok(reserved.kind === 'held' && reserved.hold.limit?.directive === 'ip-connection-limit');
  scheduler.heldBack(second!.id, reserved.hold, 0);
  scheduler.closed(second!.id, 0);
  assert.equal(second!.queue.retryAt, 0);
  assert.ok(kinds(scheduler, 0, second!.queue.domain).includes('address-connections'));
  const others = grants(scheduler, 0);
  assert.ok(others.every(({ queue }) => queue !== second!.queue));
  send(scheduler, first!, 0);
  for (const grant of [first!, ...others]) scheduler.closed(grant.id, 1);
  assert.ok(grants(scheduler, 1).some(({ queue }) => queue === second!.queue));
});

test('source-ip-max-connect-rate and source-ip-max-msg-rate hold one address, not the queue', () => {
  for (const limits of [
    { connectRate: rate('source-ip-max-connect-rate', 1, HOUR) },
    { messageRate: rate('source-ip-max-msg-rate', 1, HOUR) },
  ]) {
    const scheduler = start({ queue: queueLimits({ source: () => sourceLimits(limits) }) });
    fill(scheduler, 3);
    const all = grants(scheduler, 0);
    const results = all.map((grant) => {
      const reserved = open(scheduler, grant, 0, [A, B]);
      if (reserved.kind === 'held') return reserved.hold.limit!.directive;
      scheduler.take(grant.id, 0);
      return reserved.source!.address;
    });
    assert.deepEqual(results, [A.address, B.address, (limits.connectRate ?? limits.messageRate)!.directive]);
  }
});

test('max-connect-rate and smtp-out-rampup-interval space connections out', () => {
  for (const limits of [
    queueLimits({ normal: modeLimits({ connectRate: rate('max-connect-rate', 1, 1000) }) }),
    queueLimits({ rampupInterval: limit('smtp-out-rampup-interval', 1000) }),
  ]) {
    const scheduler = start({ queue: limits });
    fill(scheduler, 9);
    const [first] = grants(scheduler, 0);
    open(scheduler, first!, 0);
    assert.deepEqual(grants(scheduler, 999), []);
    assert.equal(scheduler.nextWake, 1000);
    assert.equal(grants(scheduler, 1000).length, 1);
  }
});

test('a hold by smtp-out-rampup-interval says in seconds how long ago the last connection was opened', () => {
  const scheduler = start({
    queue: queueLimits({ rampupInterval: limit('smtp-out-rampup-interval', 30_000) }),
  });
  fill(scheduler, 9);
  const [first] = grants(scheduler, 0);
  open(scheduler, first!, 0);
  const [hold] = scheduler.explain(first!.queue, 7618);
  assert.match(
    describeHold(hold!, 7618),
    /^smtp-out-rampup-interval 30 s \(default\), now 7 s, frees in 23 s:/,
  );
});

test('max-msg-rate counts attempts, also those that fail; a transaction takes no more recipients than are free', () => {
  const scheduler = start({
    queue: queueLimits({ normal: modeLimits({ messageRate: rate('max-msg-rate', 10, MINUTE) }) }),
  });
  for (let i = 0; i < 25; i++) scheduler.add('a.example', 'v', recipient(0, { spoolId: 'one', index: i }), 0);
  const [grant] = grants(scheduler, 0);
  open(scheduler, grant!, 0);
  const work = scheduler.take(grant!.id, 0);
  assert.equal(work.kind === 'deliver' && work.items.length, 10);
  for (const item of work.kind === 'deliver' ? work.items : []) scheduler.hold(grant!.queue, item, 0);
  const next = scheduler.take(grant!.id, 0);
  assert.equal(next.kind, 'wait');
  assert.ok(next.kind === 'wait' && next.until > 0 && next.hold.limit?.directive === 'max-msg-rate');
  scheduler.closed(grant!.id, 0);
  assert.deepEqual(grants(scheduler, 1), [], 'no connection for nothing');
});

test('max-data-volume-rate counts bytes of successes, overdraws by one message, then waits', () => {
  const scheduler = start({
    queue: queueLimits({ normal: modeLimits({ dataRate: rate('max-data-volume-rate', 1000, MINUTE) }) }),
  });
  fill(scheduler, 9);
  const [grant, other] = grants(scheduler, 0);
  open(scheduler, grant!, 0);
  open(scheduler, other!, 0);
  const sizes = [600, 0, 600];
  for (const bytes of sizes) {
    const work = scheduler.take(grant!.id, 0);
    assert.equal(work.kind, 'deliver');
    if (bytes > 0) scheduler.transferred(grant!.id, bytes, 0);
    scheduler.done(grant!.queue, bytes > 0, 0);
  }
  const work = scheduler.take(grant!.id, 0);
  assert.ok(work.kind === 'wait' && work.hold.kind === 'data-volume-rate' && work.hold.current === 1200);
  assert.equal(scheduler.take(other!.id, 0).kind, 'close', 'one connection is enough to wait');
});

test('max-smtp-msg-rate is shared: queues of the VMTA take turns, D4.5 other VMTAs have their own', () => {
  const scheduler = start({
    vmta: vmtaLimits({ messageRate: rate('max-smtp-msg-rate', 10, 1000) }),
    server: 100,
  });
  for (const domain of ['a', 'b', 'c', 'd']) fill(scheduler, 100, domain);
  fill(scheduler, 100, 'e', 'w');
  const taken = new Map<string, number>();
  const openNow = new Map<number, ConnectionGrant>();
  for (let now = 0; now < 10_000; now += 10) {
    for (const grant of grants(scheduler, now)) {
      open(scheduler, grant, now);
      openNow.set(grant.id, grant);
    }
    for (const grant of openNow.values()) {
      const work = scheduler.take(grant.id, now);
      if (work.kind === 'close') {
        scheduler.closed(grant.id, now);
        openNow.delete(grant.id);
      }
      if (work.kind !== 'deliver') continue;
      taken.set(grant.queue.domain, (taken.get(grant.queue.domain) ?? 0) + work.items.length);
      for (const _ of work.items) scheduler.done(grant.queue, true, now);
    }
  }
  const shares = ['a', 'b', 'c', 'd'].map((domain) => taken.get(domain) ?? 0);
  const sum = shares.reduce((x, y) => x + y);
  assert.ok(sum >= 99 && sum <= 110, `${sum}`);
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 4, `${shares}`);
  assert.ok(taken.get('e')! >= 99);
});
