import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Clock, systemClock } from '../../system/clock.ts';
import { createLog } from '../../system/log.ts';
import { line, startTestService, TEST_KEY, type TestService } from '../test-service.ts';
import { answerOf, reasonPhrase } from './errors.ts';
import { RateLimit } from './rate-limit.ts';

let service: TestService;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs, after: systemClock.after };
const logged = new PassThrough();
let log = '';
logged.setEncoding('utf8').on('data', (text: string) => {
  log += text;
});

before(async () => {
  service = await startTestService({
    clock,
    log: createLog(logged, 'signals', Date.now, 'json'),
    rate: { perSecond: 2, burst: 400 },
    trustedProxies: ['127.0.0.0/8'],
  });
});
after(() => service.stop());

interface Raw {
  readonly status: number;
  readonly phrase: string;
  readonly headers: string;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every shape
  readonly body: any;
}

/** Sends these bytes and reads until the service ends the connection. */
function raw(bytes: string | Buffer): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const socket = connect(service.signals.port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [head = '', ...rest] = text.split('\r\n\r\n');
      const [, status, phrase = ''] = /^HTTP\/1\.1 (\d{3}) (.*)/.exec(head) ?? [];
      const body = rest.join('\r\n\r\n');
      const json = /\{.*\}/s.exec(body)?.[0];
      resolve({
        status: Number(status),
        phrase,
        headers: head.toLowerCase(),
        body: json && JSON.parse(json),
      });
    });
    socket.write(bytes);
  });
}

const close = `Host: x\r\nAuthorization: ${TEST_KEY}\r\nConnection: close\r\n`;

test('whatever is no request is answered in JSON all the same', async () => {
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', 400],
    ['GET\r\n\r\n', 400],
    ['\0'.repeat(500), 400],
    [`GET /api/v1/account HTTP/1.1\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
    [`GET /api/v1/account?x=${'a'.repeat(70_000)} HTTP/1.1\r\n\r\n`, 431],
    [`GET /api/v1/api-keys/%zz HTTP/1.1\r\n${close}\r\n`, 400],
    [`GET /api/v1/api-keys/${'a'.repeat(600)} HTTP/1.1\r\n${close}\r\n`, 404],
    ['GET /api/v1/account HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    [`GET /api/v1/account HTTP/1.1\r\n${close}Expect: miracles\r\n\r\n`, 417],
    [`TRACE /api/v1/account HTTP/1.1\r\n${close}\r\n`, 405],
    [`PROPFIND /api/v1/account HTTP/1.1\r\n${close}\r\n`, 405],
    [`POST /api/v1/sign-in HTTP/1.1\r\n${close}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ] as const) {
    const answer = await raw(bytes);
    const shown = bytes.slice(0, 60);
    assert.equal(answer.status, status, shown);
    assert.equal(answer.phrase, reasonPhrase(status), shown);
    assert.match(answer.headers, /content-type: application\/json/, shown);
    assert.ok(answer.body.errors[0].message, shown);
    assert.match(answer.headers, /x-request-id: [0-9a-f-]{36}/, shown);
  }
  for (const url of ['/api/v1/account', '/api/v1/nothing']) {
    const answer = await raw(`GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(answer.headers, /\r\nconnection: close/, url);
    assert.match((await service.send('GET', url)).headers.get('connection') ?? '', /keep-alive/);
  }
  const unencoded = await raw(`GET /api/v1/events/message?campaigns=Fr\u00fchling HTTP/1.1\r\n${close}\r\n`);
  assert.equal(unencoded.status, 400);
  assert.match(unencoded.body.errors[0].message, /percent-encoded/);
  assert.equal((await service.get('/health')).status, 200);
});

test('a GET, HEAD or DELETE may say that a body of any kind follows, when none does', async () => {
  for (const [method, url, status] of [
    ['GET', '/api/v1/account', 200],
    ['HEAD', '/api/v1/account', 200],
    ['GET', '/api/v1/ingest/events/failures/x', 404],
    ['DELETE', '/api/v1/api-keys/none', 404],
  ] as const) {
    for (const type of ['application/json', 'application/x-ndjson', 'text/plain; charset=']) {
      const answer = await raw(
        `${method} ${url} HTTP/1.1\r\n${close}Content-Type: ${type}\r\nContent-Encoding: gzip\r\n\r\n`,
      );
      if (type.includes('charset=') && method === 'DELETE') assert.ok([404, 415].includes(answer.status));
      else assert.equal(answer.status, status, `${method} ${url} ${type}`);
      if (method === 'HEAD') assert.equal(answer.body, undefined);
    }
  }
});

test('a body may come in chunks, and has to be the JSON in UTF-8 that it says it is', async () => {
  const send = (headers: string, body: string | Buffer) =>
    raw(
      Buffer.concat([
        Buffer.from(`POST /api/v1/api-keys HTTP/1.1\r\n${close}${headers}\r\n`),
        Buffer.from(body),
      ]),
    );
  const json = 'Content-Type: application/json\r\n';
  const body = '{"label":"in chunks","grants":["metrics/view"]}';
  const half = body.length >> 1;
  const chunk = (part: string) => `${part.length.toString(16)}\r\n${part}\r\n`;
  const chunks = `${chunk(body.slice(0, half))}${chunk(body.slice(half))}0\r\n\r\n`;
  assert.equal((await send(`${json}Transfer-Encoding: chunked\r\n`, chunks)).status, 200);
  const latin = Buffer.from('{"label":"caf\xe9"}', 'latin1');
  const wrong = await send(`${json}Content-Length: ${latin.length}\r\n`, latin);
  assert.equal(wrong.status, 400);
  assert.equal(wrong.body.errors[0].code, '1305');
  const zipped = gzipSync(body);
  const encoded = await send(`${json}Content-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n`, zipped);
  assert.equal(encoded.status, 415);
  assert.equal(encoded.body.errors[0].code, '1700');
});

test('405 names the methods that there are, before a key or a body is looked at', async () => {
  const answer = await service.send('PATCH', '/api/v1/api-keys/x', undefined, { authorization: '' });
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.get('allow'), 'GET, DELETE, HEAD, OPTIONS');
  assert.equal(answer.body.errors[0].code, '1102');
  const unknown = await service.send('POST', '/api/v1/nothing', Buffer.from('x'), { 'content-type': 'x/y' });
  assert.equal(unknown.status, 404);
  assert.equal(unknown.body.errors[0].code, '1101');
});

test('a browser of another origin may send what SparkPost lets it send', async () => {
  const answer = await service.send('OPTIONS', '/api/v1/signals/health-score/', undefined, {
    authorization: '',
    origin: 'https://app.example',
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization,content-type,x-msys-subaccount,x-sparky',
  });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
  for (const name of ['authorization', 'content-type', 'x-msys-subaccount', 'x-sparky']) {
    assert.ok(answer.headers.get('access-control-allow-headers')!.includes(name), name);
  }
  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    assert.ok(answer.headers.get('access-control-allow-methods')!.includes(method), method);
  }
  const failed = await service.get('/api/v1/account', { authorization: 'x', origin: 'https://app.example' });
  assert.equal(failed.status, 401);
  assert.equal(failed.headers.get('access-control-allow-origin'), 'https://app.example');
});

test('statuses have their reason phrase, SparkPost’s own one too', async () => {
  assert.equal(reasonPhrase(420), 'Exceed Sending Limit');
  const answer = await raw(`GET /api/v1/nothing HTTP/1.1\r\n${close}\r\n`);
  assert.equal(answer.phrase, 'Not Found');
  const ours = answerOf(new Error('secret'), (because) => assert.match(because, /secret/));
  assert.equal(ours.status, 500);
  assert.ok(!JSON.stringify(ours.body).includes('secret'));
});

test('a proxy that is trusted says who its client is; valid_ips and links go by it', async () => {
  const made = await service.send('POST', '/api/v1/api-keys', {
    label: 'office',
    grants: ['metrics/view'],
    valid_ips: ['192.0.2.0/24'],
  });
  const { key } = made.body.results;
  const from = (address: string) =>
    service.get('/api/v1/metrics/campaigns', { authorization: key, 'x-forwarded-for': address });
  assert.equal((await from('192.0.2.7')).status, 200);
  assert.equal((await from('198.51.100.7')).status, 403);
  assert.equal(
    (await from('192.0.2.7, 198.51.100.7')).status,
    403,
    'only what the nearest proxy adds counts',
  );
  const link = await service.send('POST', '/api/v1/sign-in-links', undefined, {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'signals.example',
  });
  assert.match(link.body.results.url, /^https:\/\/signals\.example\/sign-in#token=/);
  const inContainers = await service.send('POST', '/api/v1/sign-in-links', undefined, {
    'x-forwarded-host': 'mail_signals_1:7700',
  });
  assert.match(inContainers.body.results.url, /^http:\/\/mail_signals_1:7700\/sign-in#token=/);
});

test('a key that asks too much is told so in the words that clients know, and when to come back; ingest is not', async () => {
  const made = await service.send('POST', '/api/v1/api-keys', {
    label: 'eager',
    grants: ['metrics/view', 'events/ingest'],
  });
  const asKey = { authorization: made.body.results.key as string };
  let answer = await service.get('/api/v1/metrics/', asKey);
  for (let i = 0; i < 450 && answer.status === 200; i++)
    answer = await service.get('/api/v1/metrics/', asKey);
  assert.equal(answer.status, 429);
  assert.deepEqual(answer.body, { errors: [{ message: 'Too many requests' }] });
  assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  assert.equal((await service.postBytes(gzipSync(line('reception')), asKey)).status, 200);
  assert.equal((await service.get('/api/v1/account')).status, 200, 'other keys are not touched');
  aheadMs += 2000;
  assert.equal((await service.get('/api/v1/metrics/', asKey)).status, 200);
});

test('a bucket of tokens fills at its rate and no further, whatever the clock does', () => {
  let now = 1000;
  const limit = new RateLimit({ perSecond: 2, burst: 3 }, { now: () => now, after: () => () => {} });
  assert.deepEqual(
    [1, 2, 3].map(() => limit.take('a')),
    [0, 0, 0],
  );
  assert.equal(limit.take('a'), 1);
  assert.equal(limit.take('b'), 0);
  now += 500;
  assert.equal(limit.take('a'), 0);
  assert.equal(limit.take('a'), 1);
  now -= 10_000;
  assert.equal(limit.take('a'), 1, 'a clock set back gives nothing');
  now += 3_600_000;
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limit.take('a') === 0),
    [true, true, true, false],
  );
  const none = new RateLimit({ perSecond: 0, burst: 0 }, { now: () => now, after: () => () => {} });
  for (let i = 0; i < 100; i++) assert.equal(none.take('a'), 0);
});

test('each request has a line in the log: what and how, but neither keys nor what was asked for', async () => {
  const answer = await service.get('/api/v1/events/message?recipients=ada%40example.net');
  const id = answer.headers.get('x-request-id')!;
  await service.get('/api/v1/api-keys/secret-name');
  const made = await service.send(
    'POST',
    '/api/v1/api-keys',
    { label: 'x', grants: ['message_events/view'] },
    {
      'x-msys-subaccount': '7',
    },
  );
  await service.get('/api/v1/events/message', { authorization: made.body.results.key });
  // A line comes after its answer, so those of the requests before this test may still come.
  const entries = () => {
    const all = log
      .split('\n')
      .slice(0, -1)
      .filter((text) => text.includes('"message":"request"'))
      .map((text) => JSON.parse(text));
    const first = all.findIndex(({ request }) => request === id);
    return first < 0 ? [] : all.slice(first);
  };
  while (entries().length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  const [search, missing, , ofSubaccount] = entries();
  assert.equal(search.request, id);
  assert.equal(search.method, 'GET');
  assert.equal(search.route, '/api/v1/events/message');
  assert.equal(search.status, 200);
  assert.equal(search.caller, 'admin');
  assert.equal(search.key, TEST_KEY.slice(0, 4));
  assert.equal(search.client, '127.0.0.1');
  assert.equal(typeof search.ms, 'number');
  assert.equal(search.bytes_out, Buffer.byteLength(answer.text));
  assert.equal(missing.route, '/api/v1/api-keys/{id}');
  assert.equal(ofSubaccount.subaccount, 7);
  for (const secret of [TEST_KEY, made.body.results.key, 'ada%40', 'ada@', 'secret-name'])
    assert.ok(!log.includes(secret), secret);
});

test('health, readiness and figures are three things', async () => {
  await service.signals.idle();
  assert.deepEqual((await service.get('/health', { authorization: '' })).body, { status: 'ok' });
  assert.deepEqual((await service.get('/ready', { authorization: '' })).body, { status: 'ready' });
  assert.equal((await service.get('/metrics', { authorization: '' })).status, 401);
  const figures = await service.get('/metrics', { authorization: `Bearer ${TEST_KEY}` });
  assert.equal(figures.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(figures.text, /posthorn_signals_requests_total\{operation="getAccount",status="200"\} [1-9]/);
  assert.match(
    figures.text,
    /posthorn_signals_request_seconds_bucket\{operation="getAccount",le="\+Inf"\} [1-9]/,
  );
  assert.match(figures.text, /posthorn_signals_malformed_total [1-9]/);
  assert.match(figures.text, /posthorn_signals_ingest_pending_batches 0/);
});
