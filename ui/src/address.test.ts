import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carryOver, defaultsOf, movedTo, readView, type View, writeView } from './address.ts';
import { eventsHref, eventsSpec, findPage, messageHref, overviewSpec, pageHref } from './views.ts';

test('parameters at their default are left out', () => {
  assert.equal(writeView(defaultsOf(overviewSpec), overviewSpec), '');
  assert.equal(writeView({ ...defaultsOf(overviewSpec), t: '7d' }, overviewSpec), '?t=7d');
});

test('every state survives the way through its address', () => {
  const overview: View = {
    ...defaultsOf(overviewSpec),
    t: '2026-01-05T14:00Z..2026-01-06T14:00Z',
    tz: 'Europe/Berlin',
    step: '15min',
    vs: 'week',
    f: [
      { facet: 'campaign', op: 'eq', value: 'spring.sale & more=1, 50%?' },
      { facet: 'campaign', op: 'eq', value: '\u202eevil #' },
    ],
    sort: '',
    n: 50,
    page: 3,
    hide: ['count_clicked', 'count_bounce'],
    y: 'log',
    live: 'off',
  };
  assert.deepEqual(readView(writeView(overview, overviewSpec), overviewSpec), {
    view: overview,
    dropped: [],
  });
  const events: View = {
    ...defaultsOf(eventsSpec),
    t: 'yesterday',
    f: [{ facet: 'reason', op: 'eq', value: '550 5.1.1 <a@b>' }],
    n: 100,
    cursor: 'MTcwOTYz,NTU=',
    sel: '9007199254740993',
    raw: '1',
    live: '10s',
  };
  assert.deepEqual(readView(writeView(events, eventsSpec), eventsSpec).view, events);
});

test('addresses stay readable', () => {
  const f = [{ facet: 'recipient', op: 'eq', value: 'bob@example.net' }] as const;
  assert.equal(eventsHref({ t: '24h', tz: 'UTC', f }), '/events?f=recipient.eq.bob@example.net');
});

test('what is unknown is ignored, what is invalid falls back and is listed', () => {
  const read = readView(
    '?utm_source=x&t=3weeks&tz=Mars/Base&n=7&page=0&sort=-evil&f=campaign.eq.&f=type.eq.bounce&hide=A,B&vs=prev&live=1s',
    overviewSpec,
  );
  assert.deepEqual(read.view, defaultsOf(overviewSpec));
  assert.deepEqual(
    read.dropped.map((d) => d.key),
    ['t', 'tz', 'n', 'page', 'sort', 'f', 'f', 'hide', 'live'],
  );
});

test('names of object properties are no facets and no parameters', () => {
  const read = readView('?constructor=1&__proto__=2&f=constructor.eq.x&f=__proto__.eq.y', overviewSpec);
  assert.deepEqual(read.view, defaultsOf(overviewSpec));
  assert.equal(read.dropped.length, 2);
});

test('equal filters count once, and not more than ten', () => {
  const twice = readView('?f=campaign.eq.a&f=campaign.eq.a', overviewSpec);
  assert.equal(twice.view.f.length, 1);
  const many = Array.from({ length: 12 }, (_, i) => `f=campaign.eq.c${i}`).join('&');
  const read = readView(many, overviewSpec);
  assert.deepEqual([read.view.f.length, read.dropped.length], [10, 2]);
});

test('going to another page keeps range, zone and the filters that it understands', () => {
  const { view } = readView('?t=7d&tz=Asia/Tokyo&f=type.eq.bounce&f=campaign.eq.spring&n=100', eventsSpec);
  const carried = carryOver(view, overviewSpec);
  assert.equal(writeView(carried, overviewSpec), '?t=7d&tz=Asia/Tokyo&f=campaign.eq.spring');
  assert.equal(pageHref('events', 'overview', '?t=7d&hide=count_bounce'), '/events?t=7d');
});

test('paths find their page', () => {
  assert.deepEqual(findPage('/messages/a%2Fb'), { page: 'message', id: 'a/b' });
  assert.equal(findPage('/messages/%E0%A4%A').page, 'none');
  assert.equal(findPage('/nowhere').page, 'none');
  assert.equal(messageHref('a/b', 'UTC'), '/messages/a%2Fb');
});

test('old addresses lead to their pages', () => {
  assert.equal(movedTo('/dashboard'), '/');
  assert.equal(movedTo('/reports/message-events'), '/events');
  assert.equal(movedTo('/reports/message-events/details/0000a1/55'), '/messages/0000a1');
  assert.equal(movedTo('/reports/message-events/details/_noid_/55'), '/events');
  assert.equal(movedTo('/events/'), '/events');
  assert.equal(movedTo('/'), null);
  assert.equal(movedTo('/events'), null);
});
