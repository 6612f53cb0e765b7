/**
 * Histories of events go through the real ingest; then every answer of metrics and search is held against a recount
 * from the raw events. `POSTHORN_HISTORIES=50` makes the run as long as wanted, `POSTHORN_SEED=7` begins elsewhere.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Clock, systemClock } from '../../system/clock.ts';
import { startTestService, type TestService } from '../test-service.ts';
import { type Asked, metricsFilters, searchFor, searchParameters } from './asking-testing.ts';
import { metricNames } from './definitions.ts';
import { type Fact, factsOf } from './facts-testing.ts';
import { formulas } from './formulas.ts';
import { type History, linesOf, makeHistory, randomOf, seasons } from './history-testing.ts';
import {
  type Bucket,
  bucketsBetween,
  categoryOf,
  inside,
  recount,
  tolerance,
  unitOf,
} from './recount-testing.ts';
import { reportRecounts } from './report-recount-testing.ts';

const first = Number(process.env.POSTHORN_SEED ?? 0);
const histories = Number(process.env.POSTHORN_HISTORIES ?? 2);
const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
];
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

type Row = Record<string, number | string | null>;

const groupings: readonly (readonly [path: string, key: string, of: (f: Fact) => string | number])[] = [
  ['domain', 'domain', (f) => f.domain],
  ['sending-domain', 'sending_domain', (f) => f.sendingDomain],
  ['campaign', 'campaign_id', (f) => f.campaign],
  ['template', 'template_id', (f) => f.template],
  ['subaccount', 'subaccount_id', (f) => f.subaccount],
  ['sending-ip', 'sending_ip', (f) => f.ip],
  ['binding', 'binding', (f) => f.ip],
  ['ip-pool', 'ip_pool', (f) => f.pool],
  ['binding-group', 'binding_group', (f) => f.pool],
  ['vmta', 'vmta', (f) => f.vmta],
  ['node', 'node', (f) => f.node],
  ['mailbox-provider', 'mailbox_provider', (f) => f.provider],
  ['mailbox-provider-region', 'mailbox_provider_region', (f) => f.region],
];

const nameLists: readonly (readonly [list: string, of: (f: Fact) => string])[] = [
  ['domains', (f) => f.domain],
  ['sending-domains', (f) => f.sendingDomain],
  ['campaigns', (f) => f.campaign],
  ['templates', (f) => f.template],
  ['ip-pools', (f) => f.pool],
  ['sending-ips', (f) => f.ip],
  ['vmtas', (f) => f.vmta],
  ['nodes', (f) => f.node],
  ['mailbox-providers', (f) => f.provider],
  ['mailbox-provider-regions', (f) => f.region],
];

for (let seed = first; seed < first + histories; seed++) {
  describe(`history ${seed}`, () => {
    const history = makeHistory(seed);
    const facts = factsOf(history, 'First key');
    const around = Math.floor(history.now / (24 * HOUR)) * 24 * HOUR;
    const next = randomOf(seed + 1_000_000);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
    let service: TestService;
    before(async () => {
      service = await served(history, next);
    });
    after(() => service.stop());

    const get = async (path: string, parameters: Readonly<Record<string, string>>) => {
      const where = `/api/v1/${path}?${new URLSearchParams(parameters)}`;
      const answer = await service.get(where);
      assert.equal(answer.status, 200, `${where}\n${answer.text}`);
      return { where: `seed ${seed}: ${where}`, body: answer.body };
    };

    interface Question extends Asked {
      readonly precision: string;
      readonly metrics: readonly string[];
      readonly buckets: readonly Bucket[];
    }

    /** A window near a change of clocks or anywhere, in one of the zones, with filters. */
    const question = (precisions: readonly string[], metrics = metricNames): Question => {
      const zone = pick(zones);
      const precision = pick(precisions);
      const longest = { '1min': 2, '5min': 5, '15min': 12, hour: 60, '': 100 }[precision] ?? 15 * 24;
      const centre =
        next() < 0.8 ? Date.parse(pick(seasons[seed % 2]!.changes)) : history.now - next() * 200 * HOUR;
      const start = centre + Math.floor((next() - 0.6) * longest * HOUR);
      const wall = (ms: number) => new Date(Math.floor(ms / MINUTE) * MINUTE).toISOString().slice(0, 16);
      // Wall times around the change as the zone has them, some on a border of hours.
      const shifts = { 'Europe/Berlin': 2, 'America/New_York': -5, 'Australia/Lord_Howe': 11 };
      const shift = { ...shifts, 'Pacific/Chatham': 13.75 }[zone] ?? 0;
      const rough = start + shift * HOUR;
      const from = next() < 0.4 ? Math.floor(rough / HOUR) * HOUR : rough;
      const to = from + Math.floor(next() * longest * HOUR);
      const filters = metricsFilters(facts, next);
      return {
        precision: precision || '1min',
        parameters: {
          ...filters.parameters,
          from: wall(from),
          to: wall(to),
          timezone: zone,
          ...(precision ? { precision } : {}),
          metrics: metrics.join(filters.parameters.delimiter ?? ','),
        },
        metrics,
        matches: filters.matches,
        buckets: bucketsBetween(wall(from), wall(to), precision || '1min', zone, around),
      };
    };

    /** `of`: the buckets that the row is about. */
    const compare = (
      row: Row,
      own: readonly Fact[],
      asked: Question,
      of: readonly Bucket[],
      where: string,
    ): void => {
      const unit = unitOf(asked.precision, asked.buckets);
      const seconds = of.reduce((sum, b) => sum + b.minutes.size * 60, 0);
      for (const name of asked.metrics)
        assertSame(row[name], recount(name, own, unit, seconds), tolerance(name), `${name}\n${where}`);
      if (asked.metrics === metricNames) identities(row, where);
    };

    test('ingest says of every batch what became of its events', async () => {
      const { body } = await get('ingest/status', {});
      assert.equal(body.results.events_stored, facts.length);
      for (const end of ['known', 'unknown'])
        assert.ok(
          facts.some((f) => f.end === end),
          end,
        );
      const answer = await get('events/ingest', { from: '2020-01-01T00:00', per_page: '10000' });
      assert.equal(answer.body.total_count, history.batches.length);
      const total = (name: string) =>
        answer.body.results.reduce((sum: number, r: Record<string, number>) => sum + (r[name] ?? 0), 0);
      assert.equal(total('number_succeeded'), facts.length);
      assert.equal(
        total('number_succeeded') + total('number_duplicates') + total('number_failed'),
        history.batches.flat().length,
      );
    });

    test('the summary equals a recount', async () => {
      for (let i = 0; i < 5; i++) {
        const asked = question(['', '', '1min', '5min', '15min', 'hour', 'day']);
        const { where, body } = await get('metrics/deliverability', asked.parameters);
        const own = asked.buckets.flatMap((b) => inside(b, facts)).filter(asked.matches);
        assert.equal(body.results.length, 1, where);
        compare(body.results[0], own, asked, asked.buckets, where);
      }
    });

    test('time series equal a recount, bucket by bucket, and leave none out', async () => {
      for (const precision of ['1min', '5min', '15min', 'hour', '12hr', 'day', 'week', 'month']) {
        const asked = question([precision]);
        const { where, body } = await get('metrics/deliverability/time-series', asked.parameters);
        assert.deepEqual(
          body.results.map((r: Row) => r.ts),
          asked.buckets.map((b) => b.ts),
          where,
        );
        const rows: Row[] = body.results;
        for (const [i, bucket] of asked.buckets.entries()) {
          const own = inside(bucket, facts).filter(asked.matches);
          compare(rows[i]!, own, asked, [bucket], `${bucket.ts} ${where}`);
        }
      }
    });

    test('groupings equal a recount, value by value, in order', async () => {
      for (const [path, key, of] of groupings) {
        // Fewer metrics: the engine's time is in their number.
        const metrics = metricNames.filter(() => next() < 0.12);
        const asked = question(
          ['', '1min', '5min', '15min', 'hour', 'day'],
          [...new Set([metricNames[0]!, ...metrics])],
        );
        const { where, body } = await get(`metrics/deliverability/${path}`, asked.parameters);
        const own = asked.buckets.flatMap((b) => inside(b, facts)).filter(asked.matches);
        const values = new Set(own.map(of).filter((v) => v !== ''));
        const rows: Row[] = body.results;
        assert.deepEqual(new Set(rows.map((r) => r[key])), values, where);
        assert.equal(rows.length, values.size, where);
        for (const row of rows) {
          compare(
            row,
            own.filter((f) => of(f) === row[key]),
            asked,
            asked.buckets,
            `${key} ${row[key]} ${where}`,
          );
        }
        const order = rows.map((r) => Number(r[metricNames[0]!]));
        assert.deepEqual(
          order,
          [...order].sort((a, b) => b - a),
          where,
        );
      }
    });

    test('rows are sorted by any rate or mean, those without a value last', async () => {
      for (const name of Object.keys(formulas)) {
        const [path, key, of] = pick(groupings);
        const asked = question(['', 'hour', 'day'], [name]);
        const { where, body } = await get(`metrics/deliverability/${path}`, {
          ...asked.parameters,
          metrics: 'count_sent',
          order_by: name,
        });
        const own = asked.buckets.flatMap((b) => inside(b, facts)).filter(asked.matches);
        const unit = unitOf(asked.precision, asked.buckets);
        const values = (body.results as Row[]).map((row) =>
          recount(
            name,
            own.filter((f) => of(f) === row[key]),
            unit,
            60,
          ),
        );
        const byValue = (a: number | null, b: number | null) =>
          (b ?? Number.NEGATIVE_INFINITY) - (a ?? Number.NEGATIVE_INFINITY) || 0;
        assert.deepEqual(values, [...values].sort(byValue), where);
      }
    });

    /** Rows of a report without the order of those that count the same. */
    const asSet = (rows: readonly Row[]) =>
      new Set(
        rows.map(({ bounce_class_description: _, ...row }) => JSON.stringify(Object.entries(row).sort())),
      );

    test('reports on reasons, links and attempts equal a recount', async () => {
      for (const [path, expected] of reportRecounts) {
        const asked = question(['']);
        const { where, body } = await get(`metrics/deliverability/${path}`, {
          ...asked.parameters,
          metrics: '',
          precision: 'day',
        });
        const own = asked.buckets.flatMap((b) => inside(b, facts)).filter(asked.matches);
        assert.deepEqual(asSet(body.results), asSet(expected(own)), where);
      }
      const { body } = await get('metrics/deliverability/bounce-reason', {
        from: '2026-01-01T00:00',
        metrics: 'count_admin_bounce',
      });
      const admin = facts.filter(
        (f) => /^(bounce|out_of_band)$/.test(f.type) && categoryOf(f.bounceClass) === 'Admin',
      );
      const rows: Row[] = body.results;
      assert.ok(rows.every((r) => r.bounce_category_name === 'Admin' && Number(r.count_admin_bounce) > 0));
      assert.equal(
        rows.reduce((sum, r) => sum + Number(r.count_admin_bounce), 0),
        admin.length,
      );
    });

    test('lists of names have what occurs, and those that match', async () => {
      for (const [list, of] of nameLists) {
        const names = [...new Set(facts.map(of))].filter((n) => n !== '');
        const part = pick(names).slice(1, 4).toUpperCase();
        for (const match of ['', part]) {
          const from = '2026-01-01T00:00';
          const { where, body } = await get(`metrics/${list}`, { from, match, limit: '1000' });
          const expected = names.filter((n) => n.toUpperCase().includes(match));
          assert.deepEqual(new Set(body.results[list]), new Set(expected), where);
          assert.equal(body.results[list].length, expected.length, where);
        }
      }
    });

    test('every search filter finds what a plain predicate finds, newest first', async () => {
      const range = { from: '2026-01-01T00:00', to: '2027-01-01T00:00', per_page: '10000' };
      for (const parameter of searchParameters) {
        const asked = searchFor(parameter, facts, next);
        const { where, body } = await get('events/message', { ...range, ...asked.parameters });
        const expected = facts.filter(asked.matches);
        const found: { event_id: string; timestamp: string }[] = body.results;
        assert.deepEqual(found.map((e) => e.event_id).sort(), expected.map((f) => f.id).sort(), where);
        assert.equal(body.total_count, expected.length, where);
        assert.deepEqual(body.links, {}, where);
        const times = found.map((e) => e.timestamp);
        assert.deepEqual(times, [...times].sort().reverse(), where);
      }
    });

    test('found events show what is known of them in the end', async () => {
      const { body } = await get('events/message', {
        from: '2026-01-01',
        to: '2027-01-01',
        per_page: '10000',
      });
      const byId = new Map(facts.map((f) => [f.id, f]));
      assert.equal(body.results.length, facts.length);
      for (const event of body.results) {
        const fact = byId.get(event.event_id)!;
        const shown: readonly (readonly [field: string, value: unknown])[] = [
          ['type', fact.type],
          ['timestamp', new Date(fact.at).toISOString()],
          ['message_id', fact.message],
          ['subaccount_id', fact.subaccount || undefined],
          ['campaign_id', fact.campaign],
          ['template_id', fact.template],
          ['recipient_domain', fact.domain],
          ['sending_domain', fact.sendingDomain],
          ['sending_ip', fact.ip],
          ['ip_pool', fact.pool],
          ['rcpt_to', fact.to],
          ['raw_rcpt_to', fact.rawTo],
          ['friendly_from', fact.from],
          ['subject', fact.subject],
          ['mailbox_provider', fact.provider],
          ['transmission_id', fact.transmission],
        ];
        for (const [field, value] of shown) {
          assert.equal(event[field], value === '' ? undefined : value, `seed ${seed} ${fact.id} ${field}`);
        }
      }
    });

    test('pages of any size give every event once', async () => {
      const types = pick(['open', 'injection', 'delivery,delay', 'click,amp_click']);
      const perPage = String(7 + Math.floor(next() * 40));
      const seen: string[] = [];
      const wanted = facts.filter((f) => types.split(',').includes(f.type));
      let where: string | undefined =
        `/api/v1/events/message?from=2026-01-01&to=2027-01-01&events=${types}&per_page=${perPage}`;
      while (where !== undefined) {
        const { status, body } = await service.get(where);
        assert.equal(status, 200);
        assert.equal(body.total_count, wanted.length);
        for (const event of body.results) seen.push(event.event_id);
        assert.equal('next' in body.links, seen.length < wanted.length, where);
        where = body.links.next;
      }
      assert.deepEqual([...seen].sort(), wanted.map((f) => f.id).sort());
    });
  });
}

/** Counts to the last digit; of what is divided the last digit of a float may differ by the order of work. */
function assertSame(found: unknown, expected: number | null, relative: number, where: string): void {
  if (expected === null || expected === 0 || (relative < 1e-6 && Number.isInteger(expected)))
    assert.equal(found, expected, where);
  else assert.ok(Math.abs(Number(found) / expected - 1) <= relative, `${found} is not ${expected}: ${where}`);
}

function identities(row: Row, where: string): void {
  const n = (name: string) => Number(row[`count_${name}`]);
  assert.equal(n('targeted'), n('injected') + n('rejected'), where);
  assert.equal(
    n('rejected'),
    n('policy_rejection') + n('generation_failed') + n('generation_rejection'),
    where,
  );
  assert.equal(n('delivered'), n('delivered_first') + n('delivered_subsequent'), where);
  assert.equal(n('sent'), n('delivered') + n('inband_bounce'), where);
  assert.equal(n('accepted'), n('delivered') - n('outofband_bounce'), where);
  assert.equal(n('bounce'), n('inband_bounce') + n('outofband_bounce'), where);
  assert.equal(
    n('bounce'),
    n('hard_bounce') + n('soft_bounce') + n('block_bounce') + n('undetermined_bounce'),
    where,
  );
}

/** A service that has taken the history: some batches at once, some after the ones before were processed. */
async function served(history: History, next: () => number): Promise<TestService> {
  const clock: Clock = { now: () => history.now, after: systemClock.after };
  // The engine expires data by the machine's clock, which is years ahead of ours by and by.
  const retention = { events: 20_000, metrics: 20_000, messages: 20_000, batches: 20_000 };
  const service = await startTestService({ clock, eventAgeHours: history.ageHours, retention });
  try {
    // Sums of days that have ended are stored: at the end, or in the middle, so that most days are opened again.
    const atEnd = history.seed % 2 === 1;
    const sealAfter = atEnd
      ? history.batches.length - 1
      : Math.floor(history.batches.length * (0.3 + next() / 2));
    for (const [i, batch] of history.batches.entries()) {
      const answer = await service.postBytes(gzipSync(linesOf(batch)));
      assert.equal(answer.status, 200, answer.text);
      if (i === sealAfter || next() < 0.3) await service.signals.idle();
      if (i === sealAfter) assert.ok((await service.signals.sealDays()) > 0);
    }
    await service.signals.idle();
    assert.ok((await service.signals.refreshCompleteness()) > 0);
    return service;
  } catch (error) {
    await service.stop();
    throw error;
  }
}
