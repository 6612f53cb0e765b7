/**
 * How fast the questions of dashboards are answered over many events, through the HTTP API: every call that our web
 * interface makes, and SparkPost's. Page cache warm, as after the first minutes of a day's work. "Now" is 18:00 of the
 * last day, so that three quarters of a day are open, not sealed.
 *
 *   npm run bench -- query [--events 5000000] [--days 30] [--rounds 20] [--data DIR] [--json FILE] [--only TEXT]
 *                          [--lookups] [--event-days N]
 *
 * With --data the store is kept there and used again. What only ingest looks into is left empty unless --lookups is
 * given: no dashboard reads it, and it doubles the time to fill; with --event-days single events of the latest days
 * only are stored, as the usual retention leaves them, and sums of all. On a machine that does other things too, the processor
 * time of a question says more than its time by the clock: it is all that the question costs, in this process too.
 */
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import { type Signals, startSignals } from '../src/signals/server.ts';
import { createView } from '../src/signals/store/ddl.ts';
import { openEmbedded } from '../src/signals/store/engine.ts';
import { defaultRetention } from '../src/signals/store/retention.ts';
import { migrate, schema } from '../src/signals/store/schema.ts';
import { lookupSelects, lookupTables, lookupViews } from '../src/signals/store/tables/lookups.ts';
import { type Clock, systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { temporaryFolder } from '../test/program.ts';
import { dashboardQuestions, type Question } from './harness/dashboard-questions.ts';
import {
  daysOf,
  EVENTS_PER_MESSAGE,
  type EventFill,
  fillDay,
  fillRollups,
  repeatRollups,
} from './harness/fill-events.ts';
import { fail, flag, given, number, text } from './harness/given.ts';
import { percentile, Report } from './harness/report.ts';

const options = given({
  events: number(5_000_000),
  days: number(30),
  rounds: number(20),
  data: text(null),
  json: text(null),
  only: text(''),
  'event-days': number(0, 0),
  lookups: flag(false),
});
const { rounds } = options;
const KEY = '0123456789abcdef0123456789abcdef01234567';
const DAY = 86_400_000;
const TARGET_MS = 200;
/** A slow question is asked fewer times, but never fewer than this. */
const LEAST_ROUNDS = 5;
const QUESTION_MS = 4000;

const dir = options.data ?? temporaryFolder();
/** Tells of what the store was filled with; there once it is full. */
const filled = path.join(dir, 'filled.json');
// Everything is kept, so that search too looks through all of it.
const retention = { ...defaultRetention, events: 400, metrics: 500, messages: 400 };

async function fill(): Promise<void> {
  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  await migrate(engine, retention);
  for (const view of schema.views) await engine.write(`DROP VIEW ${view.name}`);
  const start = performance.now();
  const tell = (what: string) =>
    process.stderr.write(`${what} after ${((performance.now() - start) / 1000).toFixed(0)} s\n`);
  const of: EventFill = {
    events: options.events,
    days: options.days,
    now: Math.floor(Date.now() / DAY) * DAY - DAY / 4,
    eventDays: options['event-days'] || options.days,
  };
  const all = daysOf(of);
  const first = of.days - of.eventDays;
  let events = 0;
  for (let i = first; i < of.days; i++) {
    events += await fillDay(engine, of, i);
    tell(`${(events / 1e6).toFixed(1)} million events`);
  }
  for (const day of all.slice(first)) await fillRollups(engine, day);
  // Those before are repetitions of days that are whole.
  for (let i = 0; i < first; i++) {
    await repeatRollups(engine, all[i]!, all[first + (i % Math.max(1, of.eventDays - 1))]!);
  }
  tell('roll-ups');
  if (options.lookups) {
    for (const [table, select] of Object.entries(lookupSelects)) {
      await engine.write(`INSERT INTO ${table} ${select('events')}`);
    }
    tell('lookups');
  }
  for (const view of schema.views) {
    if (options.lookups || !lookupViews.includes(view)) await engine.write(createView(view, null));
  }
  await engine.close();
  await writeFile(filled, JSON.stringify(of));
}

async function engineVersion(): Promise<string> {
  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  const [row] = await engine.read<{ v: string }>('SELECT version() AS v');
  await engine.close();
  return row!.v;
}

async function time(signals: Signals, where: string): Promise<number> {
  const start = performance.now();
  const response = await fetch(`${signals.url}/api/v1${where}`, { headers: { authorization: KEY } });
  const text = await response.text();
  const ms = performance.now() - start;
  if (response.status !== 200) throw new Error(`${where} answered ${response.status} ${text.slice(0, 300)}`);
  return ms;
}

interface Measured {
  readonly question: Question;
  /** Milliseconds by the clock. */
  readonly times: readonly number[];
  /** Milliseconds of processor time, on average. */
  readonly cpu: number;
}

async function measure(signals: Signals, question: Question): Promise<Measured> {
  for (let i = 0; i < 2; i++) await time(signals, question.path());
  const times: number[] = [];
  const start = performance.now();
  const before = process.cpuUsage();
  while (times.length < rounds && (times.length < LEAST_ROUNDS || performance.now() - start < QUESTION_MS)) {
    times.push(await time(signals, question.path()));
  }
  const used = process.cpuUsage(before);
  return { question, times, cpu: (used.user + used.system) / 1000 / times.length };
}

const misses = ({ times }: Measured) => percentile(times, 0.95) > TARGET_MS;

function tell(page: string, asked: readonly Measured[]): void {
  const column = (value: number | string) => String(value).padStart(8);
  const within = asked.filter((m) => !misses(m)).length;
  console.log(
    `\n${page}: ${within} of ${asked.length} have p95 under ${TARGET_MS} ms (load ${loadavg()[0]!.toFixed(1)})`,
  );
  console.log(
    `  ${'question'.padEnd(50)} ${column('p50 ms')} ${column('p95 ms')} ${column('CPU ms')} ${column('asked')}`,
  );
  for (const m of asked) {
    const at = (share: number) => column(percentile(m.times, share).toFixed(0));
    console.log(
      `  ${m.question.name.padEnd(50)} ${at(0.5)} ${at(0.95)} ${column(m.cpu.toFixed(0))} ${column(m.times.length)}${misses(m) ? '  misses' : ''}`,
    );
  }
}

if (!existsSync(filled)) await fill();
const of = JSON.parse(readFileSync(filled, 'utf8')) as EventFill;
const start = performance.now();
const clock: Clock = {
  now: () => of.now + Math.round(performance.now() - start),
  after: systemClock.after,
};
const report = new Report('query', {
  engine: `ClickHouse ${await engineVersion()}`,
  events: `${of.events / 1e6} million over ${of.days} days, ${EVENTS_PER_MESSAGE} for each message`,
  stored: `sums of all of them, single events of the last ${of.eventDays} days`,
  cardinality: '300 campaigns, 60 templates, 50000 domains, 40 addresses, 20 pools, 20 subaccounts',
  path: 'HTTP on the loopback, one question at a time, engine embedded, two threads a question',
  tls: 'none',
  repetitions: `${rounds} of each question, fewer of slow ones but at least ${LEAST_ROUNDS}`,
  now: new Date(of.now).toISOString(),
});
const signals = await startSignals({
  dataDir: dir,
  listen: { host: '127.0.0.1', port: 0 },
  adminKey: KEY,
  log: silentLog,
  clock,
  retention,
  // They read every event in the background.
  scoreRefreshMs: 2 ** 31 - 1,
});
const sealing = performance.now();
const sealed = await signals.sealDays();
if (sealed > 0)
  report.figure('storing the sums of a day', 'posthorn', 's', [
    (performance.now() - sealing) / 1000 / sealed,
  ]);
const sample = `from=${new Date(of.now - 9 * DAY).toISOString()}&to=${new Date(of.now - 2 * DAY).toISOString()}`;
const page = await fetch(`${signals.url}/api/v1/events/message?${sample}&events=delivery&per_page=1000`, {
  headers: { authorization: KEY },
});
const { results } = (await page.json()) as { results: { message_id: string; rcpt_to: string }[] };
const questions = dashboardQuestions({
  now: of.now,
  messages: results.map((event) => event.message_id),
  recipients: results.map((event) => event.rcpt_to),
}).filter(({ page, name }) => `${page}: ${name}`.includes(options.only));
if (questions.length === 0) fail(`no question has "${options.only}" in its name or page`);
const all: Measured[] = [];
for (const page of new Set(questions.map((question) => question.page))) {
  const asked: Measured[] = [];
  for (const question of questions.filter((one) => one.page === page)) {
    asked.push(await measure(signals, question));
  }
  tell(page, asked);
  const times = asked.flatMap((m) => m.times);
  report.figure(page, 'posthorn', 'ms, p50', [percentile(times, 0.5)]);
  report.figure(page, 'posthorn', 'ms, p95', [percentile(times, 0.95)]);
  const cpu = asked.reduce((sum, m) => sum + m.cpu, 0) / asked.length;
  report.figure(page, 'posthorn', 'ms of CPU on average', [cpu]);
  all.push(...asked);
}
const slow = all.filter(misses);
console.log(`\n${all.length - slow.length} of ${all.length} questions have p95 under ${TARGET_MS} ms`);
const every = all.flatMap((m) => m.times);
report.figure('all questions, p50', 'posthorn', 'ms', [percentile(every, 0.5)]);
report.figure('all questions, p95', 'posthorn', 'ms', [percentile(every, 0.95)]);
report.figure('memory of the process', 'posthorn', 'MiB', [process.memoryUsage().rss / 2 ** 20]);
report.figure('load of the machine at the end', 'posthorn', '', [loadavg()[0]!]);
await signals.close();

const engine = await openEmbedded(path.join(dir, 'clickhouse'));
// Single events and what is looked up of them are of the days that keep them, sums of all.
const [n] = await engine.read<{ kept: number; all: number }>(
  'SELECT (SELECT count() FROM events) AS kept, (SELECT sum(events) FROM metrics_hour) AS all',
);
const single = new Set(['events', ...lookupTables.map((table) => table.name)]);
const tables = await engine.read<{ name: string; parts: number; rows: number; bytes: number }>(
  `SELECT table AS name, count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts
     WHERE active AND database = currentDatabase() GROUP BY name ORDER BY bytes DESC`,
);
console.log(
  `\n${'table'.padEnd(20)} ${'rows'.padStart(12)} ${'parts'.padStart(6)} ${'MiB'.padStart(10)} ${'bytes per event'.padStart(16)}`,
);
let sum = 0;
for (const { name, rows, parts, bytes } of tables) {
  const each = bytes / (single.has(name) ? n!.kept : n!.all);
  sum += each;
  console.log(
    `${name.padEnd(20)} ${String(rows).padStart(12)} ${String(parts).padStart(6)} ${(bytes / 2 ** 20).toFixed(1).padStart(10)} ${each.toFixed(2).padStart(16)}`,
  );
}
report.figure('on disk, of an event that all tables keep', 'posthorn', 'bytes', [sum]);
await engine.close();
if (options.json) {
  const figures = all.map(({ question, times, cpu }) => ({
    page: question.page,
    name: question.name,
    times: times.map((ms) => Math.round(ms * 10) / 10),
    cpu,
  }));
  await writeFile(options.json, JSON.stringify({ figures, tables }, null, 1));
}
report.save();
