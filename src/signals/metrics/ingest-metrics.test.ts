/** Batches of several nodes over two days; every answer of the metrics of ingest is held against a count of what was sent. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Clock, systemClock } from '../../system/clock.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { ingestMetricNames } from './definitions.ts';
import { randomOf } from './history-testing.ts';
import { type Bucket, bucketsBetween } from './recount-testing.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Clocks in Berlin go back on this day. */
const START = Date.parse('2026-10-24T20:00:00Z');
const END = Date.parse('2026-10-26T09:00:00Z');
let now = START;
const clock: Clock = { now: () => now, after: systemClock.after };

/** A batch as the test made it. */
interface Sent {
  readonly at: number;
  readonly node: string;
  readonly status: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly duplicates: number;
  /** Milliseconds that each accepted event came late by. */
  readonly late: readonly number[];
}

type Row = Record<string, number | string | null>;

const sent: Sent[] = [];
let service: TestService;

/** What a sender without a name of its own goes by. */
const LABEL = 'pmta in the cellar';

const ADMIN_LABEL = 'First key';

before(async () => {
  const retention = { events: 20_000, metrics: 20_000, messages: 20_000, batches: 20_000 };
  service = await startTestService({ clock, retention });
  const made = await service.send('POST', '/api/v1/api-keys', { label: LABEL, grants: ['events/ingest'] });
  const cellar = { authorization: made.body.results.key as string };
  const next = randomOf(7);
  for (let i = 0; i < 48; i++) {
    now += Math.floor(next() * 75 * MINUTE);
    // One node falls silent in the middle.
    const node = ['mta1.brand.example', 'mta2.brand.example', ''][Math.floor(next() * (i > 24 ? 2 : 3))]!;
    await send(node, node === '' ? cellar : {}, next);
  }
  now = END;
});
after(() => service.stop());

/** Events that were stored. */
const known: { readonly text: string; readonly at: number }[] = [];

/** Sends one batch; a node without a name is known by its key alone. */
async function send(node: string, headers: Record<string, string>, next: () => number): Promise<void> {
  const lines: string[] = [];
  const late: number[] = [];
  let [rejected, duplicates] = [0, 0];
  const fate = next();
  const fresh: typeof known = [];
  const size = fate < 0.1 ? 0 : 1 + Math.floor(next() * 30);
  for (let i = 0; i < size; i++) {
    const kind = next();
    const again = fate < 0.25 || kind < 0.2 ? known[Math.floor(next() * known.length)] : undefined;
    const named = node === '' ? {} : { node_name: node };
    // Some are a few seconds late, some hours, and some sender's clock is ahead.
    const ms = Math.round(next() < 0.8 ? next() * 40_000 - 2000 : next() * 20 * HOUR);
    if (again) {
      lines.push(again.text);
      // What comes a day late is refused, known or not.
      if (now - again.at >= 24 * HOUR) rejected++;
      else duplicates++;
    } else if (kind < 0.3 && fate < 0.6) {
      lines.push(line('delivery', { ...named, timestamp: undefined }));
      rejected++;
    } else {
      lines.push(line('delivery', { ...named, timestamp: ((now - ms) / 1000).toFixed(3) }));
      late.push(ms);
      fresh.push({ text: lines.at(-1)!, at: now - ms });
    }
  }
  const isBroken = fate > 0.9;
  const body = isBroken ? Buffer.from('not gzip at all') : gzipSync(lines.map((l) => `${l}\n`).join(''));
  const answer = await service.postBytes(body, headers);
  assert.equal(answer.status, 200, answer.text);
  await service.signals.idle();
  const names = isBroken ? [] : lines.flatMap((l) => /"node_name":"([^"]+)"/.exec(l)?.[1] ?? []);
  const sender = names[0] ?? (node === '' ? LABEL : ADMIN_LABEL);
  const common = { at: now, node: sender };
  if (isBroken) {
    sent.push({ ...common, status: 'decompress', accepted: 0, rejected: 0, duplicates: 0, late: [] });
    return;
  }
  known.push(...fresh);
  let status = 'success';
  if (lines.length === 0) status = 'empty_batch';
  else if (rejected > 0) status = 'validation';
  else if (late.length === 0) status = 'duplicate_batch';
  sent.push({ ...common, status, accepted: late.length, rejected, duplicates, late });
}

/** To a tenth of a second, above 100 seconds to three digits. */
function kept(ms: number): number {
  const seconds = Math.max(0, Math.round(ms / 100) / 10);
  return seconds < 100 ? seconds : Number(seconds.toPrecision(3));
}

/** `earlier`: batches until `end`, for the time since the newest. */
function recount(
  name: string,
  batches: readonly Sent[],
  earlier: readonly Sent[],
  end: number,
): number | null {
  const sum = (of: (b: Sent) => number) => batches.reduce((total, b) => total + of(b), 0);
  const failed = batches.filter((b) => b.status !== 'success').length;
  switch (name) {
    case 'ingest_batches':
      return batches.length;
    case 'ingest_batches_failed':
      return failed;
    case 'ingest_error_rate':
      return batches.length === 0 ? null : (100 * failed) / batches.length;
    case 'ingest_events_accepted':
      return sum((b) => b.accepted);
    case 'ingest_events_rejected':
      return sum((b) => b.rejected);
    case 'ingest_events_duplicate':
      return sum((b) => b.duplicates);
    case 'ingest_lag': {
      const lags = batches.flatMap((b) => b.late.map(kept)).sort((a, b) => a - b);
      // The least that 95 of 100 do not exceed.
      return lags.find((lag) => lags.filter((l) => l <= lag).length >= 0.95 * lags.length) ?? null;
    }
    case 'ingest_silence':
      return earlier.length === 0 ? null : (end - Math.max(...earlier.map((b) => b.at))) / 1000;
    default:
      throw new Error(`the recount knows no ${name}`);
  }
}

const inside = (b: Sent, bucket: Bucket) => bucket.minutes.has(Math.floor(b.at / MINUTE));
const endOf = (bucket: Bucket) => Math.min(now, (Math.max(...bucket.minutes) + 1) * MINUTE);

function compare(row: Row, own: readonly Sent[], buckets: readonly Bucket[], where: string): void {
  const end = endOf(buckets.at(-1)!);
  const has = Math.min(...buckets[0]!.minutes) * MINUTE <= now;
  for (const name of ingestMetricNames) {
    const batches = own.filter((b) => buckets.some((bucket) => inside(b, bucket)));
    const expected = recount(name, batches, has ? own.filter((b) => b.at < end) : [], end);
    assert.equal(row[name], expected, `${name} ${where}`);
  }
}

const get = async (path: string, parameters: Record<string, string>) => {
  const where = `/api/v1/metrics/${path}?${new URLSearchParams(parameters)}`;
  const answer = await service.get(where);
  assert.equal(answer.status, 200, `${where} ${answer.text}`);
  return { where, rows: answer.body.results as Row[] };
};
const all = ingestMetricNames.join(',');
const AROUND = Date.parse('2026-10-25T00:00:00Z');

test('the history has batches of every fate, and a node that fell silent', () => {
  assert.deepEqual([...new Set(sent.map((b) => b.status))].sort(), [
    'decompress',
    'duplicate_batch',
    'empty_batch',
    'success',
    'validation',
  ]);
  assert.ok(sent.some((b) => b.node === LABEL && b.accepted > 0) && sent.some((b) => b.node === ADMIN_LABEL));
  assert.ok(Math.max(...sent.filter((b) => b.node === LABEL).map((b) => b.at)) < END - 12 * HOUR);
});

test('time series and sums of any step, zone and filter equal a count of what was sent', async () => {
  const filters: [Record<string, string>, (b: Sent) => boolean][] = [
    [{}, () => true],
    [{ nodes: 'mta1.brand.example' }, (b) => b.node === 'mta1.brand.example'],
    [{ statuses: 'validation,decompress' }, (b) => /validation|decompress/.test(b.status)],
    [
      { nodes: `${LABEL},mta2.brand.example`, statuses: 'success' },
      (b) => b.status === 'success' && /cellar|mta2/.test(b.node),
    ],
    [{ subaccounts: '5' }, () => false],
  ];
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu']) {
    for (const [precision, from, to] of [
      ['1min', '2026-10-25T00:10', '2026-10-25T05:00'],
      ['15min', '2026-10-25T00:10', '2026-10-25T23:07'],
      ['hour', '2026-10-24T22:00', '2026-10-27T00:00'],
      ['day', '2026-10-24T22:00', '2026-10-26T07:00'],
    ] as const) {
      for (const [filter, matches] of filters) {
        const own = sent.filter(matches);
        const asked = { from, to, timezone: zone, precision, metrics: all, ...filter };
        const buckets = bucketsBetween(from, to, precision, zone, AROUND);
        const series = await get('ingest/time-series', asked);
        assert.deepEqual(
          series.rows.map((r) => r.ts),
          buckets.map((b) => b.ts),
          series.where,
        );
        for (const [i, bucket] of buckets.entries())
          compare(series.rows[i]!, own, [bucket], `${bucket.ts} ${series.where}`);
        const { rows, where } = await get('ingest', asked);
        assert.equal(rows.length, 1);
        compare(rows[0]!, own, buckets, where);
      }
    }
  }
});

test('groupings equal a count of what was sent; a silent node stays where its silence is asked for', async () => {
  const window = { from: '2026-10-25T20:00', to: '2026-10-26T08:00' };
  const buckets = bucketsBetween(window.from, window.to, '1min', 'UTC', AROUND);
  const within = sent.filter((b) => buckets.some((bucket) => inside(b, bucket)));
  for (const [path, key, of] of [
    ['node', 'node', (b: Sent) => b.node],
    ['status', 'ingest_status', (b: Sent) => b.status],
    ['subaccount', 'subaccount_id', () => 0],
  ] as [string, string, (b: Sent) => string | number][]) {
    for (const name of ingestMetricNames) {
      const { rows, where } = await get(`ingest/${path}`, { ...window, metrics: all, order_by: name });
      const values = new Set<string | number>(sent.map(of));
      assert.deepEqual(new Set(rows.map((r) => r[key])), values, where);
      for (const row of rows)
        compare(
          row,
          sent.filter((b) => of(b) === row[key]),
          buckets,
          `${row[key]} ${where}`,
        );
      const order = rows.map((r) => (r[name] === null ? Number.NEGATIVE_INFINITY : Number(r[name])));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => b - a),
        where,
      );
    }
    const { rows, where } = await get(`ingest/${path}`, {
      ...window,
      metrics: 'ingest_batches',
      limit: '100',
    });
    assert.deepEqual(new Set(rows.map((r) => r[key])), new Set<string | number>(within.map(of)), where);
    assert.equal(
      (await get(`ingest/${path}`, { ...window, metrics: 'ingest_batches', limit: '1' })).rows.length,
      1,
    );
  }
  const { rows } = await get('ingest/node', { ...window, metrics: 'ingest_silence', nodes: LABEL });
  assert.ok(Number(rows[0]!.ingest_silence) > 12 * 3600);
});

test('requests that make no sense are 400 and say why', async () => {
  for (const [where, param] of [
    ['ingest?metrics=ingest_lag', 'from'],
    ['ingest?from=2026-10-25T00:00', 'metrics'],
    ['ingest?from=2026-10-25T00:00&metrics=count_sent', 'metrics'],
    ['ingest?from=2026-10-25T00:00&metrics=constructor', 'metrics'],
    ['ingest?from=2026-10-25T00:00&metrics=ingest_lag&precision=week', 'precision'],
    ['ingest/time-series?from=2026-10-20T00:00&metrics=ingest_lag&precision=1min', 'precision'],
    ['ingest/node?from=2026-10-25T00:00&metrics=ingest_lag&order_by=node', 'order_by'],
    ['ingest/node?from=2026-10-25T00:00&metrics=ingest_lag&limit=0', 'limit'],
    ['ingest/node?from=2026-10-25T00:00&metrics=ingest_lag&statuses=good', 'statuses'],
    ['deliverability?from=2026-10-25T00:00&metrics=ingest_lag', 'metrics'],
  ]) {
    const answer = await service.get(`/api/v1/metrics/${where}`);
    assert.equal(answer.status, 400, where);
    assert.equal(answer.body.errors[0].param, param, where);
  }
});
