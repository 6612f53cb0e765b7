import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, line, startTestService, type TestService } from '../test-service.ts';

let service: TestService;
const now = Math.floor(Date.now() / 1000);

before(async () => {
  service = await startTestService();
  await service.ingest([
    line('reception', {
      event_id: '1',
      message_id: 'a',
      transmission_id: '65832150921904138',
      timestamp: String(now - 600),
      rcpt_to: 'Ada@Mail.Yahoo.com',
      friendly_from: 'News@Eu.Brand.example',
      subject: 'Spring sale - 20% off',
      campaign_id: 'vip_spring',
      template_id: 'welcome-mail',
      ip_pool: 'pool-one',
      sending_ip: '192.0.2.1',
      subaccount_id: 4,
      ab_test_id: 'test-1',
      ab_test_version: '2',
    }),
    line('inband', {
      event_id: '2',
      message_id: 'b',
      timestamp: `${now - 500}.25`,
      rcpt_to: 'bob@notyahoo.com',
      friendly_from: 'news@brandexample.org',
      campaign_id: 'spring-2024',
      subject: 'Ouverture\u00a0: soldes\u202f!',
      bounce_class: '10',
      reason: '550 5.4.7 Delivery expired for ...@...',
      raw_reason: '550 5.4.7 Delivery expired for bob@notyahoo.com',
    }),
    line('inband', {
      event_id: '3',
      message_id: 'c',
      timestamp: String(now - 400),
      rcpt_to: 'carol@yahoo.co.uk',
      campaign_id: 'springtime',
      bounce_class: '51',
      reason: '550 5.4.71 no',
    }),
    line('gen_rejection', {
      event_id: '4',
      message_id: undefined,
      timestamp: String(now - 300),
      rcpt_to: 'Ada+News@example.net',
      friendly_from: 'a+b@brand.test',
      campaign_id: 'A-b-C',
      reason: 'suppressed',
    }),
  ]);
});
after(() => service.stop());

async function ids(query: string): Promise<string[]> {
  const answer = await service.get(`/api/v1/events/message?${query}`);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.total_count, answer.body.results.length);
  return answer.body.results.map((e: { event_id: string }) => e.event_id).sort();
}

test('newest first, in the shape of search', async () => {
  const { body } = await service.get('/api/v1/events/message');
  assert.deepEqual(
    body.results.map((e: { event_id: string }) => e.event_id),
    ['4', '3', '2', '1'],
  );
  assert.deepEqual(body.links, {});
  const [, , bounce, injection] = body.results;
  assert.equal(bounce.timestamp, new Date((now - 500) * 1000 + 250).toISOString());
  assert.equal(bounce.type, 'bounce');
  assert.equal(bounce.bounce_class, '10');
  assert.equal(injection.subaccount_id, 4);
  assert.equal(injection.rcpt_to, 'ada@mail.yahoo.com');
  assert.equal(injection.mailbox_provider, undefined);
});

test('every filter: values of one are joined by OR, filters by AND', async () => {
  const cases: [query: string, expected: string[]][] = [
    ['events=bounce', ['2', '3']],
    ['events=bounce,injection', ['1', '2', '3']],
    ['events=bounce&campaigns=springtime', ['3']],
    ['event_ids=1,4', ['1', '4']],
    ['messages=a', ['1']],
    ['messages=_noid_', []],
    ['transmissions=65832150921904138', ['1']],
    ['recipients=ADA@mail.yahoo.com', ['1']],
    ['recipients=ada', []],
    ['recipients=Ada+news@example.net', ['4']],
    ['recipients=ada%2Bnews@example.net', ['4']],
    ['from_addresses=a+b@brand.test', ['4']],
    ['recipient_domains=yahoo', ['1', '3']],
    ['recipient_domains=yahoo.co.uk', ['3']],
    ['sending_domains=brand.example', ['1']],
    ['from_addresses=news@eu.brand.example', ['1']],
    ['subjects=SALE', ['1']],
    ['subjects=sal', []],
    ['subjects=ouverture', ['2']],
    [`subjects=${encodeURIComponent('Ouverture\u00a0: soldes\u202f!')}`, ['2']],
    ['campaigns=springtime,nothing,VIP,-,nor this', ['1', '3']],
    ['bounce_classes=10,51', ['2', '3']],
    ['bounce_classes=51', ['3']],
    ['bounce_classes=0', []],
    ['recipients=bob@notyahoo.com,CAROL@yahoo.co.uk', ['2', '3']],
    ['sending_domains=example', ['1']],
    ['reasons=5.4.7', ['2']],
    ['reasons=bob@notyahoo.com', ['2']],
    ['reasons=expired delivery', ['2']],
    ['campaigns=spring', ['1', '2']],
    ['campaigns=a-b-c', ['4']],
    ['campaigns=A-b-C', ['4']],
    ['campaigns=spring;springtime&delimiter=;', ['1', '2', '3']],
    ['templates=welcome', ['1']],
    ['ip_pools=one', ['1']],
    ['sending_ips=192.0.2.1', ['1']],
    ['subaccounts=0', ['2', '3', '4']],
    ['subaccounts=4,0', ['1', '2', '3', '4']],
    ['mailbox_providers=verizon', ['3']],
    ['mailbox_provider_regions=global', ['3']],
    ['ab_tests=test&ab_test_versions=2', ['1']],
    ['nonsense=1&events=', ['1', '2', '3', '4']],
    [`reasons=${encodeURIComponent(`') OR 1=1 --`)}`, []],
    [`campaigns=${encodeURIComponent('%')}`, []],
    [`campaigns=${encodeURIComponent('.*')}`, []],
    [`subjects=${encodeURIComponent('20%')}`, ['1']],
    [`subjects=${encodeURIComponent('off - SPRING')}`, ['1']],
    [`reasons=${encodeURIComponent('...@...')}`, ['2']],
    ['reasons=5x4x7', []],
  ];
  for (const [query, expected] of cases) assert.deepEqual(await ids(query), expected, query);
});

test('times: inclusive from, exclusive to, in every form that clients send', async () => {
  const iso = (s: number) => new Date(s * 1000).toISOString();
  assert.deepEqual(await ids(`from=${iso(now - 400)}&to=${iso(now - 300)}`), ['3']);
  assert.deepEqual(await ids(`from=${iso(now - 400).slice(0, 19)}Z&to=${iso(now)}`), ['3', '4']);
  assert.deepEqual(await ids(`from=${iso(now - 400).slice(0, 19)}%2B00:00&to=${iso(now)}`), ['3', '4']);
  assert.deepEqual(await ids(`from=${iso(now - 400).slice(0, 19)}+00:00&to=${iso(now)}`), ['3', '4']);
  const minute = iso(Math.floor((now - 86_000) / 60) * 60).slice(0, 16);
  assert.equal((await ids(`from=${minute}&to=${iso(now).slice(0, 16)}`)).length, 4);
  const wide = `${iso(now - 12 * 86_400)}&to=${iso(now + 86_400)}`;
  assert.equal((await ids(`from=${wide}`)).length, 4);
});

test('times that nothing can be stored of are no fault, and find nothing', async () => {
  for (const window of ['from=1900-01-01&to=1901-01-01', 'from=2300-01-01&to=2301-01-01']) {
    assert.deepEqual(await ids(window), [], window);
  }
});

test('an address full of words is answered, also over ten days; one that asks for too much is told so', async () => {
  const days = `from=${new Date((now - 864_000) * 1000).toISOString()}`;
  const words = (separator: string, n: number) =>
    Array.from({ length: n }, (_, i) => `w${i}`).join(separator);
  for (const name of ['subjects', 'reasons', 'campaigns']) {
    assert.deepEqual(await ids(`${days}&${name}=${words(',', 1000)}`), [], name);
    assert.deepEqual(await ids(`${days}&${name}=${words('+', 1000)}`), [], name);
    const found = await ids(`${days}&${name}=${words(',', 4000)},delivery,spring,sale`);
    assert.ok(found.length > 0, name);
    const tooMuch = await service.get(`/api/v1/events/message?${days}&${name}=${words('+', 4000)}`);
    assert.deepEqual([tooMuch.status, tooMuch.body.errors?.[0].param], [400, name], tooMuch.text);
  }
});

test('requests that make no sense are 400', async () => {
  for (const query of [
    'from=yesterday',
    'from=2026-02-30T00:00Z',
    'from=2024-03-05T10:00Z&to=2024-03-05T10:00Z',
    'per_page=0',
    'per_page=10001',
    'per_page=ten',
    'events=opened',
    'bounce_classes=ten',
    'subaccounts=-1',
    'ab_test_versions=2',
    'cursor=nonsense',
    'page=11',
  ]) {
    const answer = await service.get(`/api/v1/events/message?${query}`);
    assert.equal(answer.status, 400, query);
    assert.ok(answer.body.errors[0].message, query);
  }
});

test('who asks for the last seconds is told that the last minute is not shown unless asked for', async () => {
  const from = new Date(Date.now() - 30_000).toISOString();
  const answer = await service.get(`/api/v1/events/message?from=${from}`);
  assert.equal(answer.status, 400);
  assert.match(answer.body.errors[0].message, /one minute ago/);
  assert.deepEqual(await ids(`from=${from}&to=${new Date(Date.now() + 1000).toISOString()}`), []);
});

test('an event is found by what is known of it now, not by what was known once', async () => {
  const at = String(now - 3000);
  const open = { event_id: 'late1', message_id: 'late', timestamp: at, rcpt_to: '' };
  await service.ingest([line('open', open)]);
  assert.deepEqual(await ids('messages=late&subaccounts=0'), ['late1']);
  await service.ingest([
    line('reception', {
      event_id: 'late0',
      message_id: 'late',
      timestamp: at,
      subaccount_id: 9,
      campaign_id: 'Night owls',
    }),
  ]);
  assert.deepEqual(await ids('messages=late&subaccounts=0'), []);
  assert.deepEqual(await ids('messages=late&subaccounts=9&campaigns=owls'), ['late0', 'late1']);
});

test('the older search takes its own names and the new ones', async () => {
  const older = async (query: string) => {
    const { status, body } = await service.get(`/api/v1/message-events?${query}`);
    assert.equal(status, 200, query);
    return body.results.map((e: { event_id: string }) => e.event_id).sort();
  };
  assert.deepEqual(await older('campaign_ids=springtime'), ['3']);
  assert.deepEqual(await older('template_ids=welcome'), ['1']);
  assert.deepEqual(await older('friendly_froms=news@eu.brand.example'), ['1']);
  assert.deepEqual(await older('reason=5.4.7'), ['2']);
  assert.deepEqual(await older('message_ids=a'), ['1']);
  assert.deepEqual(await older('messages=b&message_ids=a'), ['2']);
  assert.deepEqual(await older('events=bounce&campaign_ids=spring'), ['2']);
  const { body } = await service.get('/api/v1/message-events?reason=550&per_page=1&events=bounce');
  assert.match(body.links.next, /^\/api\/v1\/message-events\?/);
  const { body: second } = await service.get(body.links.next);
  assert.deepEqual(
    [body, second].flatMap((b) => b.results.map((e: { event_id: string }) => e.event_id)),
    ['3', '2'],
  );
  assert.deepEqual(second.links, {});
});

test('the next page has every filter, its size and the count of the first, while events come in', async () => {
  const first = (
    await service.get('/api/v1/events/message?events=bounce&delimiter=;&reasons=5.4.7;5.4.71&per_page=1')
  ).body;
  assert.equal(first.total_count, 2);
  const asked = new URLSearchParams(first.links.next.split('?')[1]);
  assert.equal(asked.get('reasons'), '5.4.7;5.4.71');
  assert.equal(asked.get('delimiter'), ';');
  assert.equal(asked.get('per_page'), '1');
  await service.ingest([
    line('inband', {
      event_id: 'new1',
      timestamp: String(now - 200),
      bounce_class: '10',
      reason: '550 5.4.7',
    }),
  ]);
  const second = (await service.get(first.links.next)).body;
  assert.equal(second.total_count, 2);
  assert.deepEqual(
    second.results.map((e: { event_id: string }) => e.event_id),
    ['2'],
  );
  assert.deepEqual(second.links, {});
  const whole = (await service.get('/api/v1/events/message?events=bounce&per_page=1')).body;
  assert.match(whole.links.next, /per_page=1/);
  const plain = (await service.get('/api/v1/events/message?page=1&per_page=2&campaigns=')).body;
  assert.doesNotMatch(plain.links.next, /[?&]page=/);
});

test('outcomes: batch ids count more than kinds, a cursor pages them, a subaccount sees none of them', async () => {
  const good = await service.ingest([line('open', { message_id: 'o1' })]);
  const bad = await service.ingest(['{}']);
  const search = async (query: string, headers = {}) =>
    (await service.get(`/api/v1/events/ingest?${query}`, headers)).body;
  const batches = (body: { results: { batch_id: string }[] }) => body.results.map((r) => r.batch_id);
  assert.deepEqual(batches(await search(`batch_ids=${good.batch_id}&error_types=validation`)), [
    good.batch_id,
  ]);
  assert.deepEqual(batches(await search(`batch_ids=${good.batch_id}&events=error`)), [good.batch_id]);
  assert.deepEqual(batches(await search('error_types=validation,system')), [bad.batch_id]);
  assert.deepEqual(batches(await search('retryable=false')), [bad.batch_id]);
  const all = await search('per_page=10000');
  const seen: string[] = [];
  let next: string | undefined = '/api/v1/events/ingest?per_page=2';
  while (next) {
    const { body } = await service.get(next);
    assert.equal(body.total_count, all.total_count);
    seen.push(...batches(body));
    next = body.links.next;
  }
  assert.deepEqual(seen, batches(all));
  assert.equal(new Set(seen).size, all.total_count);
  const made = await service.send(
    'POST',
    '/api/v1/api-keys',
    { label: 'sub', grants: ['message_events/view'] },
    { 'x-msys-subaccount': '4' },
  );
  const own = await search('', { authorization: made.body.results.key });
  assert.deepEqual(own, { results: [], total_count: 0, links: {} });
});

test('pages by cursor give every event once, also where many share a time, and survive new events', async () => {
  const lines = Array.from({ length: 95 }, (_, i) =>
    line('open', { message_id: 'paged', event_id: `p${i}`, timestamp: String(now - 1000 - (i % 3)) }),
  );
  await service.ingest(lines);
  let next = '/api/v1/events/message?messages=paged&per_page=10&campaigns=';
  const seen: string[] = [];
  const times: string[] = [];
  while (next) {
    assert.ok(next.startsWith('/api/v1/events/message?'));
    const { body } = await service.get(next);
    assert.equal(body.total_count, 95);
    for (const event of body.results) {
      seen.push(event.event_id);
      times.push(event.timestamp);
    }
    assert.equal('next' in body.links, seen.length < 95);
    next = body.links.next;
  }
  assert.equal(new Set(seen).size, 95);
  assert.equal(seen.length, 95);
  assert.deepEqual(times, [...times].sort().reverse());
  const byPage = (await service.get('/api/v1/events/message?messages=paged&per_page=40&page=3')).body;
  assert.equal(byPage.results.length, 15);
});

test('pages hold across an event that was enriched later', async () => {
  const at = String(now - 2000);
  await service.ingest(
    ['x1', 'x2', 'x3'].map((id) =>
      line('open', { event_id: id, message_id: 'lateral', timestamp: at, rcpt_to: '' }),
    ),
  );
  await service.ingest([line('reception', { event_id: 'x0', message_id: 'lateral', timestamp: at })]);
  let next = '/api/v1/events/message?messages=lateral&per_page=1';
  const seen: string[] = [];
  while (next) {
    const { body } = await service.get(next);
    assert.equal(body.total_count, 4);
    for (const event of body.results) {
      seen.push(event.event_id);
      assert.equal(event.rcpt_to, 'ada@example.net');
    }
    next = body.links.next;
  }
  assert.deepEqual(seen, ['x3', 'x2', 'x1', 'x0']);
});

test("a subaccount's key sees its own events only", async () => {
  const made = await service.send(
    'POST',
    '/api/v1/api-keys',
    { label: 'sub', grants: ['message_events/view'] },
    { 'x-msys-subaccount': '4' },
  );
  assert.equal(made.status, 200, made.text);
  const headers = { authorization: made.body.results.key };
  const { body } = await service.get('/api/v1/events/message?subaccounts=0,4', headers);
  assert.deepEqual(
    body.results.map((e: { event_id: string }) => e.event_id),
    ['1'],
  );
});

test('a page ends before it is too large to be held, and the next goes on', async () => {
  const text = 'x'.repeat(15_000);
  const lines = Array.from({ length: 1800 }, (_, i) =>
    line('inband', {
      event_id: `fat-${i}`,
      campaign_id: 'fat',
      timestamp: String(now - 7000 - (i % 7)),
      ...{ subject: text, reason: text, raw_reason: text, msg_from: text },
    }),
  );
  assert.equal((await service.ingest(lines)).number_succeeded, 1800);
  const found = new Set<string>();
  const sizes: number[] = [];
  let url: string | undefined = '/api/v1/events/message?campaigns=fat&per_page=10000';
  while (url) {
    const answer: Answer = await service.get(url);
    assert.equal(answer.status, 200, answer.text.slice(0, 200));
    assert.ok(answer.text.length < 70 * 2 ** 20);
    assert.equal(answer.body.total_count, 1800);
    sizes.push(answer.body.results.length);
    for (const event of answer.body.results) found.add(event.event_id);
    url = answer.body.links.next;
  }
  assert.equal(found.size, 1800);
  assert.equal(sizes.length, 2, String(sizes));
  const numbered = await service.get('/api/v1/events/message?campaigns=fat&per_page=5000&page=1');
  assert.deepEqual([numbered.status, numbered.body.errors?.[0].param], [400, 'per_page']);
  assert.equal((await service.get('/api/v1/events/message?campaigns=fat&per_page=5&page=3')).status, 200);
});
