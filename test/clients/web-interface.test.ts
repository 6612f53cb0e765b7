// The calls of SparkPost's own web interface, as its source makes them: signing in, start-up, every report, events,
// integration, Signals; from another origin, with the headers it sends.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Accounts } from '../../src/signals/accounts/accounts.ts';
import { openSqlite } from '../../src/signals/accounts/document-store.ts';
import { line, startTestService, type TestService } from '../../src/signals/test-service.ts';
import type { Clock } from '../../src/system/clock.ts';
import { systemClock } from '../../src/system/clock.ts';

const ORIGIN = 'https://app.example';
const HOUR = 3_600_000;
let service: TestService;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs, after: systemClock.after };
/** Whole hours, so that windows are whatever the minute is. */
const end = Math.floor(Date.now() / HOUR) * HOUR;
const start = end - 10 * HOUR;
const seconds = Math.floor((end - 2 * HOUR) / 1000);
let token = '';
let refresh = '';

before(async () => {
  service = await startTestService({ clock, eventAgeHours: 96 });
  const documents = openSqlite(path.join(service.dir, 'accounts.db'));
  const { users } = new Accounts(documents, Date.now);
  await users.add({ username: 'ada', access_level: 'admin', email: 'ada@example.net' });
  await users.setPassword('ada', 'a long sentence');
  await documents.close();
  const lines: string[] = [];
  const bounce = { bounce_class: '10', error_code: '550', reason: '550 no such user', raw_reason: '550 no' };
  for (let i = 0; i < 20; i++) {
    const common = {
      ...{
        timestamp: String(seconds + i),
        message_id: `ui-${i}`,
        campaign_id: 'spring, 2024',
        subject: 'Hello',
      },
      ...{ rcpt_to: `r${i}@gmail.com`, friendly_from: 'news@brand.example', sending_ip: '192.0.2.17' },
      ...{ binding_group: 'promo', template_id: 'welcome', subaccount_id: i % 2 ? 4 : 0, msg_size: '1000' },
    };
    lines.push(line('reception', common));
    if (i < 2) lines.push(line('inband', { ...common, ...bounce }));
    else lines.push(line('delivery', { ...common, num_retries: i < 5 ? '1' : '0', queue_time: '900' }));
    if (i === 2)
      lines.push(
        line('tempfail', { ...common, reason: '450 later', raw_reason: '450 later', num_retries: '0' }),
      );
    if (i > 14) lines.push(line('open', common), line('open', common));
    if (i > 17)
      lines.push(
        line('click', { ...common, target_link_url: 'https://brand.example/x', target_link_name: 'Banner' }),
      );
  }
  lines.push(
    line('gen_rejection', {
      rcpt_to: 'r@gmail.com',
      timestamp: String(seconds),
      reason: 'refused',
      message_id: undefined,
      bounce_class: '25',
    }),
  );
  const outcome = await service.ingest(lines);
  assert.equal(outcome.type, 'success', JSON.stringify(outcome));
  const earlier = Array.from({ length: 2400 }, (_, i) =>
    line('reception', {
      ...{
        timestamp: String(Math.floor(end / 1000) - 49 * 3600),
        message_id: `old-${i}`,
        open_tracking: true,
      },
      ...{ rcpt_to: `old${i}@gmail.com`, friendly_from: 'news@brand.example', campaign_id: 'spring, 2024' },
      ...{ binding_group: 'promo', sending_ip: '192.0.2.17', subaccount_id: i % 2 ? 4 : 0 },
    }),
  );
  assert.equal((await service.ingest(earlier)).type, 'success');
  await service.signals.refreshScores();
});
after(() => service.stop());

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
type Any = any;

/** A call as its HTTP layer makes one; the body and what a browser would refuse to hand over. */
async function call(
  url: string,
  params: Record<string, string | number> = {},
  more: Record<string, string> = {},
): Promise<{ status: number; results: Any; links: Any; total_count: number; errors: Any }> {
  const query = new URLSearchParams(Object.entries(params).map(([k, v]) => [k, String(v)]));
  const answer = await service.get(`/api/v1/${url}${query.size > 0 ? `?${query}` : ''}`, {
    authorization: token,
    origin: ORIGIN,
    'x-sparky': '7df6f2a5',
    'content-type': 'application/json',
    ...more,
  });
  assert.equal(answer.headers.get('access-control-allow-origin'), ORIGIN, url);
  assert.equal(answer.headers.get('access-control-allow-credentials'), 'true', url);
  const { body } = answer;
  const results = body.results ?? body;
  return {
    ...{ status: answer.status, results },
    links: body.links,
    total_count: body.total_count,
    errors: body.errors,
  };
}

async function authenticate(fields: Record<string, string>): Promise<{ status: number; body: Any }> {
  return service.send('POST', '/api/v1/authenticate', Buffer.from(String(new URLSearchParams(fields))), {
    authorization: `Basic ${Buffer.from('ui:secret').toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
    origin: ORIGIN,
  });
}

test('every call is allowed to a browser beforehand', async () => {
  for (const [url, method] of [
    ['authenticate', 'POST'],
    ['users/ada/two-factor', 'GET'],
    ['metrics/deliverability/time-series', 'GET'],
    ['signals/health-score/', 'GET'],
    ['suppression-list/a@b.example', 'DELETE'],
  ]) {
    const answer = await service.send('OPTIONS', `/api/v1/${url}`, undefined, {
      authorization: '',
      origin: ORIGIN,
      'access-control-request-method': method!,
      'access-control-request-headers': 'authorization,content-type,x-msys-subaccount,x-sparky',
    });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get('access-control-allow-origin'), ORIGIN);
    assert.ok(answer.headers.get('access-control-allow-methods')!.includes(method!));
    const allowed = answer.headers.get('access-control-allow-headers')!.split(', ');
    for (const name of ['authorization', 'content-type', 'x-msys-subaccount', 'x-sparky']) {
      assert.ok(allowed.includes(name), name);
    }
  }
});

test('signing in, and what is asked at the start', async () => {
  const wrong = await authenticate({
    grant_type: 'password',
    username: 'ada',
    password: 'x',
    rememberMe: 'false',
  });
  assert.equal(wrong.status, 400);
  assert.equal(wrong.body.error, 'invalid_grant');
  assert.ok(wrong.body.error_description);
  const fields = { grant_type: 'password', username: 'ada', password: 'a long sentence', rememberMe: 'true' };
  const signedIn = await authenticate(fields);
  assert.equal(signedIn.status, 200);
  token = signedIn.body.access_token;
  refresh = signedIn.body.refresh_token;
  assert.ok(token && refresh);

  const factor = await call('users/ada/two-factor');
  assert.equal(factor.results.enabled, false);
  const user = await call('users/ada');
  assert.equal(user.results.username, 'ada');
  assert.equal(user.results.access_level, 'admin');
  assert.equal(user.results.email, 'ada@example.net');
  const account = await call('account', { include: 'usage' });
  assert.equal(account.results.options.allow_events_ingest, true);
  assert.equal(account.results.status, 'active');
  const grants = (await call('authenticate/grants')).results.map((g: Any) => g.key);
  for (const key of [
    'metrics/view',
    'message_events/view',
    'signals/manage',
    'subaccount/view',
    'api_keys/manage',
  ]) {
    assert.ok(grants.includes(key), key);
  }
  const ofSubaccounts = (await call('authenticate/grants', { role: 'subaccount' })).results.map(
    (g: Any) => g.key,
  );
  assert.ok(ofSubaccounts.includes('message_events/view') && !ofSubaccounts.includes('metrics/view'));
  const subaccounts = await call('subaccounts');
  assert.deepEqual(
    subaccounts.results.map((s: Any) => s.id),
    [4],
  );
});

test('a session that has ended is renewed, and the call made again', async () => {
  aheadMs += 13 * HOUR;
  assert.equal((await call('account')).status, 401);
  const renewed = await authenticate({ grant_type: 'refresh_token', refresh_token: refresh });
  assert.equal(renewed.status, 200);
  token = renewed.body.access_token;
  assert.equal((await call('account')).status, 200);
  aheadMs = 0;
});

const minute = (ms: number) => new Date(ms).toISOString().slice(0, 16);
const range = { from: minute(start), to: minute(end), timezone: 'UTC', delimiter: ',' };
const one = (metrics: string) => ({ ...range, metrics, precision: 'hour' });

test('the summary: counts, the same by time, by each grouping', async () => {
  const expected = {
    count_targeted: 21,
    count_injected: 20,
    count_rejected: 1,
    count_sent: 20,
    count_accepted: 18,
    count_delivered_first: 15,
    count_delivered_subsequent: 3,
    count_bounce: 2,
    count_inband_bounce: 2,
    count_outofband_bounce: 0,
    count_hard_bounce: 2,
    count_delayed: 1,
    count_delayed_first: 1,
    count_unique_confirmed_opened_approx: 5,
    count_unique_rendered_approx: 5,
    count_unique_clicked_approx: 2,
    count_unique_initial_rendered_approx: 0,
    count_spam_complaint: 0,
    count_unsubscribe: 0,
    count_inbox_seed: 0,
    total_msg_volume: 18_000,
  };
  const metrics = Object.keys(expected).join(',');
  const summary = await call('metrics/deliverability', one(metrics));
  assert.deepEqual(summary.results, [expected]);
  assert.ok(Array.isArray(summary.links));
  const series = await call('metrics/deliverability/time-series', one(metrics));
  assert.equal(series.results.length, 10, 'every bucket, zeros too');
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(
      series.results.reduce((sum: number, row: Any) => sum + row[name], 0),
      value,
      name,
    );
  }
  for (const [grouping, key, values] of [
    ['domain', 'domain', ['gmail.com']],
    ['watched-domain', 'watched_domain', ['gmail.com']],
    ['sending-domain', 'sending_domain', ['brand.example']],
    ['campaign', 'campaign_id', ['spring, 2024']],
    ['template', 'template_id', ['welcome']],
    ['subaccount', 'subaccount_id', [0, 4]],
    ['sending-ip', 'sending_ip', ['192.0.2.17']],
    ['ip-pool', 'ip_pool', ['promo']],
    ['mailbox-provider', 'mailbox_provider', ['Gmail']],
    ['mailbox-provider-region', 'mailbox_provider_region', null],
  ] as const) {
    const { status, results } = await call(`metrics/deliverability/${grouping}`, {
      ...one('count_sent,count_accepted,count_unique_clicked_approx'),
      limit: 10,
      order_by: 'count_sent',
    });
    assert.equal(status, 200, grouping);
    assert.ok(results.length > 0, grouping);
    assert.ok(
      results.every((row: Any) => key in row),
      grouping,
    );
    if (values) assert.deepEqual(results.map((row: Any) => row[key]).sort(), values, grouping);
  }
});

test('values with commas bring a delimiter of their own, which splits metrics too', async () => {
  const { results } = await call('metrics/deliverability', {
    ...range,
    delimiter: ';',
    metrics: 'count_sent;count_bounce',
    campaigns: 'spring, 2024;other',
    precision: 'hour',
  });
  assert.deepEqual(results, [{ count_sent: 20, count_bounce: 2 }]);
  const filters = { groupings: [{ AND: { campaigns: { like: ['spring'] }, subaccounts: { eq: [4] } } }] };
  const filtered = await call('metrics/deliverability', {
    ...one('count_sent'),
    query_filters: JSON.stringify(filters),
  });
  assert.deepEqual(filtered.results, [{ count_sent: 10 }]);
  const wrong = await call('metrics/deliverability', { ...one('count_sent'), query_filters: '{"x":1}' });
  assert.equal(wrong.status, 400);
  assert.ok(wrong.errors[0].validationErrors.length > 0);
});

test('bounces, rejections, delays, links, attempts', async () => {
  const bounces = 'count_bounce,count_inband_bounce,count_outofband_bounce';
  for (const report of ['bounce-reason', 'bounce-reason/domain', 'bounce-classification']) {
    const [row] = (await call(`metrics/deliverability/${report}`, one(bounces))).results;
    assert.equal(row.count_bounce, 2, report);
    for (const key of [
      'bounce_class_name',
      'bounce_class_description',
      'bounce_category_name',
      'classification_id',
    ]) {
      assert.ok(key in row, `${report}: ${key}`);
    }
  }
  assert.deepEqual(
    (await call('metrics/deliverability/bounce-reason', one('count_admin_bounce'))).results,
    [],
  );
  // These have no metrics, and are sent the name all the same, with nothing after it.
  for (const report of ['rejection-reason', 'rejection-reason/domain']) {
    const { results } = await call(`metrics/deliverability/${report}`, one(''));
    assert.equal(results[0].count_rejected, 1, report);
    assert.equal(results[0].rejection_type, 'Generation Rejection');
    assert.equal(results[0].rejection_category_name, 'Generation Rejection');
  }
  for (const report of ['delay-reason', 'delay-reason/domain']) {
    const { results } = await call(`metrics/deliverability/${report}`, one(''));
    assert.equal(results[0].count_delayed, 1, report);
    assert.equal(results[0].count_delayed_first, 1);
  }
  const links = await call('metrics/deliverability/link-name', one('count_clicked,count_raw_clicked_approx'));
  assert.deepEqual(links.results, [{ link_name: 'Banner', count_clicked: 2, count_raw_clicked_approx: 2 }]);
  const attempts = await call('metrics/deliverability/attempt', one(''));
  assert.deepEqual(
    attempts.results.map((row: Any) => [String(row.attempt), row.count_delivered]),
    [
      ['1', 15],
      ['2', 3],
    ],
  );
});

test('names while someone types: always a list under the name of the path', async () => {
  for (const [list, match, expected] of [
    ['domains', 'gma', ['gmail.com']],
    ['sending-domains', '', ['brand.example']],
    ['campaigns', 'SPRING', ['spring, 2024']],
    ['templates', 'wel', ['welcome']],
    ['ip-pools', 'x', []],
    ['sending-ips', '192', ['192.0.2.17']],
    ['mailbox-providers', 'gm', ['Gmail']],
    ['mailbox-provider-regions', '', null],
    ['subject-campaigns', '', []],
  ] as const) {
    const { results } = await call(`metrics/${list}`, {
      match,
      limit: 100,
      from: minute(start),
      timezone: 'UTC',
    });
    assert.ok(Array.isArray(results[list]), list);
    if (expected) assert.deepEqual(results[list], expected, list);
  }
});

test('events: a page, the history of a message, one event, the words for them', async () => {
  const listing = await call('events/message', {
    ...{ from: minute(start), to: minute(end), per_page: 25, events: 'delivery,bounce' },
    ...{ recipient_domains: 'gmail', campaigns: '' },
  });
  assert.equal(listing.total_count, 20);
  assert.ok(listing.results.every((event: Any) => event.event_id && event.type && event.timestamp));
  const tenDays = minute(end - 240 * HOUR);
  const history = await call('events/message', { messages: 'ui-2', from: tenDays, to: minute(end) });
  assert.deepEqual(history.results.map((event: Any) => event.type).sort(), [
    'delay',
    'delivery',
    'injection',
  ]);
  const [{ event_id }] = history.results;
  const single = await call('events/message', { event_ids: event_id, from: tenDays, to: minute(end) });
  assert.equal(single.total_count, 1);
  const documentation = await call('events/message/documentation');
  for (const event of documentation.results) {
    for (const name of ['type', 'display_name', 'event_description'])
      assert.ok(event[name].sampleValue, name);
  }
});

test('the integration page: batches over ten days, by outcome or by id', async () => {
  const iso = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const window = { from: iso(Date.now() - 240 * HOUR), to: iso(Date.now() + 60_000), per_page: 25 };
  const all = await call('events/ingest', window);
  assert.equal(all.total_count, 2);
  const [batch] = all.results;
  for (const key of ['batch_id', 'type', 'timestamp', 'number_succeeded', 'number_duplicates']) {
    assert.ok(key in batch, key);
  }
  assert.equal(
    (await call('events/ingest', { ...window, error_types: 'validation,decompress' })).total_count,
    0,
  );
  assert.equal(
    (await call('events/ingest', { ...window, batch_ids: batch.batch_id, events: 'success' })).total_count,
    1,
  );
});

test('the Signals dashboards: every report and facet in the shape that they are drawn from', async () => {
  const day = (ago: number) => new Date(end - ago * 24 * HOUR).toISOString().slice(0, 10);
  const common = { from: day(31), to: day(1), limit: 10, offset: 0, order: 'asc' };
  const health = await call('signals/health-score/', { ...common, limit: 1, order_by: 'sid' });
  assert.equal(health.status, 200);
  const [account] = health.results.data;
  assert.equal(account.sid, -1, 'the row of the whole account comes first: the headline is made of it');
  assert.equal(account.history.length, 1);
  const [entry] = account.history;
  assert.equal(entry.dt, new Date(end - 49 * HOUR).toISOString().slice(0, 10));
  assert.equal(entry.total_injection_count, 2400);
  assert.match(entry.health_score, /^[01]\.\d{10}$/);
  assert.equal(new Set(entry.weights.map((w: Any) => w.weight_type)).size, 12);
  const facet = await call('signals/health-score/sending_domain', { ...common, filter: 'brand.example' });
  assert.deepEqual(facet.results.data.map((row: Any) => [row.sid, row.sending_domain]).sort(), [
    [0, 'brand.example'],
    [4, 'brand.example'],
  ]);
  for (const dimension of [
    'health-score',
    'spam-hits',
    'cohort-engagement',
    'eng-cohort',
    'unsub-cohort',
    'fbl-cohort',
  ]) {
    for (const facet of ['', 'campaign_id', 'ip_pool', 'mb_provider', 'sending_domain']) {
      for (const subaccount of [undefined, '0', '4']) {
        const { status, results } = await call(
          `signals/${dimension}/${facet}`,
          { ...common, filter: facet === '' ? '' : 'promo' },
          subaccount === undefined ? {} : { 'x-msys-subaccount': subaccount },
        );
        assert.equal(status, 200, `${dimension} ${facet}`);
        assert.equal(typeof results.total_count, 'number');
        for (const row of results.data) {
          assert.equal(typeof row.sid, 'number');
          assert.ok(Array.isArray(row.history));
          for (const { dt } of row.history) assert.ok(dt >= common.from && dt <= common.to);
        }
      }
    }
  }
  const wrong = await call('signals/health-score/', common, { 'x-msys-subaccount': 'all' });
  assert.equal(wrong.status, 400);
  assert.ok(wrong.errors[0].message);
});

test('pages of later days are told that there is nothing, in the shape they read', async () => {
  for (const url of [
    'webhooks',
    'alerts',
    'suppression-list',
    'ip-pools',
    'sending-domains',
    'billing/subscription',
  ]) {
    const { status, errors } = await call(url);
    assert.equal(status, 404, url);
    assert.ok(errors[0].message, url);
  }
});
