/**
 * The real service, killed while it erases recipients, seals days, refreshes scores and drops what is past its time:
 * in the end nobody who was to be forgotten is anywhere, and nothing else is lost. POSTHORN_ERASURE_KILLS=N, default 8.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { postBatch } from '../service-process-testing.ts';
import { defaultLimits, openEmbedded } from '../store/engine.ts';
import { eventId, line, TEST_KEY } from '../test-service.ts';
import { digestOf } from './scrub.ts';

const KILLS = Number(process.env.POSTHORN_ERASURE_KILLS ?? 8);
const OTHERS = 40;
const server = new URL('../server.ts', import.meta.url).href;
const HOUR = 3600;

/** The service, with everything that it does in the background done all the time. */
function begin(dir: string) {
  const program = `
    const { startSignals } = await import(${JSON.stringify(server)});
    const { systemClock } = await import(${JSON.stringify(new URL('../../system/clock.ts', import.meta.url).href)});
    const { createLog } = await import(${JSON.stringify(new URL('../../system/log.ts', import.meta.url).href)});
    const signals = await startSignals({ dataDir: ${JSON.stringify(dir)}, listen: { host: '127.0.0.1', port: 0 },
      adminKey: ${JSON.stringify(TEST_KEY)}, log: createLog(process.stderr, 'signals'), clock: systemClock,
      eventAgeHours: 48, retention: { events: 4 }, scoreRefreshMs: 20, accessLog: { requests: 'none' } });
    console.log(signals.url);
    for (;;) await signals.sealDays();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const exited = once(child, 'exit');
  const url = new Promise<string | null>((resolve) => {
    const lines = createInterface({ input: child.stdout });
    lines.once('line', resolve);
    lines.once('close', () => resolve(null));
  });
  return { child, exited, url, log: () => log };
}

const addressOf = (n: number) => `Person.${n}.X@example.net`;

/** What becomes of two mails to somebody, yesterday and today; their address stands in every kind of text. */
function storyOf(address: string, campaign: string): string[] {
  const now = Math.floor(Date.now() / 1000);
  return [30, 3].flatMap((hours) => {
    const message = {
      message_id: `k-${eventId()}`,
      campaign_id: campaign,
      rcpt_to: address,
      timestamp: String(now - hours * HOUR),
      open_tracking: true,
    };
    const later = { ...message, timestamp: String(now - hours * HOUR + 60) };
    return [
      line('reception', message),
      line('inband', {
        ...later,
        bounce_class: '10',
        reason: `550 no ${address}`,
        raw_reason: `550 <${address}>`,
      }),
      line('open', { ...later, rcpt_to: '' }),
      line('click', { ...later, rcpt_to: '', target_link_url: `https://b.example/?to=${address}` }),
    ];
  });
}

test(`killed ${KILLS} times while recipients are erased, all of them are gone in the end, and nothing else`, async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-erasure-kill-'));
  const gone: string[] = [];
  let stories = 0;
  let unsent: { address: string; body: Buffer; isSent: boolean } | null = null;
  let cut = 0;
  try {
    for (let kill = 0; kill <= KILLS; kill++) {
      const service = begin(dir);
      if (kill > 0 && kill < KILLS && Math.random() < 0.2) {
        await sleep(400 + Math.random() * 2500);
        service.child.kill('SIGKILL');
        await service.exited;
        continue;
      }
      const url = await service.url;
      assert.ok(url, service.log());
      if (kill === 0) {
        for (let n = 0; n < OTHERS; n++) {
          await postBatch(url, gzipSync(storyOf(`other.${n}@example.net`, `c${n % 3}`).join('\n')));
          stories++;
        }
      }
      const timer =
        kill < KILLS && setTimeout(() => service.child.kill('SIGKILL'), 30 + Math.random() ** 2 * 2500);
      // Asked for until it is acknowledged; killed before that, it may or may not be known.
      for (let n = 0; n < 2; n++) {
        const address: string = unsent?.address ?? addressOf(gone.length);
        unsent ??= {
          address,
          body: gzipSync(storyOf(address, `c${gone.length % 3}`).join('\n')),
          isSent: false,
        };
        try {
          if (!unsent.isSent) {
            await postBatch(url, unsent.body);
            unsent.isSent = true;
          }
          const response: Response = await fetch(`${url}/api/v1/data-privacy/rtbf-request`, {
            method: 'POST',
            headers: { authorization: TEST_KEY, 'content-type': 'application/json' },
            body: JSON.stringify({ recipients: [address], include_subaccounts: true }),
          });
          assert.equal(response.status, 200, await response.text());
          gone.push(address);
          stories++;
          unsent = null;
        } catch (error) {
          if (!/fetch failed|terminated|ECONN|other side/.test(String(error))) throw error;
          cut++;
          break;
        }
      }
      if (timer === false) {
        // What is left to do it does by itself.
        while (!(await readdir(path.join(dir, 'erasures'))).every((name) => name.endsWith('.json')))
          await sleep(50);
        service.child.kill('SIGTERM');
        await sleep(300);
        service.child.kill('SIGKILL');
      }
      await service.exited;
      if (timer) clearTimeout(timer);
    }
    assert.ok(gone.length >= KILLS / 4, `${gone.length} were to be erased`);

    const signals = await startSignals({
      dataDir: dir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: TEST_KEY,
      log: silentLog,
      clock: systemClock,
      eventAgeHours: 48,
      retention: { events: 4 },
    });
    await signals.idle();
    await signals.erased();
    await signals.sealDays();
    await signals.refreshScores();
    await signals.close();

    const engine = await openEmbedded(path.join(dir, 'clickhouse'), {
      ...defaultLimits,
      resultRows: 10_000_000,
    });
    try {
      const one = async (sql: string) =>
        Number((await engine.read<{ n: number }>(`SELECT ${sql} AS n`))[0]!.n);
      const tables = await engine.read<{ name: string }>(
        `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'`,
      );
      const traces = (text: string) => gone.filter((address) => text.includes(address.toLowerCase()));
      const digests = gone.map(digestOf);
      for (const { name } of tables) {
        assert.doesNotMatch(name, /_(fresh|rewrite|rebuild|now|parts)$/);
        for (const row of await engine.read<object>(`SELECT * FROM ${name}`)) {
          const text = JSON.stringify(row).toLowerCase();
          assert.deepEqual(traces(text), [], `${name} ${text}`);
          assert.ok(!digests.some((digest) => text.includes(digest)), `${name} ${text}`);
        }
      }
      for (const table of ['score_touches', 'score_acts', 'score_recipients']) {
        const numbers = digests.map((digest) => Buffer.from(digest, 'hex').readBigUInt64LE(0)).join(', ');
        assert.equal(await one(`(SELECT count() FROM ${table} WHERE r IN (${numbers}))`), 0, table);
      }
      // Each event of every story is there once, in the table and in the sums, also of those who are forgotten.
      assert.equal(await one('(SELECT toInt64(sum(sign)) FROM events)'), 8 * stories);
      assert.equal(await one('(SELECT uniqExact(event_id) FROM events)'), 8 * stories);
      for (const table of ['metrics_minute', 'metrics_hour']) {
        for (const column of ['injected', 'hard_bounce', 'rendered', 'clicked']) {
          assert.equal(await one(`(SELECT sum(${column}) FROM ${table})`), 2 * stories, `${table} ${column}`);
        }
      }
      assert.equal(await one('(SELECT sum(clicked) FROM engagement)'), 2 * stories);
      assert.equal(await one('(SELECT sum(events) FROM reasons)'), 2 * stories);
      const others = await one(`(SELECT uniqExact(rcpt_to) FROM events WHERE rcpt_to LIKE 'other.%')`);
      assert.equal(others, OTHERS);
      assert.equal(
        await one(`(SELECT uniqExact(link_name) FROM engagement WHERE link_name LIKE '%other.%')`),
        OTHERS,
      );

      for (const entry of await readdir(path.join(dir, 'ingest'), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const bytes = await readFile(path.join(entry.parentPath, entry.name));
        const text = (entry.name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8').toLowerCase();
        assert.deepEqual(traces(text), [], entry.name);
      }
      for (const name of await readdir(path.join(dir, 'erasures'))) {
        assert.deepEqual(traces(await readFile(path.join(dir, 'erasures', name), 'utf8')), [], name);
      }
      console.log(
        `${KILLS} kills, ${cut} of them in the middle of a request; ${gone.length} erased, ${stories} stories`,
      );
    } finally {
      await engine.close();
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
