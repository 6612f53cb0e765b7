// The uploaders of the field, by the requests they send: PowerMTA's connector, the engagement feeder written in Go, and
// Momentum's agent.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startTestService, TEST_KEY, type TestService } from '../../src/signals/test-service.ts';

let service: TestService;
const now = Math.floor(Date.now() / 1000);
before(async () => {
  service = await startTestService();
});
after(() => service.stop());

interface Posted {
  readonly status: number;
  readonly body: { readonly results?: { readonly id: string }; readonly errors?: { message: string }[] };
}

/** In chunks and without a length, as Go's client sends what it compresses on the way. */
function post(lines: readonly object[], headers: Record<string, string>): Promise<Posted> {
  const zipped = gzipSync(lines.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return new Promise((resolve, reject) => {
    const sent = request(
      `${service.signals.url}/api/v1/ingest/events`,
      {
        method: 'POST',
        headers: {
          Authorization: TEST_KEY,
          'Content-Type': 'application/x-ndjson',
          'Content-Encoding': 'gzip',
          'Transfer-Encoding': 'chunked',
          ...headers,
        },
      },
      async (response) => {
        let text = '';
        for await (const part of response.setEncoding('utf8')) text += part;
        resolve({ status: response.statusCode!, body: JSON.parse(text) });
      },
    );
    sent.on('error', reject);
    for (let i = 0; i < zipped.length; i += 50) sent.write(zipped.subarray(i, i + 50));
    sent.end();
  });
}

async function taken(answer: Posted): Promise<Record<string, unknown>> {
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal(answer.body.errors, undefined);
  assert.equal(typeof answer.body.results!.id, 'string');
  return service.outcome(answer.body.results!.id);
}

/** Rows of the search, newest first. */
// biome-ignore lint/suspicious/noExplicitAny: events of every shape
const found = async (query: string): Promise<any[]> => {
  const answer = await service.get(`/api/v1/events/message?to=${new Date().toISOString()}&${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.results;
};

const powermta = { 'User-Agent': 'PowerMTA' };
const reception = (customId: string, event: object) => ({
  msys: {
    message_event: {
      ...{
        type: 'reception',
        event_id: `${Math.floor(Math.random() * 2 ** 50)}`,
        timestamp: String(now - 120),
      },
      ...{ message_id: '0000a17c3e65f0d1b2c4', custom_message_id: customId, subaccount_id: 7 },
      ...{ binding: 'mta-7', binding_group: 'promo', campaign_id: 'job-1', sending_ip: '192.0.2.17' },
      ...{ friendly_from: 'news@brand.example', msg_from: 'b@brand.example', msg_size: '20480' },
      ...{ open_tracking: true, recv_method: 'esmtp', subject: 'Hello', fbtype: '', template_id: '' },
      ...event,
    },
  },
});

const go = { 'User-Agent': 'Go-http-client/1.1', 'Accept-Encoding': 'gzip' };
const engagement = (type: string, messageId: string, more: object = {}) => ({
  msys: {
    track_event: {
      type,
      delv_method: 'esmtp',
      event_id: String(2n ** 63n - 1n - BigInt(Math.floor(Math.random() * 2 ** 50))),
      ip_address: '198.51.100.7',
      geo_ip: { Country: '', Region: '', City: '', Latitude: 0, Longitude: 0, Zip: 0, PostalCode: '' },
      message_id: messageId,
      rcpt_to: '',
      timestamp: String(now - 90),
      target_link_url: '',
      user_agent: 'Mozilla/5.0 (X11; Linux x86_64)',
      subaccount_id: 0,
      ...more,
    },
  },
});

test('opens of the feeder get recipient, campaign and pool from the connector’s mail, whichever comes first', async () => {
  assert.equal(
    (
      await taken(
        await post([reception('after-1', { rcpt_to: 'Ada@Example.NET', subaccount_id: 0 })], powermta),
      )
    ).type,
    'success',
  );
  const outcome = await taken(
    await post(
      [
        engagement('initial_open', 'after-1'),
        engagement('open', 'after-1'),
        engagement('click', 'before-1', { target_link_url: 'https://brand.example/x' }),
      ],
      go,
    ),
  );
  assert.equal(outcome.type, 'success');
  assert.equal(outcome.number_succeeded, 3);
  const [open] = await found('events=open');
  assert.equal(open.message_id, 'after-1');
  assert.equal(open.rcpt_to, 'ada@example.net');
  assert.equal(open.raw_rcpt_to, 'Ada@Example.NET');
  assert.equal(open.campaign_id, 'job-1');
  assert.equal(open.ip_pool, 'promo');
  assert.equal(open.sending_domain, 'brand.example');
  assert.equal(open.target_link_url, undefined, 'an empty text is nothing');
  assert.ok(BigInt(open.event_id) > 2n ** 62n, 'an id beyond the integers of JSON is kept as it is');
  assert.ok(open.geo_ip?.latitude !== 0, 'no data is not the Gulf of Guinea');

  const [orphan] = await found('events=click');
  assert.equal(orphan.campaign_id, undefined);
  await taken(
    await post([reception('before-1', { rcpt_to: 'bob@example.org', subaccount_id: 0 })], powermta),
  );
  const [click] = await found('events=click');
  assert.equal(click.event_id, orphan.event_id);
  assert.equal(click.rcpt_to, 'bob@example.org');
  assert.equal(click.campaign_id, 'job-1');
  assert.equal(click.target_link_url, 'https://brand.example/x');
  assert.equal((await found('campaigns=job-1&events=click,open,initial_open')).length, 3);
});

test('a feeder that reads errors finds them in JSON', async () => {
  const refused = await post([engagement('open', 'x')], { ...go, Authorization: '0'.repeat(40) });
  assert.equal(refused.status, 401);
  assert.equal(refused.body.errors![0]!.message, 'Unauthorized.');
});

test('recipients that PowerMTA has hashed are found by their address, and by the hash in either form', async () => {
  const address = 'cleo@example.net';
  const hex = createHash('sha1').update(address).digest('hex');
  const base64 = createHash('sha1').update(address).digest('base64');
  const hashed = (rcpt_hash: string, id: string) =>
    reception(id, { rcpt_hash, rcpt_domain: 'example.net', rcpt_to: undefined });
  const outcome = await taken(
    await post(
      [hashed(hex, 'hashed-1'), hashed(base64, 'hashed-2'), reception('hashed-3', { rcpt_hash: hex })],
      powermta,
    ),
  );
  assert.equal(outcome.number_succeeded, 2);
  assert.equal(outcome.number_failed, 1, 'a hash without its domain is not valid');
  for (const recipient of ['Cleo@Example.net', hex, hex.toUpperCase(), base64]) {
    const rows = await found(`recipients=${encodeURIComponent(recipient)}`);
    assert.deepEqual(rows.map((row) => row.message_id).sort(), ['hashed-1', 'hashed-2'], recipient);
    assert.ok(rows.every((row) => !row.rcpt_to && row.recipient_domain === 'example.net'));
  }
  assert.equal((await found('subaccounts=7')).length, 2, 'subaccounts need not be created');
});

test('several nodes send the same and old things, in any order: each event counts once', async () => {
  const event = reception('many-1', { rcpt_to: 'dora@example.net', event_id: '77' });
  const answers = await Promise.all(Array.from({ length: 6 }, () => post([event], powermta)));
  const outcomes = await Promise.all(answers.map(taken));
  assert.deepEqual(outcomes.map((o) => o.error_type ?? o.type).sort(), [
    'duplicate_batch',
    'duplicate_batch',
    'duplicate_batch',
    'duplicate_batch',
    'duplicate_batch',
    'success',
  ]);
  assert.equal((await found('messages=many-1')).length, 1);
});

test('Momentum’s own forms are taken: booleans and numbers as texts, fractions of seconds, fields of its own', async () => {
  const momentum = (type: string, id: string, more: object) => ({
    msys: {
      message_event: {
        ...{ type, event_id: id, timestamp: `${now - 60}.123456`, message_id: 'momentum-1' },
        ...{
          rcpt_to: 'eve@example.net',
          subaccount_id: '31',
          msg_size: 1234,
          num_retries: 2,
          queue_time: '900',
        },
        ...{ open_tracking: '1', click_tracking: '0', initial_pixel: 'true', amp_enabled: false },
        ...{ node_name: 'mta1', conn_key: 'k', conn_stage: '5', pathway: 'default', pathway_group: 'g' },
        ...{ binding: 'b1', binding_group: 'bg1', campaign_id: 'momentum', transactional: '0' },
        ...{ X_Own_Field: { nested: ['things'] }, rcpt_meta: { plan: ['a'] }, rcpt_tags: ['t'] },
        ...more,
      },
    },
  });
  const outcome = await taken(
    await post(
      [
        momentum('delivery', '901', {}),
        momentum('reception', '900', { num_retries: undefined }),
        momentum('inband', '902', {
          bounce_class: 10,
          error_code: 550,
          reason: '550 no',
          raw_reason: '550 no',
        }),
      ],
      {},
    ),
  );
  assert.equal(outcome.type, 'success');
  assert.equal(outcome.number_succeeded, 3);
  const rows = await found('messages=momentum-1');
  const delivery = rows.find((row) => row.type === 'delivery');
  assert.equal(delivery.subaccount_id, 31);
  assert.equal(delivery.open_tracking, true);
  assert.equal(delivery.click_tracking, false);
  assert.equal(delivery.initial_pixel, true);
  assert.equal(delivery.msg_size, '1234');
  assert.equal(delivery.num_retries, '2');
  assert.match(delivery.timestamp, /\.123Z$/);
  assert.equal(delivery.sending_ip, 'b1');
  assert.deepEqual(delivery.rcpt_meta, { plan: ['a'] });
  for (const name of ['node_name', 'conn_key', 'pathway', 'X_Own_Field', 'binding']) {
    assert.ok(!(name in delivery), name);
  }
  assert.equal(rows.find((row) => row.type === 'bounce').bounce_class, '10');
});
