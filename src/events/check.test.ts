import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EventClass, eventTypes } from './catalogue.ts';
import { checkIngestLine } from './check.ts';
import { fields } from './fields.ts';

const now = Date.UTC(2031, 3, 7, 9, 12, 44);
const limits = { now, maxAgeMs: 86_400_000 };
const seconds = (ms: number) => String(Math.floor(ms / 1000));

const good: Record<string, unknown> = {
  type: 'reception',
  event_id: '4417230098211530021',
  message_id: '0000a17c3e65f0d1b2c4',
  timestamp: seconds(now),
  rcpt_to: 'ada@example.net',
};

function line(change: Record<string, unknown>, cls: EventClass = 'message_event', from = good): unknown {
  const event = { ...from, ...change };
  for (const key of Object.keys(event)) if (event[key] === undefined) delete event[key];
  return JSON.parse(JSON.stringify({ msys: { [cls]: event } }));
}

function check(value: unknown, more = {}) {
  return checkIngestLine(value, { ...limits, ...more });
}

function refused(value: unknown): string {
  const result = check(value);
  assert.equal(result.ok, false, JSON.stringify(value));
  return result.ok ? '' : result.message;
}

test('the catalogue is whole: 27 events, names unique, fields known', () => {
  assert.equal(eventTypes.length, 27);
  assert.equal(new Set(eventTypes.map((t) => t.publicType)).size, 27);
  for (const type of eventTypes) {
    assert.equal(new Set(type.fields).size, type.fields.length, `${type.publicType} lists a field twice`);
    const names = new Set(type.fields.map((f) => f.name));
    for (const name of [...type.required, ...type.listedRequired]) assert.ok(names.has(name), name);
    assert.ok(['type', 'timestamp', 'event_id', 'subaccount_id'].every((n) => names.has(n)));
  }
  for (const field of fields.values()) {
    assert.ok(
      eventTypes.some((t) => t.fields.includes(field)),
      `no event has ${field.name}`,
    );
  }
});

test('every event that is ingested passes with its least content, in both spellings', () => {
  for (const type of eventTypes) {
    if (type.ingestType === null) continue;
    const sent: Record<string, unknown> = {};
    for (const name of type.required) sent[name] = fields.get(name)!.sample;
    if (type.recipient === 'required') sent.rcpt_to = 'ada@example.net';
    sent.timestamp = seconds(now - 1000);
    for (const name of [type.ingestType, type.publicType]) {
      const result = check(line({ ...sent, type: name }, type.class, {}));
      assert.ok(result.ok, `${name}: ${result.ok || result.message}`);
      assert.deepEqual(
        [result.class, result.ingestType, result.publicType],
        [type.class, type.ingestType, type.publicType],
      );
    }
    for (const name of type.required) {
      const result = check(line({ ...sent, type: type.ingestType, [name]: '' }, type.class, {}));
      assert.ok(!result.ok && result.message.includes(name), `${type.publicType} without ${name}`);
    }
  }
});

test('fields come back as sent, under any key, without a prototype', () => {
  const text = `{"msys":{"message_event":{${JSON.stringify(good).slice(1, -1)},"__proto__":{"x":1},"constructor":"c","later":[1]}}}`;
  const result = check(JSON.parse(text));
  assert.ok(result.ok);
  assert.equal(Object.getPrototypeOf(result.event), null);
  assert.deepEqual(Object.keys(result.event).slice(-3), ['__proto__', 'constructor', 'later']);
  assert.equal(result.event.x, undefined);
  assert.equal(result.event.toString, undefined);
  assert.equal(result.eventId, good.event_id);
  assert.equal(result.messageId, good.message_id);
  assert.equal(result.at, now);
});

test('what is no event line is refused with the reason', () => {
  for (const value of [null, 1, 'x', [], [good], true]) {
    assert.match(refused(value), /not a JSON object/);
  }
  for (const value of [{}, { msys: null }, { msys: [] }, JSON.parse('{"__proto__":{"msys":{}}}')]) {
    assert.match(refused(value), /Missing msys/);
  }
  assert.match(refused({ msys: {} }), /Missing event class/);
  assert.match(refused({ msys: { ingest_event: good } }), /Unknown event class "ingest_event"/);
  assert.match(refused({ msys: { constructor: good } }), /Unknown event class "constructor"/);
  assert.match(refused({ msys: { message_event: good, track_event: good } }), /More than one event class/);
  assert.match(refused({ msys: { message_event: [good] } }), /message_event is not a JSON object/);
  assert.match(refused(line({ type: undefined })), /Missing type/);
  assert.match(refused(line({ type: 7 })), /Invalid type/);
  assert.match(refused(line({ type: 'open' })), /Unknown type "open" for message_event/);
  assert.match(refused(line({ type: 'x'.repeat(60) })), /"x{40}…"/);
  assert.match(refused(line({ event_id: null })), /Missing event_id/);
  assert.match(refused(line({ event_id: {} })), /Invalid event_id/);
  assert.match(refused(line({ event_id: 2 ** 60 })), /Invalid event_id/);
  assert.match(refused(line({ event_id: 'x'.repeat(513) })), /Invalid event_id/);
  assert.match(refused(line({ message_id: '' })), /Missing message_id/);
  assert.match(refused(line({ custom_message_id: ['a'] })), /Invalid message_id/);
});

test('time: seconds as text or number, younger than the limit, not far ahead', () => {
  const at = (timestamp: unknown, more = {}) => {
    const result = check(line({ timestamp }), more);
    return result.ok ? result.at - now : result.message;
  };
  assert.equal(at(seconds(now)), 0);
  assert.equal(at(now / 1000 - 1.5), -1500);
  assert.equal(at(`${seconds(now)}.25`), 250);
  assert.equal(at(seconds(now - 86_399_000)), -86_399_000);
  assert.match(String(at(seconds(now - 86_400_000))), /too old/);
  assert.equal(at(seconds(now - 86_400_000), { maxAgeMs: 10 * 86_400_000 }), -86_400_000);
  assert.match(String(at('0')), /too old/);
  assert.equal(at(seconds(now + 3_600_000)), 3_600_000);
  assert.match(String(at(seconds(now + 86_401_000))), /future/);
  assert.match(String(at(String(now))), /future/);
  for (const bad of ['2031-04-07', '', ' 1', '-5', '1e9', 'NaN', true, {}, '1'.repeat(400)]) {
    assert.match(String(at(bad)), /timestamp/, String(bad));
  }
});

test('a custom message id takes the place of the message id', () => {
  const result = check(line({ message_id: undefined, custom_message_id: 'order-1' }));
  assert.ok(result.ok && result.messageId === 'order-1');
  const empty = check(line({ custom_message_id: '' }));
  assert.ok(empty.ok && empty.messageId === good.message_id);
});

test('hash and domain of a recipient come together', () => {
  const none = { rcpt_to: undefined };
  assert.equal(refused(line({ ...none, rcpt_hash: 'a' })), 'Missing rcpt_domain on event with rcpt_hash');
  assert.equal(
    refused(line({ ...none, rcpt_domain: 'a', rcpt_hash: '' })),
    'Missing rcpt_hash on event with rcpt_domain',
  );
  assert.ok(check(line({ ...none, rcpt_hash: 'a', rcpt_domain: 'b' })).ok);
  assert.match(refused(line({ rcpt_to: '' })), /Missing rcpt_to/);
  // A value that cannot be one counts as absent.
  for (const bad of [[], ['ada@example.net'], {}, true]) {
    assert.match(refused(line({ rcpt_to: bad })), /Missing rcpt_to/);
    assert.match(refused(line({ ...none, rcpt_hash: bad, rcpt_domain: bad })), /Missing rcpt_to/);
    assert.match(refused(line({ ...none, rcpt_hash: bad, rcpt_domain: 'a' })), /Missing rcpt_hash/);
  }
  assert.ok(check(line({ type: 'outofband', rcpt_to: '' })).ok);
  assert.ok(check(line({ type: 'open', rcpt_to: '' }, 'track_event')).ok);
});

test('adaptive events may be of any type', () => {
  const result = check(line({ type: 'adjustment', message_id: undefined }, 'adaptive_event'));
  assert.ok(result.ok && result.entry === null && result.publicType === 'adjustment');
});
