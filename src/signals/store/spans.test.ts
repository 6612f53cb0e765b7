import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HALF_HOUR, halfHourSpansOf, type Span, spansOf } from './spans.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;

test('every minute of a window is in exactly one span, sealed ones are of sealed days only', () => {
  let state = 5;
  const random = (n: number) => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state % n;
  };
  for (let round = 0; round < 200; round++) {
    const from = random(4 * 1440) * MINUTE;
    const window = { from, to: from + random(4 * 1440) * MINUTE };
    const sealedDays = new Set([random(8), random(8), random(8)]);
    const isSealed = (at: number) => sealedDays.has(Math.floor(at / DAY));
    const finest = (['minute', 'hour', 'day'] as const)[random(3)]!;
    const halves = random(4) === 0;
    const { minutes, hours, sealed } = halves
      ? halfHourSpansOf(window, isSealed)
      : spansOf(window, finest, isSealed);
    const seen = new Map<number, number>();
    const cover = (spans: readonly Span[], step: number, shift = 0) => {
      for (const span of spans) {
        assert.ok(span.from < span.to);
        assert.ok((span.from - shift) % step === 0 && (span.to - shift) % step === 0);
        for (let at = span.from; at < span.to; at += MINUTE) seen.set(at, (seen.get(at) ?? 0) + 1);
      }
    };
    cover(minutes, MINUTE);
    cover(hours, 60 * MINUTE);
    cover(sealed, 60 * MINUTE, halves ? HALF_HOUR : 0);
    for (const { from, to } of sealed) for (let at = from; at < to; at += MINUTE) assert.ok(isSealed(at));
    for (const { from, to } of hours) for (let at = from; at < to; at += MINUTE) assert.ok(!isSealed(at));
    assert.equal(seen.size, (window.to - window.from) / MINUTE);
    assert.ok([...seen].every(([at, n]) => n === 1 && at >= window.from && at < window.to));
    if (halves) assert.equal(hours.length, 0);
    else if (finest === 'minute') assert.equal(hours.length + sealed.length, 0);
  }
});
