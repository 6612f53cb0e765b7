import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { eventTypes } from '../events/catalogue.ts';
import { checkIngestLine } from '../events/check.ts';
import type { TrackingToken } from './token.ts';
import { click, open, unsubscribe } from './tracker-testing.ts';
import { type TrackedRequest, trackingLines } from './tracking-event.ts';

const AT = 1_800_000_000_999;
const request: TrackedRequest = {
  at: AT,
  address: '192.0.2.7',
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  acceptLanguage: 'de',
  probed: false,
};

/** The checked events of one fetch. */
function eventsOf(token: TrackingToken, more: Partial<TrackedRequest> = {}, sealed = 'sealed') {
  return trackingLines(token, sealed, { ...request, ...more }).map((line) => {
    const checked = checkIngestLine(JSON.parse(line), { now: AT, maxAgeMs: 60_000 });
    assert.ok(checked.ok, checked.ok ? '' : checked.message);
    return checked;
  });
}

test('a click says everything that its token knows', () => {
  const [checked] = eventsOf(click);
  const { event_id, user_agent_parsed, ...event } = checked!.event;
  assert.equal(checked!.publicType, 'click');
  assert.deepEqual(event, {
    type: 'click',
    timestamp: '1800000000',
    message_id: click.messageId,
    rcpt_to: 'ada@example.net',
    raw_rcpt_to: 'Ada@example.net',
    campaign_id: 'january',
    subaccount_id: 7,
    delv_method: 'esmtp',
    initial_pixel: true,
    open_tracking: true,
    click_tracking: true,
    ip_address: '192.0.2.7',
    user_agent: request.userAgent,
    target_link_url: click.target,
    target_link_name: 'offer',
  });
  assert.deepEqual(user_agent_parsed, {
    agent_family: 'Firefox',
    os_family: 'Linux',
    is_mobile: false,
    is_proxy: false,
    is_prefetched: false,
    engagement_class: 'human',
  });
  assert.match(String(event_id), /^\d{1,19}$/);
  assert.ok(BigInt(String(event_id)) < 1n << 63n);
});

test('every action is an event that ingest takes, with fields that its type has', () => {
  const seen = [];
  for (const amp of [false, true]) {
    for (const token of [open, { ...open, action: 'initial_open' }, click, { ...click, unsubscribe: true }]) {
      seen.push(...eventsOf({ ...token, amp } as TrackingToken));
    }
  }
  seen.push(...eventsOf(unsubscribe));
  assert.deepEqual([...new Set(seen.map((checked) => checked.publicType))].sort(), [
    'amp_click',
    'amp_initial_open',
    'amp_open',
    'click',
    'initial_open',
    'link_unsubscribe',
    'list_unsubscribe',
    'open',
  ]);
  // What the wire carries beyond SparkPost's fields of a link unsubscribe.
  const ours = ['accept_language', 'user_agent_parsed'];
  for (const { publicType, event } of seen) {
    const type = eventTypes.find((entry) => entry.publicType === publicType)!;
    const known = new Set([...type.fields.map(({ name }) => name), ...ours]);
    assert.deepEqual(
      Object.keys(event).filter((name) => !known.has(name)),
      [],
      publicType,
    );
  }
});

test('every fetch has its own id, a list unsubscribe that of its token', () => {
  const id = (token: TrackingToken, sealed?: string) => eventsOf(token, {}, sealed)[0]!.eventId;
  assert.notEqual(id(click), id(click));
  assert.equal(id(unsubscribe, 'one'), id(unsubscribe, 'one'));
  assert.notEqual(id(unsubscribe, 'one'), id(unsubscribe, 'two'));
  const ids = eventsOf({ ...click, unsubscribe: true }).map(({ eventId }) => eventId);
  assert.equal(new Set(ids).size, 2);
});

test('an anonymised recipient stays one', () => {
  const hash = createHash('sha1').update('ada@example.net').digest('hex');
  for (const token of [click, open, unsubscribe]) {
    const [checked] = eventsOf({ ...token, anonymised: true, recipient: `${hash}@Example.net` });
    assert.equal(checked!.event.rcpt_hash, hash);
    assert.equal(checked!.event.rcpt_domain, 'example.net');
    assert.equal(checked!.event.rcpt_to, undefined);
    assert.doesNotMatch(JSON.stringify(checked!.event), /ada/i);
  }
});

test('what names nobody is no event that ingest would refuse', () => {
  assert.equal(eventsOf({ ...open, recipient: '' }).length, 1);
  assert.equal(eventsOf({ ...open, anonymised: true, recipient: 'nohash' }).length, 1);
  assert.equal(eventsOf({ ...click, recipient: '', unsubscribe: true }).length, 1);
  assert.equal(eventsOf({ ...unsubscribe, recipient: '' }).length, 0);
  assert.equal(eventsOf({ ...open, messageId: '' }).length, 0);
});

test('empty fields are left out, an unnamed link is a raw URL', () => {
  const [checked] = eventsOf(
    { ...click, linkName: '', campaign: '', subaccount: 0, recipient: 'ada@example.net' },
    { userAgent: '', address: '' },
  );
  const { event } = checked!;
  assert.equal(event.target_link_name, 'Raw URL');
  for (const name of ['campaign_id', 'subaccount_id', 'raw_rcpt_to', 'user_agent', 'ip_address']) {
    assert.equal(name in event, false, name);
  }
});

test('header texts are cut to size and lose their controls', () => {
  const agentOf = (userAgent: string) => String(eventsOf(open, { userAgent })[0]!.event.user_agent);
  assert.equal(agentOf('a\tb\u0085c\u007fd'), 'abcd');
  assert.equal(agentOf('x'.repeat(5000)).length, 1024);
  const wide = agentOf('é'.repeat(5000));
  assert.equal(Buffer.byteLength(wide), 1024);
  assert.match(wide, /^é+$/);
  const language = eventsOf({ ...click, unsubscribe: true }, { acceptLanguage: 'é'.repeat(500) })[1]!;
  assert.equal(Buffer.byteLength(String(language.event.accept_language)), 256);
});

test('a probe makes a scanner of a person, and of nobody else', () => {
  const classOf = (userAgent: string) =>
    (eventsOf(click, { userAgent, probed: true })[0]!.event.user_agent_parsed as Record<string, unknown>)
      .engagement_class;
  assert.equal(classOf(request.userAgent), 'scanner');
  assert.equal(classOf('curl/8'), 'bot');
});
