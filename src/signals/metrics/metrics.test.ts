import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Ajv } from 'ajv';
import { type Clock, systemClock } from '../../system/clock.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Span } from '../store/spans.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { metricNames } from './definitions.ts';
import { grouped, groupings, summary, timeSeries } from './deliverability.ts';
import { lists, listValues } from './lists.ts';
import { reports } from './reports.ts';
import { readWatchedDomains } from './watched-domains.ts';

// What every number has to be is proved in recount.test.ts; here are the rules that can be told by example.

const NOW = Date.parse('2026-10-26T09:17:23Z');
const clock: Clock = { now: () => NOW, after: systemClock.after };
const at = (time: string) => String(Date.parse(`2026-10-${time}Z`) / 1000);

let service: TestService;
before(async () => {
  // The engine expires data by the machine's clock, which is years ahead of ours by and by.
  const retention = { events: 20_000, metrics: 20_000, messages: 20_000, batches: 20_000 };
  service = await startTestService({ clock, eventAgeHours: 24 * 40, retention });
  const mail = (id: string, time: string, more: object) => [
    line('reception', { message_id: id, timestamp: at(time), ...more }),
    line('delivery', { message_id: id, timestamp: at(time), ...more }),
  ];
  await service.ingest([
    ...mail('a', '25T13:00', { campaign_id: 'spring', rcpt_to: 'a@gmail.com', num_retries: '0' }),
    ...mail('b', '25T13:01', { campaign_id: 'spring', rcpt_to: 'b@example.net', num_retries: '1' }),
    ...mail('c', '25T13:02', {
      campaign_id: 'Autumn',
      rcpt_to: 'c@web.de',
      subaccount_id: 5,
      num_retries: '7',
    }),
    ...['13:08', '13:13', '14:37'].map((time) =>
      line('open', { message_id: 'a', timestamp: at(`25T${time}`) }),
    ),
    line('outofband', { message_id: 'b', timestamp: at('25T15:30'), bounce_class: '10', reason: 'gone' }),
    line('inband', { message_id: 'd', timestamp: at('25T15:30'), campaign_id: 'Winter', bounce_class: '25' }),
    ...['x', 'y', 'x'].map((name) =>
      line('click', {
        message_id: 'a',
        timestamp: at('25T14:40'),
        target_link_url: `https://brand.example/${name}`,
        target_link_name: name === 'y' ? 'Banner' : '',
      }),
    ),
  ]);
});
after(() => service.stop());

const get = async (where: string) => {
  const answer = await service.get(`/api/v1/metrics/${where}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.results;
};
const day = 'from=2026-10-25T00:00&to=2026-10-26T00:00';

test('a message counts once per minute, hour or day, and coarser rows add these up', async () => {
  for (const [precision, expected] of [
    ['1min', 3],
    ['15min', 3],
    ['hour', 2],
    ['day', 1],
  ] as const) {
    const query = `${day}&precision=${precision}&metrics=count_unique_rendered`;
    assert.deepEqual(await get(`deliverability?${query}`), [{ count_unique_rendered: expected }], precision);
    const rows = await get(`deliverability/time-series?${query}`);
    const total = rows.reduce((sum: number, r: Record<string, number>) => sum + r.count_unique_rendered!, 0);
    assert.equal(total, expected, precision);
  }
  // Without a precision it is the minute, however long the window is.
  const [long] = await get('deliverability?from=2026-10-01T00:00&metrics=count_unique_rendered_approx');
  assert.equal(long.count_unique_rendered_approx, 3);
});

test('windows are rounded outwards; a border is the end of the bucket before it', async () => {
  const cases: [precision: string, to: string, first: string, n: number][] = [
    ['1min', '06:37', '04:22', 135],
    ['1min', '06:37:01', '04:22', 136],
    ['5min', '06:37', '04:20', 28],
    ['15min', '06:37', '04:15', 10],
    ['hour', '06:37', '04:00', 3],
    ['hour', '06:00', '04:00', 2],
    ['12hr', '06:37', '00:00', 1],
    ['day', '06:37', '00:00', 1],
  ];
  for (const [precision, to, first, n] of cases) {
    const query = `from=2026-10-25T04:22&to=2026-10-25T${to}&precision=${precision}&metrics=count_injected`;
    const rows = await get(`deliverability/time-series?${query}`);
    assert.equal(rows[0].ts, `2026-10-25T${first}:00+00:00`, precision);
    assert.equal(rows.length, n, `${precision} ${to}`);
  }
});

test('the hour that comes twice is two rows, half an hour of change makes a shorter one', async () => {
  const series = (zone: string, from: string, to: string) =>
    get(
      `deliverability/time-series?from=${from}&to=${to}&precision=hour&timezone=${zone}&metrics=count_sent`,
    );
  const stamps = async (...args: [string, string, string]) =>
    (await series(...args)).map((r: { ts: string }) => r.ts.slice(11));
  assert.deepEqual(await stamps('Europe/Berlin', '2026-10-25T01:00', '2026-10-25T04:00'), [
    '01:00:00+02:00',
    '02:00:00+02:00',
    '02:00:00+01:00',
    '03:00:00+01:00',
  ]);
  assert.deepEqual(await stamps('Europe/Berlin', '2026-03-29T01:00', '2026-03-29T04:00'), [
    '01:00:00+01:00',
    '03:00:00+02:00',
  ]);
  assert.deepEqual(await stamps('Australia/Lord_Howe', '2026-04-05T00:00', '2026-04-05T03:00'), [
    '00:00:00+11:00',
    '01:00:00+11:00',
    '01:30:00+10:30',
    '02:00:00+10:30',
  ]);
});

test('clocks that change within an hour part what happened before from what happened after', async () => {
  // In Chatham the clocks went from 02:45 to 03:45.
  await service.ingest(
    ['13:50', '14:05', '14:05', '14:20'].map((time) =>
      line('open', { message_id: 'e', timestamp: String(Date.parse(`2026-09-26T${time}Z`) / 1000) }),
    ),
  );
  const asked =
    'from=2026-09-27T02:00&to=2026-09-27T05:00&precision=hour&timezone=Pacific/Chatham&metrics=count_rendered,count_unique_rendered';
  assert.deepEqual(await get(`deliverability/time-series?${asked}`), [
    { ts: '2026-09-27T02:00:00+12:45', count_rendered: 1, count_unique_rendered: 1 },
    { ts: '2026-09-27T03:45:00+13:45', count_rendered: 2, count_unique_rendered: 1 },
    { ts: '2026-09-27T04:00:00+13:45', count_rendered: 1, count_unique_rendered: 1 },
  ]);
  assert.deepEqual(await get(`deliverability?${asked}`), [{ count_rendered: 4, count_unique_rendered: 3 }]);
});

test('a series without precision takes the finest that its length allows', async () => {
  for (const [from, gap] of [
    ['2026-10-26T00:00', 60],
    ['2026-10-25T00:00', 900],
    ['2026-10-01T00:00', 3600],
    ['2026-08-01T00:00', 86_400],
  ] as const) {
    const rows = await get(`deliverability/time-series?from=${from}&metrics=count_sent`);
    assert.equal((Date.parse(rows[1].ts) - Date.parse(rows[0].ts)) / 1000, gap, from);
  }
});

test('windows of any length and age are answered', async () => {
  for (const query of [
    'deliverability?from=0001-01-01T00:00&to=9999-12-31T00:00',
    'deliverability?from=1950-01-01T00:00&to=1960-01-01T00:00',
    'deliverability/campaign?from=2150-01-01T00:00&to=2160-01-01T00:00',
    'deliverability/time-series?from=1900-01-01T00:00&precision=month&timezone=Europe/Amsterdam',
    'deliverability/bounce-reason?from=0001-01-01T00:00&to=9999-12-31T00:00',
  ]) {
    const which = query.includes('reason') ? 'count_bounce' : 'count_injected,count_unique_rendered';
    await get(`${query}&metrics=${which}`);
  }
});

test('a time that names its zone is that instant, whatever the zone of the window', async () => {
  const zone = '&timezone=America/New_York&precision=hour&metrics=count_injected';
  const [local] = await get(`deliverability/time-series?from=2026-10-25T09:00&to=2026-10-25T10:00${zone}`);
  const [named] = await get(`deliverability/time-series?from=2026-10-25T13:00Z&to=2026-10-25T14:00Z${zone}`);
  assert.deepEqual(local, { ts: '2026-10-25T09:00:00-04:00', count_injected: 3 });
  assert.deepEqual(named, local);
});

test('rows are in descending order of the first metric or of any other', async () => {
  const campaigns = async (query: string) =>
    (await get(`deliverability/campaign?${day}&${query}`)).map((r: { campaign_id: string }) => r.campaign_id);
  assert.deepEqual(await campaigns('metrics=count_injected'), ['spring', 'Autumn', 'Winter']);
  assert.deepEqual(await campaigns('metrics=count_injected&order_by=count_admin_bounce'), [
    'Winter',
    'Autumn',
    'spring',
  ]);
  assert.deepEqual(await campaigns('metrics=count_injected&limit=1'), ['spring']);
  const [first] = await get(`deliverability/campaign?${day}&metrics=count_injected&order_by=count_sent`);
  assert.deepEqual(first, { campaign_id: 'spring', count_injected: 2 });
});

test('every metric is answered under the name that was asked, 0 where nobody measures', async () => {
  const [row] = await get(`deliverability?${day}&delimiter=;&metrics=${metricNames.join(';')}`);
  assert.deepEqual(Object.keys(row), metricNames);
  assert.equal(row.count_accepted, 2);
  assert.equal(row.count_delivered_subsequent, 2);
  assert.equal(row.count_inbox_seed, 0);
  assert.equal(row.count_raw_clicked_approx, 2);
  assert.equal(row.count_unique_clicked, 1);
  // What comes back after delivery counts when it comes, so an hour may be below 0.
  const hours = await get(`deliverability/time-series?${day}&precision=hour&metrics=count_accepted`);
  assert.equal(hours[15].count_accepted, -1);
});

test('rates are divided sums; where there is nothing to divide by there is no value', async () => {
  const metrics = 'bounce_rate,open_rate,delivery_rate_per_second,rejected_rate,avg_msg_size';
  const [row] = await get(`deliverability?${day}&precision=day&metrics=${metrics}`);
  assert.deepEqual(row, {
    bounce_rate: 100 / 3,
    // One message of the two that stayed accepted, however often it was opened.
    open_rate: 50,
    delivery_rate_per_second: 3 / 86_400,
    rejected_rate: 0,
    avg_msg_size: 0,
  });
  const hours = await get(`deliverability/time-series?${day}&precision=hour&metrics=${metrics}`);
  assert.deepEqual(hours[0], {
    ts: '2026-10-25T00:00:00+00:00',
    bounce_rate: null,
    open_rate: null,
    delivery_rate_per_second: 0,
    rejected_rate: null,
    avg_msg_size: null,
  });
  // The late bounce of an hour makes its accepted mail -1: a share of that says nothing.
  assert.equal(hours[15].open_rate, null);
  const rows = await get(`deliverability/campaign?${day}&metrics=count_sent&order_by=bounce_rate`);
  assert.deepEqual(
    rows.map((r: { campaign_id: string }) => r.campaign_id),
    ['spring', 'Autumn', 'Winter'],
  );
});

test('names of domains are matched in any letter case, others exactly', async () => {
  const count = async (filter: string) =>
    (await get(`deliverability?${day}&metrics=count_injected&${filter}`))[0].count_injected;
  assert.equal(await count('domains=GMail.com'), 1);
  assert.equal(await count('campaigns=Spring'), 0);
  assert.equal(await count('subaccounts=0'), 2);
  assert.equal(await count('subaccounts=5;4294967295&delimiter=;'), 1);
  assert.equal(await count('subject_campaigns=anything'), 0);
  const grouped = (groupings: object[]) =>
    `query_filters=${encodeURIComponent(JSON.stringify({ groupings }))}`;
  assert.equal(await count(grouped([{ AND: { domains: { eq: ['GMAIL.com'] } } }])), 1);
  assert.equal(await count(grouped([{ OR: { campaigns: { like: ['PRI'] }, subaccounts: { eq: [5] } } }])), 3);
  assert.equal(await count(`campaigns=none&${grouped([])}`), 3);
});

test('watched domains are those of the list', async () => {
  const rows = await get(`deliverability/watched-domain?${day}&metrics=count_injected`);
  assert.deepEqual(rows, [
    { watched_domain: 'gmail.com', count_injected: 1 },
    { watched_domain: 'web.de', count_injected: 1 },
  ]);
  const file = path.join(service.dir, 'watched');
  await writeFile(file, '# ours\r\nExample.NET\n\nweb.de # too\n');
  assert.deepEqual(await readWatchedDomains(file), ['example.net', 'web.de']);
  await writeFile(file, 'example.net\na@b\n');
  await assert.rejects(readWatchedDomains(file), /watched:2 \(watched domains\) is no domain: "a@b"/);
  await assert.rejects(readWatchedDomains(`${file}-`), /cannot be read/);
});

test('reports on reasons leave out rows of nothing; attempts are texts', async () => {
  assert.deepEqual(await get(`deliverability/bounce-reason/domain?${day}&metrics=count_bounce`), [
    {
      reason: 'gone',
      domain: 'example.net',
      bounce_class_name: 'Invalid Recipient',
      bounce_class_description: 'The mailbox does not exist or the address is not valid.',
      bounce_category_id: 1,
      bounce_category_name: 'Hard',
      classification_id: 10,
      count_bounce: 1,
    },
  ]);
  const admin = await get(`deliverability/bounce-reason?${day}&metrics=count_admin_bounce`);
  assert.deepEqual(
    admin.map((r: { classification_id: number }) => r.classification_id),
    [25],
  );
  assert.deepEqual(await get(`deliverability/attempt?${day}`), [
    { attempt: '1', count_delivered: 1 },
    { attempt: '2', count_delivered: 1 },
    { attempt: '3+', count_delivered: 1 },
  ]);
  assert.deepEqual(await get(`deliverability/link-name?${day}&metrics=count_clicked,count_raw_clicked`), [
    { link_name: 'https://brand.example/x', count_clicked: 2, count_raw_clicked: 1 },
    { link_name: 'Banner', count_clicked: 1, count_raw_clicked: 1 },
  ]);
});

test('lists of names, and what is empty here', async () => {
  assert.deepEqual(await get('campaigns'), { campaigns: ['Autumn', 'Winter', 'spring'] });
  assert.deepEqual(await get('campaigns?match=SPR&limit=100'), { campaigns: ['spring'] });
  assert.deepEqual(await get('sending-ips?from=2020-01-01T00:00&to=2020-01-02T00:00'), { 'sending-ips': [] });
  assert.deepEqual(await get('subject-campaigns?match=a'), { 'subject-campaigns': [] });
  assert.deepEqual(await get(`deliverability/subject-campaign?${day}&metrics=count_inbox_seed`), []);
  assert.deepEqual(await get('benchmarks/inbox-rate?from=2026-10-01T00:00&mailbox_provider=gmail'), []);
});

test('links tell what there is', async () => {
  const root = (await service.get('/api/v1/metrics/')).body;
  assert.deepEqual(root.results, {});
  assert.deepEqual(root.links[0], { href: '/api/v1/metrics/', rel: '', method: 'GET' });
  const summary = (await service.get(`/api/v1/metrics/deliverability?${day}&metrics=count_sent`)).body;
  for (const { href, rel, method } of [...root.links, ...summary.links]) {
    assert.equal(method, 'GET');
    assert.equal(rel, href.slice(href.lastIndexOf('/') + 1));
    const answer = await service.get(`${href}?${day}&metrics=`);
    assert.ok(answer.status === 200 || answer.body.errors[0].param === 'metrics', href);
  }
});

test("a key of a subaccount could see no others' numbers", async () => {
  // No such key can have the grant today. Should that change, every statement is held to the key's own subaccount.
  const statements: string[] = [];
  const store = {
    spans: (span: Span) => ({ minutes: [], hours: [span], sealed: [] }),
    read: async (sql: string) => {
      statements.push(sql);
      return [];
    },
  } as unknown as EventStore;
  const query = new Map([
    ['from', '2026-10-25T00:00'],
    ['metrics', 'count_sent,count_unique_clicked,count_raw_clicked'],
  ]);
  const request = { store, query, now: NOW, onlySubaccount: 5, watchedDomains: [] };
  await summary(request);
  await timeSeries(request);
  for (const name of groupings.keys()) await grouped(request, name);
  for (const { run } of reports.values()) await run({ ...request, query: new Map([['from', '2026-10-25']]) });
  for (const [list, column] of lists) if (column) await listValues(request, list);
  assert.equal(statements.length, 2 + groupings.size + reports.size + lists.size - 1);
  for (const sql of statements) {
    const tables = sql.match(/FROM (?:metrics_|engagement|reasons|strays|slices_)/g) ?? [];
    const held = sql.match(/subaccount_id IN \{p\d+:/g) ?? [];
    assert.ok(tables.length > 0 && held.length >= tables.length, sql);
  }
});

test('requests that make no sense are 400 and say why', async () => {
  const cases = [
    'deliverability?metrics=count_injected',
    'deliverability?from=2026-10-25T00:00',
    'deliverability?from=2026-10-25T00:00&metrics=',
    'deliverability?from=2026-10-25T00:00&metrics=count_nonsense',
    'deliverability?from=yesterday&metrics=count_injected',
    'deliverability?from=2026-02-30T00:00&metrics=count_injected',
    'deliverability?from=2026-10-25T00:00&to=2026-10-24T00:00&metrics=count_injected',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&timezone=Mars/Olympus',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&precision=second',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&precision=week',
    'deliverability/time-series?from=2026-10-20T00:00&metrics=count_injected&precision=1min',
    'deliverability/time-series?from=2026-09-20T00:00&metrics=count_injected&precision=hour',
    'deliverability/time-series?from=0001-01-01T00:00&metrics=count_injected&precision=day',
    'deliverability/campaign?from=2026-10-25T00:00&metrics=count_injected&limit=0',
    'deliverability/campaign?from=2026-10-25T00:00&metrics=count_injected&limit=10001',
    'deliverability/campaign?from=2026-10-25T00:00&metrics=count_injected&order_by=campaign_id',
    'deliverability/subject-campaign?from=2026-10-25T00:00',
    'deliverability/bounce-reason?from=2026-10-25T00:00&metrics=count_sent',
    'deliverability/delay-reason',
    'benchmarks/inbox-rate',
  ];
  for (const where of cases) {
    const answer = await service.get(`/api/v1/metrics/${where}`);
    assert.equal(answer.status, 400, where);
    assert.ok(answer.body.errors[0].message, where);
  }
  for (const filters of [
    '{}',
    'nonsense',
    '{"groupings":[{"XOR":{}}]}',
    '{"groupings":[{"AND":{}}]}',
    '{"groupings":[{"AND":{"campaigns":{}}}]}',
    '{"groupings":[{"AND":{"colours":{"eq":["red"]}}}]}',
    '{"groupings":[{"AND":{"campaigns":{"like":["ab"]}}}]}',
    '{"groupings":[{"AND":{"campaigns":{"eq":"spring"}}}]}',
    '{"groupings":[{"AND":{"subaccounts":{"eq":["five"]}}}]}',
    '{"groupings":[{"AND":{"campaigns":{"eq":["a"]}},"OR":{"campaigns":{"eq":["a"]}}}]}',
    '{"groupings":[],"more":1}',
  ]) {
    const answer = await service.get(
      `/api/v1/metrics/deliverability?${day}&metrics=count_sent&query_filters=${encodeURIComponent(filters)}`,
    );
    assert.equal(answer.status, 400, filters);
    const [error] = answer.body.errors;
    assert.ok(error.validationErrors.length > 0, filters);
    assert.deepEqual([error.code, error.param], ['1200', 'query_filters']);
  }
});

test('query_filters are taken if and only if their published schema lets them through', async () => {
  const { $schema: _, ...schema } = await get('deliverability/query-filters-schema');
  const follows = new Ajv({ strict: false }).compile(schema);
  const one = (filter: string, comparisons: unknown) => ({ groupings: [{ AND: { [filter]: comparisons } }] });
  const many = (n: number) => Array.from({ length: n }, (_, i) => `value ${i}`);
  const cases: [filters: unknown, good: boolean][] = [
    [{ groupings: [] }, true],
    [{ groupings: Array(50).fill({ OR: { domains: { eq: ['a'] } } }) }, true],
    [{ groupings: Array(51).fill({ OR: { domains: { eq: ['a'] } } }) }, false],
    [one('campaigns', { eq: [''], like: ['abc'] }), true],
    [one('campaigns', { eq: [] }), false],
    [one('campaigns', { eq: [1] }), false],
    [one('campaigns', { like: ['😀😀😀'] }), true],
    [one('campaigns', { notLike: ['😀😀'] }), false],
    [one('campaigns', { notEq: many(1000) }), true],
    [one('campaigns', { notEq: many(1001) }), false],
    [one('campaigns', { notEq: ['x'.repeat(1025)] }), false],
    [{ groupings: [{ AND: { campaigns: {}, domains: { eq: ['a'] } } }] }, false],
    [one('subject_campaigns', { notEq: ['a'] }), true],
    [one('subject_campaigns', { like: ['a'] }), false],
    [one('subaccounts', { eq: [0, 2 ** 32 - 1, '7'] }), true],
    ...[2 ** 32, -1, 1.5, 'seven', [7], true, null].map(
      (id) => [one('subaccounts', { eq: [id] }), false] as never,
    ),
    [one('subaccounts', { like: ['123'] }), false],
  ];
  for (const [filters, good] of cases) {
    const text = JSON.stringify(filters);
    const query = `${day}&metrics=count_sent&query_filters=${encodeURIComponent(text)}`;
    const { status } = await service.get(`/api/v1/metrics/deliverability?${query}`);
    assert.equal(status, good ? 200 : 400, text.slice(0, 200));
    assert.equal(follows(filters), good, text.slice(0, 200));
  }
});

test('reasons that are as frequent stand in the order of their domains', async () => {
  const hosts = Array.from({ length: 40 }, (_, i) => `host${(i * 17) % 40}.example`);
  const to = (type: string) =>
    hosts.map((host) =>
      line(type, { rcpt_to: `a@${host}`, timestamp: at('24T10:00'), reason: 'wait', campaign_id: 'hosts' }),
    );
  await service.ingest([...to('tempfail'), ...to('rejection')]);
  for (const report of ['delay-reason', 'rejection-reason']) {
    const rows = await get(
      `deliverability/${report}/domain?from=2026-10-24T00:00&to=2026-10-25T00:00&campaigns=hosts&limit=25`,
    );
    const shown = rows.map((row: { domain: string }) => row.domain);
    assert.deepEqual(shown, hosts.toSorted().slice(0, 25), report);
  }
});
