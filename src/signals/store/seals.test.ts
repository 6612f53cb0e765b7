import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { eventId, startTestService, type TestService } from '../test-service.ts';
import { type Engine, openEmbedded } from './engine.ts';
import { dayOf, Seals } from './seals.ts';

const NOW = Date.parse('2026-10-27T09:17:23Z');
const clock: Clock = { now: () => NOW, after: systemClock.after };
const HOUR = 3_600_000;

let service: TestService;
before(async () => {
  // The engine expires data by the machine's clock, which is years ahead of ours by and by.
  const retention = { events: 20_000, metrics: 20_000, messages: 20_000 };
  service = await startTestService({ clock, eventAgeHours: 24 * 6, retention });
});
after(() => service.stop());

/** The same numbers in every run. */
let state = 11;
function random(): number {
  state = (state * 1664525 + 1013904223) >>> 0;
  return state / 2 ** 32;
}
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

const messages = Array.from({ length: 120 }, (_, i) => ({
  message_id: `s${i}`,
  campaign_id: pick(['', 'spring', 'summer']),
  template_id: pick(['', 't1']),
  rcpt_to: `u@${pick(['gmail.com', 'example.net', 'web.de'])}`,
  friendly_from: `x@${pick(['brand.example', 'shop.example'])}`,
  sending_ip: pick(['192.0.2.1', '192.0.2.2']),
  ip_pool: pick(['', 'p1', 'p2']),
  binding: pick(['mta-1', 'mta-2']),
  node_name: pick(['n1', 'n2']),
  subaccount_id: pick([0, 5, 12]),
}));

/** Engagement before and after its injection, some of it with an address of its own: under two sets of dimensions. */
function lines(count: number, from = 4.5 * 24 * HOUR, to = 0): string[] {
  return Array.from({ length: count }, () => {
    const message = pick(messages);
    const [cls, type] = pick([
      ['message_event', 'reception'],
      ['message_event', 'delivery'],
      ['message_event', 'inband'],
      ['track_event', 'open'],
      ['track_event', 'open'],
      ['track_event', 'initial_open'],
      ['track_event', 'click'],
      ['message_event', 'feedback'],
      ['unsubscribe_event', 'list'],
    ] as const);
    const isTold = cls === 'message_event' && type !== 'feedback';
    return JSON.stringify({
      msys: {
        [cls]: {
          ...(isTold ? message : { message_id: message.message_id }),
          ...(random() < 0.1 ? { sending_ip: '192.0.2.9' } : {}),
          ...(random() < 0.1 ? { binding: 'mta-9', node_name: 'n9' } : {}),
          type,
          event_id: eventId(),
          timestamp: String(Math.floor((NOW - to - random() * (from - to)) / 1000)),
          num_retries: String(pick([0, 1, 5])),
          queue_time: String(Math.floor(random() ** 4 * 1e7)),
          outbound_tls: pick(['0', '1']),
          bounce_class: pick(['', '10', '22']),
          reason: pick(['no such user', 'full']),
          target_link_url: pick(['https://a.example/', 'https://b.example/']),
          user_agent: pick(['Firefox', 'Mozilla/5.0']),
        },
      },
    });
  });
}

const metrics =
  'count_injected,count_delivered,count_bounce,count_rendered,count_clicked,count_unique_rendered,count_unique_initial_rendered,count_unique_confirmed_opened_approx,count_unique_clicked,count_nonprefetched_unique_rendered,count_nonprefetched_unique_confirmed_opened,count_nonprefetched_unique_clicked,count_delivered_tls,count_list_unsubscribe,p50_delivery_time,p99_delivery_time';
const filters = [
  '',
  '&subaccounts=5',
  '&campaigns=spring,summer',
  '&campaigns=spring&subaccounts=0,12',
  '&campaigns=spring&domains=gmail.com',
  '&vmtas=mta-1,mta-9',
  '&nodes=n1&campaigns=spring',
  `&query_filters=${encodeURIComponent('{"groupings":[{"OR":{"campaigns":{"like":["spri"]},"sending_ips":{"eq":["192.0.2.9"]}}}]}')}`,
];
const asked: string[] = [];
for (const filter of filters) {
  for (const window of [
    'from=2026-10-23T00:00&precision=day',
    'from=2026-10-24T00:00&to=2026-10-26T00:00&precision=day',
    'from=2026-10-23T05:00&to=2026-10-26T17:00&precision=hour&timezone=America/New_York',
    'from=2026-10-23T05:00&precision=hour&timezone=Asia/Kolkata',
    'from=2026-10-23T05:13&to=2026-10-26T17:21',
  ]) {
    for (const report of [
      '',
      '/campaign',
      '/domain',
      '/subaccount',
      '/sending-ip',
      '/vmta',
      '/node',
      '/time-series',
    ]) {
      // A fifth of all combinations; which, is the same in every run.
      if ((report === '/time-series' && !window.includes('precision')) || random() > 0.2) continue;
      asked.push(`/deliverability${report}?${window}&metrics=${metrics}${filter}`);
    }
  }
}
asked.push(
  '/deliverability/time-series?from=2026-10-23T00:00&precision=12hr&metrics=count_unique_clicked,count_clicked',
  '/deliverability/time-series?from=2026-09-23T00:00&precision=month&metrics=count_unique_clicked,count_clicked',
  '/deliverability/attempt?from=2026-10-23T00:00',
  '/campaigns?from=2026-10-23T10:20',
  '/sending-ips?match=2.9',
  '/nodes?match=N',
);

/** An engine to change a part of. */
function members(engine: Engine): Engine {
  return {
    embedded: engine.embedded,
    cluster: engine.cluster,
    counts: engine.counts,
    background: engine.background,
    read: (sql, parameters) => engine.read(sql, parameters),
    write: (sql, parameters) => engine.write(sql, parameters),
    readForWrite: (sql, parameters) => engine.readForWrite(sql, parameters),
    insert: (table, columns, lines, token) => engine.insert(table, columns, lines, token),
    insertBlock: (table, columns, block, token) => engine.insertBlock(table, columns, block, token),
    close: () => engine.close(),
  };
}

async function answers(): Promise<Map<string, unknown>> {
  const all = new Map<string, unknown>();
  for (const report of asked) {
    const answer = await service.get(`/api/v1/metrics${report}`);
    assert.equal(answer.status, 200, `${report} ${answer.text}`);
    all.set(report, answer.body.results);
  }
  return all;
}

function assertSame(actual: Map<string, unknown>, expected: Map<string, unknown>, when: string): void {
  for (const [report, results] of expected)
    assert.deepEqual(actual.get(report), results, `${when}: ${report}`);
}

test('what reports say does not change when days are sealed, opened by late events, and sealed again', async () => {
  await service.ingest(lines(700));
  await service.ingest(lines(700));
  const open = await answers();
  assert.ok(JSON.stringify([...open.values()]).length > 20_000, 'there is something to compare');
  assert.equal(await service.signals.sealDays(), 5);
  assertSame(await answers(), open, 'sealed');
  assert.equal(await service.signals.sealDays(), 0, 'nothing is left to do');

  // Three days ago opens again, by injections that move opens which had found none.
  await service.ingest(lines(200, 70 * HOUR, 60 * HOUR));
  const late = await answers();
  assert.notDeepEqual(late, open);
  assert.ok((await service.signals.sealDays()) >= 1);
  assertSame(await answers(), late, 'sealed again');
  await service.signals.close();

  const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
  try {
    const one = async (sql: string) => (await engine.read<{ n: number }>(`SELECT ${sql} AS n`))[0]!.n;
    assert.ok(
      (await one('(SELECT count() FROM strays)')) > 0,
      'some messages stand under two sets of dimensions',
    );
    assert.ok((await one('(SELECT sum(unique_clicked) FROM metrics_day)')) > 0, 'and others do not');
    assert.equal(
      await one(`(SELECT sum(events) FROM slices_hour WHERE dimension = '')`),
      await one('(SELECT toInt64(sum(sign)) FROM events WHERE toDate(ts) < toDate(1793059200))'),
    );

    // A day that is sealed in one run is so in the next; what changes while a seal is made keeps the day open.
    const seals = await Seals.load(engine, () => NOW);
    const day = Date.parse('2026-10-25T12:00:00Z');
    assert.ok(seals.has(day) && !seals.has(NOW));
    const sealAll = (quietMs = 0) => seals.sealQuietDays(silentLog, quietMs);
    await seals.changing([dayOf(day)], async () => {
      assert.ok(!seals.has(day));
      assert.ok(!(await Seals.load(engine, () => NOW)).has(day), 'open on disk before the change begins');
      assert.equal(await sealAll(), 0, 'what the change adds may come after the seal has read');
    });
    assert.ok(!seals.has(day));
    // A change that begins and ends while a seal is made: in the middle of its statements.
    const { background } = engine;
    let met = 0;
    const meeting = await Seals.load(
      {
        ...members(engine),
        background: {
          ...background,
          write: async (sql, parameters) => {
            if (sql.startsWith('INSERT INTO metrics_day_fresh')) {
              met++;
              await meeting.changing([dayOf(day)], async () => {});
            }
            await background.write(sql, parameters);
          },
        },
      },
      () => NOW,
    );
    assert.equal(await meeting.sealQuietDays(silentLog, 0), 0, 'the day changed meanwhile');
    assert.equal(met, 1);
    assert.ok(!meeting.has(day));

    // When the note that opens a day fails, nothing is added, and the next change notes it again.
    let isFull = false;
    const failing = await Seals.load(
      {
        ...members(engine),
        write: async (sql, parameters) => {
          if (isFull) throw new Error('disk full');
          await engine.write(sql, parameters);
        },
      },
      () => NOW,
    );
    assert.equal(await failing.sealQuietDays(silentLog, 0), 1);
    isFull = true;
    await assert.rejects(
      failing.changing([dayOf(day)], async () => assert.fail('not begun')),
      /disk full/,
    );
    assert.ok((await Seals.load(engine, () => NOW)).has(day));
    isFull = false;
    await failing.changing([dayOf(day)], async () => {});
    assert.ok(!(await Seals.load(engine, () => NOW)).has(day));

    await seals.changing([dayOf(day)], async () => {});
    assert.equal(await sealAll(600_000), 0, 'it has not been quiet for ten minutes');
    assert.equal(await sealAll(), 1);
    assert.ok(seals.has(day) && (await Seals.load(engine, () => NOW)).has(day));
  } finally {
    await engine.close();
  }
});
