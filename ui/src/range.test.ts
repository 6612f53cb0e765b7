import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  allowedSteps,
  apiMoment,
  autoStep,
  bucketName,
  bucketStart,
  cutRange,
  DAY,
  HOUR,
  isRange,
  MINUTE,
  nextBucket,
  resolveRange,
  shiftRange,
  typedMoment,
  writeMoment,
} from './range.ts';
import { instantOf, knownZone, wallAt } from './zone.ts';

const now = Date.parse('2026-01-07T14:23:20Z');

test('a range is a preset or two moments in order', () => {
  for (const good of ['24h', 'week', '2026-01-05..2026-01-06', '2026-01-05T14:00+02:00..2026-01-05T12:01Z']) {
    assert.equal(isRange(good), true, good);
  }
  for (const bad of [
    '2026-01-05T14:00Z..2026-01-05T15:30+02:00',
    '',
    '25h',
    '2026-01-06..2026-01-05',
    '2026-13-01..2026-13-02',
    '..',
    'constructor',
  ]) {
    assert.equal(isRange(bad), false, bad);
  }
});

test('moments without an offset are readings of the clock in the zone', () => {
  const range = resolveRange('2026-01-05T00:00..2026-01-06T00:00', 'Europe/Berlin', now);
  assert.equal(range.from, Date.parse('2026-01-04T23:00Z'));
  assert.equal(range.to - range.from, DAY);
});

test('calendar ranges are cut in the zone', () => {
  assert.equal(resolveRange('today', 'America/New_York', now).from, Date.parse('2026-01-07T05:00Z'));
  assert.equal(resolveRange('week', 'UTC', now).from, Date.parse('2026-01-05T00:00Z'));
  assert.equal(resolveRange('month', 'UTC', now).from, Date.parse('2026-01-01T00:00Z'));
  const yesterday = resolveRange('yesterday', 'UTC', now);
  assert.deepEqual([yesterday.to - yesterday.from, yesterday.endsNow], [DAY, false]);
});

test('a day on which clocks change has its own length', () => {
  const noon = Date.parse('2026-03-29T12:00Z');
  const range = resolveRange('today', 'Europe/Berlin', noon);
  assert.equal(range.from, Date.parse('2026-03-28T23:00Z'));
  assert.equal(instantOf('Europe/Berlin', 2026, 3, 30) - range.from, 23 * HOUR);
});

test('steps follow the length of the range', () => {
  const of = (t: string) => autoStep(resolveRange(t, 'UTC', now));
  assert.deepEqual(['1h', '24h', '10d', '14d', '90d'].map(of), ['1min', 'hour', 'hour', 'day', 'day']);
  assert.deepEqual(allowedSteps(resolveRange('24h', 'UTC', now)), ['1min', '5min', '15min', 'hour', 'day']);
});

test('a range that ends now keeps its number of buckets, the last unfinished', () => {
  const day = cutRange('24h', 'auto', 'UTC', now);
  assert.deepEqual([day.step, day.from, day.to], ['hour', Date.parse('2026-01-06T15:00Z'), now]);
  const hour = cutRange('1h', 'auto', 'UTC', now);
  assert.equal(hour.from, Date.parse('2026-01-07T13:24Z'));
  const month = cutRange('30d', 'auto', 'Asia/Tokyo', now);
  assert.deepEqual([month.step, month.zone, month.from], ['day', 'UTC', Date.parse('2025-12-09T00:00Z')]);
});

test('a step that the range does not allow gives way to auto', () => {
  assert.equal(cutRange('30d', '1min', 'UTC', now).step, 'day');
});

test('hours begin where the zone says, also in zones half an hour off', () => {
  assert.equal(bucketStart(now, 'hour', 'Asia/Kolkata'), Date.parse('2026-01-07T13:30Z'));
  assert.equal(bucketStart(now, 'week', 'UTC'), Date.parse('2026-01-05T00:00Z'));
  assert.equal(nextBucket(Date.parse('2026-01-01T00:00Z'), 'month', 'UTC'), Date.parse('2026-02-01T00:00Z'));
  assert.equal(bucketName(Date.parse('2026-01-07T14:00Z'), 'hour', 'UTC'), 'Wed 7 Jan 14:00–15:00 UTC');
});

test('the range before is as long and ends where this begins', () => {
  const before = shiftRange('24h', 'UTC', now, -1);
  assert.equal(before, '2026-01-05T14:23Z..2026-01-06T14:23Z');
  assert.equal(shiftRange(before, 'UTC', now, 1), '2026-01-06T14:23Z..2026-01-07T14:23Z');
});

test('typed moments', () => {
  const at = (text: string) => typedMoment(text, 'UTC', now);
  assert.equal(at('now'), now);
  assert.equal(at('-36h'), now - 36 * HOUR);
  assert.equal(at('-90m'), now - 90 * MINUTE);
  assert.equal(at('yesterday 9am'), Date.parse('2026-01-06T09:00Z'));
  assert.equal(at('12am'), Date.parse('2026-01-07T00:00Z'));
  assert.equal(at('yesterday'), Date.parse('2026-01-06T00:00Z'));
  assert.equal(at('14:00'), Date.parse('2026-01-07T14:00Z'));
  assert.equal(at('2026-01-05 14:00'), Date.parse('2026-01-05T14:00Z'));
  for (const bad of ['', '9', 'soon', '25:00', '13pm', '2026-13-01', '-5y']) assert.equal(at(bad), null, bad);
});

test('moments are written to the minute where that loses nothing', () => {
  assert.equal(writeMoment(Date.parse('2026-01-05T14:00:00Z')), '2026-01-05T14:00Z');
  assert.equal(writeMoment(Date.parse('2026-01-05T14:00:05Z')), '2026-01-05T14:00:05Z');
  assert.equal(apiMoment(now, 'America/New_York'), '2026-01-07T09:23');
});

test('zones are known by name only', () => {
  assert.equal(knownZone('Europe/Berlin'), true);
  for (const bad of ['', 'Mars/Base', '../etc', '+02:00', 'x'.repeat(100)])
    assert.equal(knownZone(bad), false, bad);
  assert.equal(wallAt(now, 'Asia/Kolkata').hour, 19);
});
