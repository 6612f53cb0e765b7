import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Accounts } from '../accounts/accounts.ts';
import { openSqlite } from '../accounts/document-store.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { parameterReads } from './declared-query.ts';
import type { Endpoint } from './endpoint.ts';
import { endpoints } from './endpoints.ts';

let service: TestService;
/** A batch of which one event failed. */
let batch: string;

const PASSWORD = 'a long sentence';

before(async () => {
  service = await startTestService({ version: '9.9.9' });
  const documents = openSqlite(path.join(service.dir, 'accounts.db'));
  await new Accounts(documents, Date.now).users.setPassword('admin', PASSWORD);
  await documents.close();
  const outcome = await service.ingest([line('reception', { subaccount_id: 12 }), '{}']);
  batch = String(outcome.batch_id);
});
after(() => service.stop());

test('the document is valid OpenAPI 3.1 and says everything that is served', async () => {
  const answer = await service.get('/api/v1/openapi.json', { authorization: '' });
  assert.equal(answer.status, 200);
  const checked = await new Validator().validate(answer.body);
  assert.ok(checked.valid, JSON.stringify(checked.errors, null, 1));
  assert.equal(answer.body.openapi, '3.1.0');
  assert.equal(answer.body.info.version, '9.9.9');
  const ids = endpoints.map((e) => e.id);
  assert.equal(new Set(ids).size, ids.length, 'an operationId names one operation');
  for (const { path: url, method, parameters } of endpoints) {
    const operation = answer.body.paths[url][method.toLowerCase()];
    assert.ok(operation, `${method} ${url}`);
    const inPath = [...url.matchAll(/\{(\w+)\}/g)].map((m) => m[1]);
    assert.deepEqual(
      parameters.filter((p) => p.in === 'path').map((p) => p.name),
      inPath,
      url,
    );
    assert.equal(new Set(parameters.map((p) => p.name)).size, parameters.length, `${url}: a parameter twice`);
    for (const { name, schema } of parameters) {
      const values = (schema.enum ?? []) as readonly string[];
      assert.equal(new Set(values).size, values.length, `${url}: a value of ${name} twice`);
    }
  }
});

/** What stands in place of examples that can only be known when the service runs. */
async function prepared(endpoint: Endpoint): Promise<{ id?: string; body?: object; authorization?: string }> {
  const linkToken = async () =>
    (await service.send('POST', '/api/v1/sign-in-links')).body.results.token as string;
  switch (endpoint.id) {
    case 'getIngestBatch':
    case 'getIngestFailures':
      return { id: batch };
    case 'deleteApiKey': {
      const made = await service.send('POST', '/api/v1/api-keys', { label: 'x', grants: ['metrics/view'] });
      return { id: made.body.results.id };
    }
    case 'authenticate':
      return { body: { grant_type: 'password', username: 'admin', password: PASSWORD } };
    case 'signIn':
      return { body: { token: await linkToken() } };
    case 'signOut': {
      const session = await service.send('POST', '/api/v1/sign-in', { token: await linkToken() });
      return { authorization: session.body.results.access_token };
    }
    default:
      return {};
  }
}

/** Calls an end point with the documented examples of these parameters. */
async function call(endpoint: Endpoint, names: ReadonlySet<string>) {
  const fixture = await prepared(endpoint);
  const query = new URLSearchParams();
  const headers: Record<string, string> = {};
  let url = endpoint.path;
  for (const p of endpoint.parameters) {
    if (p.in === 'path') url = url.replace(`{${p.name}}`, encodeURIComponent(fixture.id ?? p.example));
    else if (!names.has(p.name)) continue;
    else if (p.in === 'query') query.set(p.name, p.example);
    else headers[p.name] = p.example;
  }
  if (fixture.authorization) headers.authorization = fixture.authorization;
  const { body } = endpoint;
  if (body && 'stream' in body) {
    return service.postBytes(gzipSync(line('reception')));
  }
  const sent = body ? (fixture.body ?? body.example) : undefined;
  return service.send(endpoint.method, `${url}?${query}`, sent, headers);
}

test('every documented parameter is read, no other is, and documented examples are answered as documented', async () => {
  const read = new Map<string, Set<string>>();
  const listener = (message: unknown) => {
    const { endpoint, name } = message as { endpoint: string; name: string };
    const names = read.get(endpoint) ?? new Set();
    read.set(endpoint, names.add(name));
  };
  parameterReads.subscribe(listener);
  try {
    for (const endpoint of endpoints) {
      const required = endpoint.parameters.filter((p) => p.required && p.in !== 'path').map((p) => p.name);
      const optional = endpoint.parameters.filter((p) => !p.required && p.in !== 'path').map((p) => p.name);
      const right = async (names: readonly string[]) => {
        const answer = await call(endpoint, new Set(names));
        assert.equal(
          answer.status,
          endpoint.good.status,
          `${endpoint.id} with ${names.join(', ')}: ${answer.text}`,
        );
      };
      // query_filters puts the simple filters out of force, so it comes by itself.
      await right([...required, ...optional.filter((name) => name !== 'query_filters')]);
      const unread = [...required, ...optional].filter((name) => !read.get(endpoint.id)?.has(name));
      for (const name of unread) await right([...required, name]);
      const never = [...required, ...optional].filter((name) => !read.get(endpoint.id)?.has(name));
      assert.deepEqual(never, [], `${endpoint.id} documents what it does not read`);
    }
  } finally {
    parameterReads.unsubscribe(listener);
  }
});

test('unknown parameters and fields are ignored, empty values are absent ones', async () => {
  const { get, send } = service;
  assert.equal((await get('/api/v1/events/message?nothing=1&events=&per_page=&__proto__=1')).status, 200);
  assert.equal(
    (await get('/api/v1/metrics/deliverability/delay-reason?metrics=&from=2024-01-01T00:00&precision=day'))
      .status,
    200,
  );
  const made = await send('POST', '/api/v1/api-keys', { label: 'x', grants: ['metrics/view'], other: [1] });
  assert.equal(made.status, 200);
  const empty = await send('POST', '/api/v1/api-keys', { label: '', grants: ['metrics/view'] });
  assert.deepEqual(empty.body, {
    errors: [{ message: "'label' is required", code: '1400', param: 'label' }],
  });
});

test('values that no declaration allows are 400 with the name of the parameter', async () => {
  for (const [url, param, message] of [
    ['events/message?per_page=0', 'per_page', /whole number from 1 to 10000/],
    ['events/message?per_page=1e3', 'per_page', /whole number/],
    ['events/message?events=delivery,nothing', 'events', /does not exist: nothing/],
    ['events/message?bounce_classes=x', 'bounce_classes', /whole number/],
    ['events/ingest?retryable=perhaps', 'retryable', /one of true, false/],
    ['metrics/deliverability?metrics=count_sent', 'from', /^'from' is required$/],
    ['metrics/deliverability?from=2024-01-01T00:00', 'metrics', /^'metrics' is required$/],
    ['metrics/deliverability?from=2024-01-01T00:00&metrics=a;b&delimiter=;', 'metrics', /does not exist: a/],
  ] as const) {
    const answer = await service.get(`/api/v1/${url}`);
    assert.equal(answer.status, 400, url);
    assert.equal(answer.body.errors[0].param, param, url);
    assert.match(answer.body.errors[0].message, message);
    assert.ok(answer.body.errors[0].code, url);
  }
});
