import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csv } from './csv.ts';
import { HOUR } from './range.ts';
import {
  kept,
  type Line,
  spoken,
  spread,
  stripPath,
  summary,
  total,
  unfinishedFrom,
  withGaps,
} from './series.ts';

const first = Date.parse('2026-01-07T10:00Z');
const starts = [0, 1, 2, 3].map((i) => first + i * HOUR);
const line = (label: string, values: (number | null)[]): Line => ({ key: label, label, style: 1, values });

test('the bucket that is filling is not finished, the ones before it are', () => {
  assert.equal(unfinishedFrom(starts, 'hour', 'UTC', first + 3.5 * HOUR), 3);
  assert.equal(unfinishedFrom(starts, 'hour', 'UTC', first + 4 * HOUR), 4);
  assert.equal(unfinishedFrom(starts, 'hour', 'UTC', first), 0);
});

test('a bucket that has not begun is a gap; a zero stays a zero', () => {
  assert.deepEqual(withGaps(starts, [5, 0, 0, 0], first + 1.5 * HOUR), [5, 0, null, null]);
  assert.equal(total([5, null, 0]), 5);
  assert.equal(total([null, null]), null);
});

test('thinning keeps the ends and every peak', () => {
  const values = Array.from({ length: 10_000 }, (_, i) => (i === 6789 ? 1000 : i % 7));
  const indices = kept([values], values.length, 200);
  assert.ok(indices.length <= 200);
  assert.deepEqual([indices[0], indices.at(-1), indices.includes(6789)], [0, 9999, true]);
  assert.deepEqual(kept([[1, 2, 3]], 3, 200), [0, 1, 2]);
});

test('the sentence tells totals, extremes and what is unfinished', () => {
  const text = summary(
    [line('Injected', [10, 40, 5, 100]), line('Bounces', [0, 1, 0, 0])],
    starts,
    'hour',
    'UTC',
    3,
    'the last 4 hours',
  );
  assert.equal(
    text,
    'The last 4 hours: injected 155 and bounces 1. Injected between 5 and 40 per hour, most in Wed 7 Jan 11:00–12:00 UTC. The last bucket is still filling.',
  );
  assert.equal(summary([], [], 'hour', 'UTC', 0, 'today'), 'Nothing was counted: today.');
});

test('a point is read out with its bucket, and says when it is not final', () => {
  const injected = line('Injected', [10, null, 5, 100]);
  assert.equal(spoken(injected, 0, starts, 'hour', 'UTC', 3), 'Injected, Wed 7 Jan 10:00–11:00 UTC: 10');
  assert.equal(spoken(injected, 1, starts, 'hour', 'UTC', 3), 'Injected, Wed 7 Jan 11:00–12:00 UTC: no data');
  assert.match(spoken(injected, 3, starts, 'hour', 'UTC', 3), /100, so far$/);
});

test('labels are moved apart and stay inside', () => {
  assert.deepEqual(spread([10, 12, 100], 15, 200), [10, 25, 100]);
  assert.deepEqual(spread([198, 199], 15, 200), [185, 200]);
  assert.deepEqual(spread([], 15, 200), []);
});

test('a strip breaks at gaps and keeps lone points', () => {
  assert.equal(stripPath([0, 10, null, 5], 90, 10, 0, 10), 'M0.0 10.0L30.0 0.0M90.0 5.0h.01');
});

test('cells that a spreadsheet would run are disarmed, numbers are not touched', () => {
  assert.equal(
    csv(
      ['name', 'n'],
      [
        ['=cmd|x', 1],
        ['a "b", c', -2],
        ['\tx', null],
      ],
    ),
    'name,n\r\n\'=cmd|x,1\r\n"a ""b"", c",-2\r\n\'\tx,\r\n',
  );
});
