/**
 * How fast the questions of dashboards are answered over many events, through the HTTP API: every call that our web
 * interface and SparkPost's make, and what they become with filters. Each is asked again and again with other campaigns,
 * domains and messages; page cache warm, as after the first minutes of a day's work.
 *
 *   node bench/query.ts [--events 5000000] [--days 30] [--rounds 20] [--data DIR] [--json FILE] [--lookups]
 *
 * With --data the store is kept there and used again. What only ingest looks into is left empty unless --lookups is
 * given: no dashboard reads it, and it doubles the time to fill. On a machine that does other things too, the processor
 * time of a question says more than its time by the clock: it is all that the question costs, in this process too.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Signals, startSignals } from '../src/signals/server.ts';
import { openEmbedded } from '../src/signals/store/engine.ts';
import { defaultRetention } from '../src/signals/store/retention.ts';
import { migrate } from '../src/signals/store/schema.ts';
import { lookupViews } from '../src/signals/store/tables/lookups.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { EVENTS_PER_MESSAGE, fillEvents } from './harness/fill-events.ts';
import { percentile, Report } from './harness/report.ts';

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '5000000' },
    days: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '20' },
    data: { type: 'string' },
    json: { type: 'string' },
    lookups: { type: 'boolean', default: false },
  },
});
const events = Number(options.events);
const days = Number(options.days);
const rounds = Number(options.rounds);
const KEY = '0123456789abcdef0123456789abcdef01234567';
const DAY = 86_400_000;
const TARGET_MS = 200;

const dir = options.data ?? (await mkdtemp(path.join(tmpdir(), 'posthorn-query-')));
// Everything is kept, so that search too looks through all of it.
const retention = { ...defaultRetention, events: 400, metrics: 400, messages: 400 };

async function fill(): Promise<void> {
  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  await migrate(engine, retention);
  if (!options.lookups) for (const view of lookupViews) await engine.write(`DROP VIEW ${view.name}`);
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(0);
  await fillEvents(engine, { events, days, now: Date.now() }, (done) => {
    process.stderr.write(`${(done / 1e6).toFixed(1)} million events after ${seconds()} s\n`);
  });
  await engine.close();
}

interface Question {
  readonly name: string;
  /** Path below `/api/v1`, another one each time. */
  path(): string;
}

let state = 7;
function random(below: number): number {
  state = (state * 1664525 + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** What SparkPost's summary report asks for, and what ours shows. */
const SUMMARY =
  'count_targeted,count_injected,count_sent,count_accepted,count_delivered,count_bounce,count_hard_bounce,count_soft_bounce,count_block_bounce,count_rejected,count_delayed,count_spam_complaint,count_unsubscribe,count_unique_confirmed_opened_approx,count_unique_clicked_approx';
const FEW = 'count_sent,count_unique_clicked_approx';

function questions(messages: readonly string[], recipients: readonly string[]): Question[] {
  const now = Date.now();
  const minute = (ms: number) => new Date(ms).toISOString().slice(0, 16);
  const back = (span: number) => `from=${minute(now - span)}&to=${minute(now)}`;
  const campaign = () => `campaign-${random(300)}`;
  const metrics = '/metrics/deliverability';
  const all: Question[] = [];
  const ask = (name: string, of: () => string) => all.push({ name, path: of });

  for (const [span, precision, ms] of [
    ['8 hours', '1min', DAY / 3],
    ['24 hours', 'hour', DAY],
    ['7 days', 'hour', 7 * DAY],
    ['10 days', 'hour', 10 * DAY],
    ['30 days', 'day', 30 * DAY],
    ['90 days', 'day', 90 * DAY],
  ] as const) {
    const window = `${back(ms)}&precision=${precision}`;
    ask(`summary, ${span}`, () => `${metrics}?${window}&metrics=${SUMMARY}`);
    ask(`time series by ${precision}, ${span}`, () => `${metrics}/time-series?${window}&metrics=${SUMMARY}`);
    ask(`time series of one campaign, ${span}`, () => {
      return `${metrics}/time-series?${window}&metrics=${SUMMARY}&campaigns=${campaign()}`;
    });
    ask(`time series of one subaccount, ${span}`, () => {
      return `${metrics}/time-series?${window}&metrics=${SUMMARY}&subaccounts=${random(20)}`;
    });
    for (const by of [
      'domain',
      'watched-domain',
      'sending-domain',
      'campaign',
      'template',
      'subaccount',
      'sending-ip',
      'ip-pool',
      'mailbox-provider',
      'mailbox-provider-region',
    ]) {
      ask(`by ${by}, ${span}`, () => `${metrics}/${by}?${window}&metrics=${SUMMARY}&limit=100`);
    }
    ask(`by domain, of one campaign, ${span}`, () => {
      return `${metrics}/domain?${window}&metrics=${FEW}&campaigns=${campaign()}&limit=100`;
    });
    ask(`by campaign, of one domain, ${span}`, () => {
      return `${metrics}/campaign?${window}&metrics=${FEW}&domains=d${random(3000)}.example&limit=100`;
    });
    ask(`by campaign, of Gmail, ${span}`, () => {
      return `${metrics}/campaign?${window}&metrics=${FEW}&mailbox_providers=Gmail&limit=100`;
    });
  }
  ask('time series by hour in Kolkata, 7 days', () => {
    return `${metrics}/time-series?${back(7 * DAY)}&precision=hour&timezone=Asia/Kolkata&metrics=${SUMMARY}`;
  });
  ask('time series by hour in New York, 7 days', () => {
    return `${metrics}/time-series?${back(7 * DAY)}&precision=hour&timezone=America/New_York&metrics=${SUMMARY}`;
  });
  ask('summary without precision, 10 days', () => `${metrics}?${back(10 * DAY)}&metrics=${SUMMARY}`);
  for (const [span, ms] of [
    ['24 hours', DAY],
    ['7 days', 7 * DAY],
    ['30 days', 30 * DAY],
  ] as const) {
    for (const report of [
      'bounce-reason',
      'bounce-reason/domain',
      'bounce-classification',
      'rejection-reason',
      'delay-reason',
      'delay-reason/domain',
      'link-name',
      'attempt',
    ]) {
      ask(`${report}, ${span}`, () => `${metrics}/${report}?${back(ms)}&limit=100`);
    }
    ask(`bounce-reason of one campaign, ${span}`, () => {
      return `${metrics}/bounce-reason?${back(ms)}&campaigns=${campaign()}&limit=100`;
    });
  }
  for (const list of ['domains', 'sending-domains', 'campaigns', 'templates', 'ip-pools', 'sending-ips']) {
    ask(
      `list of ${list}`,
      () => `/metrics/${list}?limit=100&match=${list === 'domains' ? `d${random(99)}` : ''}`,
    );
  }
  const iso = (ms: number) => new Date(ms).toISOString();
  for (const [span, ms] of [
    ['24 hours', DAY],
    ['10 days', 10 * DAY],
  ] as const) {
    const window = `from=${iso(now - ms)}&to=${iso(now)}&per_page=25`;
    ask(`events, first page, ${span}`, () => `/events/message?${window}`);
    ask(`events, bounces, ${span}`, () => `/events/message?${window}&events=bounce,delay`);
    ask(`events of one campaign, ${span}`, () => `/events/message?${window}&campaigns=${campaign()}`);
    ask(
      `events of one domain, ${span}`,
      () => `/events/message?${window}&recipient_domains=d${random(3000)}.example`,
    );
    ask(`events by words of a reason, ${span}`, () => `/events/message?${window}&reasons=5.1.10`);
    ask(
      `events by words of the subject, ${span}`,
      () => `/events/message?${window}&subjects=news+${random(300)}`,
    );
    ask(`events of one recipient, ${span}`, () => {
      return `/events/message?${window}&recipients=${encodeURIComponent(recipients[random(recipients.length)]!)}`;
    });
    ask(
      `events of a page of 5000, ${span}`,
      () => `/events/message?${window.replace('=25', '=5000')}&events=click`,
    );
  }
  ask('history of a message', () => {
    return `/events/message?from=${iso(now - 11 * DAY)}&to=${iso(now)}&messages=${messages[random(messages.length)]!}`;
  });
  ask('ingest status', () => '/ingest/status');
  return all;
}

async function time(signals: Signals, where: string): Promise<number> {
  const start = performance.now();
  const response = await fetch(`${signals.url}/api/v1${where}`, { headers: { authorization: KEY } });
  const text = await response.text();
  const ms = performance.now() - start;
  if (response.status !== 200) throw new Error(`${where} answered ${response.status} ${text.slice(0, 300)}`);
  return ms;
}

try {
  if (!existsSync(path.join(dir, 'clickhouse'))) await fill();
  const report = new Report('query', {
    events: `${events / 1e6} million over ${days} days, ${EVENTS_PER_MESSAGE} for each message`,
    cardinality: '300 campaigns, 60 templates, 50000 domains, 40 addresses, 20 pools, 20 subaccounts',
    path: 'HTTP on the loopback, one question at a time, engine embedded, two threads a question',
  });
  const signals = await startSignals({
    dataDir: dir,
    listen: { host: '127.0.0.1', port: 0 },
    adminKey: KEY,
    log: silentLog,
    clock: systemClock,
    retention,
  });
  const start = performance.now();
  const sealed = await signals.sealDays();
  if (sealed > 0)
    report.figure('storing the sums of a day', 'posthorn', 's', [
      (performance.now() - start) / 1000 / sealed,
    ]);
  const sample = `from=${new Date(Date.now() - 9 * DAY).toISOString()}&to=${new Date(Date.now() - 2 * DAY).toISOString()}`;
  const page = await fetch(`${signals.url}/api/v1/events/message?${sample}&events=delivery&per_page=1000`, {
    headers: { authorization: KEY },
  });
  const { results } = (await page.json()) as { results: { message_id: string; rcpt_to: string }[] };
  const all = questions(
    results.map((event) => event.message_id),
    results.map((event) => event.rcpt_to),
  );
  console.log(
    `\n${'question'.padEnd(52)} ${'p50'.padStart(8)} ${'p95'.padStart(8)} ${'max'.padStart(8)}  ms`,
  );
  const missed: string[] = [];
  const figures: Record<string, number[]> = {};
  for (const question of all) {
    for (let i = 0; i < 2; i++) await time(signals, question.path());
    const times: number[] = [];
    const before = process.cpuUsage();
    for (let i = 0; i < rounds; i++) times.push(await time(signals, question.path()));
    const used = process.cpuUsage(before);
    const cpu = (used.user + used.system) / 1000 / rounds;
    figures[question.name] = times.map((ms) => Math.round(ms * 10) / 10);
    const at = (share: number) => percentile(times, share).toFixed(1).padStart(8);
    const misses = percentile(times, 0.95) > TARGET_MS;
    if (misses) missed.push(question.name);
    console.log(
      `${question.name.padEnd(52)} ${at(0.5)} ${at(0.95)} ${at(1)} ${cpu.toFixed(1).padStart(8)}  ${misses ? '> 200' : ''}`,
    );
  }
  const every = Object.values(figures).flat();
  console.log(`\n${all.length - missed.length} of ${all.length} questions have p95 under ${TARGET_MS} ms`);
  report.figure('all questions, p50', 'posthorn', 'ms', [percentile(every, 0.5)]);
  report.figure('all questions, p95', 'posthorn', 'ms', [percentile(every, 0.95)]);
  report.figure('memory of the process', 'posthorn', 'MiB', [process.memoryUsage().rss / 2 ** 20]);
  await signals.close();

  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  const [stored] = await engine.read<{ n: number }>('SELECT count() AS n FROM events');
  const tables = await engine.read<{ name: string; parts: number; rows: number; bytes: number }>(
    `SELECT table AS name, count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts
     WHERE active AND database = currentDatabase() GROUP BY name ORDER BY bytes DESC`,
  );
  console.log(
    `\n${'table'.padEnd(18)} ${'rows'.padStart(12)} ${'MiB'.padStart(10)} ${'bytes per event'.padStart(16)}`,
  );
  let sum = 0;
  for (const { name, rows, bytes } of tables) {
    sum += bytes;
    console.log(
      `${name.padEnd(18)} ${String(rows).padStart(12)} ${(bytes / 2 ** 20).toFixed(1).padStart(10)} ${(bytes / stored!.n).toFixed(2).padStart(16)}`,
    );
  }
  report.figure('on disk, all tables', 'posthorn', 'bytes per event', [sum / stored!.n]);
  await engine.close();
  if (options.json) await writeFile(options.json, JSON.stringify({ figures, tables }, null, 1));
} finally {
  if (!options.data) await rm(dir, { recursive: true, force: true });
}
