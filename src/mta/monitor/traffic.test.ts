import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrafficMeter } from './traffic.ts';

test('the last minute and hour roll, the totals and the highest stay', () => {
  const start = 1_700_000_000_000;
  const meter = new TrafficMeter(start);
  for (let i = 0; i < 10; i++) meter.add('in', 2, 100, start + i * 1000);
  assert.deepEqual(meter.lastMinute('in', start + 30_000), { rcp: 20, msg: 10, bytes: 1000 });
  assert.equal(meter.lastMinute('in', start + 90_000).rcp, 0);
  assert.equal(meter.lastHour('in', start + 90_000).rcp, 20);
  assert.equal(meter.lastHour('in', start + 4_000_000).rcp, 0);
  assert.deepEqual(meter.total.in, { rcp: 20, msg: 10, bytes: 1000 });
  assert.equal(meter.topPerMinute.in.msg, 10);
  assert.equal(meter.topPerHour.in.msg, 10);
  assert.equal(meter.total.out.msg, 0);
});

test('a gap longer than an hour forgets everything that was in the window', () => {
  const meter = new TrafficMeter(0);
  meter.add('out', 1, 1, 1000);
  meter.add('out', 1, 1, 86_400_000);
  assert.equal(meter.lastHour('out', 86_400_000).rcp, 1);
});
