// What the Python ingest exerciser does: eight batches in a row, the failures of one, the description of the events.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { startTestService, TEST_KEY, type TestService } from '../../src/signals/test-service.ts';

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.stop());

const headers = {
  Authorization: TEST_KEY,
  'Content-Type': 'application/x-ndjson',
  'Content-Encoding': 'gzip',
  'User-Agent': 'python-requests/2.31.0',
  Accept: '*/*',
  'Accept-Encoding': 'gzip, deflate',
};

async function post(body: Uint8Array): Promise<string> {
  const response = await fetch(`${service.signals.url}/api/v1/ingest/events`, {
    method: 'POST',
    headers,
    body: Buffer.from(body),
  });
  const answer = (await response.json()) as { results: { id: unknown } };
  assert.equal(response.status, 200, JSON.stringify(answer));
  assert.equal(typeof answer.results.id, 'string');
  return answer.results.id as string;
}

type Made = [wrapper: string, type: string, more?: Record<string, unknown>];

let tick = Math.floor(Date.now() / 1000) - 600;
/** Events as the exerciser makes them: ten minutes ago, two seconds apart, the recipient hashed. */
function batch(events: readonly Made[], messageId = randomUUID()): Buffer {
  const recipient = `${randomUUID().slice(0, 8)}@not-gmail.example`;
  const lines = events.map(([wrapper, type, more = {}]) => {
    tick += 2;
    const event = {
      type,
      event_id: String(BigInt(`0x${randomUUID().replaceAll('-', '').slice(0, 15)}`)),
      timestamp: String(tick),
      subaccount_id: 0,
      message_id: messageId,
      rcpt_hash: createHash('sha1').update(recipient).digest('base64'),
      rcpt_domain: 'not-gmail.example',
      ...more,
    };
    return JSON.stringify({ msys: { [wrapper]: event } });
  });
  return gzipSync(`${lines.join('\n')}\n`);
}

const message = {
  ...{
    binding: 'mta-7',
    binding_group: 'promo',
    campaign_id: 'january',
    friendly_from: 'news@brand.example',
  },
  ...{ friendly_name: '', msg_from: 'bounce@brand.example', msg_size: '1337', open_tracking: true },
  ...{
    recv_method: 'esmtp',
    routing_domain: 'not-gmail.example',
    sending_ip: '192.0.2.17',
    subject: 'Hello',
  },
};
const delivered = { ...message, delv_method: 'esmtp', num_retries: '0' };
const { routing_domain: _, ...unrouted } = message;
const reply = {
  ...{ bounce_class: '10', error_code: '550' },
  ...{ reason: '550 5.1.1 no such user', raw_reason: '550 5.1.1 <a@b> no such user' },
};
const reader = {
  delv_method: 'esmtp',
  geo_ip: { country: 'US', latitude: 1.5, longitude: 2 },
  user_agent: 'Mozilla/5.0',
};
const click = { ...reader, target_link_url: 'https://brand.example/' };
const generated = {
  ...{
    message_id: undefined,
    campaign_id: 'january',
    friendly_from: 'news@brand.example',
    msg_from: 'b@brand.example',
  },
  ...{ raw_rcpt_to: 'a@b.example', recv_method: 'rest', template_id: 't', template_version: '1' },
  ...{ error_code: '550', reason: 'refused', raw_reason: 'refused' },
};

const first: readonly Made[] = [
  ['message_event', 'reception', message],
  ['message_event', 'delivery', delivered],
  ['track_event', 'initial_open', reader],
  ['track_event', 'open', reader],
  ['track_event', 'click', click],
  ['message_event', 'reception', message],
  ['message_event', 'delivery', delivered],
  ['track_event', 'amp_initial_open', reader],
  ['track_event', 'amp_open', reader],
  ['track_event', 'amp_click', click],
  ['message_event', 'reception', message],
  ['message_event', 'inband', { ...message, ...reply, msg_size: '' }],
];
const refused: readonly Made[] = [
  ['message_event', 'reception', message],
  ['message_event', 'tempfail', { ...unrouted, ...reply, delv_method: 'esmtp', queue_time: '3000' }],
  ['message_event', 'delivery', { ...delivered, num_retries: '1' }],
  [
    'message_event',
    'outofband',
    { ...reply, msg_from: 'b@brand.example', delv_method: 'esmtp', recv_method: 'esmtp' },
  ],
  ['message_event', 'reception', message],
  ['message_event', 'delivery', delivered],
  [
    'message_event',
    'feedback',
    { friendly_from: 'news@brand.example', delv_method: 'esmtp', fbtype: 'abuse', report_by: '' },
  ],
  [
    'message_event',
    'rejection',
    { ...reply, raw_rcpt_to: 'a@b.example', recv_method: 'esmtp', bounce_class: '25' },
  ],
  ['gen_event', 'gen_fail', generated],
  ['gen_event', 'gen_rejection', { ...generated, subject: 'Hello', bounce_class: '25' }],
  ['message_event', 'inband', { ...message, ...reply }],
];
const left: readonly Made[] = [
  ['message_event', 'reception', message],
  ['unsubscribe_event', 'list', { delv_method: 'esmtp', recv_method: 'esmtp' }],
  ['unsubscribe_event', 'link', { delv_method: 'esmtp', recv_method: 'esmtp', user_agent: 'Mozilla/5.0' }],
];

test('the eight batches are taken, and become what the real service made of them', async () => {
  const one = batch(first);
  const mixed: readonly Made[] = [
    ['message_evnt', 'reception', message],
    ['message_evnt', 'delivery', delivered],
    ['track_event', 'initial_open', reader],
    ['track_event', 'open', reader],
    ['track_event', 'click', click],
  ];
  const ids: string[] = [];
  for (const body of [
    one,
    gzipSync(''),
    gzipSync('{}\n'),
    Buffer.from([0x1f, 0x8b, 0x08, 0x00]),
    // Compressed again: other bytes, the same events.
    gzipSync(gunzipSync(one), { level: 1 }),
    batch(mixed),
    batch(refused),
    batch(left),
  ]) {
    ids.push(await post(body));
  }
  await service.signals.idle();
  const answer = await service.get(`/api/v1/events/ingest?batch_ids=${ids.join(',')}`);
  assert.equal(answer.body.total_count, 8);
  const outcomes = ids.map((id) => answer.body.results.find((o: { batch_id: string }) => o.batch_id === id));
  const counts = (o: Record<string, unknown>) => [
    o.type,
    o.error_type,
    o.number_succeeded,
    o.number_failed,
    o.number_duplicates,
    o.retryable,
  ];
  assert.deepEqual(outcomes.map(counts), [
    ['success', undefined, 12, undefined, 0, undefined],
    ['error', 'empty_batch', 0, 0, 0, false],
    ['error', 'validation', 0, 1, 0, false],
    ['error', 'decompress', 0, 0, 0, false],
    ['error', 'duplicate_batch', 0, 0, 12, false],
    ['error', 'validation', 3, 2, 0, false],
    ['success', undefined, 11, undefined, 0, undefined],
    ['success', undefined, 3, undefined, 0, undefined],
  ]);
  assert.equal(outcomes[5].href, `${service.signals.url}/api/v1/ingest/events/failures/${ids[5]}`);

  // The check of failures sends the headers of ingest with a GET that has no body.
  const failures = await fetch(outcomes[5].href, { headers });
  assert.equal(failures.status, 200);
  assert.match(failures.headers.get('content-disposition')!, /^attachment; filename="/);
  const lines = gunzipSync(Buffer.from(await failures.arrayBuffer()))
    .toString()
    .trim()
    .split('\n');
  assert.equal(lines.length, 2);
  for (const text of lines) {
    const { error, event } = JSON.parse(text);
    assert.ok(error);
    assert.ok(event.msys.message_evnt);
  }
  for (const id of [ids[0], randomUUID(), 'nonsense']) {
    const none = await fetch(`${service.signals.url}/api/v1/ingest/events/failures/${id}`, { headers });
    assert.equal(none.status, 404);
    assert.ok(((await none.json()) as { errors: { message: string }[] }).errors[0]!.message);
  }
});

test('a batch with a wrong key, too large or of another type is refused in JSON', async () => {
  const url = `${service.signals.url}/api/v1/ingest/events`;
  const body = batch(left);
  for (const [more, sent, status] of [
    [{ Authorization: '0'.repeat(40) }, body, 401],
    [{ 'Content-Type': 'application/json' }, body, 415],
    [{ 'Content-Encoding': 'identity' }, body, 415],
    [{}, Buffer.alloc(5 * 1024 * 1024 + 1), 413],
  ] as const) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...more },
      body: Buffer.from(sent),
    });
    assert.equal(response.status, status);
    assert.match(response.headers.get('content-type')!, /^application\/json/);
    assert.ok(((await response.json()) as { errors: { message: string }[] }).errors[0]!.message);
  }
});

test('the description of the events: names, what is required, what drives reports', async () => {
  const response = await fetch(`${service.signals.url}/api/v1/ingest/events/documentation`, {
    headers: { Accept: 'application/json' },
  });
  const { results } = (await response.json()) as {
    results: Record<
      string,
      { sampleValue: unknown; required?: boolean; reporting?: boolean; description: string }
    >[];
  };
  const names = results.map((event) => event.type!.sampleValue);
  for (const name of [
    'reception',
    'delivery',
    'inband',
    'tempfail',
    'outofband',
    'feedback',
    'gen_fail',
    'list',
  ]) {
    assert.ok(names.includes(name), name);
  }
  for (const event of results) {
    assert.ok(event.event_id!.required, String(event.type!.sampleValue));
    for (const [name, field] of Object.entries(event)) {
      assert.equal(typeof field.description, 'string', name);
      assert.ok(field.sampleValue !== undefined, name);
    }
  }
  assert.ok(results.some((event) => Object.values(event).some((field) => field.reporting)));
});
