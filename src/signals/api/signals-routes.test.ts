import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../system/clock.ts';
import { Accounts } from '../accounts/accounts.ts';
import { type DocumentStore, openSqlite } from '../accounts/document-store.ts';
import { addDays, dayOf } from '../score/refresh/days.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { endpoints } from './endpoints.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let service: TestService;
let dir: string;
let now: number;
/** The day of the last mail; the service's clock stands on the day after. */
let last: string;
const TRAP = 'quiet.trap@example.net';

/** The calls of SparkPost's interface: a day's report of a dimension. */
const ask = (where: string, query: Record<string, string> = {}, headers?: Record<string, string>) =>
  service.get(
    `/api/v1/signals/${where}?${new URLSearchParams({ from: addDays(last, -6), to: last, ...query })}`,
    headers,
  );

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'posthorn-signals-api-'));
  const trapsFile = path.join(dir, 'traps.txt');
  await writeFile(trapsFile, `recycled ${createHash('sha1').update(TRAP).digest('hex')}\n`);
  const end = Date.parse(`${dayOf(Date.now())}T12:00:00Z`);
  now = end - 8 * DAY;
  service = await startTestService({
    trapsFile,
    clock: { now: () => now, after: systemClock.after },
    scoreRefreshMs: DAY,
  });
  last = addDays(dayOf(end), -1);
  for (const back of [8, 1]) {
    now = end - back * DAY;
    const lines: string[] = [];
    const send = (n: number, fields: Record<string, unknown>) => {
      for (let i = 0; i < n; i++) {
        const message = { message_id: `m${back}-${lines.length}`, open_tracking: true, ...fields };
        const at = { timestamp: String(Math.floor((now - 3 * HOUR) / 1000)) };
        lines.push(line('reception', { rcpt_to: `u${i}@example.net`, ...message, ...at }));
        if (i % 4 === 0) lines.push(line('click', { message_id: message.message_id, rcpt_to: '', ...at }));
      }
    };
    send(1200, { campaign_id: 'spring', binding_group: 'fast', friendly_from: 'a@brand.example' });
    send(1010, { campaign_id: 'spring sale', friendly_from: 'a@mail.brand.example', subaccount_id: 4 });
    send(300, { campaign_id: 'Spring', friendly_from: 'a@brand.example', subaccount_id: 9 });
    send(1, { campaign_id: 'trapped', rcpt_to: TRAP });
    send(1, { campaign_id: 'trapped', rcpt_to: 'x@gmial.com' });
    assert.equal((await service.postBytes(gzipSync(lines.join('\n')))).status, 200);
    await service.signals.idle();
  }
  now = end;
  await service.signals.refreshScores();
});
after(async () => {
  await service.stop();
  await rm(dir, { recursive: true, force: true });
});

const dimensions = [
  'health-score',
  'spam-hits',
  'cohort-engagement',
  'eng-cohort',
  'unsub-cohort',
  'fbl-cohort',
];
const facets = ['campaign_id', 'ip_pool', 'mb_provider', 'sending_domain'];

test('headline: the account as a whole is the first row', async () => {
  for (const order_by of ['', 'health_score', 'total_injection_count']) {
    const { body } = await ask('health-score/', { order: 'asc', limit: '1', offset: '0', order_by });
    const [row] = body.results.data;
    assert.equal(body.results.total_count, 4);
    assert.equal(row.sid, -1);
    assert.equal(row.current_total_injection_count, 2512);
    assert.match(row.current_health_score, /^0\.\d{10}$/);
    assert.equal(row.current_weights.length, 12);
    assert.equal(typeof row.WoW, 'number');
    assert.deepEqual(
      row.history.map((h: { dt: string }) => h.dt),
      [last],
    );
  }
  const bottom = await ask('health-score', { order: 'desc', limit: '10' });
  assert.deepEqual(
    bottom.body.results.data.map((r: { sid: number }) => r.sid),
    [9, 4, 0, -1],
  );
});

test('pages of subaccounts put together are the list, in every order', async () => {
  for (const order of ['asc', 'desc']) {
    for (const order_by of ['', 'sid', 'health_score', 'total_injection_count']) {
      const whole = await ask('health-score', { order, order_by, limit: '10' });
      const pages: number[] = [];
      for (let offset = 0; offset < 6; offset++) {
        const { body } = await ask('health-score', { order, order_by, limit: '1', offset: String(offset) });
        assert.equal(body.results.total_count, 4);
        pages.push(...body.results.data.map((r: { sid: number }) => r.sid));
      }
      assert.deepEqual(
        pages,
        whole.body.results.data.map((r: { sid: number }) => r.sid),
        `${order} ${order_by}`,
      );
      assert.equal(pages.length, 4);
    }
  }
});

test('a day with too little tracked mail is a gap, not a zero', async () => {
  const { body } = await ask('health-score', {}, { 'X-MSYS-SUBACCOUNT': '9' });
  assert.deepEqual(body.results, {
    total_count: 1,
    data: [
      {
        sid: 9,
        WoW: null,
        health_score_average: null,
        health_score_high: null,
        health_score_low: null,
        current_health_score: null,
        current_total_injection_count: 300,
        current_weights: [],
        history: [],
      },
    ],
  });
});

test('the header chooses whose rows: all, the primary account, a subaccount', async () => {
  const sids = async (where: string, header?: string) => {
    const headers = header === undefined ? undefined : { 'x-msys-subaccount': header };
    const { body } = await ask(where, {}, headers);
    return body.results.data.map((row: { sid: number; campaign_id?: string }) => [
      row.sid,
      row.campaign_id ?? '',
    ]);
  };
  assert.deepEqual(await sids('health-score'), [
    [-1, ''],
    [0, ''],
    [4, ''],
    [9, ''],
  ]);
  assert.deepEqual(await sids('health-score', '0'), [[0, '']]);
  assert.deepEqual(await sids('health-score', '4'), [[4, '']]);
  assert.deepEqual(await sids('health-score', '77'), []);
  assert.deepEqual(await sids('spam-hits'), [
    [0, ''],
    [4, ''],
    [9, ''],
  ]);
  assert.deepEqual(await sids('spam-hits', '0'), [[0, '']]);
  assert.deepEqual(await sids('health-score/campaign_id'), [
    [9, 'Spring'],
    [0, 'spring'],
    [4, 'spring sale'],
    [0, 'trapped'],
  ]);
  assert.deepEqual(await sids('spam-hits/campaign_id'), [
    [-1, 'Spring'],
    [-1, 'spring'],
    [-1, 'spring sale'],
    [-1, 'trapped'],
  ]);
  assert.deepEqual(await sids('spam-hits/campaign_id', '4'), [[4, 'spring sale']]);
  const bad = await ask('health-score', {}, { 'x-msys-subaccount': 'four' });
  assert.equal(bad.status, 400);
});

test('a filter finds what contains it, the exact value first, whatever the order', async () => {
  for (const dimension of dimensions) {
    for (const order of ['asc', 'desc']) {
      const { body } = await ask(`${dimension}/campaign_id`, { filter: 'spring', limit: '1', order });
      assert.equal(body.results.total_count, 3, dimension);
      assert.equal(body.results.data[0].campaign_id, 'spring', `${dimension} ${order}`);
    }
  }
  const byScore = await ask('health-score/campaign_id', { filter: 'spring sale', order_by: 'health_score' });
  assert.equal(byScore.body.results.data[0].campaign_id, 'spring sale');
  const none = await ask('spam-hits/campaign_id', { filter: '%' });
  assert.deepEqual(none.body.results, { total_count: 0, data: [] });
  const ignored = await ask('spam-hits', { filter: 'nothing' });
  assert.equal(ignored.body.results.total_count, 3);
});

test('every dimension by every facet: the envelope that the interface needs', async () => {
  for (const dimension of dimensions) {
    for (const facet of ['', ...facets]) {
      const { status, body } = await ask(`${dimension}/${facet}`, {
        from: addDays(last, -89),
        limit: '25',
        order: 'asc',
      });
      assert.equal(status, 200);
      assert.ok(body.results.total_count >= (facet === 'mb_provider' ? 0 : 1), `${dimension}/${facet}`);
      for (const row of body.results.data) {
        assert.equal(typeof row.sid, 'number');
        assert.ok(Array.isArray(row.history));
        if (facet !== '') assert.equal(typeof row[facet], 'string');
        for (const { dt } of row.history) assert.ok(dt >= addDays(last, -89) && dt <= last);
        assert.deepEqual(row.history.map((h: { dt: string }) => h.dt).at(-1) ?? last, last);
      }
    }
  }
});

test('rows are sorted by the value of the last day', async () => {
  const campaigns = async (where: string, query: Record<string, string>) =>
    (await ask(where, query)).body.results.data.map((row: { campaign_id: string }) => row.campaign_id);
  assert.deepEqual(
    await campaigns('health-score/campaign_id', { order_by: 'total_injection_count', order: 'desc' }),
    ['spring', 'spring sale', 'Spring', 'trapped'],
  );
  const scores = await campaigns('health-score/campaign_id', { order_by: 'health_score', order: 'desc' });
  assert.deepEqual(scores.slice(2), ['Spring', 'trapped'], 'without a score last');
  assert.equal((await campaigns('spam-hits/campaign_id', { order_by: 'perc', order: 'desc' }))[0], 'trapped');
  assert.equal(
    (await campaigns('spam-hits/campaign_id', { order_by: 'trap_hits', order: 'desc' }))[0],
    'trapped',
  );
  assert.equal(
    (await campaigns('cohort-engagement/campaign_id', { order_by: 'c_14d', order: 'desc' }))[0],
    'spring',
  );
});

test('parameters that make no sense are refused by name', async () => {
  for (const [query, param] of [
    [{ from: 'yesterday' }, 'from'],
    [{ from: '2024-03-08', to: '2024-03-07' }, 'from'],
    [{ from: '2020-01-01', to: '2024-03-07' }, 'from'],
    [{ limit: '0' }, 'limit'],
    [{ order: 'up' }, 'order'],
    [{ order_by: 'trap_hits' }, 'order_by'],
  ] as const) {
    const answer = await ask('health-score', query);
    assert.equal(answer.status, 400, JSON.stringify(query));
    assert.equal(answer.body.errors[0].param, param);
  }
  assert.equal((await service.get('/api/v1/signals/health-score/sid')).status, 404);
  assert.equal((await service.get('/api/v1/signals/health-score/?metrics=&nothing=1')).status, 200);
});

test('one score explained adds up', async () => {
  const { body } = await service.get(
    `/api/v1/signals/health-score-explanation?day=${last}&facet=campaign_id&value=spring`,
    { 'x-msys-subaccount': '0' },
  );
  const { base, parts, health_score } = body.results;
  const units = (text: string) => BigInt(text === '0' ? 0 : text.replace('.', ''));
  assert.equal(
    parts.reduce((sum: bigint, p: { weight: string }) => sum + units(p.weight), units(base)),
    units(health_score),
  );
  const engaged = parts.find((p: { weight_type: string }) => p.weight_type === 'eng cohorts: new, 14-day');
  assert.equal(engaged.denominator, 1200);
  const model = await service.get('/api/v1/signals/health-score-model');
  assert.equal(model.body.results.components.length, 12);
  assert.equal(model.body.results.base, base);
  assert.equal((await service.get('/api/v1/signals/health-score-explanation?facet=ip_pool')).status, 400);
});

test('grants: signals/view or signals/manage; the key of a subaccount sees its own row alone', async () => {
  const documents: DocumentStore = openSqlite(path.join(service.dir, 'accounts.db'));
  const accounts = new Accounts(documents, Date.now);
  try {
    const keyWith = async (...grants: string[]) =>
      (await accounts.createKey({ label: 'x', grants, validIps: [], subaccountId: 0, username: 'x' })).key;
    for (const [grant, status] of [
      ['signals/view', 200],
      ['signals/manage', 200],
      ['metrics/view', 403],
    ] as const) {
      const answer = await ask('health-score', {}, { authorization: await keyWith(grant) });
      assert.equal(answer.status, status, grant);
    }
    // SparkPost gives such keys no grant for signals; its users of a subaccount have it.
    const own = await accounts.createKey({
      label: 'own',
      grants: ['message_events/view'],
      validIps: [],
      subaccountId: 4,
      username: 'x',
    });
    const found = await documents.get<object>('api-key', own.document.id);
    await documents.replace('api-key', own.document.id, found!.version, {
      ...own.document,
      grants: ['signals/view'],
    });
    for (const header of [undefined, '0', '9', '4']) {
      const headers = {
        authorization: own.key,
        ...(header === undefined ? {} : { 'x-msys-subaccount': header }),
      };
      for (const dimension of dimensions) {
        const { body } = await ask(dimension, {}, headers);
        assert.deepEqual(
          body.results.data.map((r: { sid: number }) => r.sid),
          [4],
          `${dimension} ${header}`,
        );
        const campaigns = await ask(`${dimension}/campaign_id`, {}, headers);
        assert.deepEqual(
          campaigns.body.results.data.map((r: { campaign_id: string }) => r.campaign_id),
          ['spring sale'],
        );
      }
    }
  } finally {
    await documents.close();
  }
});

test('no answer tells which recipient is a trap', async () => {
  const window = `from=${last}T00:00:00Z&to=${addDays(last, 1)}T00:00:00Z`;
  const search = async (query: string) =>
    (await service.get(`/api/v1/events/message?${window}&${query}`)).body.results;
  const [trapped] = await search(`events=injection&recipients=${encodeURIComponent(TRAP)}`);
  const [clean] = await search('events=injection&recipients=u1%40example.net&campaigns=spring');
  assert.ok(trapped && clean);
  assert.deepEqual(
    Object.keys(trapped).filter((key) => !(key in clean)),
    [],
    'an event of a trap has no field that another has not',
  );
  for (const field of Object.keys(trapped)) {
    if (/trap|mark|quality/i.test(field)) assert.fail(field);
  }
  // Nothing that is asked for by a name of our columns narrows a search.
  const all = (await service.get(`/api/v1/events/message?${window}&per_page=1`)).body.total_count;
  for (const guess of ['marks=32', 'trap=recycled', 'trap_type=recycled', 'traps=true', 'list_quality=1']) {
    const { body } = await service.get(`/api/v1/events/message?${window}&per_page=1&${guess}`);
    assert.equal(body.total_count, all, guess);
  }
  const secrets = [
    TRAP,
    createHash('sha1').update(TRAP).digest('hex'),
    createHash('sha1').update(TRAP).digest('base64'),
  ];
  for (const { method, path: url, parameters } of endpoints) {
    if (method !== 'GET' || url.includes('{') || url.startsWith('/api/v1/events/message')) continue;
    const query = new URLSearchParams(
      parameters.filter((p) => p.required && p.in === 'query').map((p) => [p.name, p.example]),
    );
    const { text } = await service.get(`${url}?${query}`);
    for (const secret of secrets) assert.ok(!text.includes(secret), `${url} tells ${secret}`);
  }
});

test('blocklist monitors: empty lists, not errors', async () => {
  for (const where of [
    '',
    '/blocklists',
    '/incidents?from=2024-01-01',
    '/192.0.2.14/incidents?status=resolved',
  ]) {
    const { status, body } = await service.get(`/api/v1/blocklist-monitors${where}`);
    assert.deepEqual([status, body], [200, { results: [] }], where);
  }
});
