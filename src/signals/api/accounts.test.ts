import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../system/clock.ts';
import { Accounts } from '../accounts/accounts.ts';
import { type DocumentStore, openSqlite } from '../accounts/document-store.ts';
import { isUsername } from '../accounts/users.ts';
import { line, startTestService, type TestService } from '../test-service.ts';

let service: TestService;
let documents: DocumentStore;
let accounts: Accounts;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs, after: systemClock.after };
const DAY = 86_400_000;

before(async () => {
  service = await startTestService({ clock });
  // As "posthorn signals user" does it, beside the running service.
  documents = openSqlite(path.join(service.dir, 'accounts.db'));
  accounts = new Accounts(documents, clock.now);
  assert.equal(
    await accounts.users.add({ username: 'ada', access_level: 'reporting', email: 'ada@example.net' }),
    true,
  );
  assert.equal(await accounts.users.add({ username: 'ada', access_level: 'admin' }), false);
  assert.equal(await accounts.users.setPassword('ada', 'pässword of ada'), true);
  assert.equal(await accounts.users.setPassword('nobody', 'x'), false);
});
after(async () => {
  await documents.close();
  await service.stop();
});

const authenticate = (fields: Record<string, string>) =>
  service.send('POST', '/api/v1/authenticate', Buffer.from(String(new URLSearchParams(fields))), {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: `Basic ${Buffer.from('app:secret').toString('base64')}`,
  });
const password = { grant_type: 'password', username: 'ada', password: 'pässword of ada' };
const as = (token: string) => ({ authorization: token });

test('a user signs in by password; what is wrong is said as OAuth says it', async () => {
  const { status, body } = await authenticate(password);
  assert.equal(status, 200);
  assert.equal(body.token_type, 'Bearer');
  assert.equal(body.refresh_token, undefined);
  assert.equal((await service.get('/api/v1/users/ada', as(body.access_token))).status, 200);
  for (const [fields, error] of [
    [{ ...password, password: 'wrong' }, 'invalid_grant'],
    [{ ...password, username: 'nobody' }, 'invalid_grant'],
    [{ ...password, username: 'admin' }, 'invalid_grant'],
    [{ grant_type: 'password', username: 'ada' }, 'invalid_request'],
    [{ grant_type: 'refresh_token' }, 'invalid_request'],
    [{ grant_type: 'refresh_token', refresh_token: 'x'.repeat(43) }, 'invalid_grant'],
    [{ grant_type: 'client_credentials' }, 'unsupported_grant_type'],
  ] as const) {
    const answer = await authenticate(fields as Record<string, string>);
    assert.equal(answer.status, 400);
    assert.equal(answer.body.error, error, JSON.stringify(fields));
    assert.ok(answer.body.error_description);
  }
  aheadMs += 61_000;
});

test('a user who is remembered has new sessions from a refresh token, until it ends or the user signs out', async () => {
  const { body } = await authenticate({ ...password, rememberMe: 'true' });
  const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
  aheadMs += DAY;
  assert.equal((await service.get('/api/v1/account', as(body.access_token))).status, 401);
  const second = await authenticate(refresh);
  assert.equal(second.status, 200);
  assert.equal((await service.get('/api/v1/account', as(second.body.access_token))).status, 200);
  const third = await authenticate(refresh);
  assert.equal(third.status, 200, 'SparkPost’s web interface keeps the token it has');
  assert.equal(
    (await service.send('POST', '/api/v1/sign-out', undefined, as(third.body.access_token))).status,
    204,
  );
  assert.equal((await authenticate(refresh)).body.error, 'invalid_grant');
  const again = await authenticate({ ...password, rememberMe: 'true' });
  aheadMs += 14 * DAY + 1000;
  const late = await authenticate({ grant_type: 'refresh_token', refresh_token: again.body.refresh_token });
  assert.equal(late.body.error, 'invalid_grant');
});

test('a user who looks may not change, sees himself and no other; a removed one is out at once', async () => {
  const { access_token } = (await authenticate({ ...password, rememberMe: 'true' })).body;
  const session = as(access_token);
  const self = (await service.get('/api/v1/users/ada', session)).body.results;
  assert.equal(self.access_level, 'reporting');
  assert.equal(self.email, 'ada@example.net');
  assert.equal(self.password, undefined);
  assert.ok(Date.parse(self.last_login) > 0);
  assert.deepEqual((await service.get('/api/v1/users/ada/two-factor', session)).body.results, {
    username: 'ada',
    enabled: false,
    required: false,
  });
  assert.equal((await service.get('/api/v1/users/admin', session)).status, 403);
  assert.equal((await service.get('/api/v1/users', session)).status, 403);
  assert.equal((await service.get('/api/v1/api-keys', session)).status, 403);
  assert.equal((await service.get('/api/v1/metrics/campaigns', session)).status, 200);
  assert.equal(
    (await service.get('/api/v1/signals/health-score/?from=2024-01-01&to=2024-01-02', session)).status,
    200,
  );
  const grants = (await service.get('/api/v1/authenticate/grants', session)).body.results;
  assert.ok(grants.some((g: { key: string }) => g.key === 'metrics/view'));
  assert.ok(!grants.some((g: { key: string }) => g.key === 'api_keys/manage'));
  assert.equal((await service.get('/api/v1/users/ada')).status, 200, 'a key that manages users sees all');
  assert.equal((await service.get('/api/v1/users/nobody')).status, 404);
  assert.ok(!(await service.get('/api/v1/users')).text.includes('password'));
  await accounts.users.remove('ada');
  await accounts.sessions.endAllOf('ada');
  assert.equal((await service.get('/api/v1/account', session)).status, 401);
});

test('names that could be taken for something else are none', () => {
  for (const name of ['ada', 'ada@example.net', 'Ada.L-1', 'änne']) assert.ok(isUsername(name), name);
  for (const name of ['', '-x', '../x', 'a b', 'a/b', 'a\nb', '\u202ex', 'x'.repeat(129)])
    assert.ok(!isUsername(name), name);
});

test('the account lets the web interface show ingest, and tells what was sent', async () => {
  aheadMs = 0;
  await service.ingest([
    line('reception', { subaccount_id: 3 }),
    line('reception', { subaccount_id: '12' }),
    line('reception', {}),
  ]);
  const account = (await service.get('/api/v1/account?include=usage')).body.results;
  assert.equal(account.options.allow_events_ingest, true);
  assert.equal(account.status, 'active');
  assert.ok(account.usage.month.used >= account.usage.day.used);
  assert.ok((await service.get('/api/v1/usage')).body.results.messaging.month.used >= 0);
  assert.equal((await service.get('/api/v1/account')).body.results.usage, undefined);
});

test('subaccounts are those that events and keys have named: all of them, or a page when one is asked for', async () => {
  const key = { label: 'x', grants: ['message_events/view'] };
  const made = await service.send('POST', '/api/v1/api-keys', key, { 'x-msys-subaccount': '100' });
  aheadMs += 11_000;
  const whole = (await service.get('/api/v1/subaccounts')).body;
  assert.deepEqual(
    whole.results.map((s: { id: number }) => s.id),
    [100, 12, 3],
  );
  assert.equal(whole.total_count, undefined);
  assert.equal(whole.links, undefined);
  assert.deepEqual(whole.results[0], {
    id: 100,
    name: 'Subaccount 100',
    status: 'active',
    compliance_status: 'active',
  });
  const first = (await service.get('/api/v1/subaccounts?per_page=2&order=asc&sort_by=name')).body;
  assert.deepEqual(
    first.results.map((s: { id: number }) => s.id),
    [3, 12],
  );
  assert.equal(first.total_count, 3);
  assert.match(first.links.next, /^\/api\/v1\/subaccounts\?/);
  const second = (await service.get(first.links.next)).body;
  assert.deepEqual(
    second.results.map((s: { id: number }) => s.id),
    [100],
  );
  assert.deepEqual(second.links, {});
  assert.equal((await service.get('/api/v1/subaccounts?ids=3,12&name=account%2012')).body.total_count, 1);
  assert.equal((await service.get('/api/v1/subaccounts?status=suspended')).body.total_count, 0);
  assert.equal((await service.get('/api/v1/subaccounts?cursor=%25')).status, 400);
  assert.equal((await service.get('/api/v1/subaccounts?per_page=101')).status, 400);
  assert.deepEqual((await service.get('/api/v1/subaccounts/summary')).body, { results: { total: 3 } });
  assert.equal((await service.get('/api/v1/subaccounts/12')).body.results.id, 12);
  assert.equal((await service.get('/api/v1/subaccounts/13')).status, 404);
  // A subaccount's own key sees no batch of the others.
  const outcomes = await service.get('/api/v1/events/ingest', { authorization: made.body.results.key });
  assert.equal(outcomes.status, 200);
  assert.equal(outcomes.body.total_count, 0);
});
