import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../../system/clock.ts';
import { randomOf } from '../../metrics/history-testing.ts';
import { type Engine, openEmbedded } from '../../store/engine.ts';
import { startTestService, type TestService } from '../../test-service.ts';
import { defaultModel } from '../model/score-model.ts';
import { sumReports } from '../reports/sum-reports.ts';
import { facets, type SumName, type Sums, sums } from '../sums.ts';
import { addDays, dayOf, daysFrom, startOf } from './days.ts';
import { type Mailing, makeMailing } from './mailing-testing.ts';
import { accepted, type Recount, recount, type StoredEvent } from './recount-testing.ts';
import { refresh } from './refresh.ts';
import { scoreTables } from './tables.ts';

/** Long enough for a year of the past to be stored as if it were now. */
const retention = { events: 500, metrics: 500, messages: 500, recipients: 900, batches: 500 };

async function storedEvents(engine: Engine): Promise<StoredEvent[]> {
  return engine.read<StoredEvent>(
    `SELECT event_id, toUnixTimestamp64Milli(ts) AS at, type, subaccount_id AS sid, message_id,
       if(rcpt_to != '', lower(hex(SHA1(rcpt_to))), rcpt_hash) AS recipient, campaign_id, ip_pool,
       mailbox_provider AS mb_provider, sending_domain, bounce_category, raw_reason
     FROM (SELECT * FROM events WHERE sign = 1 ORDER BY version DESC LIMIT 1 BY event_id)`,
  );
}

async function keptFacts(engine: Engine): Promise<Recount> {
  const rows = await engine.read<Record<string, string | number>>(
    `SELECT toString(day) AS day, * EXCEPT day FROM score_facts`,
  );
  const kept: Recount = new Map();
  for (const row of rows) {
    const key = ['day', 'sid', ...facets].map((name) => row[name]).join(' ');
    assert.ok(!kept.has(key), `two rows of ${key}`);
    kept.set(
      key,
      Object.fromEntries(sums.map((name) => [name, Number(row[name])])) as Record<SumName, number>,
    );
  }
  return kept;
}

const sorted = (figures: Recount) =>
  [...figures].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, row]) => `${key}: ${shown(row)}`);
const shown = (row: Record<SumName, number>) =>
  sums
    .filter((name) => row[name] !== 0)
    .map((name) => `${name}=${row[name]}`)
    .join(' ');

async function upload(service: TestService, events: Mailing['uploads'][number]['events']): Promise<void> {
  if (events.length === 0) return;
  const lines = events.map(({ cls, fields }) => JSON.stringify({ msys: { [cls]: fields } }));
  const answer = await service.postBytes(gzipSync(lines.join('\n')));
  assert.equal(answer.status, 200, answer.text);
  await service.signals.idle();
}

const seed = Number(process.env.SEED ?? Date.now() % 100_000);

test(`a year of mail: every figure and score is what a recount of the events gives (SEED=${seed})`, async (t) => {
  const end = startOf(dayOf(Date.now()));
  const mailing = makeMailing(seed, end);
  const random = randomOf(seed + 1);
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-scores-'));
  const trapsFile = path.join(dir, 'traps.txt');
  const scoreModelFile = path.join(dir, 'model.json');
  await writeFile(trapsFile, mailing.traps.join('\n'));
  await writeFile(scoreModelFile, JSON.stringify({ ...defaultModel.source, minimum_tracked_injections: 1 }));
  let now = mailing.uploads[0]!.at;
  const service = await startTestService({
    retention,
    trapsFile,
    scoreModelFile,
    clock: { now: () => now, after: systemClock.after },
    scoreRefreshMs: 3_600_000,
  });
  let figures: Recount = new Map();
  try {
    for (const { at, events } of mailing.uploads) {
      now = at;
      await upload(service, events);
      if (random() < 0.15) await service.signals.refreshScores();
    }
    await service.signals.refreshScores();
    const again = await service.signals.refreshScores();
    assert.deepEqual(again, { gathered: [], made: [], closed: [] }, 'nothing is left to do');

    // The store is open in one place at a time, so the answers are fetched before it is looked into.
    const asked = { from: addDays(dayOf(end), -22), to: addDays(dayOf(end), -5) };
    const answers = new Map<string, Answered>();
    for (const dimension of ['health-score', ...sumReports.keys()]) {
      for (const facet of ['', ...facets]) {
        const query = new URLSearchParams({ ...asked, limit: '500' });
        const answer = await service.get(`/api/v1/signals/${dimension}/${facet}?${query}`);
        assert.equal(answer.status, 200, answer.text);
        answers.set(`${dimension}/${facet}`, answer.body.results);
      }
    }
    await service.signals.close();
    const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
    try {
      const stored = await storedEvents(engine);
      assert.equal(stored.length, accepted(mailing).length);
      figures = recount(mailing, stored);
      await t.test('daily figures', async () =>
        assert.deepEqual(sorted(await keptFacts(engine)), sorted(figures)),
      );
      await t.test('the same when all is made at once, from nothing, in slices of a few rows', async () => {
        for (const { name } of scoreTables) await engine.write(`TRUNCATE TABLE ${name}`);
        await refresh({ engine, retention, rowsPerSlice: 20 }, now, { eventAgeHours: 24 });
        assert.deepEqual(sorted(await keptFacts(engine)), sorted(figures));
      });
    } finally {
      await engine.close();
    }
    const checked = { scores: 0, rows: 0 };
    for (const facet of ['', ...facets] as const) {
      await t.test(`health scores by ${facet || 'subaccount'}`, () => {
        const { data, total_count: total } = answers.get(`health-score/${facet}`)!;
        const rows = rowsOf(figures, facet, true, asked);
        assert.equal(total, rows.size);
        assert.deepEqual(data.map((row) => nameOfRow(row, facet)).sort(), [...rows.keys()].sort());
        for (const row of data) {
          checked.scores += checkScores(row, rows.get(nameOfRow(row, facet))!, figures, asked);
        }
      });
      for (const dimension of sumReports.keys()) {
        await t.test(`${dimension} by ${facet || 'subaccount'}`, () => {
          const { data, total_count: total } = answers.get(`${dimension}/${facet}`)!;
          const rows = rowsOf(figures, facet, false, asked);
          assert.equal(total, rows.size);
          for (const row of data) {
            const days = rows.get(nameOfRow(row, facet));
            assert.ok(days, nameOfRow(row, facet));
            const expected = daysFrom(asked.from, asked.to).flatMap((dt) => {
              const day = days.get(dt);
              return day && day.injections > 0 ? { dt, ...entryOf(dimension, day) } : [];
            });
            assert.deepEqual(row.history, expected);
            const main = mainFigures[dimension]!;
            const valueOn = (dt: string) => {
              const day = days.get(dt);
              return day && day.injections > 0 ? entryOf(dimension, day)[main]! : null;
            };
            const last = valueOn(asked.to);
            const before = valueOn(addDays(asked.to, -7));
            assert.equal(row[`current_${main}`], last);
            assert.equal(row.WoW, last !== null && before ? (last - before) / before : null);
            checked.rows++;
          }
        });
      }
    }
    assert.ok(checked.scores > 150 && checked.rows > 50, JSON.stringify(checked));
    t.diagnostic(JSON.stringify(checked));
  } finally {
    await service.stop();
    await rm(dir, { recursive: true, force: true });
  }
});

const mainFigures: Readonly<Record<string, string>> = {
  'spam-hits': 'relative_trap_hits',
  'cohort-engagement': 'relative_c_14d',
  'eng-cohort': 'p_total_eng',
  'unsub-cohort': 'p_total_unsub',
  'fbl-cohort': 'p_total_fbl',
};

/** A day's entry of a report, by the words of its definition. */
function entryOf(dimension: string, day: Sums): Record<string, number | null> {
  const mails = {
    new: day.c_new,
    '14d': day.c_14d,
    '90d': day.c_90d,
    '365d': day.c_365d,
    uneng: day.c_uneng,
  };
  const total = day.c_new + day.c_14d + day.c_90d + day.c_365d + day.c_uneng;
  if (dimension === 'spam-hits') {
    const hits = day.trap_recycled + day.trap_typo + day.trap_parked;
    return {
      injections: day.injections,
      trap_hits: hits,
      relative_trap_hits: hits / day.injections,
      trap_hits_typo: day.trap_typo,
      trap_hits_parked: day.trap_parked,
      trap_hits_recycled: day.trap_recycled,
      perc_trap_hits_typo: hits > 0 ? day.trap_typo / hits : 0,
      perc_trap_hits_parked: hits > 0 ? day.trap_parked / hits : 0,
      perc_trap_hits_recycled: hits > 0 ? day.trap_recycled / hits : 0,
      relative_trap_hits_typo: day.trap_typo / day.injections,
      relative_trap_hits_parked: day.trap_parked / day.injections,
      relative_trap_hits_recycled: day.trap_recycled / day.injections,
    };
  }
  if (dimension === 'cohort-engagement') {
    return {
      ...Object.fromEntries(Object.entries(mails).map(([cohort, n]) => [`c_${cohort}`, n])),
      c_total: total,
      ...Object.fromEntries(Object.entries(mails).map(([cohort, n]) => [`relative_c_${cohort}`, n / total])),
    };
  }
  const what = dimension.slice(0, dimension.indexOf('-'));
  const drew = (cohort: string) => day[`c_${cohort}_${what}` as SumName];
  const all = Object.keys(mails).reduce((sum, cohort) => sum + drew(cohort), 0);
  return {
    ...Object.fromEntries(
      Object.entries(mails).flatMap(([cohort, n]) => [
        [`c_${cohort}_${what}`, drew(cohort)],
        [`p_${cohort}_${what}`, n > 0 ? drew(cohort) / n : null],
      ]),
    ),
    [`c_total_${what}`]: all,
    [`p_total_${what}`]: all / total,
  };
}

interface Entry {
  readonly dt: string;
  readonly health_score: string;
  readonly health_score_dod: number | null;
  readonly health_score_wow: number | null;
  readonly total_injection_count: number;
  readonly weights: readonly { weight_type: string; weight: string; weight_value: string | null }[];
}

interface AnsweredRow extends Record<string, unknown> {
  readonly sid: number;
  readonly history: readonly Entry[];
}

interface Answered {
  readonly total_count: number;
  readonly data: readonly AnsweredRow[];
}

const nameOfRow = (row: AnsweredRow, facet: string) => `${row.sid} ${facet === '' ? '' : row[facet]}`;

/** What each row of a report is made of, by day, added up from the recount. */
function rowsOf(
  figures: Recount,
  facet: string,
  bySubaccount: boolean,
  asked: { from: string; to: string },
): Map<string, Map<string, Sums>> {
  const rows = new Map<string, Map<string, Record<SumName, number>>>();
  for (const [key, some] of figures) {
    const [day, sid, ...values] = key.split(' ');
    const value = facet === '' ? '' : values[facets.indexOf(facet as (typeof facets)[number])]!;
    if (facet !== '' && value === '') continue;
    const sids = facet === '' ? (bySubaccount ? [sid, '-1'] : [sid]) : bySubaccount ? [sid] : ['-1'];
    for (const one of sids) {
      const name = `${one} ${value}`;
      const days = rows.get(name) ?? new Map<string, Record<SumName, number>>();
      rows.set(name, days);
      const sum = days.get(day!) ?? zeros();
      for (const s of sums) sum[s] += some[s];
      days.set(day!, sum);
    }
  }
  // A row is there when it had mail in the window.
  for (const [name, days] of rows) {
    const mailed = [...days].some(([d, s]) => d >= asked.from && d <= asked.to && s.injections > 0);
    if (!mailed) rows.delete(name);
  }
  return rows;
}

const zeros = () => Object.fromEntries(sums.map((name) => [name, 0])) as Record<SumName, number>;

const units = (text: string) =>
  BigInt(text.replace('.', '').padEnd(text.includes('.') ? 0 : text.length + 10, '0'));

/** Every score of a row: it is the base and its weights, and every rate is its count over its injections. */
function checkScores(
  row: AnsweredRow,
  days: Map<string, Sums>,
  figures: Recount,
  asked: { from: string; to: string },
): number {
  const enough = daysFrom(asked.from, asked.to).filter((day) => (days.get(day)?.tracked ?? 0) >= 1);
  assert.deepEqual(
    row.history.map(({ dt }) => dt),
    enough,
  );
  for (const entry of row.history) {
    const day = days.get(entry.dt)!;
    const before = [1, 2, 3].flatMap((n) => days.get(addDays(entry.dt, -n)) ?? []);
    const of = (name: SumName) => before.reduce((sum, b) => sum + b[name], 0);
    const engaged =
      of('c_new_eng') + of('c_14d_eng') + of('c_90d_eng') + of('c_365d_eng') + of('c_uneng_eng');
    const suppresses = [...figures].some(([key, some]) => {
      const [d, sid] = key.split(' ');
      return d === entry.dt && (row.sid === -1 || sid === String(row.sid)) && some.suppressed > 0;
    });
    const rates: Record<string, number | null> = {
      'Historical Engagement':
        of('injections') > 0 && of('tracked') + engaged > 0 ? engaged / of('injections') : null,
      'Hard Bounces': day.hard_bounces / day.injections,
      'Block Bounces': day.block_bounces / day.injections,
      'Other bounces': day.other_bounces / day.injections,
      'Transient Failures': day.delayed / day.injections,
      Complaints: day.complaints / day.injections,
      Unsubscribes: day.unsubscribes / day.injections,
      'Spam Trap Hits': (day.trap_recycled + day.trap_typo + day.trap_parked) / day.injections,
      'List Quality': day.clear_addresses > 0 ? day.list_quality / day.injections : null,
      'Suppression Hits': suppresses ? day.suppressed / day.injections : null,
      'eng cohorts: new, 14-day': (day.c_new + day.c_14d) / day.injections,
      'eng cohorts: unengaged': day.c_uneng / day.injections,
    };
    assert.deepEqual(entry.weights.map((w) => w.weight_type).sort(), Object.keys(rates).sort());
    for (const { weight_type: type, weight, weight_value: value } of entry.weights) {
      const rate = rates[type] ?? null;
      if (rate === null) assert.deepEqual([value, weight], [null, '0'], type);
      else assert.ok(Math.abs(Number(value) - Math.min(1, rate)) < 1e-10, `${type} ${value} ${rate}`);
    }
    const sum = entry.weights.reduce((s, { weight }) => s + units(weight), defaultModel.base);
    assert.equal(sum, units(entry.health_score), `${entry.dt} ${JSON.stringify(entry)}`);
    assert.equal(entry.total_injection_count, day.injections);
    for (const [days, told] of [
      [1, entry.health_score_dod],
      [7, entry.health_score_wow],
    ] as const) {
      const earlier = addDays(entry.dt, -days);
      const other = row.history.find(({ dt }) => dt === earlier);
      if (other) near(told, Number(entry.health_score) / Number(other.health_score) - 1);
      else if (earlier >= asked.from) assert.equal(told, null);
    }
  }
  const scores = row.history.map((entry) => Number(entry.health_score));
  if (scores.length === 0) {
    for (const what of ['average', 'high', 'low']) assert.equal(row[`health_score_${what}`], null);
  } else {
    near(Number(row.health_score_average), scores.reduce((a, b) => a + b) / scores.length);
    near(Number(row.health_score_high), Math.max(...scores));
    near(Number(row.health_score_low), Math.min(...scores));
  }
  const current = row.history.find(({ dt }) => dt === asked.to);
  const week = row.history.find(({ dt }) => dt === addDays(asked.to, -7));
  assert.equal(row.current_health_score, current?.health_score ?? null);
  assert.deepEqual(row.current_weights, current?.weights ?? []);
  assert.equal(row.current_total_injection_count, days.get(asked.to)?.injections || null);
  const change = current && week ? Number(current.health_score) / Number(week.health_score) - 1 : null;
  if (change === null) assert.equal(row.WoW, null);
  else near(row.WoW as number, change);
  return row.history.length;
}

function near(found: number | null, expected: number): void {
  assert.ok(found !== null && Math.abs(found - expected) < 1e-9, `${found} is not ${expected}`);
}
