import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterQuery, metricsQuery } from './api.ts';
import { filterName, metricFacets, offers, readQuery } from './facets.ts';
import { cutRange } from './range.ts';

test('words before a colon become filters', () => {
  const read = readQuery('type:bounce rcpt:Ada@example.net campaign:"spring sale" class:10 subaccount:007');
  assert.deepEqual(read.problems, []);
  assert.deepEqual(
    read.filters.map((f) => [f.facet, f.value]),
    [
      ['type', 'bounce'],
      ['recipient', 'Ada@example.net'],
      ['campaign', 'spring sale'],
      ['class', '10'],
      ['subaccount', '7'],
    ],
  );
});

test('bare addresses and message ids are recognised', () => {
  assert.deepEqual(readQuery('ada@example.net').filters, [
    { facet: 'recipient', op: 'eq', value: 'ada@example.net' },
  ]);
  assert.equal(readQuery('0000A17C3E65F0D1B2C4').message, '0000a17c3e65f0d1b2c4');
  assert.equal(readQuery('message:my-own-id').message, 'my-own-id');
});

test('what cannot be understood is said, not guessed', () => {
  for (const bad of [
    'hello',
    'type:nonsense',
    'class:11',
    'subaccount:x',
    'reason:',
    '-type:open',
    '__proto__:x',
  ]) {
    const read = readQuery(bad);
    assert.deepEqual([read.filters.length, read.problems.length], [0, 1], bad);
  }
  assert.equal(readQuery('type:bounce', metricFacets).problems.length, 1);
});

test('completion offers names, then values', () => {
  const seen = new Map([['campaign', new Set(['spring', 'spring sale', 'autumn'])]]);
  assert.deepEqual(
    offers('ty', seen).map((o) => o.text),
    ['type:'],
  );
  assert.deepEqual(
    offers('type:bounce campaign:spr', seen).map((o) => o.text),
    ['campaign:spring', 'campaign:"spring sale"'],
  );
  assert.ok(offers('type:out', seen).some((o) => o.text === 'type:out_of_band'));
  assert.ok(offers('class:1', seen).some((o) => o.label === 'class:10'));
});

test('filters read as words', () => {
  assert.equal(filterName({ facet: 'type', op: 'eq', value: 'out_of_band' }), 'Type is Out-of-band bounce');
  assert.equal(
    filterName({ facet: 'class', op: 'eq', value: '10' }),
    'Bounce class is 10 · Invalid recipient (hard)',
  );
});

test('list parameters are joined by a sign that no value holds', () => {
  assert.deepEqual(
    filterQuery([
      { facet: 'campaign', op: 'eq', value: 'a,b' },
      { facet: 'campaign', op: 'eq', value: 'c' },
      { facet: 'type', op: 'eq', value: 'open' },
    ]),
    [
      ['delimiter', ';'],
      ['campaigns', 'a,b;c'],
      ['events', 'open'],
    ],
  );
  assert.deepEqual(filterQuery([]), []);
});

test('a metrics call names range, step, counts and the filters that it understands', () => {
  const buckets = cutRange('24h', 'auto', 'UTC', Date.parse('2026-01-07T14:23:20Z'));
  const filters = [
    { facet: 'campaign', op: 'eq', value: 'a,b' },
    { facet: 'reason', op: 'eq', value: 'x' },
    ...readQuery('vmta:mta-7 node:mta1.brand.example').filters,
  ] as const;
  assert.deepEqual(metricsQuery(['count_sent', 'count_bounce'], { buckets, filters }), [
    ['from', '2026-01-06T15:00'],
    ['to', '2026-01-07T14:24'],
    ['timezone', 'UTC'],
    ['precision', 'hour'],
    ['delimiter', ';'],
    ['metrics', 'count_sent;count_bounce'],
    ['campaigns', 'a,b'],
    ['vmtas', 'mta-7'],
    ['nodes', 'mta1.brand.example'],
  ]);
});
