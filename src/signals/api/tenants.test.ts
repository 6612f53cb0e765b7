// A key of one subaccount at every end point: nothing of another one comes out, whatever it asks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { subaccountGrants } from '../accounts/grants.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { endpoints } from './endpoints.ts';

const OTHER = 9;
const OWN = 4;
/** Stands in everything that is the other's. */
const SECRET = 'tenant-nine';
/** Of all together and of the other, so that a sum of theirs is recognised. */
const OTHERS_EVENTS = 7391;
const OWN_EVENTS = 3;

let service: TestService;
let key: string;
let batch: string;
before(async () => {
  service = await startTestService({ eventAgeHours: 48 });
  const of = (subaccount: number, name: string, count: number) =>
    Array.from({ length: count }, (_, i) =>
      line(i % 2 === 0 ? 'reception' : 'inband', {
        subaccount_id: subaccount,
        campaign_id: name,
        template_id: name,
        subject: name,
        binding_group: name,
        rcpt_to: `${name}@${name}.example`,
        friendly_from: `a@from.${name}.example`,
        message_id: `${name}-${i}`,
        reason: `${name} is full`,
        bounce_class: '22',
        timestamp: String(Math.floor(Date.now() / 1000) - 300),
      }),
    );
  const outcome = await service.ingest([
    ...of(OTHER, SECRET, OTHERS_EVENTS),
    ...of(OWN, 'own', OWN_EVENTS),
    '{"nine": "tenant-nine"}',
  ]);
  batch = String(outcome.batch_id);
  const made = await service.send(
    'POST',
    '/api/v1/api-keys',
    { label: 'of four', grants: [...subaccountGrants] },
    { 'x-msys-subaccount': String(OWN) },
  );
  assert.equal(made.status, 200, made.text);
  key = made.body.results.key;
});
after(() => service.stop());

const from = new Date(Date.now() - 86_400_000).toISOString().slice(0, 16);
/** Whatever could widen what is asked for. */
const widening = [
  '',
  `?from=${from}`,
  `?from=${from}&subaccounts=${OTHER}`,
  `?from=${from}&subaccounts=0,${OWN},${OTHER}&metrics=count_injected,count_bounce`,
  `?from=${from}&metrics=count_injected&query_filters=${encodeURIComponent(`{"groupings":[{"OR":{"subaccounts":{"eq":["${OTHER}"]},"campaigns":{"like":["nine"]}}}]}`)}`,
  `?from=${from}&campaigns=${SECRET}&messages=${SECRET}-1&match=nine&filter=nine`,
  `?from=${from}&per_page=1&page=2`,
  `?include=usage`,
];

test('every GET: neither a name nor a sum of another subaccount', async () => {
  let good = 0;
  for (const endpoint of endpoints) {
    if (endpoint.method !== 'GET') continue;
    const path = endpoint.path.replace(/\{(\w+)\}/g, (_, name: string) =>
      name === 'id' ? (endpoint.path.includes('subaccounts') ? String(OTHER) : batch) : SECRET,
    );
    for (const query of widening) {
      const headers: Record<string, string>[] = [
        {},
        { 'x-msys-subaccount': String(OTHER) },
        { 'x-msys-subaccount': '0' },
      ];
      for (const header of headers) {
        const answer = await service.get(path + query, { authorization: key, ...header });
        assert.ok(answer.status < 500 && answer.status !== 429, `${path}${query} ${answer.text}`);
        if (answer.status === 200) good++;
        // What was asked for may stand in a fault or in the address of a next page.
        const told = JSON.stringify(answer.body?.results ?? answer.text.slice(0, 100_000));
        const label = `${endpoint.id} ${query} ${told.slice(0, 300)}`;
        if (answer.status === 200 && endpoint.access !== 'anyone') {
          assert.ok(!told.includes(SECRET), label);
          for (const n of [0, 1].map((r) => Math.ceil((OTHERS_EVENTS - r) / 2))) {
            assert.doesNotMatch(
              told,
              new RegExp(`\\b(${n}|${n + 1}|${n + 2}|${OTHERS_EVENTS + OWN_EVENTS})\\b`),
              label,
            );
          }
          if (answer.body?.total_count !== undefined) assert.ok(answer.body.total_count <= OWN_EVENTS, label);
        }
        if (answer.status >= 400) {
          const [error] = answer.body.errors;
          assert.equal(typeof error.message, 'string', label);
        }
      }
    }
  }
  assert.ok(good > 20);
});

test('a cursor of somebody who sees all shows a key of a subaccount its own events and no more', async () => {
  const all = await service.get(`/api/v1/events/message?from=${from}&per_page=1000`);
  assert.equal(all.body.total_count, OTHERS_EVENTS + OWN_EVENTS);
  let next: string | undefined = all.body.links.next;
  let pages = 0;
  while (next && pages++ < 3) {
    const page = await service.get(next, { authorization: key });
    assert.equal(page.status, 200, page.text);
    assert.ok(page.body.results.every((event: { subaccount_id: number }) => event.subaccount_id === OWN));
    next = (await service.get(next)).body.links.next;
  }
  assert.ok(pages > 1);
});

test('batches, failures, keys, erasure and ingest are not for a key of a subaccount', async () => {
  const own = { authorization: key };
  for (const [method, path, body] of [
    ['GET', `/api/v1/ingest/events/${batch}`],
    ['GET', `/api/v1/ingest/events/failures/${batch}`],
    ['GET', '/api/v1/ingest/status'],
    ['GET', '/api/v1/api-keys'],
    ['POST', '/api/v1/api-keys', { label: 'x', grants: ['metrics/view'] }],
    ['POST', '/api/v1/sign-in-links'],
    ['GET', '/metrics'],
    ['GET', '/api/v1/usage'],
    ['POST', '/api/v1/data-privacy/rtbf-request', { recipients: [`${SECRET}@${SECRET}.example`] }],
  ] as const) {
    const answer = await service.send(method, path, body, own);
    assert.equal(answer.status, 403, `${path} ${answer.text}`);
    assert.deepEqual(answer.body, { errors: [{ message: 'Forbidden.' }] }, path);
  }
  const post = await service.postBytes(Buffer.from('x'), own);
  assert.equal(post.status, 403);
  const found = await service.get(`/api/v1/events/ingest?batch_ids=${batch}`, own);
  assert.deepEqual([found.status, found.body.results], [200, []]);
  for (const grant of ['events/ingest', 'data_privacy/manage', 'metrics/view', 'api_keys/manage']) {
    const made = await service.send(
      'POST',
      '/api/v1/api-keys',
      { label: 'x', grants: [grant] },
      { 'x-msys-subaccount': String(OWN) },
    );
    assert.equal(made.status, 400, grant);
  }
});
