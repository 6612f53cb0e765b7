import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { line, startTestService, TEST_KEY, type TestService } from '../test-service.ts';

let service: TestService;
before(async () => {
  service = await startTestService({
    batchLimits: { inflated: 8 * 2 ** 20, line: 64 * 1024 },
    ingestLimits: { body: 256 * 1024 },
  });
});
after(() => service.stop());

const everywhere = 'from=2020-01-01T00:00Z&to=2100-01-01T00:00Z';
const find = async (query: string) =>
  (await service.get(`/api/v1/events/message?${everywhere}&${query}`)).body.results;

type Shown = Readonly<Record<string, unknown>>;

test('a good batch: 200 with an id, then a success event with its counts', async () => {
  const outcome = await service.ingest([line('reception'), line('delivery'), line('open')]);
  assert.equal(outcome.type, 'success');
  assert.equal(outcome.number_succeeded, 3);
  assert.equal(outcome.number_duplicates, 0);
  assert.equal(outcome.href, undefined);
  assert.match(String(outcome.event_id), /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  const tenDays = Date.parse(String(outcome.expiration_timestamp)) - Date.parse(String(outcome.timestamp));
  assert.equal(tenDays, 10 * 86_400_000);
});

test('wrong key, grant, headers and size are told at once, in the usual shape', async () => {
  const body = gzipSync(line('open'));
  const unknown = await service.postBytes(body, { authorization: 'f'.repeat(40) });
  assert.equal(unknown.status, 401);
  assert.deepEqual(unknown.body, { errors: [{ message: 'Unauthorized.' }] });
  const made = await service.send('POST', '/api/v1/api-keys', { label: 'reader', grants: ['metrics/view'] });
  const forbidden = await service.postBytes(body, { authorization: made.body.results.key });
  assert.equal(forbidden.status, 403);
  assert.deepEqual(forbidden.body, { errors: [{ message: 'Forbidden.' }] });
  const type = await service.postBytes(body, { 'content-type': 'application/json' });
  assert.equal(type.status, 415);
  assert.equal(type.body.errors[0].code, '1700');
  const encoding = await service.postBytes(body, { 'content-encoding': 'identity' });
  assert.equal(encoding.status, 415);
  const large = await service.postBytes(Buffer.alloc(256 * 1024 + 1));
  assert.equal(large.status, 413);
  assert.ok(large.body.errors[0].message);
  const charset = await service.postBytes(body, { 'content-type': 'application/x-ndjson; charset=utf-8' });
  assert.equal(charset.status, 200);
});

function postChunked(body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const url = new URL(`${service.signals.url}/api/v1/ingest/events`);
    const posted = request(
      url,
      {
        method: 'POST',
        headers: {
          authorization: TEST_KEY,
          'content-type': 'application/x-ndjson',
          'content-encoding': 'gzip',
          'transfer-encoding': 'chunked',
        },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode!));
      },
    );
    posted.on('error', reject);
    for (let at = 0; at < body.length; at += 1000) posted.write(body.subarray(at, at + 1000));
    posted.end();
  });
}

test('a body may come in chunks without Content-Length, and is bounded all the same', async () => {
  assert.equal(await postChunked(gzipSync(line('open'))), 200);
  assert.equal(await postChunked(Buffer.alloc(2_000_000)), 413);
});

test('the outcomes of batches that are no good', async () => {
  const cases: [name: string, body: Buffer, type: string][] = [
    ['an empty gzip member', gzipSync(''), 'empty_batch'],
    ['blank lines only', gzipSync('\n\r\n\n'), 'empty_batch'],
    ['an object without event', gzipSync('{}\n'), 'validation'],
    ['four bytes of a gzip header', Buffer.from([0x1f, 0x8b, 8, 0]), 'decompress'],
    ['no bytes at all', Buffer.alloc(0), 'decompress'],
    ['no gzip', Buffer.from(line('open')), 'decompress'],
    ['a bomb', gzipSync(Buffer.alloc(20 * 2 ** 20, 10)), 'decompress'],
    ['a bomb of one line', gzipSync(Buffer.alloc(20 * 2 ** 20, 65)), 'decompress'],
  ];
  for (const [name, body, type] of cases) {
    const answer = await service.postBytes(body);
    assert.equal(answer.status, 200, name);
    const outcome = await service.outcome(answer.body.results.id);
    assert.equal(outcome.type, 'error', name);
    assert.equal(outcome.error_type, type, name);
    assert.equal(outcome.retryable, false, name);
    assert.equal(outcome.number_succeeded, 0, name);
  }
});

test('a batch that breaks off stores nothing, not even what came before the break', async () => {
  const lines = Array.from({ length: 2000 }, () => line('open', { message_id: 'torn' }));
  const whole = gzipSync(lines.join('\n'));
  const answer = await service.postBytes(whole.subarray(0, whole.length - 50));
  const outcome = await service.outcome(answer.body.results.id);
  assert.equal(outcome.error_type, 'decompress');
  assert.equal((await find('messages=torn')).length, 0);
});

test('valid events of a mixed batch are taken, the others can be fetched', async () => {
  const outcome = await service.ingest([
    line('delivery', { message_id: 'mixed' }),
    line('delivery', { message_id: 'mixed', rcpt_to: undefined, rcpt_hash: 'x' }),
    JSON.stringify({ msys: { other_event: { type: 'open' } } }),
    'not json',
    line('bounce', { message_id: 'mixed' }),
    line('inband', { message_id: 'mixed', event_id: '' }),
  ]);
  assert.equal(outcome.error_type, 'validation');
  assert.equal(outcome.number_succeeded, 2);
  assert.equal(outcome.number_failed, 4);
  assert.equal((await find('messages=mixed')).length, 2);
  const url = new URL(String(outcome.href));
  assert.equal(url.origin, service.signals.url);
  const response = await fetch(url, { headers: { authorization: TEST_KEY } });
  assert.equal(response.headers.get('content-type'), 'application/gzip');
  const failures = gunzipSync(Buffer.from(await response.arrayBuffer()))
    .toString()
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  assert.deepEqual(
    failures.map((f) => f.error),
    [
      'Missing rcpt_domain on event with rcpt_hash',
      'Unknown event class "other_event" under msys',
      'The line is not JSON',
      'Missing event_id on event',
    ],
  );
  assert.equal(failures[2].event, 'not json');
  assert.equal(failures[1].event.msys.other_event.type, 'open');
});

test('who sees that lines were refused can fetch them at once', async () => {
  for (let i = 0; i < 25; i++) {
    const { id } = (await service.postBytes(gzipSync('not json'))).body.results;
    let outcome: { href: string } | undefined;
    while (!outcome) outcome = (await service.get(`/api/v1/events/ingest?batch_ids=${id}`)).body.results[0];
    const answer = await service.get(new URL(outcome.href).pathname);
    assert.equal(answer.status, 200, `batch ${i}: ${answer.text}`);
  }
});

test('a stored batch can be fetched as it came; unknown ones are 404', async () => {
  const body = gzipSync(`${line('open')}\n`);
  const { id } = (await service.postBytes(body)).body.results;
  await service.signals.idle();
  const response = await fetch(`${service.signals.url}/api/v1/ingest/events/${id}`, {
    headers: { authorization: TEST_KEY, 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-disposition'), `attachment; filename="${id}.gz"`);
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), body);
  for (const path of [
    `/failures/${id}`,
    '/00000000-0000-4000-8000-000000000000',
    '/..%2f..%2fadmin.key',
    '/x',
  ]) {
    const answer = await service.get(`/api/v1/ingest/events${path}`);
    assert.equal(answer.status, 404, path);
    assert.ok(answer.body.errors[0].message);
  }
});

test('duplicates are dropped by event_id: in a batch, across batches, in other bytes', async () => {
  const twice = line('open', { message_id: 'dup' });
  const first = await service.ingest([twice, twice, line('click', { message_id: 'dup' })]);
  assert.equal(first.type, 'success');
  assert.equal(first.number_succeeded, 2);
  assert.equal(first.number_duplicates, 1);
  const again = await service.ingest([twice]);
  assert.equal(again.error_type, 'duplicate_batch');
  assert.equal(again.number_duplicates, 1);
  const mixed = await service.ingest([twice, line('click', { message_id: 'dup' })]);
  assert.equal(mixed.type, 'success');
  assert.equal(mixed.number_duplicates, 1);
  assert.equal(mixed.number_succeeded, 1);
  assert.equal((await find('messages=dup')).length, 3);
});

test('the same batch posted many times at once counts once', async () => {
  const lines = Array.from({ length: 50 }, () => line('delivery', { message_id: 'race' }));
  const body = gzipSync(lines.join('\n'));
  const answers = await Promise.all(Array.from({ length: 12 }, () => service.postBytes(body)));
  const outcomes = [];
  for (const answer of answers) outcomes.push(await service.outcome(answer.body.results.id));
  assert.equal(outcomes.filter((o) => o.type === 'success').length, 1);
  assert.equal(outcomes.filter((o) => o.error_type === 'duplicate_batch').length, 11);
  assert.equal((await find('messages=race')).length, 50);
});

test('hostile lines are refused one by one and harm nothing', async () => {
  const deep = `{"msys":{"track_event":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}}`;
  const longest = line('open', { message_id: 'long', user_agent: 'x'.repeat(70_000) });
  const outcome = await service.ingest([
    deep,
    longest,
    '{"__proto__":{"msys":{}},"msys":{"__proto__":{"type":"open"}}}',
    '[1,2,3]',
    'null',
    '"msys"',
    line('open', { timestamp: '0' }),
    line('open', { timestamp: '4102444800' }),
    line('open', { timestamp: 'NaN' }),
    line('open', { timestamp: { toString: 1 } }),
    line('open', { event_id: { a: 1 } }),
    line('open', { message_id: 'hostile', __proto__: { type: 'click' } }),
  ]);
  assert.equal(outcome.error_type, 'validation');
  assert.equal(outcome.number_failed, 11);
  assert.equal(outcome.number_succeeded, 1);
  assert.equal(({} as Record<string, unknown>).msys, undefined);
});

test('odd values inside good events are made harmless', async () => {
  const nested = JSON.parse(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`);
  const meta = JSON.parse('{"__proto__":{"polluted":true},"list":[1,"two"],"text":"\\ud800"}');
  const outcome = await service.ingest([
    line('reception', {
      message_id: 'odd',
      rcpt_to: "O'Brien\\\u0000@Example.NET",
      subject: 'lone \ud800 surrogate',
      campaign_id: `'; DROP TABLE events; --`,
      rcpt_meta: meta,
      rcpt_tags: ['a', 5, { b: 1 }],
      msg_size: '',
      sending_ip: null,
      binding: 'mta-1',
      binding_group: 'pool-1',
      open_tracking: '1',
      click_tracking: 'false',
      geo_ip: nested,
      unknown_field: 'kept out',
      friendly_name: 'Not shown',
      customer_id: 77,
    }),
    line('delivery', {
      message_id: 'odd',
      rcpt_meta: nested,
      num_retries: '99999999999999999',
      msg_size: '-5',
    }),
  ]);
  assert.equal(outcome.type, 'success');
  const [injection] = await find('messages=odd&events=injection');
  assert.equal(injection.rcpt_to, "o'brien\\\u0000@example.net");
  assert.equal(injection.raw_rcpt_to, "O'Brien\\\u0000@Example.NET");
  assert.equal(injection.subject, 'lone \ufffd surrogate');
  assert.equal(injection.campaign_id, `'; DROP TABLE events; --`);
  assert.deepEqual(injection.rcpt_meta.list, [1, 'two']);
  assert.deepEqual(injection.rcpt_tags, ['a', '5']);
  assert.equal(injection.sending_ip, 'mta-1');
  assert.equal(injection.ip_pool, 'pool-1');
  assert.equal(injection.open_tracking, true);
  assert.equal(injection.click_tracking, false);
  assert.equal(injection.customer_id, 1);
  for (const absent of ['msg_size', 'unknown_field', 'friendly_name', 'binding', 'geo_ip', 'subaccount_id']) {
    assert.equal(absent in injection, false, absent);
  }
  const [delivery] = await find('messages=odd&events=delivery');
  assert.equal('rcpt_meta' in delivery, false);
  assert.equal('msg_size' in delivery, false);
  assert.equal((await find(`campaigns=${encodeURIComponent(injection.campaign_id)}&delimiter=|`)).length, 1);
});

test('the subaccount that an event shows is the one it is found by', async () => {
  const ids = [4_294_967_295, '4294967296', 99_999_999_999, 2 ** 53];
  await service.ingest(ids.map((subaccount_id) => line('delivery', { campaign_id: 'large', subaccount_id })));
  const shown = async (query: string) =>
    (await find(`campaigns=large&${query}`)).map((e: { subaccount_id?: number }) => e.subaccount_id);
  assert.deepEqual(await shown('subaccounts=4294967295'), [4_294_967_295]);
  // One that no subaccount can have counts as absent.
  assert.deepEqual(await shown('subaccounts=0'), [undefined, undefined, undefined]);
});

test('times within events: none that is a guess, without a zone UTC', async () => {
  const sent = [
    '2024-01-01T00:00:01',
    '2024-01-01 00:00:01.5+01:00',
    'order 5',
    '12',
    '2024-02-30T00:00:00Z',
    5,
  ];
  await service.ingest(
    sent.map((injection_time, i) =>
      line('delivery', { campaign_id: 'times', event_id: `time-${i}`, injection_time }),
    ),
  );
  const times = new Map((await find('campaigns=times')).map((e: Shown) => [e.event_id, e.injection_time]));
  assert.deepEqual(
    sent.map((_, i) => times.get(`time-${i}`)),
    ['2024-01-01T00:00:01.000Z', '2023-12-31T23:00:01.500Z', undefined, undefined, undefined, undefined],
  );
});

test('an event keeps no more than a page of thousands can hold', async () => {
  const long = 'x'.repeat(14_000);
  const own = { user_agent: long, target_link_url: long, target_link_name: long };
  const about = { campaign_id: 'long', message_id: 'long-1' };
  await service.ingest([
    line('delivery', { ...about, event_id: 'long-meta', rcpt_meta: { [long]: 'x'.repeat(3000) } }),
    line('delivery', { ...about, event_id: 'long-list', rcpt_meta: { a: ['x'.repeat(16_000)], b: 'x' } }),
    line('reception', { ...about, event_id: 'long-tags', rcpt_tags: [long], subject: long, msg_from: long }),
    line('click', { ...about, event_id: 'long-click', ...own }),
  ]);
  const shown = new Map<unknown, Shown>((await find('campaigns=long')).map((e: Shown) => [e.event_id, e]));
  assert.equal(shown.get('long-meta')?.rcpt_meta, undefined);
  assert.deepEqual(shown.get('long-list')?.rcpt_meta, { a: ['x'.repeat(16_000)], b: 'x' });
  assert.deepEqual(shown.get('long-tags')?.rcpt_tags, ['x'.repeat(512)]);
  assert.equal(shown.get('long-tags')?.subject, long);
  // With what it has learned from its message it is too long.
  const click = shown.get('long-click');
  for (const name of [...Object.keys(own), 'subject', 'msg_from']) {
    assert.equal(click?.[name], 'x'.repeat(1024), name);
  }
});

test('custom_message_id takes the place of message_id', async () => {
  await service.ingest([line('reception', { message_id: 'sp-1', custom_message_id: 'order-1' })]);
  assert.equal((await find('messages=order-1')).length, 1);
  assert.equal((await find('messages=sp-1')).length, 0);
});

test('a bounce without a class gets the one that its reply tells; a class that it brings is kept', async () => {
  const cases: [given: Record<string, unknown>, bounceClass: string | undefined][] = [
    [{ raw_reason: '550 5.1.1 no such user' }, '10'],
    [{ reason: '552 5.2.2 mailbox full' }, '22'],
    [{ raw_reason: 'no such user', error_code: '550' }, '10'],
    [{ raw_reason: '', error_code: '550' }, '40'],
    [{ raw_reason: '550 5.1.1 no such user', bounce_class: '51' }, '51'],
    [{ raw_reason: '550 5.1.1 no such user', bounce_class: '' }, '10'],
    [{ raw_reason: 'something' }, undefined],
    [{}, undefined],
  ];
  for (const type of ['inband', 'outofband']) {
    const id = (i: number) => `class-${type}-${i}`;
    await service.ingest(
      cases.map(([given], i) =>
        line(type, {
          bounce_class: undefined,
          reason: undefined,
          raw_reason: undefined,
          error_code: undefined,
          ...given,
          message_id: id(i),
        }),
      ),
    );
    for (const [i, [given, wanted]] of cases.entries()) {
      const [found] = await find(`messages=${id(i)}`);
      assert.equal(found.bounce_class, wanted, `${type} ${JSON.stringify(given)}`);
    }
    const hard = await find(`bounce_classes=10&messages=${cases.map((_, i) => id(i)).join()}`);
    assert.equal(hard.length, 3);
  }
  // What is no bounce is left as it came.
  await service.ingest([
    line('tempfail', {
      message_id: 'class-none',
      raw_reason: '550 5.1.1 no such user',
      bounce_class: undefined,
    }),
  ]);
  assert.equal((await find('messages=class-none'))[0].bounce_class, undefined);
});

test('an engagement event learns from the injection, whichever comes first', async () => {
  const about = {
    campaign_id: 'late',
    subject: 'Hello',
    friendly_from: 'news@brand.example',
    binding_group: 'pool-9',
    sending_ip: '192.0.2.9',
    rcpt_to: 'Bob@Gmail.com',
    subaccount_id: '7',
    rcpt_meta: { a: 1 },
  };
  const open = { rcpt_to: '', user_agent: 'Firefox', geo_ip: { Country: '', Latitude: 0, Zip: 0 } };
  await service.ingest([
    line('open', { ...open, message_id: 'after' }),
    line('open', { ...open, message_id: 'before' }),
  ]);
  assert.equal((await find('campaigns=late')).length, 0);
  await service.ingest([line('reception', { ...about, message_id: 'before' })]);
  await service.ingest([
    line('click', { ...open, message_id: 'before', target_link_url: 'http://brand.example/x' }),
    line('reception', { ...about, message_id: 'after' }),
    line('open', { ...open, message_id: 'same' }),
    line('reception', { ...about, message_id: 'same' }),
  ]);
  for (const [id, n] of [
    ['before', 3],
    ['after', 2],
    ['same', 2],
  ] as const) {
    const events = await find(`messages=${id}`);
    assert.equal(events.length, n, id);
    for (const event of events) {
      assert.equal(event.campaign_id, 'late', `${id} ${event.type}`);
      assert.equal(event.rcpt_to, 'bob@gmail.com');
      assert.equal(event.ip_pool, 'pool-9');
      assert.equal(event.sending_domain, 'brand.example');
      assert.equal(event.mailbox_provider, 'Gmail');
      assert.equal(event.subaccount_id, 7);
      assert.deepEqual(event.rcpt_meta, { a: 1 });
      assert.equal('geo_ip' in event, false);
      if (event.type !== 'injection') assert.match(event.injection_time, /^\d{4}-.*Z$/);
    }
  }
  const { body } = await service.get(`/api/v1/events/message?${everywhere}&messages=after,before,same`);
  assert.equal(body.total_count, 7);
  const from = new Date(Date.now() - 7_200_000).toISOString().slice(0, 16);
  const counts = 'count_injected,count_rendered,count_unique_rendered,count_unique_clicked';
  for (const group of ['campaign', 'subaccount', 'ip-pool', 'domain']) {
    const rows = (
      await service.get(
        `/api/v1/metrics/deliverability/${group}?from=${from}&metrics=${counts}&campaigns=late`,
      )
    ).body.results;
    assert.equal(rows.length, 1, group);
    const { count_injected, count_rendered, count_unique_rendered, count_unique_clicked } = rows[0];
    assert.deepEqual(
      [count_injected, count_rendered, count_unique_rendered, count_unique_clicked],
      [3, 3, 3, 1],
      group,
    );
  }
});

test('an id that two subaccounts chose: each keeps its own message, and who names none gets neither', async () => {
  const open = (fields: object) => line('open', { rcpt_to: '', message_id: 'chosen', ...fields });
  await service.ingest([
    open({ subaccount_id: 1, event_id: 'chosen-early' }),
    open({ event_id: 'chosen-none' }),
  ]);
  for (const n of [1, 2]) {
    await service.ingest([
      line('reception', {
        message_id: 'chosen',
        subaccount_id: n,
        campaign_id: `of-${n}`,
        rcpt_to: `a@s${n}.example`,
      }),
    ]);
  }
  await service.ingest([
    open({ subaccount_id: 2, event_id: 'chosen-2' }),
    open({ subaccount_id: 3, event_id: 'chosen-3' }),
    open({ event_id: 'chosen-late' }),
  ]);
  const byId = new Map<string, { campaign_id?: string }>();
  for (const event of await find('messages=chosen&events=open')) byId.set(event.event_id, event);
  assert.equal(byId.get('chosen-early')!.campaign_id, 'of-1');
  assert.equal(byId.get('chosen-2')!.campaign_id, 'of-2');
  assert.equal(byId.get('chosen-3')!.campaign_id, undefined);
  assert.equal(byId.get('chosen-late')!.campaign_id, undefined, 'two candidates are none');
  // The first message was the only one when it came.
  assert.equal(byId.get('chosen-none')!.campaign_id, 'of-1');
});

test('a hashed recipient is found by address and by either spelling of the hash', async () => {
  const digest = createHash('sha1').update('eve@example.org');
  const hash = digest.digest('base64');
  await service.ingest([
    line('delivery', { message_id: 'anon', rcpt_to: undefined, rcpt_hash: hash, rcpt_domain: 'example.org' }),
  ]);
  const hex = Buffer.from(hash, 'base64').toString('hex');
  for (const recipient of ['Eve@Example.org', hash, hex]) {
    const events = await find(`recipients=${encodeURIComponent(recipient)}&delimiter=|`);
    assert.equal(events.length, 1, recipient);
    assert.equal(events[0].rcpt_to, undefined);
    assert.equal(events[0].recipient_domain, 'example.org');
  }
});

test('outcomes are searched by their own parameters', async () => {
  const bad = await service.ingest(['{}']);
  const found = async (query: string) => (await service.get(`/api/v1/events/ingest?${query}`)).body;
  const errors = await found('error_types=validation');
  assert.ok(errors.results.every((e: { error_type: string }) => e.error_type === 'validation'));
  assert.ok(errors.results.some((e: { batch_id: unknown }) => e.batch_id === bad.batch_id));
  assert.equal((await found(`event_ids=${bad.event_id}`)).total_count, 1);
  assert.ok((await found('events=success')).results.every((e: { type: string }) => e.type === 'success'));
  assert.deepEqual(await found('retryable=true'), { results: [], total_count: 0, links: {} });
  const all = (await found('per_page=1000')).total_count;
  let page = await found('per_page=2');
  let seen = page.results.length;
  while (page.links.next) {
    page = (await service.get(page.links.next)).body;
    seen += page.results.length;
  }
  assert.equal(seen, all);
  assert.equal((await service.get('/api/v1/events/ingest?error_types=nonsense')).status, 400);
});

test('status counts what has come and gone', async () => {
  const before = (await service.get('/api/v1/ingest/status')).body.results;
  assert.equal(before.batches_pending, 0);
  assert.equal(before.batches_received, before.batches_processed);
  await service.ingest([line('open')]);
  const after = (await service.get('/api/v1/ingest/status')).body.results;
  assert.equal(after.batches_processed, before.batches_processed + 1);
});
