import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { eventType } from './catalogue.ts';
import { checkIngestLine } from './check.ts';
import { eventIds } from './event-id.ts';
import { type EventOptions, eventOf } from './from-outcome.ts';
import { maskedReason, withoutRecipient } from './mask.ts';
import type { AttemptFacts, Outcome, OutcomeKind } from './outcome.ts';
import {
  generatedOutcomes,
  sampleAttempt,
  sampleMessage,
  sampleOutcome,
  sampleRecipient,
} from './testing.ts';

const options: EventOptions = {
  eventId: eventIds('node'),
  nodeName: 'mta1.brand.example',
  subaccount: 0,
  privacy: 'retain',
  sendingIp: (vmta) => (vmta === 'mta-a' ? '192.0.2.80' : ''),
};

function event(outcome: Outcome, more: Partial<EventOptions> = {}): Record<string, unknown> {
  const line = eventOf(outcome, 7, { ...options, ...more });
  assert.ok(line);
  return line.msys.message_event;
}

test('each kind of outcome is its kind of event, or none', () => {
  const expected: Record<OutcomeKind, string | null> = {
    received: 'reception',
    delivered: 'delivery',
    bounced: 'inband',
    deferred: 'tempfail',
    'queue-deferred': null,
    'remote-bounce': 'outofband',
    'remote-status': null,
    complaint: 'feedback',
  };
  for (const [kind, type] of Object.entries(expected)) {
    const line = eventOf(sampleOutcome(kind as OutcomeKind), 1, options);
    assert.equal(line?.msys.message_event.type ?? null, type, kind);
  }
  for (const kind of ['remote-bounce', 'complaint'] as const) {
    assert.equal(eventOf({ ...sampleOutcome(kind), matched: null } as Outcome, 1, options), null);
  }
});

test('whatever the outcome, the event passes the check that ingest applies, and has only catalogued fields', () => {
  const seen = new Set<unknown>();
  for (const [seq, outcome] of generatedOutcomes(3000, 42).entries()) {
    for (const privacy of ['retain', 'sha1'] as const) {
      const line = eventOf(outcome, seq, { ...options, privacy, subaccount: seq % 3 });
      if (!line) continue;
      const text = JSON.stringify(line);
      assert.ok(
        !text.includes('\n') &&
          text.isWellFormed() &&
          !/\\ud[89a-f]/i.test(text.replace(/\\ud[89ab]..\\ud[c-f]../gi, '')),
      );
      const result = checkIngestLine(JSON.parse(text), { now: outcome.at + 5000, maxAgeMs: 86_400_000 });
      assert.ok(result.ok, `${result.ok || result.message}: ${text}`);
      const known = new Set(eventType(result.publicType)!.fields.map((f) => f.name));
      for (const name of Object.keys(result.event))
        assert.ok(known.has(name), `${result.publicType} ${name}`);
      seen.add(result.ingestType);
    }
  }
  assert.equal(seen.size, 6);
});

test('a delivery has every field that an MTA knows', () => {
  assert.deepEqual(event(sampleOutcome('delivered')), {
    type: 'delivery',
    event_id: eventIds('node')(7),
    timestamp: '1933405964',
    message_id: '0000a17c3e65f0d1b2c4',
    rcpt_to: 'ana@mail.example.net',
    raw_rcpt_to: 'Ana@mail.example.net',
    routing_domain: 'mail.example.net',
    msg_from: 'news-Ana=mail.example.net@b.example.com',
    friendly_from: 'news@brand.example',
    friendly_name: 'Brand',
    sending_domain: 'brand.example',
    subject: 'April offers',
    campaign_id: 'spring31',
    msg_size: '18000',
    recv_method: 'esmtp',
    open_tracking: true,
    initial_pixel: false,
    click_tracking: true,
    msg_spoolname: 'sp1',
    binding: 'mta-a',
    binding_group: 'pool-a',
    sending_ip: '192.0.2.80',
    ip_address: '198.51.100.25',
    delv_method: 'esmtp',
    num_retries: '1',
    queue_time: '3000',
    outbound_tls: '1',
    node_name: 'mta1.brand.example',
  });
});

test('a bounce gives its reply raw and masked, code, and class', () => {
  const bounce = event(sampleOutcome('bounced'), { subaccount: 31 });
  assert.equal(bounce.raw_reason, '550 5.1.1 <Ana@mail.example.net>: no such user at 198.51.100.25');
  assert.equal(bounce.reason, '550 5.1.1 <...@...>: no such user at a.b.c.d');
  assert.equal(bounce.error_code, '550');
  assert.equal(bounce.bounce_class, '10');
  assert.equal(bounce.subaccount_id, 31);
});

test('a bounce without an attempt says why in our words', () => {
  const outcome = sampleOutcome('bounced') as Extract<Outcome, { kind: 'bounced' }>;
  const bounce = event({
    ...outcome,
    attempt: null,
    queue: 'example.net/cold-a',
    result: {
      status: '5.4.7',
      statusText: 'message expired',
      diagnostic: '',
      category: 'message-expired',
      bounceClass: 0,
    },
  });
  assert.equal(bounce.raw_reason, '5.4.7 message expired');
  assert.equal(bounce.bounce_class, '24');
  assert.ok(!('error_code' in bounce) && !('ip_address' in bounce) && !('delv_method' in bounce));
  assert.equal(bounce.binding, 'cold-a');
});

test('a custom message id goes along', () => {
  const outcome = sampleOutcome('received') as Extract<Outcome, { kind: 'received' }>;
  const line = event({ ...outcome, message: { ...sampleMessage, customMessageId: 'order-1' } });
  assert.equal(line.custom_message_id, 'order-1');
  assert.equal(line.sending_ip, '192.0.2.80');
});

test('sha1: nothing of the recipient but hash and domain leaves, in no field of any event', () => {
  const hash = createHash('sha1').update('ana@mail.example.net').digest('hex');
  for (const kind of [
    'received',
    'delivered',
    'bounced',
    'deferred',
    'remote-bounce',
    'complaint',
  ] as const) {
    const line = event(sampleOutcome(kind), { privacy: 'sha1' });
    assert.equal(line.rcpt_hash, hash);
    assert.equal(line.rcpt_domain, 'mail.example.net');
    assert.ok(!('rcpt_to' in line) && !('raw_rcpt_to' in line));
    assert.doesNotMatch(JSON.stringify(line), /\bana\b/i, kind);
  }
});

test('a transport other than SMTP is named', () => {
  const attempt: AttemptFacts = { ...sampleAttempt, transport: 'pipe', esmtp: [] };
  const outcome = sampleOutcome('delivered') as Extract<Outcome, { kind: 'delivered' }>;
  assert.equal(event({ ...outcome, attempt }).delv_method, 'pipe');
  assert.equal(event({ ...outcome, attempt: { ...attempt, transport: 'smtp' } }).delv_method, 'smtp');
});

test('masking', () => {
  assert.equal(
    maskedReason(
      '550 <a.b+c@x.example> from [192.0.2.1]:25, 2001:db8::1: and ::1 at 10:20:30 v1.2.3.4.5 5.1.1',
    ),
    '550 <...@...> from [a.b.c.d]:25, a.b.c.d: and a.b.c.d at 10:20:30 v1.2.3.4.5 5.1.1',
  );
  assert.equal(maskedReason('@'.repeat(5000)).length, 4000);
  assert.equal(
    withoutRecipient('Ana, ana@x.example, banana, news-ana=x.example@b', 'ANA@x.example'),
    '..., ...@..., banana, news-...@b',
  );
  assert.equal(withoutRecipient('user İana ana', 'ana@x'), 'user i̇ana ...');
  assert.equal(withoutRecipient('text', ''), 'text');
  assert.equal(sampleRecipient.address, 'Ana@mail.example.net');
});
