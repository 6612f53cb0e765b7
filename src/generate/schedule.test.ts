import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../system/clock.ts';
import { Histogram } from './histogram.ts';
import { Schedule } from './schedule.ts';

/** A clock that stands until it is turned. */
function heldClock() {
  let now = 1_000_000;
  let timers: { at: number; then: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    after(ms, then) {
      const timer = { at: now + ms, then };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
  };
  const turn = async (ms: number) => {
    const until = now + ms;
    for (;;) {
      const next = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      timers = timers.filter((other) => other !== next);
      now = Math.max(now, next.at);
      next.then();
      await Promise.resolve();
    }
    now = until;
  };
  return { clock, turn };
}

test('messages are handed out by the plan, whatever became of the ones before', async () => {
  const { clock, turn } = heldClock();
  const schedule = new Schedule({ clock, total: 5, rate: 10, onLate: () => {} });
  const out: number[] = [];
  for (let i = 0; i < 5; i++) void schedule.take().then((job) => out.push(job!.n));
  await turn(0);
  assert.deepEqual(out, [1]);
  await turn(100);
  assert.deepEqual(out, [1, 2]);
  await turn(300);
  assert.deepEqual(out, [1, 2, 3, 4, 5]);
});

test('a stall shows as lateness and the plan is caught up', async () => {
  const { clock, turn } = heldClock();
  const late: number[] = [];
  const schedule = new Schedule({ clock, total: 60, rate: 10, onLate: (ms) => late.push(ms) });
  await turn(5000);
  for (let i = 0; i < 51; i++) void schedule.take();
  await turn(0);
  assert.equal(schedule.started, 51);
  assert.equal(late[0], 5000);
  assert.equal(late[50], 0);
  void schedule.take();
  await turn(99);
  assert.equal(schedule.started, 51);
  await turn(1);
  assert.equal(schedule.started, 52);
  assert.equal(late[51], 0);
});

test('a message put back comes again when due, and the end waits for it', async () => {
  const { clock, turn } = heldClock();
  const schedule = new Schedule({ clock, total: 1, rate: 0, onLate: () => {} });
  const job = (await schedule.take())!;
  const seen: (number | null)[] = [];
  void schedule.take().then((next) => seen.push(next?.n ?? null));
  void schedule.take().then((next) => seen.push(next?.n ?? null));
  await turn(0);
  assert.equal(seen.length, 0, 'nobody is sent home while a message is out');
  schedule.retry(job, 500);
  await turn(499);
  assert.equal(seen.length, 0);
  await turn(1);
  assert.deepEqual([...seen], [1]);
  schedule.finish();
  await turn(0);
  assert.deepEqual([...seen], [1, null]);
});

test('hold delays everything, stop ends it and gives back what waited', async () => {
  const { clock, turn } = heldClock();
  const schedule = new Schedule({ clock, total: 10, rate: 0, onLate: () => {} });
  const first = (await schedule.take())!;
  schedule.retry(first, 10);
  schedule.hold(1000);
  const seen: (number | null)[] = [];
  void schedule.take().then((next) => seen.push(next?.n ?? null));
  await turn(999);
  assert.equal(seen.length, 0);
  await turn(1);
  assert.deepEqual([...seen], [1]);
  schedule.retry(first, 10);
  void schedule.take().then((next) => seen.push(next?.n ?? null));
  await turn(0);
  assert.deepEqual([...seen], [1, 2]);
  assert.deepEqual(schedule.stop(), [first]);
  schedule.finish();
  assert.equal(await schedule.take(), null);
});

test('percentiles are right to a tenth', () => {
  const histogram = new Histogram();
  for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
  const { p50, p95, max, count } = histogram.summary();
  assert.ok(Math.abs(p50 - 500) <= 50, String(p50));
  assert.ok(Math.abs(p95 - 950) <= 95, String(p95));
  assert.deepEqual([max, count], [1000, 1000]);
});
