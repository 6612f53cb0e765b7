import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, change, count, duration, listed, percent, plural, points, short, tick } from './format.ts';

test('counts are grouped, and nothing is not zero', () => {
  assert.equal(count(48213), '48,213');
  assert.equal(count(0), '0');
  assert.equal(count(null), '–');
  assert.equal(count(Number.NaN), '–');
});

test('tiles shorten above 9,999 to four significant digits', () => {
  assert.equal(short(9999), '9,999');
  assert.equal(short(10_000), '10.00k');
  assert.equal(short(12_346), '12.35k');
  assert.equal(short(999_949), '999.9k');
  assert.equal(short(999_960), '1.000M');
  assert.equal(short(1_234_000), '1.234M');
  assert.equal(short(-12_346), '-12.35k');
});

test('ticks of an axis carry no needless digits', () => {
  assert.deepEqual([0, 500, 1000, 2500, 1_500_000].map(tick), ['0', '500', '1k', '2.5k', '1.5M']);
});

test('a share that would round to nothing says so', () => {
  assert.equal(percent(97.4), '97.40\u202f%');
  assert.equal(percent(0), '0.00\u202f%');
  assert.equal(percent(0.004), '<0.01\u202f%');
  assert.equal(percent(0.00004, 4), '<0.0001\u202f%');
  assert.equal(percent(null), '–');
});

test('changes carry their sign', () => {
  assert.equal(points(1.9), '+1.90 points');
  assert.equal(points(-0.25), '−0.25 points');
  assert.equal(change(12.44), '+12.4\u202f%');
  assert.equal(change(-1234.5), '−1,235\u202f%');
});

test('durations and sizes read as people say them', () => {
  assert.deepEqual([850, 4200, 190_000, 7_500_000, 273_600_000].map(duration), [
    '850 ms',
    '4.2 s',
    '3 m 10 s',
    '2 h 05 m',
    '3 d 4 h',
  ]);
  assert.equal(duration(59_990), '1 m 00 s');
  assert.equal(duration(3_599_900), '1 h 00 m');
  assert.deepEqual([512, 18_842, 1_048_576].map(bytes), ['512 B', '18.4 KiB', '1 MiB']);
});

test('words join and agree with their number', () => {
  assert.equal(listed(['a', 'b', 'c']), 'a, b and c');
  assert.equal(listed([]), '');
  assert.equal(plural(1, 'event', 'events'), '1 event');
  assert.equal(plural(1200, 'event', 'events'), '1,200 events');
});
