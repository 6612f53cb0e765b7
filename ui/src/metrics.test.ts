import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addUp, changeOf, interval, isFew, metric, metricValue, needed } from './metrics.ts';

const row = { count_sent: 1000, count_accepted: 974, count_bounce: 26, count_injected: 1000 };

test('rates are computed from their counts, and nothing divided by nothing is no value', () => {
  assert.equal(metricValue(metric('accepted_rate'), row), 97.4);
  assert.equal(metricValue(metric('accepted_rate'), { count_sent: 0, count_accepted: 0 }), null);
  assert.equal(metricValue(metric('open_rate'), row), null);
  assert.equal(metricValue(metric('count_clicked'), row), null);
});

test('the rate of a sum is not the mean of rates', () => {
  const whole = addUp([
    { count_sent: 900, count_bounce: 0 },
    { count_sent: 100, count_bounce: 50 },
  ]);
  assert.equal(metricValue(metric('bounce_rate'), whole), 5);
});

test('asks for each count once', () => {
  assert.deepEqual(needed(['accepted_rate', 'bounce_rate', 'count_sent']), [
    'count_accepted',
    'count_sent',
    'count_bounce',
  ]);
});

test('a falling bounce rate is better, a falling accepted rate worse, and injections are neither', () => {
  const before = { count_sent: 1000, count_accepted: 955, count_bounce: 45, count_injected: 800 };
  const bounce = changeOf(metric('bounce_rate'), row, before);
  assert.equal(bounce?.verdict, 'better');
  assert.ok(Math.abs(bounce!.amount + 1.9) < 1e-9);
  assert.equal(changeOf(metric('accepted_rate'), before, row)?.verdict, 'worse');
  assert.deepEqual(changeOf(metric('count_injected'), row, before), {
    amount: 25,
    unit: 'percent',
    verdict: 'neutral',
  });
});

test('what chance can make is neither better nor worse', () => {
  const complaints = (n: number, of: number) => ({ count_spam_complaint: n, count_accepted: of });
  const rate = metric('spam_complaint_rate');
  assert.equal(changeOf(rate, complaints(39, 27_790), complaints(36, 27_800))?.verdict, 'neutral');
  assert.equal(changeOf(rate, complaints(139, 27_790), complaints(36, 27_800))?.verdict, 'worse');
  const delays = metric('count_delayed');
  assert.equal(changeOf(delays, { count_delayed: 105 }, { count_delayed: 100 })?.verdict, 'neutral');
  assert.equal(changeOf(delays, { count_delayed: 200 }, { count_delayed: 100 })?.verdict, 'worse');
});

test('nothing is compared with nothing, nor with few', () => {
  assert.equal(changeOf(metric('count_injected'), row, { count_injected: 0 }), null);
  assert.equal(changeOf(metric('bounce_rate'), row, { count_sent: 99, count_bounce: 9 }), null);
  assert.equal(isFew(metric('bounce_rate'), { count_sent: 99 }), true);
  assert.equal(isFew(metric('bounce_rate'), { count_sent: 100 }), false);
});

test('the interval of a small sample is wide and stays within 0 and 100', () => {
  const none = interval(0, 10);
  assert.equal(none.low, 0);
  assert.ok(Math.abs(none.high - 27.75) < 0.01);
  const all = interval(10, 10);
  assert.ok(all.high <= 100 && all.low > 70);
});
