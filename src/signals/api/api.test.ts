import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { startTestService, TEST_KEY, type TestService } from '../test-service.ts';
import { staticFiles } from './static-files.ts';

let ui: string;
let service: TestService;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs, after: systemClock.after };

before(async () => {
  ui = await mkdtemp(path.join(tmpdir(), 'posthorn-ui-'));
  await mkdir(path.join(ui, 'dist/assets'), { recursive: true });
  await writeFile(path.join(ui, 'dist/index.html'), '<!doctype html><title>app</title>');
  await writeFile(path.join(ui, 'dist/assets/app-1a2b.js'), 'export {};');
  await writeFile(path.join(ui, 'dist/.hidden'), 'secret');
  await writeFile(path.join(ui, 'secret.txt'), 'secret');
  service = await startTestService({ clock, ui: staticFiles(() => path.join(ui, 'dist')) });
});
after(async () => {
  await service.stop();
  await rm(ui, { recursive: true, force: true });
});

test('health answers without a key', async () => {
  const answer = await service.get('/health', { authorization: '' });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { status: 'ok' });
});

test('a key may come raw, as Basic user name, after Bearer, in any letter case', async () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  for (const authorization of [
    TEST_KEY,
    TEST_KEY.toUpperCase(),
    basic(`${TEST_KEY}:`),
    `Bearer ${TEST_KEY}`,
  ]) {
    assert.equal((await service.get('/api/v1/account', { authorization })).status, 200, authorization);
  }
  for (const authorization of ['', 'x', basic(`:${TEST_KEY}`), `Digest ${TEST_KEY}`, 'a'.repeat(5000)]) {
    const answer = await service.get('/api/v1/account', { authorization });
    assert.equal(answer.status, 401, authorization);
    assert.deepEqual(answer.body, { errors: [{ message: 'Unauthorized.' }] });
  }
});

test('paths: a slash at the end is nothing, unknown ones are 404, wrong methods 405', async () => {
  assert.equal((await service.get('/api/v1/api-keys/')).status, 200);
  const unknown = await service.get('/api/v1/nothing');
  assert.equal(unknown.status, 404);
  assert.ok(unknown.body.errors[0].message);
  assert.equal((await service.get('/api/v2')).status, 404);
  for (const [method, url] of [
    ['DELETE', '/api/v1/account'],
    ['GET', '/api/v1/sign-in'],
    ['PUT', '/api/v1/ingest/events'],
    ['POST', '/api/v1/metrics/deliverability'],
  ] as const) {
    const answer = await service.send(method, url);
    assert.equal(answer.status, 405, url);
    assert.ok(answer.headers.get('allow'), url);
    assert.ok(answer.body.errors[0].message);
  }
});

test('bodies: an empty one with a JSON type is nothing, broken JSON is 400, other types 415', async () => {
  const json = { 'content-type': 'application/json' };
  assert.equal((await service.get('/api/v1/account', json)).status, 200);
  assert.equal((await service.send('DELETE', '/api/v1/api-keys/none', undefined, json)).status, 404);
  const broken = await service.send('POST', '/api/v1/sign-in', Buffer.from('{"token":'), json);
  assert.equal(broken.status, 400);
  assert.match(broken.body.errors[0].message, /^Request body parsing failed/);
  const xml = await service.send('POST', '/api/v1/sign-in', Buffer.from('<a/>'), {
    'content-type': 'text/xml',
  });
  assert.equal(xml.status, 415);
  for (const body of ['null', '[]', '"x"', '{"token":5}', '{"__proto__":{"token":"x"}}']) {
    const answer = await service.send('POST', '/api/v1/sign-in', Buffer.from(body), json);
    assert.equal(answer.status, 400, body);
  }
  const large = await service.send('POST', '/api/v1/sign-in', Buffer.alloc(2 ** 20 + 1, 32), json);
  assert.equal(large.status, 413);
});

test('every answer carries an id and the headers of a careful server; browsers of other origins may ask', async () => {
  const answer = await service.get('/api/v1/account', { origin: 'https://app.example' });
  assert.match(answer.headers.get('x-request-id')!, /^[0-9a-f-]{36}$/);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
  assert.equal(answer.headers.get('vary'), 'Origin');
  const preflight = await service.send('OPTIONS', '/api/v1/events/message', undefined, {
    origin: 'https://app.example',
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization,x-sparky',
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get('access-control-allow-headers')!, /authorization.*x-sparky/);
  assert.match(preflight.headers.get('access-control-allow-methods')!, /DELETE/);
});

test('addresses of 4096 characters are answered', async () => {
  const campaigns = 'c'.repeat(4000);
  assert.equal((await service.get(`/api/v1/events/message?campaigns=${campaigns}`)).status, 200);
});

test('keys: made with grants, shown once, held to grants and addresses, deleted', async () => {
  const make = (body: object, headers = {}) => service.send('POST', '/api/v1/api-keys', body, headers);
  const made = await make({ label: 'metrics', grants: ['metrics/view'], valid_ips: ['127.0.0.0/8'] });
  const { id, key, short_key, label } = made.body.results;
  assert.match(key, /^[0-9a-f]{40}$/);
  assert.equal(short_key, key.slice(0, 4));
  assert.equal(label, 'metrics');
  const listed = (await service.get('/api/v1/api-keys')).text;
  assert.ok(listed.includes(id));
  assert.ok(!listed.includes(key));
  const asKey = { authorization: key };
  assert.equal((await service.get('/api/v1/metrics/campaigns', asKey)).status, 200);
  assert.equal((await service.get('/api/v1/events/message', asKey)).status, 403);
  assert.equal((await service.get('/api/v1/api-keys', asKey)).status, 403);
  const grants = await service.get('/api/v1/authenticate/grants', asKey);
  assert.deepEqual(grants.body.results, [{ key: 'metrics/view' }]);

  const elsewhere = await make({
    label: 'far',
    grants: ['metrics/view'],
    valid_ips: ['192.0.2.1', '2001:db8::/32'],
  });
  const far = { authorization: elsewhere.body.results.key };
  assert.equal((await service.get('/api/v1/metrics/campaigns', far)).status, 403);

  const maker = await make({ label: 'maker', grants: ['api_keys/manage'] });
  const asMaker = { authorization: maker.body.results.key };
  const beyond = await make({ label: 'more', grants: ['metrics/view'] }, asMaker);
  assert.equal(beyond.status, 403, 'a key gives no grant that it does not hold');

  for (const wrong of [
    {},
    { label: 'x' },
    { label: 'x', grants: [] },
    { label: 'x', grants: ['everything'] },
    { label: 'x', grants: 'metrics/view' },
    { label: '', grants: ['metrics/view'] },
    { label: 'x', grants: ['metrics/view'], valid_ips: ['anywhere'] },
  ]) {
    assert.equal((await make(wrong)).status, 400, JSON.stringify(wrong));
  }
  const sub = { 'x-msys-subaccount': '9' };
  assert.equal((await make({ label: 'x', grants: ['metrics/view'] }, sub)).status, 400);
  assert.equal((await make({ label: 'x', grants: ['smtp/inject'] }, sub)).status, 200);
  assert.equal(
    (await make({ label: 'x', grants: ['smtp/inject'] }, { 'x-msys-subaccount': 'n' })).status,
    400,
  );

  assert.equal((await service.send('DELETE', `/api/v1/api-keys/${id}`)).status, 204);
  assert.equal((await service.get('/api/v1/metrics/campaigns', asKey)).status, 401);
  assert.equal((await service.send('DELETE', `/api/v1/api-keys/${id}`)).status, 404);
  assert.equal((await service.send('DELETE', '/api/v1/api-keys/admin')).status, 409);
});

const signIn = (token: string) => service.send('POST', '/api/v1/sign-in', { token }, { authorization: '' });
const link = async () => (await service.send('POST', '/api/v1/sign-in-links')).body.results;

test('a sign-in link works once, of many at the same time for one', async () => {
  const { url, token, expires } = await link();
  assert.equal(url, `${service.signals.url}/sign-in#token=${token}`);
  assert.ok(Date.parse(expires) > clock.now());
  const answers = await Promise.all([signIn(token), signIn(token), signIn(token)]);
  const good = answers.filter((a) => a.status === 200);
  assert.equal(good.length, 1);
  const { access_token, expires_in } = good[0]!.body.results;
  assert.equal(expires_in, 12 * 3600);
  const session = { authorization: access_token };
  assert.equal((await service.get('/api/v1/metrics/campaigns', session)).status, 200);
  assert.equal((await service.send('POST', '/api/v1/sign-in-links', undefined, session)).status, 403);
  assert.equal((await service.send('POST', '/api/v1/sign-out', undefined, session)).status, 204);
  assert.equal((await service.get('/api/v1/account', session)).status, 401);
});

test('links end after 15 minutes, sessions after 12 idle hours', async () => {
  const late = await link();
  aheadMs += 15 * 60_000 + 1000;
  assert.equal((await signIn(late.token)).status, 401);
  const { access_token } = (await signIn((await link()).token)).body.results;
  const session = { authorization: access_token };
  for (let i = 0; i < 3; i++) {
    aheadMs += 11 * 3_600_000;
    assert.equal((await service.get('/api/v1/account', session)).status, 200, 'kept alive by use');
  }
  aheadMs += 12 * 3_600_000 + 120_000;
  assert.equal((await service.get('/api/v1/account', session)).status, 401);
});

test('guessing passwords and tokens is slowed down', async () => {
  const form = (body: string) =>
    service.send('POST', '/api/v1/authenticate', Buffer.from(body), {
      'content-type': 'application/x-www-form-urlencoded',
    });
  const wrong = await form('grant_type=password&username=admin&password=x&rememberMe=true');
  assert.equal(wrong.status, 400);
  assert.equal(wrong.body.error, 'invalid_grant');
  assert.equal((await form('grant_type=client_credentials')).body.error, 'unsupported_grant_type');
  let last = 0;
  for (let i = 0; i < 12; i++) last = (await signIn('x')).status;
  assert.equal(last, 429);
  aheadMs += 61_000;
  assert.equal((await signIn('x')).status, 401);
});

test('documentation and samples answer without a key, pairwise', async () => {
  for (const kind of ['events/message', 'ingest/events']) {
    const docs = (await service.get(`/api/v1/${kind}/documentation`, { authorization: '' })).body.results;
    const samples = (await service.get(`/api/v1/${kind}/samples`, { authorization: '' })).body.results;
    assert.equal(docs.length, samples.length);
    for (const [i, doc] of docs.entries()) {
      const { type } = kind === 'events/message' ? samples[i] : (Object.values(samples[i].msys)[0] as never);
      assert.equal(type, doc.type.sampleValue);
      assert.ok(doc.display_name.sampleValue);
      assert.ok(doc.event_description.sampleValue);
    }
  }
  const names = (await service.get('/api/v1/events/message/documentation')).body.results.map(
    (d: { type: { sampleValue: string } }) => d.type.sampleValue,
  );
  assert.equal(names.length, 18);
  const two = await service.get('/api/v1/events/message/samples?events=click,bounce');
  assert.deepEqual(
    two.body.results.map((s: { type: string }) => s.type),
    ['click', 'bounce'],
  );
  const hooks = (await service.get('/api/v1/webhooks/events/documentation', { authorization: '' })).body
    .results;
  assert.equal(hooks.track_event.events.click.event.type.sampleValue, 'click');
  // The same event looks different to who searches and to who is sent it.
  const [shown] = (await service.get('/api/v1/events/message/samples?events=click')).body.results;
  const [sent] = (await service.get('/api/v1/webhooks/events/samples?events=click')).body.results;
  const forms = ({ timestamp, customer_id, subaccount_id }: Record<string, unknown>) => [
    timestamp,
    customer_id,
    subaccount_id,
  ];
  assert.deepEqual(forms(shown), ['2024-01-01T00:00:01.000Z', 1, 101]);
  assert.deepEqual(forms(sent.msys.track_event), ['1704067201', '1', '101']);
});

test('the web interface: files with their types, the page for every other address, nothing outside', async () => {
  const page = await service.get('/events?from=1');
  assert.equal(page.status, 200);
  assert.match(page.text, /<title>app/);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(page.headers.get('cache-control'), 'no-cache');
  assert.match(page.headers.get('content-security-policy')!, /script-src 'self'/);
  const script = await service.get('/assets/app-1a2b.js');
  assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.match(script.headers.get('cache-control')!, /immutable/);
  assert.equal((await service.get('/assets/gone.js')).status, 404);
  for (const target of [
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '/.hidden',
    '/%00',
    '/%zz',
    '//secret.txt',
  ]) {
    const text = await rawGet(target);
    assert.ok(!text.includes('secret'), target);
  }
});

/** A GET whose path no client library has tidied up. */
function rawGet(target: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(service.signals.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  });
}

test('without a built interface a page says so', async () => {
  const bare = staticFiles(() => null);
  assert.equal(await bare.file('/index.html'), null);
});

test('a folder in use, a busy port and a key of wrong shape are one sentence each', async () => {
  const options = {
    dataDir: service.dir,
    listen: { host: '127.0.0.1', port: 0 },
    log: silentLog,
    clock: systemClock,
  };
  await assert.rejects(startSignals(options), {
    name: 'UserError',
    message: /\(data of signals, --data\) is in use by another posthorn/,
  });
  const other = await mkdtemp(path.join(tmpdir(), 'posthorn-other-'));
  try {
    await assert.rejects(startSignals({ ...options, dataDir: other, adminKey: 'short' }), {
      name: 'UserError',
      message: /40 hexadecimal digits/,
    });
    await assert.rejects(startSignals({ ...options, dataDir: path.join(ui, 'secret.txt/x') }), {
      name: 'UserError',
    });
    assert.equal((await stat(other)).isDirectory(), true);
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});
