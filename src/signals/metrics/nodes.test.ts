import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { line, startTestService, type TestService } from '../test-service.ts';

// Which VMTA and node an event belongs to. That all counts by them are right is proved in recount.test.ts.

const NOW = Date.now();
const day = `from=${new Date(NOW - 86_400_000).toISOString().slice(0, 16)}`;
let service: TestService;
const keys = new Map<string, string>();

before(async () => {
  service = await startTestService();
  for (const label of ['mta-host', 'tracker']) {
    const made = await service.send('POST', '/api/v1/api-keys', { label, grants: ['events/ingest'] });
    keys.set(label, made.body.results.key);
  }
});
after(() => service.stop());

/** A batch that came with the key of this label. */
async function upload(label: string, lines: readonly string[]): Promise<void> {
  const body = gzipSync(lines.map((l) => `${l}\n`).join(''));
  const answer = await service.postBytes(body, { authorization: keys.get(label)! });
  assert.equal(answer.status, 200, answer.text);
  await service.signals.idle();
}

/** A line of five minutes ago. */
const event = (type: string, message: string, more: object = {}) =>
  line(type, { message_id: message, timestamp: String(NOW / 1000 - 300), ...more });

const get = async (where: string) => {
  const answer = await service.get(`/api/v1/metrics/${where}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.results;
};

/** Value of the grouping → count, of one campaign. */
const by = async (grouping: 'vmta' | 'node', metric: string, campaign: string) => {
  const rows = await get(`deliverability/${grouping}?${day}&metrics=${metric}&campaigns=${campaign}`);
  return Object.fromEntries(rows.map((row: Record<string, unknown>) => [row[grouping], row[metric]]));
};

test('the node is what the event says, else the uploader; of engagement that of its message', async () => {
  const campaign_id = 'known';
  const named = { campaign_id, binding: 'mta-7', node_name: 'mta1.brand.example' };
  await upload('mta-host', [
    event('reception', 'a', named),
    event('reception', 'b', { campaign_id, binding: 'mta-8', sending_ip: '192.0.2.1' }),
  ]);
  await upload('tracker', [
    event('open', 'a'),
    event('click', 'b'),
    event('feedback', 'a', { node_name: 'reports.brand.example' }),
  ]);
  assert.deepEqual(await by('node', 'count_injected', 'known'), { 'mta1.brand.example': 1, 'mta-host': 1 });
  assert.deepEqual(await by('vmta', 'count_injected', 'known'), { 'mta-7': 1, 'mta-8': 1 });
  assert.deepEqual(await by('node', 'count_unique_rendered', 'known'), {
    'mta1.brand.example': 1,
    'mta-host': 0,
  });
  assert.deepEqual(await by('node', 'count_clicked', 'known'), { 'mta1.brand.example': 0, 'mta-host': 1 });
  assert.deepEqual(await by('vmta', 'count_clicked', 'known'), { 'mta-7': 0, 'mta-8': 1 });
  assert.deepEqual(await by('node', 'count_spam_complaint', 'known'), {
    'mta1.brand.example': 1,
    'mta-host': 0,
  });
});

test('engagement without a message is of the node it names, or of none, until its injection comes', async () => {
  const campaign_id = 'late';
  await upload('tracker', [
    event('open', 'c', { campaign_id }),
    event('open', 'c', { campaign_id, node_name: 'reports.brand.example' }),
  ]);
  assert.deepEqual(await by('node', 'count_rendered', 'late'), { 'reports.brand.example': 1 });
  assert.deepEqual(await by('vmta', 'count_rendered', 'late'), {});
  await upload('mta-host', [event('reception', 'c', { campaign_id, binding: 'mta-7' })]);
  assert.deepEqual(await by('node', 'count_rendered', 'late'), { 'mta-host': 2 });
  assert.deepEqual(await by('node', 'count_unique_rendered', 'late'), { 'mta-host': 1 });
  assert.deepEqual(await by('vmta', 'count_rendered', 'late'), { 'mta-7': 2 });
});

test('by VMTA and node reports are filtered and lists answered; search does not show them', async () => {
  const one = async (filter: string) =>
    (await get(`deliverability?${day}&metrics=count_injected&${filter}`))[0].count_injected;
  assert.equal(await one('vmtas=mta-7'), 2);
  assert.equal(await one('vmtas=mta-7,mta-8&nodes=mta-host'), 2);
  assert.equal(await one('nodes=mta1.brand.example'), 1);
  const filters = { groupings: [{ AND: { nodes: { like: ['BRAND'] }, vmtas: { notEq: ['mta-8'] } } }] };
  assert.equal(await one(`query_filters=${encodeURIComponent(JSON.stringify(filters))}`), 1);
  const reasons = await get(`deliverability/bounce-reason?${day}&metrics=count_bounce&nodes=mta-host`);
  assert.deepEqual(reasons, []);
  await upload('mta-host', [event('inband', 'b', { binding: 'mta-8', reason: '550 5.1.1 gone' })]);
  for (const [filter, n] of [
    ['nodes=mta-host', 1],
    ['vmtas=mta-8', 1],
    ['vmtas=mta-7', 0],
  ] as const) {
    const rows = await get(`deliverability/bounce-reason?${day}&metrics=count_bounce&${filter}`);
    assert.equal(rows.length, n, filter);
  }
  assert.deepEqual(await get('vmtas?match=MTA'), { vmtas: ['mta-7', 'mta-8'] });
  assert.deepEqual(await get('nodes?match=Mta'), { nodes: ['mta-host', 'mta1.brand.example'] });
  const { body } = await service.get('/api/v1/events/message?messages=a&events=injection');
  assert.equal(body.results.length, 1);
  assert.ok(!('vmta' in body.results[0]) && !('node' in body.results[0]));
});
