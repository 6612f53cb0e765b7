/**
 * The real service, killed again and again while several clients send. POSTHORN_KILLS=100 kills it a hundred times,
 * POSTHORN_SEED=N repeats a run's batches and moments as far as a machine can repeat them.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { beginService, postBatch } from '../service-process-testing.ts';
import { defaultLimits, type Engine, openEmbedded } from '../store/engine.ts';
import { type Rollup, rollups } from '../store/tables/metrics.ts';
import { eventId, line, TEST_KEY } from '../test-service.ts';

const KILLS = Number(process.env.POSTHORN_KILLS ?? 5);
const SEED = Number(process.env.POSTHORN_SEED ?? Date.now() % 1_000_000);
const CLIENTS = 3;

/** Numbers in [0, 1) from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Batch {
  readonly ids: readonly string[];
  readonly body: Buffer;
}

/** Events of messages that open, click and bounce, some of them before their injection is known; two days of them. */
function makeBatch(random: () => number, late: string[]): Batch {
  const lines: string[] = late.splice(0);
  const messages = 20 + Math.floor(random() * (random() < 0.1 ? 3000 : 300));
  for (let i = 0; i < messages; i++) {
    const timestamp = String(Math.floor(Date.now() / 1000) - Math.floor(random() * 80_000));
    const message = {
      message_id: `crash-${eventId()}`,
      campaign_id: `c${i % 5}`,
      binding_group: `p${i % 2}`,
      timestamp,
    };
    const injection = line('reception', message);
    if (i % 7 === 0) late.push(injection);
    else lines.push(injection);
    if (i % 11 === 0) lines.push(line('inband', { ...message, bounce_class: '10', reason: 'no such user' }));
    else lines.push(line('delivery', message));
    lines.push(line('open', { message_id: message.message_id, rcpt_to: '', timestamp }));
  }
  const ids = lines.map((text) => Object.values<{ event_id: string }>(JSON.parse(text).msys)[0]!.event_id);
  return { ids, body: gzipSync(lines.join('\n')) };
}

/** What clients know: of each acknowledged batch its id and events, and what they still have to send. */
interface Ledger {
  readonly sent: Set<string>;
  readonly batches: Map<string, Batch>;
  readonly late: string[];
  readonly unsent: (Batch | null)[];
}

/** A sender as it should be: the same bytes again until they are acknowledged. */
async function send(url: string, client: number, ledger: Ledger, random: () => number, goOn: () => boolean) {
  while (goOn()) {
    const batch = ledger.unsent[client] ?? makeBatch(random, ledger.late);
    ledger.unsent[client] = batch;
    try {
      const id = await postBatch(url, batch.body);
      ledger.batches.set(id, batch);
    } catch {
      return;
    }
    ledger.unsent[client] = null;
    for (const id of batch.ids) ledger.sent.add(id);
  }
}

/** A roll-up's sums as it keeps them, and as they follow from its source. */
async function sums(engine: Engine, rollup: Rollup): Promise<[kept: unknown[], made: unknown[]]> {
  const numbers = Object.entries(rollup.table.columns).flatMap(([name, type]) => {
    const [, sum] = /^SimpleAggregateFunction\((sum\w*),/.exec(type) ?? [];
    if (!sum) return [];
    return [
      sum === 'sum'
        ? `sum(${name}) AS s_${name}`
        : `arraySort(${sum}(${name})::Array(Tuple(UInt16, Int64))) AS s_${name}`,
    ];
  });
  const of = (source: string) =>
    engine.read(
      `SELECT toUnixTimestamp(t) AS at, campaign_id, ip_pool, recipient_domain,
         ${numbers.join(', ')}
       FROM ${source} GROUP BY at, campaign_id, ip_pool, recipient_domain
       HAVING s_row_count != 0 ORDER BY at, campaign_id, ip_pool, recipient_domain`,
    );
  return [await of(rollup.table.name), await of(`(${rollup.select(rollup.from)})`)];
}

test(`killed ${KILLS} times at random moments, every acknowledged event is there once, in table, roll-ups and outcomes (seed ${SEED})`, async () => {
  const random = randomFrom(SEED);
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-crash-'));
  const ledger: Ledger = {
    sent: new Set(),
    batches: new Map(),
    late: [],
    unsent: Array.from({ length: CLIENTS }, () => null),
  };
  let whileStarting = 0;
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, exited, ready } = beginService(dir);
      // Now and then it is killed before it is ready: while it mends what the last kill has left.
      if (kill > 0 && random() < 0.25) {
        await sleep(300 + random() * 1500);
        whileStarting++;
        child.kill('SIGKILL');
        await exited;
        continue;
      }
      const url = await ready;
      assert.ok(url, 'it starts');
      let alive = true;
      const timer = setTimeout(() => child.kill('SIGKILL'), 10 + random() ** 2 * 2500);
      void exited.then(() => {
        alive = false;
      });
      await Promise.all(ledger.unsent.map((_, client) => send(url, client, ledger, random, () => alive)));
      await exited;
      clearTimeout(timer);
    }
    const { child, exited, ready } = beginService(dir);
    const url = await ready;
    assert.ok(url, 'it starts');
    let rounds = 0;
    await Promise.all(
      ledger.unsent.map((_, client) => send(url, client, ledger, random, () => rounds++ < 6)),
    );
    assert.deepEqual(ledger.unsent, [null, null, null], 'everything was acknowledged in the end');
    child.kill('SIGTERM');
    const [code] = await exited;
    assert.equal(code, 0, 'a stop by SIGTERM is clean');

    const signals = await startSignals({
      dataDir: dir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: TEST_KEY,
      log: silentLog,
      clock: systemClock,
    });
    await signals.idle();
    await signals.close();
    assert.deepEqual(await readdir(path.join(dir, 'ingest/pending')), []);

    const engine = await openEmbedded(path.join(dir, 'clickhouse'), {
      ...defaultLimits,
      resultRows: 10_000_000,
    });
    try {
      const one = async (sql: string) => Number((await engine.read<{ n: number }>(sql))[0]!.n);
      const stored = await engine.read<{ id: string; n: number }>(
        `SELECT event_id AS id, toInt64(sum(sign)) AS n FROM events GROUP BY id`,
      );
      const byId = new Map(stored.map((row) => [row.id, row.n]));
      for (const id of ledger.sent) assert.equal(byId.get(id), 1, `event ${id} of an acknowledged batch`);
      assert.equal(byId.size, ledger.sent.size, 'nothing is there that was never sent');
      for (const rollup of rollups) {
        const [kept, made] = await sums(engine, rollup);
        const differing = made.findIndex((row, i) => JSON.stringify(row) !== JSON.stringify(kept[i]));
        assert.deepEqual(kept[differing], made[differing], rollup.table.name);
        assert.equal(kept.length, made.length, rollup.table.name);
        assert.ok(made.length > 0, rollup.table.name);
      }
      const opens = await one(`SELECT toInt64(sum(sign)) AS n FROM events WHERE type = 'open'`);
      const opened = 'SELECT message FROM engagement GROUP BY message HAVING sum(rendered) > 0';
      assert.equal(await one(`SELECT count() AS n FROM (${opened})`), opens, 'each message was opened once');
      assert.equal(await one('SELECT uniqExact(event_id) AS n FROM event_ids'), byId.size);
      const enriched = await one(
        `SELECT count() AS n FROM (SELECT message_id, campaign_id FROM events WHERE type = 'open' AND sign = 1
         ORDER BY version DESC LIMIT 1 BY event_id) WHERE campaign_id != ''`,
      );
      const known = await one(
        `SELECT count() AS n FROM events WHERE type = 'open' AND sign = 1 AND version = 1 AND message_id IN
           (SELECT message_id FROM events WHERE type IN ('injection', 'delivery'))`,
      );
      assert.equal(enriched, known, 'every open whose message is known is enriched');
      const outcomes = await engine.read<{ batch: string; all: number; good: number }>(
        `SELECT batch_id AS batch, number_succeeded AS good,
           number_succeeded + number_failed + number_duplicates AS all FROM ingest_events FINAL`,
      );
      const told = new Map(outcomes.map((row) => [row.batch, row]));
      assert.equal(told.size, outcomes.length, 'one outcome for each batch');
      for (const [id, { ids }] of ledger.batches) {
        assert.equal(told.get(id)?.all, ids.length, `outcome of batch ${id}`);
      }
      const claimed = outcomes.reduce((sum, row) => sum + row.good, 0);
      assert.equal(claimed, byId.size, 'each event is told as taken by one batch');
      assert.ok(ledger.batches.size > KILLS / 2, 'the senders got something through between the kills');
      console.log(
        `${KILLS} kills, ${whileStarting} of them while it started: ${ledger.batches.size} batches acknowledged, ` +
          `${outcomes.length} stored, ${byId.size} events`,
      );
    } finally {
      await engine.close();
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
