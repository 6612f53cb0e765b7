import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { line, startTestService, type TestService } from '../test-service.ts';
import { Completeness } from './completeness.ts';
import { type Engine, openEmbedded } from './engine.ts';
import { dropLeftovers } from './partitions.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Noon, so that an hour before and after is of the same day; near enough for events to be kept. */
const START = Math.floor(Date.now() / DAY) * DAY - 8 * DAY + 12 * HOUR;
let now = START;
/** What is done every five minutes is done when the test says so. */
const clock: Clock = {
  now: () => now,
  after: (ms, work) => (ms < 300_000 ? systemClock.after(ms, work) : () => {}),
};

let service: TestService;
before(async () => {
  service = await startTestService({ clock });
});
after(() => service.stop());

const at = (ms: number) => String(ms / 1000);
const mail = (id: string, type: string, ms: number, fields: Record<string, unknown> = {}) =>
  line(type, { message_id: id, campaign_id: 'c', timestamp: at(ms), ...fields });

async function ask(query = ''): Promise<unknown[]> {
  const from = new Date(START - 2 * DAY).toISOString();
  const names = 'count_injected_due,count_unresolved,count_resolved,event_completeness,count_injected';
  const answer = await service.get(`/api/v1/metrics/deliverability${query}from=${from}&metrics=${names}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.results.map((row: Record<string, unknown>) => names.split(',').map((n) => row[n]));
}

test('mail is due after its age, and resolved by a delivery or a bounce to the same recipient', async () => {
  const t = START - 3 * HOUR;
  const bob = { rcpt_to: 'bob@example.net' };
  await service.ingest([
    mail('delivered', 'reception', t),
    mail('delivered', 'delivery', t + HOUR),
    mail('bounced', 'reception', t),
    mail('bounced', 'inband', t + HOUR, { bounce_class: '24' }),
    mail('lost', 'reception', t, { campaign_id: 'lossy' }),
    mail('lost', 'tempfail', t + HOUR),
    mail('reported', 'reception', t),
    mail('reported', 'outofband', t + HOUR),
    // Of two recipients one has an end; of two subaccounts with the same id one.
    mail('two', 'reception', t),
    mail('two', 'reception', t, bob),
    mail('two', 'delivery', t + HOUR, bob),
    mail('same', 'reception', t, { subaccount_id: 5 }),
    mail('same', 'reception', t, { subaccount_id: 6 }),
    mail('same', 'delivery', t + HOUR, { subaccount_id: 6 }),
    // Told twice: counts at the first.
    mail('twice', 'reception', t - HOUR),
    mail('twice', 'reception', t, { campaign_id: 'again' }),
    mail('twice', 'delivery', t + HOUR),
  ]);
  assert.equal(await service.signals.refreshCompleteness(), 0);
  assert.deepEqual(await ask('?'), [[0, 0, 0, null, 10]]);

  // Of 9 o'clock nothing is due before 23 o'clock four days later; of 8 o'clock all an hour before.
  now = t + 4 * DAY + 13 * HOUR;
  assert.equal(await service.signals.refreshCompleteness(), 1);
  assert.deepEqual(await ask('?'), [[1, 0, 1, 100, 10]]);
  now = t + 4 * DAY + 14 * HOUR;
  assert.deepEqual(await ask('?'), [[1, 0, 1, 100, 10]], 'due is what was looked at');
  assert.equal(await service.signals.refreshCompleteness(), 1);
  assert.deepEqual(await ask('?'), [[9, 4, 5, 500 / 9, 10]]);
  assert.deepEqual(await ask('?precision=day&'), [[9, 4, 5, 500 / 9, 10]]);
  assert.deepEqual(await ask('?subaccounts=5,6&'), [[2, 1, 1, 50, 2]]);
  assert.deepEqual(await ask('?domains=example.net&subaccounts=5&'), [[1, 1, 0, 0, 1]]);
  assert.deepEqual(await ask('/campaign?order_by=count_injected&'), [
    [8, 3, 5, 62.5, 8],
    [0, 0, 0, null, 1],
    [1, 1, 0, 0, 1],
  ]);
  const hours = (await ask('/time-series?precision=hour&')).filter((row) => (row as number[])[4]! > 0);
  assert.deepEqual(hours, [
    [1, 0, 1, 100, 1],
    [8, 4, 4, 50, 9],
  ]);
});

test('an end that comes late counts, sealed or not', async () => {
  await service.signals.sealDays();
  assert.deepEqual(await ask('?'), [[9, 4, 5, 500 / 9, 10]]);
  await service.ingest([mail('lost', 'delivery', now - HOUR)]);
  await service.signals.refreshCompleteness();
  assert.deepEqual(await ask('?'), [[9, 3, 6, 600 / 9, 10]]);
});

test('a day is looked at once an hour until nothing of it can come, and a killed look leaves what was there', async () => {
  await service.signals.close();
  const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
  const load = (on: Engine = engine, eventDays = 10) =>
    Completeness.load(on, {
      dueMs: 109 * HOUR,
      eventAgeMs: DAY,
      eventDays,
      now: () => now,
    });
  const unresolved = async () =>
    (await engine.read<{ n: number }>('SELECT sum(unresolved) AS n FROM unresolved'))[0]!.n;
  try {
    const window = { from: START - 2 * DAY, to: START + 9 * DAY };
    const first = await load();
    const [due] = first.due(window);
    assert.deepEqual(due, { from: START - DAY / 2, to: START - 2 * HOUR });
    assert.equal(await first.refresh(silentLog), 0, 'it was this hour');

    // Two days on all is due, and late events may still come; then not any more.
    now = START + DAY / 2 + 109 * HOUR + HOUR;
    const writes: string[] = [];
    const killed: Engine = {
      embedded: true,
      cluster: null,
      counts: engine.counts,
      read: (sql, parameters) => engine.read(sql, parameters),
      write: (sql, parameters) => engine.write(sql, parameters),
      readForWrite: (sql, parameters) => engine.readForWrite(sql, parameters),
      insert: (table, columns, lines, token) => engine.insert(table, columns, lines, token),
      insertBlock: (table, columns, block, token) => engine.insertBlock(table, columns, block, token),
      close: () => engine.close(),
      background: {
        ...engine.background,
        write: async (sql, parameters) => {
          if (/REPLACE PARTITION|INSERT INTO resolved_days/.test(sql) && writes.push(sql) === 2)
            throw new Error('killed');
          await engine.background.write(sql, parameters);
        },
      },
    };
    await assert.rejects((await load(killed)).refresh(silentLog), /killed/);
    assert.equal(writes.length, 2);
    assert.deepEqual((await load()).due(window), [due], 'not noted, so not due');
    await dropLeftovers(engine);
    const second = await load();
    assert.equal(await second.refresh(silentLog), 1);
    assert.equal(await unresolved(), 3);
    assert.deepEqual(second.due(window), [{ from: START - DAY / 2, to: START + DAY / 2 }]);
    now += HOUR;
    assert.equal(await second.refresh(silentLog), 1, 'another hour');
    now += DAY;
    assert.equal(await second.refresh(silentLog), 1, 'the last time');
    now += HOUR;
    assert.equal(await (await load()).refresh(silentLog), 0, 'nothing of that day can come any more');
    assert.equal(await (await load(engine, 4)).refresh(silentLog, true), 0, 'its events may be gone');
    assert.deepEqual((await load(engine, 4)).due(window).length, 1, 'what was found stays');
  } finally {
    await engine.close();
  }
});
