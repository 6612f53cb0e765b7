import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatReconciliation,
  type Made,
  type Recipients,
  type RunFacts,
  reconcile,
} from './reconciliation.ts';

const keys = (...names: string[]) => new Set(names);
const counted = (names: string[], count = names.length): Recipients => ({ keys: keys(...names), count });
const made = (count: number, inDoubt = 0): Made => ({ count, inDoubt });

/** Three recipients: a and b delivered, c bounced; b bounced later, a opened twice, clicked and complained. */
const RUN: RunFacts = {
  submitted: keys('a', 'b', 'c'),
  inDoubt: 0,
  accounting: {
    byType: new Map([
      ['r', 3],
      ['d', 2],
      ['b', 1],
      ['t', 4],
      ['rb', 1],
      ['f', 1],
    ]),
    received: counted(['a', 'b', 'c']),
    delivered: counted(['a', 'b']),
    bounced: counted(['c']),
  },
  queued: 0,
  sink: {
    accepted: counted(['a', 'b']),
    initialOpens: made(1),
    opens: made(2),
    clicks: made(1),
    unsubscribes: made(0),
    remoteBounces: made(1),
    complaints: made(1),
  },
  events: new Map([
    ['injection', 3],
    ['delivery', 2],
    ['bounce', 1],
    ['delay', 4],
    ['out_of_band', 1],
    ['spam_complaint', 1],
    ['initial_open', 1],
    ['open', 2],
    ['click', 1],
  ]),
};

const off = (run: RunFacts) =>
  reconcile(run)
    .lines.filter((line) => !line.balances)
    .map(({ name }) => name);

const records = (more: [string, number][]) => new Map([...RUN.accounting.byType, ...more]);
const withEvents = (...more: [string, number][]): RunFacts => ({
  ...RUN,
  events: new Map([...RUN.events, ...more]),
});
const withSink = (more: Partial<RunFacts['sink']>): RunFacts => ({ ...RUN, sink: { ...RUN.sink, ...more } });
const withAccounting = (more: Partial<RunFacts['accounting']>): RunFacts => ({
  ...RUN,
  accounting: { ...RUN.accounting, ...more },
});

test('a run in which everything is where it belongs balances on every line', () => {
  assert.deepEqual(off(RUN), []);
  assert.equal(reconcile(RUN).lines.length, 15);
  assert.equal(reconcile(RUN).balances, true);
});

test('submitted = accepted: a recipient lost, a stranger in its place, one accepted twice', () => {
  const line = 'submitted = accepted';
  assert.deepEqual(off({ ...RUN, submitted: keys('a', 'b', 'c', 'x') }), [line]);
  assert.deepEqual(off({ ...RUN, submitted: keys('a', 'b', 'x') }), [line], 'the same number is not enough');
  const twice = withAccounting({ received: counted(['a', 'b', 'c'], 4), byType: records([['r', 4]]) });
  const again = { ...twice, queued: 1, events: new Map([...RUN.events, ['injection', 4]]) };
  assert.deepEqual(off(again), [line]);
  assert.deepEqual(off({ ...again, inDoubt: 1 }), [], 'an answer that was lost explains it');
});

test('accepted = delivered + bounced + queued', () => {
  assert.deepEqual(off({ ...RUN, queued: 1 }), ['accepted = delivered + bounced + queued']);
});

test('delivered = taken by the sink: repeats are named, a delivery that nobody got is not forgiven', () => {
  const line = 'delivered = taken by the sink';
  const repeated = reconcile(withSink({ accepted: counted(['a', 'b'], 3) }));
  assert.equal(repeated.balances, true);
  assert.equal(repeated.lines.find(({ name }) => name === line)?.repeated?.count, 1);
  assert.deepEqual(off(withSink({ accepted: counted(['a']) })), [line]);
  assert.deepEqual(off(withSink({ accepted: counted(['a', 'b', 'x']) })), [line]);
  assert.deepEqual(off(withSink({ accepted: counted(['a', 'x']) })), [line]);
  assert.deepEqual(off(withSink({ accepted: counted(['a', 'b'], 1) })), [line]);
});

test('records = events, for every type', () => {
  for (const [event, words] of [
    ['injection', 'received'],
    ['delivery', 'delivered'],
    ['bounce', 'bounced'],
    ['delay', 'deferred'],
    ['out_of_band', 'remote bounces'],
    ['spam_complaint', 'complaints'],
  ] as const) {
    const more = RUN.events.get(event)! + 1;
    assert.deepEqual(off(withEvents([event, more])), [`${words}: records = events`]);
    assert.deepEqual(off(withEvents([event, 0])), [`${words}: records = events`]);
  }
});

test('a report that came again has a record and no event, as far as answers were lost', () => {
  for (const [what, record, words] of [
    ['remoteBounces', 'rb', 'remote bounces'],
    ['complaints', 'f', 'complaints'],
  ] as const) {
    const twice = (inDoubt: number) => ({
      ...withAccounting({ byType: records([[record, 2]]) }),
      sink: { ...RUN.sink, [what]: made(1, inDoubt) },
    });
    assert.deepEqual(off(twice(1)), []);
    assert.deepEqual(off(twice(0)), [`${words}: records = events`, `${words}: sent back = recorded`]);
  }
});

test('what the sink did = what was recorded; more only as far as answers were lost', () => {
  for (const [what, event, words] of [
    ['initialOpens', 'initial_open', 'initial opens'],
    ['opens', 'open', 'opens'],
    ['clicks', 'click', 'clicks'],
    ['unsubscribes', 'list_unsubscribe', 'unsubscribes'],
  ] as const) {
    const line = `${words}: made = recorded`;
    const { count } = RUN.sink[what];
    assert.deepEqual(off(withEvents([event, count + 1])), [line]);
    const doubtful = withSink({ [what]: made(count, 1) });
    assert.deepEqual(off({ ...doubtful, events: new Map([...RUN.events, [event, count + 1]]) }), []);
    assert.deepEqual(off({ ...doubtful, events: new Map([...RUN.events, [event, count + 2]]) }), [line]);
    assert.deepEqual(off(withSink({ [what]: made(count + 1, 5) })), [line], 'fewer are never right');
  }
  assert.deepEqual(off(withSink({ remoteBounces: made(2) })), ['remote bounces: sent back = recorded']);
  assert.deepEqual(off(withSink({ complaints: made(0) })), ['complaints: sent back = recorded']);
});

test('types that are nowhere count as none', () => {
  const none = { keys: keys(), count: 0 };
  const nothing: RunFacts = {
    ...RUN,
    submitted: keys(),
    accounting: { byType: new Map(), received: none, delivered: none, bounced: none },
    sink: {
      accepted: none,
      ...{ initialOpens: made(0), opens: made(0), clicks: made(0), unsubscribes: made(0) },
      ...{ remoteBounces: made(0), complaints: made(0) },
    },
    events: new Map(),
  };
  assert.deepEqual(off(nothing), []);
});

test('the table marks what is off and says it in words', () => {
  const good = formatReconciliation(reconcile(RUN));
  assert.ok(good.endsWith('Every line balances.'));
  assert.ok(!good.includes('OFF'));
  const text = formatReconciliation(reconcile({ ...RUN, queued: 1 }));
  assert.match(text, /\nOFF {2}accepted = delivered \+ bounced \+ queued +3 +4\n/);
  assert.ok(text.endsWith('1 of 15 lines do not balance: accepted = delivered + bounced + queued.'));
});
