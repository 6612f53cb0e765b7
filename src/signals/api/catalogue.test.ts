/**
 * Every metric of the interface's catalogue has a place where it is served, or stands here as one of a part that is
 * not built. `catalogue-keys.testing.json` holds the catalogue's keys by group.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ingestMetricNames, metricNames } from '../metrics/definitions.ts';
import { components } from '../score/model/components.ts';
import { defaultModel } from '../score/model/score-model.ts';
import { addDays, dayOf } from '../score/refresh/days.ts';
import { cohorts, responses } from '../score/sums.ts';
import { line, startTestService, type TestService } from '../test-service.ts';

const groups = JSON.parse(
  readFileSync(new URL('./catalogue-keys.testing.json', import.meta.url), 'utf8'),
) as Record<string, readonly string[]>;
const keysOf = (...names: string[]) => names.flatMap((name) => groups[name]!);

/** Parts that are not built. Of placement six names are SparkPost's, answered 0: nobody measures them here. */
const notBuilt = ['mta', 'warm_up', 'webhooks', 'placement'];
const unmeasured = [
  'count_inbox_panel',
  'count_spam_panel',
  'count_inbox_seed',
  'count_spam_seed',
  'count_moved_to_inbox',
  'count_moved_to_spam',
];

/** Of events, though the catalogue has them beside what is of batches. */
const ofEvents = ['event_completeness', 'count_injected_due', 'count_resolved'];

const yesterday = addDays(dayOf(Date.now()), -1);
const window = `from=${yesterday}T00:00&to=${yesterday}T23:59&precision=day`;
let service: TestService;
let dir: string;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'posthorn-catalogue-'));
  const scoreModelFile = path.join(dir, 'model.json');
  await writeFile(scoreModelFile, JSON.stringify({ ...defaultModel.source, minimum_tracked_injections: 1 }));
  service = await startTestService({ scoreModelFile, eventAgeHours: 72, scoreRefreshMs: 86_400_000 });
  const timestamp = String(Date.parse(`${yesterday}T12:00:00Z`) / 1000);
  const mail = { timestamp, message_id: 'm', open_tracking: true, campaign_id: 'spring', num_retries: '0' };
  await service.ingest(
    ['reception', 'delivery', 'open', 'click'].map((type) =>
      line(type, { ...mail, binding: 'mta-7', node_name: 'mta1' }),
    ),
  );
  await service.signals.refreshScores();
});
after(async () => {
  await service.stop();
  await rm(dir, { recursive: true, force: true });
});

const get = async (where: string) => {
  const answer = await service.get(`/api/v1/${where}`);
  assert.equal(answer.status, 200, `${where} ${answer.text}`);
  return answer.body.results;
};

test('metrics of injection, delivery and engagement: over a window, by time, by group, and to sort by', async () => {
  for (const key of [...keysOf('injection', 'delivery', 'engagement'), ...ofEvents, ...unmeasured]) {
    const [row] = await get(`metrics/deliverability?${window}&metrics=${key}`);
    assert.ok(key in row, key);
    const [bucket] = await get(`metrics/deliverability/time-series?${window}&metrics=${key}`);
    assert.ok(key in bucket, key);
    for (const [grouping, of] of [
      ['campaign', 'campaign_id'],
      ['vmta', 'vmta'],
      ['node', 'node'],
    ]) {
      const [first] = await get(`metrics/deliverability/${grouping}?${window}&metrics=${key}`);
      assert.deepEqual(Object.keys(first), [of, key]);
    }
    await get(`metrics/deliverability/node?${window}&metrics=count_sent&order_by=${key}`);
  }
});

test('metrics of ingest: over a window, by time, by group, and to sort by', async () => {
  const today = `from=${dayOf(Date.now())}T00:00`;
  for (const key of keysOf('ingest').filter((k) => !ofEvents.includes(k))) {
    const [row] = await get(`metrics/ingest?${today}&metrics=${key}`);
    assert.equal(typeof row[key], 'number', key);
    const series = await get(`metrics/ingest/time-series?${today}&precision=day&metrics=${key}`);
    assert.equal(typeof series[0][key], 'number', key);
    const by = await get(`metrics/ingest/node?${today}&metrics=ingest_batches,${key}&order_by=${key}`);
    assert.equal(by[0].node, 'mta1');
    assert.equal(typeof by[0][key], 'number', key);
  }
});

type Row = Record<string, unknown> & { readonly history: readonly Record<string, unknown>[] };

test('scores, their parts, spam traps and cohorts: each key has its field in a report', async () => {
  const days = `from=${yesterday}&to=${yesterday}`;
  const row = async (dimension: string): Promise<Row> =>
    (await get(`signals/${dimension}/campaign_id?${days}&filter=spring`)).data[0];
  const health = await row('health-score');
  const traps = await row('spam-hits');
  const recency = await row('cohort-engagement');
  const behaviour = {
    eng: await row('eng-cohort'),
    unsub: await row('unsub-cohort'),
    fbl: await row('fbl-cohort'),
  };
  const served = new Map<string, unknown>();
  const day = ({ history }: Row) => history[0]!;

  for (const name of ['health_score', 'health_score_dod', 'health_score_wow'])
    served.set(name, day(health)[name]);
  for (const name of ['average', 'high', 'low'])
    served.set(`health_score_${name}`, health[`health_score_${name}`]);
  served.set('signals_injections', day(traps).injections);
  const weights = day(health).weights as readonly Record<string, unknown>[];
  for (const [key, type] of Object.entries(componentKeys)) {
    const part = weights.find((w) => w.weight_type === type);
    assert.ok(part, `${key}: ${type}`);
    served.set(key, part.weight_value);
    served.set(`${key}_points`, part.weight);
  }
  for (const kind of ['', '_recycled', '_typo', '_parked']) {
    served.set(`trap_hits${kind}`, day(traps)[`trap_hits${kind}`]);
    served.set(`relative_trap_hits${kind}`, day(traps)[`relative_trap_hits${kind}`]);
  }
  for (const cohort of [...cohorts, 'total']) {
    served.set(`c_${cohort}`, day(recency)[`c_${cohort}`]);
    if (cohort !== 'total') served.set(`share_${cohort}`, day(recency)[`relative_c_${cohort}`]);
    for (const drew of responses) {
      for (const name of [`c_${cohort}_${drew}`, `p_${cohort}_${drew}`]) {
        served.set(name, day(behaviour[drew])[name]);
      }
    }
  }
  const wanted = keysOf('health', 'health_components', 'spam_traps', 'cohorts');
  assert.deepEqual([...served.keys()].sort(), [...wanted].sort());
  // A key is there even where it has no value: a share of nothing, a change from nothing.
  for (const [key, value] of served) assert.notEqual(value, undefined, key);
});

/** Key of the catalogue → name on the wire. */
const componentKeys: Readonly<Record<string, string>> = {
  hc_list_quality: 'List Quality',
  hc_hard_bounces: 'Hard Bounces',
  hc_block_bounces: 'Block Bounces',
  hc_complaints: 'Complaints',
  hc_transient_failures: 'Transient Failures',
  hc_other_bounces: 'Other bounces',
  hc_engaged_recipients: 'eng cohorts: new, 14-day',
  hc_unengaged_recipients: 'eng cohorts: unengaged',
  hc_spam_trap_hits: 'Spam Trap Hits',
  hc_suppression_hits: 'Suppression Hits',
  hc_historical_engagement: 'Historical Engagement',
  hc_unsubscribes: 'Unsubscribes',
};

test('what is not built is refused, and nothing of the catalogue is neither here nor there', () => {
  const served = new Set([...metricNames, ...ingestMetricNames]);
  const refused = keysOf(...notBuilt).filter((key) => !unmeasured.includes(key));
  assert.deepEqual(
    refused.filter((key) => served.has(key)),
    [],
    'what is served stands above',
  );
  const tested = [
    'injection',
    'delivery',
    'engagement',
    'ingest',
    'health',
    'health_components',
    'spam_traps',
    'cohorts',
  ];
  assert.deepEqual(Object.keys(groups).sort(), [...tested, ...notBuilt].sort());
  assert.equal(Object.keys(componentKeys).length, components.length);
});
