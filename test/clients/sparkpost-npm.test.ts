// The npm package "sparkpost", unmodified, against Signals: what it finds and how it is told what is not there.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import {
  eventId,
  line,
  startTestService,
  TEST_KEY,
  type TestService,
} from '../../src/signals/test-service.ts';

// biome-ignore lint/suspicious/noExplicitAny: a package without types
type Any = any;
const SparkPost = createRequire(import.meta.url)('sparkpost') as new (key: string, options: object) => Any;

let service: TestService;
let client: Any;
const now = Math.floor(Date.now() / 1000);

before(async () => {
  service = await startTestService();
  client = new SparkPost(TEST_KEY, { origin: service.signals.url });
  const lines: string[] = [];
  for (let i = 0; i < 40; i++) {
    const common = {
      timestamp: String(now - 3600 + i),
      message_id: `m-${i}`,
      rcpt_to: `r${i}@${i % 2 ? 'example.net' : 'example.org'}`,
      campaign_id: i % 4 ? 'spring-2024' : 'autumn',
      event_id: eventId(),
    };
    lines.push(line('reception', common), line('delivery', { ...common, event_id: eventId() }));
  }
  assert.equal((await service.ingest(lines)).type, 'success');
});
after(() => service.stop());

/** The error that a call ends with. */
const failure = (call: Promise<unknown>): Promise<Any> =>
  call.then(
    () => assert.fail('it was answered'),
    (error) => error,
  );

test('searchMessage takes arrays, gives the whole envelope, and its links lead through all pages', async () => {
  const page = await client.events.searchMessage({
    events: ['delivery', 'injection'],
    campaigns: ['spring-2024', 'autumn'],
    recipient_domains: ['example.net', 'example.org'],
    per_page: 30,
  });
  assert.equal(page.total_count, 80);
  assert.equal(page.results.length, 30);
  const seen = new Set(page.results.map((e: Any) => e.event_id));
  let next: string | undefined = page.links.next;
  let pages = 1;
  while (next) {
    assert.match(next, /^\/api\/v1\/events\/message\?/);
    const more = await client.get({ uri: `${service.signals.url}${next}` });
    for (const event of more.results) seen.add(event.event_id);
    ({ next } = more.links);
    pages++;
  }
  assert.equal(pages, 3);
  assert.equal(seen.size, 80);
  const one = await client.events.searchMessage({ events: 'delivery', messages: ['m-7'] });
  assert.equal(one.results.length, 1);
  assert.equal(one.results[0].rcpt_to, 'r7@example.net');
  assert.deepEqual(one.links, {});
});

test('the older search of message events is still answered, under its older names', async () => {
  const page = await client.messageEvents.search({ events: ['delivery'], campaign_ids: ['autumn'] });
  assert.equal(page.results.length, 10);
});

test('callbacks work as promises do', (_t, done) => {
  client.events.searchMessage({ per_page: 1 }, (error: Any, data: Any) => {
    assert.equal(error, null);
    assert.equal(data.results.length, 1);
    done();
  });
});

test('what webhooks send is described, with samples', async () => {
  const { results } = await client.webhooks.getDocumentation();
  assert.equal(results.message_event.events.delivery.event.type.sampleValue, 'delivery');
  const samples = await client.webhooks.getSamples({ events: 'bounce,click' });
  assert.deepEqual(
    samples.results.map((s: Any) => Object.values<Any>(s.msys)[0].type),
    ['bounce', 'click'],
  );
});

test('subaccounts, and the header that names one', async () => {
  await service.ingest([line('reception', { subaccount_id: 5 })]);
  const { results } = await client.get({ uri: 'subaccounts/5' }).catch((error: Any) => error);
  // The list is remembered for some seconds; either answer has SparkPost's shape.
  if (results) assert.equal(results.id, 5);
  const list = await client.subaccounts.list();
  assert.ok(Array.isArray(list.results));
  const scoped = new SparkPost(TEST_KEY, {
    origin: service.signals.url,
    headers: { 'X-MSYS-SUBACCOUNT': 5 },
  });
  assert.equal((await scoped.events.searchMessage({ per_page: 1 })).results.length, 1);
});

test('a fault is a SparkPostError: the reason phrase, the status, the errors', async () => {
  const wrong = await failure(client.events.searchMessage({ per_page: 20_000 }));
  assert.equal(wrong.name, 'SparkPostError');
  assert.equal(wrong.message, 'Bad Request');
  assert.equal(wrong.statusCode, 400);
  assert.match(wrong.errors[0].message, /per_page/);
  const stranger = new SparkPost('0'.repeat(40), { origin: service.signals.url });
  const unknown = await failure(stranger.events.searchMessage({}));
  assert.equal(unknown.message, 'Unauthorized');
  assert.deepEqual(unknown.errors, [{ message: 'Unauthorized.' }]);
});

test('what is not here yet, or not any more, is 404 with errors', async () => {
  const { templates, recipientLists, inboundDomains, relayWebhooks, sendingDomains } = client;
  for (const call of [
    () => templates.list(),
    () => templates.get('t'),
    () => recipientLists.list(),
    () => inboundDomains.list(),
    () => relayWebhooks.list(),
    () => sendingDomains.list(),
    () => client.webhooks.list(),
    () => client.suppressionList.list(),
    () => client.suppressionList.get('a+b@example.net'),
    () => client.subaccounts.get('999999'),
    () => client.transmissions.list(),
  ]) {
    const error = await failure(call());
    assert.equal(error.statusCode, 404, String(call));
    assert.equal(error.message, 'Not Found');
    assert.ok(Array.isArray(error.errors) && error.errors[0].message, String(call));
  }
});

test('a DELETE with a JSON type and no body is taken, answered 204 and an empty text', async () => {
  const made = await client.post({
    uri: 'api-keys',
    json: { label: 'for a while', grants: ['metrics/view'] },
  });
  assert.match(made.results.key, /^[0-9a-f]{40}$/);
  const answer = await client.delete({ uri: `api-keys/${made.results.id}` });
  assert.ok(answer === '' || answer === undefined);
  const again = await failure(client.delete({ uri: `api-keys/${made.results.id}` }));
  assert.equal(again.statusCode, 404);
});
