import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataVolume } from './data-volume.ts';
import { RateLimiter } from './rate-limit.ts';
import { randomBy } from './simulated-world.testing.ts';
import { rate } from './testing.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Takes whatever is free, looking again when the limiter says; the times of what went. */
function greedy(count: number, perMs: number, until: number): number[] {
  const limiter = new RateLimiter(() => rate('max-msg-rate', count, perMs));
  const times: number[] = [];
  for (let now = 0; now < until; ) {
    const free = limiter.whole(now);
    if (free === 0) {
      const next = limiter.freesAt(1, now);
      assert.ok(next > now, 'time goes on');
      now = next;
      continue;
    }
    limiter.spend(free, now);
    for (let i = 0; i < free; i++) times.push(now);
  }
  return times;
}

function mostInAny(times: readonly number[], span: number): number {
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[from]! <= times[to]! - span) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

test('D5.4 120/h => at most about 10 in the first 5 minutes', () => {
  const first = greedy(120, HOUR, 5 * MINUTE);
  assert.equal(first.length, 10);
});

test('D5.4 never more than N in any window of the period, and N per period in the long run', () => {
  for (const [count, perMs] of [
    [120, HOUR],
    [100, HOUR],
    [7, HOUR],
    [1, HOUR],
    [1000, 24 * HOUR],
    [10, 1000],
    [333, MINUTE],
    [20_000, HOUR],
    [5, 7 * MINUTE],
  ] as const) {
    const periods = 20;
    const times = greedy(count, perMs, periods * perMs);
    assert.ok(mostInAny(times, perMs) <= count, `${count} per ${perMs}`);
    const share = Math.ceil((count * Math.min(perMs, 5 * MINUTE)) / perMs);
    assert.ok(
      mostInAny(times, 5 * MINUTE) <= Math.max(share, (5 * MINUTE * count) / perMs),
      `${count} per ${perMs}: burst`,
    );
    assert.ok(times.length >= count * periods * 0.999 - 1, `${count} per ${perMs}: only ${times.length}`);
  }
});

test('bytes may overdraw, and then wait until the overdraft is paid', () => {
  const limiter = new RateLimiter(() => rate('max-data-volume-rate', 1000, 1000));
  limiter.spend(2500, 0);
  assert.equal(limiter.whole(0), 0);
  const at = limiter.freesAt(1, 0);
  assert.ok(at >= 1000, `${at}`);
  assert.equal(limiter.whole(at - 1), 0);
  assert.ok(limiter.whole(at) >= 1);
});

test('a limit that changes counts what went before', () => {
  let count = 100;
  const limiter = new RateLimiter(() => rate('max-msg-rate', count, MINUTE));
  limiter.spend(60, 0);
  count = 50;
  assert.equal(limiter.whole(1), 0);
  count = 100;
  assert.ok(limiter.whole(30_000) <= 40);
});

test('a volume that lets nothing begin names a time to come, and at that time something may begin', () => {
  for (const [bytes, perMs] of [
    [200_000, HOUR],
    [50_000, MINUTE],
    [7, 1000],
    // So many that a byte takes no time that a clock shows.
    [1e15, HOUR],
  ] as const) {
    const random = randomBy(bytes);
    const volume = new DataVolume(() => rate('max-data-volume-rate', bytes, perMs));
    // As clocks show it, where fractions of a millisecond are coarse.
    let now = 1_785_000_000_000;
    let waits = 0;
    for (let i = 0; i < 20_000; i++) {
      if (!volume.mayBegin(now)) {
        const at = volume.limiter.freesAt(1, now);
        assert.ok(at > now, `${bytes}: ${volume.limiter.available(now)} may not begin, and would be free`);
        assert.ok(
          volume.mayBegin(at),
          `${bytes}: ${volume.limiter.available(at)} at the time that was named`,
        );
        now = at;
        waits++;
      }
      volume.begin();
      volume.end(1 + Math.floor(random() * bytes * 0.02), now);
      now += Math.floor(random() * perMs * 0.005);
    }
    assert.ok(waits > 100, `${bytes}: ${waits} waits`);
  }
});

test('a limit that changes to another and back, as modes do: never more than N in any window of the first', () => {
  let mode: readonly [count: number, perMs: number] = [100, HOUR];
  const limiter = new RateLimiter(() => rate('max-msg-rate', ...mode));
  const times: number[] = [];
  for (let now = 0; now < 10 * HOUR; now += 1000) {
    // A minute of each hour and a half is spent in the other mode.
    mode = Math.floor(now / MINUTE) % 90 === 45 ? [5, MINUTE] : [100, HOUR];
    const free = limiter.whole(now);
    limiter.spend(free, now);
    if (mode[0] === 100) for (let i = 0; i < free; i++) times.push(now);
  }
  assert.ok(mostInAny(times, HOUR) <= 100, `${mostInAny(times, HOUR)} in an hour`);
  assert.ok(times.length > 900, `${times.length} went`);
});
