import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { openEmbedded } from '../store/engine.ts';
import { eventId, line, TEST_KEY } from '../test-service.ts';

const KILLS = 10;
const command = new URL('../../cli/signals.ts', import.meta.url).href;

/** The real command in a process of its own, on a free port. */
async function start(dir: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { run } = await import(${JSON.stringify(command)}); process.exitCode = await run(process.argv.slice(1));`,
      '--',
      '--data',
      dir,
      '--listen',
      '127.0.0.1:0',
    ],
    { env: { ...process.env, POSTHORN_ADMIN_KEY: TEST_KEY }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  for await (const text of createInterface({ input: child.stderr! })) {
    const url = /ready url=(\S+)/.exec(text)?.[1];
    if (url) {
      child.stderr!.resume();
      return { child, url };
    }
  }
  throw new Error('the service did not start');
}

interface Batch {
  readonly ids: readonly string[];
  readonly body: Buffer;
}

/** Events of messages that open and click, some of them before their injection is known. */
function makeBatch(n: number, late: string[]): Batch {
  const lines: string[] = [...late.splice(0)];
  for (let i = 0; i < n; i++) {
    const message = {
      message_id: `crash-${eventId()}`,
      campaign_id: `c${i % 5}`,
      binding_group: `p${i % 2}`,
    };
    const injection = line('reception', message);
    if (i % 7 === 0) late.push(injection);
    else lines.push(injection);
    lines.push(line('delivery', message), line('open', { message_id: message.message_id, rcpt_to: '' }));
  }
  const ids = lines.map((text) => Object.values<{ event_id: string }>(JSON.parse(text).msys)[0]!.event_id);
  return { ids, body: gzipSync(lines.join('\n')) };
}

test(`killed ${KILLS} times at random moments, every acknowledged event is there once, in table and roll-ups`, async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-crash-'));
  const sent = new Set<string>();
  const late: string[] = [];
  let unsent: Batch | null = null;
  let acknowledged = 0;
  try {
    for (let kill = 0; kill <= KILLS; kill++) {
      const { child, url } = await start(dir);
      const exited = once(child, 'exit');
      let dead = false;
      const timer =
        kill < KILLS
          ? setTimeout(
              () => {
                dead = true;
                child.kill('SIGKILL');
              },
              20 + Math.random() * 350,
            )
          : undefined;
      // A sender as it should be: the same bytes again until they are acknowledged.
      for (let n = 0; !dead && n < (kill < KILLS ? 1000 : 5); n++) {
        const batch: Batch = unsent ?? makeBatch(20 + Math.floor(Math.random() * 300), late);
        unsent = batch;
        try {
          const response = await fetch(`${url}/api/v1/ingest/events`, {
            method: 'POST',
            headers: {
              authorization: TEST_KEY,
              'content-type': 'application/x-ndjson',
              'content-encoding': 'gzip',
            },
            body: new Uint8Array(batch.body),
          });
          if (response.status !== 200) throw new Error(await response.text());
          await response.json();
        } catch {
          break;
        }
        unsent = null;
        acknowledged++;
        for (const id of batch.ids) sent.add(id);
      }
      if (kill === KILLS) child.kill('SIGTERM');
      const [code] = await exited;
      if (kill === KILLS) assert.equal(code, 0, 'a stop by SIGTERM is clean');
      clearTimeout(timer);
    }
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

    const engine = await openEmbedded(path.join(dir, 'clickhouse'));
    try {
      const one = async (sql: string) => Number((await engine.read<{ n: number }>(sql))[0]!.n);
      const unacknowledged = unsent ? unsent.ids : [];
      const stored = await engine.read<{ id: string; n: number }>(
        `SELECT event_id AS id, toInt64(sum(sign)) AS n FROM events GROUP BY id`,
      );
      const byId = new Map(stored.map((row) => [row.id, row.n]));
      for (const id of sent) assert.equal(byId.get(id), 1, `event ${id} of an acknowledged batch`);
      for (const [id, n] of byId) {
        assert.equal(n, 1);
        assert.ok(sent.has(id) || unacknowledged.includes(id), `event ${id} was never sent`);
      }
      const rows = await one('SELECT count() AS n FROM events');
      const opens = await one(`SELECT toInt64(sum(sign)) AS n FROM events WHERE type = 'open'`);
      for (const rollup of ['metrics_minute', 'metrics_hour']) {
        assert.equal(await one(`SELECT sum(row_count) AS n FROM ${rollup}`), rows, rollup);
        assert.equal(await one(`SELECT sum(events) AS n FROM ${rollup}`), byId.size, rollup);
        assert.equal(await one(`SELECT sum(rendered) AS n FROM ${rollup}`), opens, rollup);
      }
      const opened = 'SELECT message FROM engagement GROUP BY message HAVING sum(rendered) > 0';
      assert.equal(await one(`SELECT count() AS n FROM (${opened})`), opens, 'engagement');
      assert.equal(await one(`SELECT sum(rendered) AS n FROM engagement`), opens, 'engagement');
      assert.equal(await one('SELECT uniqExact(event_id) AS n FROM event_ids'), byId.size);
      const enriched = await one(
        `SELECT count() AS n FROM (SELECT campaign_id FROM events WHERE type = 'open' AND sign = 1
         ORDER BY version DESC LIMIT 1 BY event_id) WHERE campaign_id != ''`,
      );
      const injected = await one(`SELECT count() AS n FROM events WHERE type = 'injection'`);
      assert.ok(enriched >= injected, `${enriched} of ${opens} opens are enriched, ${injected} injections`);
      const outcomes = await one('SELECT count() AS n FROM ingest_events FINAL');
      assert.ok(outcomes >= acknowledged, `${outcomes} outcomes of ${acknowledged} acknowledged batches`);
      assert.ok(acknowledged > KILLS, 'the sender got something through between the kills');
    } finally {
      await engine.close();
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
