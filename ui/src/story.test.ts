import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentences } from './sentences.ts';
import { gist, inOrder, ordinal, pauses, textOf, verdict } from './story.ts';

const at = (time: string, type: string, more: object = {}) => ({
  type,
  event_id: `${type}-${time}`,
  timestamp: `2026-01-07T${time}.000Z`,
  ...more,
});
const now = Date.parse('2026-01-07T15:00:00Z');

test('events of one second stand in the order of a message’s life', () => {
  const order = inOrder([
    at('14:00:05', 'click'),
    at('14:00:05', 'open'),
    at('14:00:00', 'delivery'),
    at('14:00:00', 'injection'),
  ]);
  assert.deepEqual(
    order.map((e) => e.type),
    ['injection', 'delivery', 'open', 'click'],
  );
});

test('the verdict says what became of it', () => {
  const injected = at('14:00:00', 'injection');
  assert.deepEqual(
    verdict([injected, at('14:42:00', 'delivery', { num_retries: '2', ip_address: '127.0.0.1' })], now),
    {
      text: 'Delivered to 127.0.0.1 on the 3rd attempt after 42 m 00 s.',
      tone: 'good',
    },
  );
  assert.equal(
    verdict([injected, at('14:01:00', 'bounce', { bounce_class: '10' })], now).text,
    'Bounced: class 10 · Invalid recipient (hard).',
  );
  assert.equal(
    verdict(
      [injected, at('14:00:00', 'delivery'), at('14:30:00', 'out_of_band', { bounce_class: '22' })],
      now,
    ).tone,
    'bad',
  );
  assert.match(
    verdict([injected, at('14:30:00', 'delay', { num_retries: '0' })], now).text,
    /^Waiting after one attempt, the last 30 m 00 s ago/,
  );
  assert.equal(verdict([injected], now).text, 'No final event for 1 h 00 m.');
  assert.equal(verdict([at('14:00:00', 'open')], now).tone, 'plain');
});

test('pauses over an hour have a length', () => {
  assert.deepEqual(
    pauses([at('10:00:00', 'injection'), at('10:30:00', 'delay'), at('12:00:00', 'delivery')]),
    [0, 0, 5_400_000],
  );
});

test('fields are read without trusting their form', () => {
  const odd = JSON.parse('{"type":"open","rcpt_tags":["a"],"msg_size":5,"subject":null}');
  assert.equal(textOf(odd, 'rcpt_tags'), '["a"]');
  assert.equal(textOf(odd, 'msg_size'), '5');
  assert.equal(textOf(odd, 'subject'), '');
  assert.equal(textOf(odd, 'constructor'), '');
  assert.equal(gist(at('10:00:00', 'click', { target_link_url: 'https://x' })), 'https://x');
});

test('ordinals', () => {
  assert.deepEqual([1, 2, 3, 4, 11, 12, 13, 21, 102].map(ordinal), [
    '1st',
    '2nd',
    '3rd',
    '4th',
    '11th',
    '12th',
    '13th',
    '21st',
    '102nd',
  ]);
});

test('sentences leave out what has no data', () => {
  const whole = {
    count_injected: 1000,
    count_sent: 1000,
    count_accepted: 974,
    count_bounce: 26,
    count_delivered: 980,
  };
  const text = (s: { parts: readonly unknown[] }) =>
    s.parts.map((p) => (typeof p === 'string' ? p : (p as { figure: string }).figure)).join('');
  const told = sentences(whole, whole, { ...whole, count_accepted: 955 }, 'today', 'the time before');
  assert.deepEqual(
    told.map((s) => s.lead),
    ['Flow', 'Acceptance'],
  );
  assert.equal(text(told[0]!), '1,000 injected today, 980 delivered.');
  assert.equal(
    text(told[1]!),
    '97.40\u202f% of sent mail accepted, 1.90 points better than the time before; 26 bounces.',
  );
});
