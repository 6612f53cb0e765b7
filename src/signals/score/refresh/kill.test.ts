import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../../system/clock.ts';
import { randomOf } from '../../metrics/history-testing.ts';
import { type Engine, openEmbedded } from '../../store/engine.ts';
import { defaultRetention } from '../../store/retention.ts';
import { line, startTestService } from '../../test-service.ts';
import { refresh } from './refresh.ts';

const KILLS = 6;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const engineModule = new URL('../../store/engine.ts', import.meta.url).href;
const refreshModule = new URL('./refresh.ts', import.meta.url).href;
const options = { eventAgeHours: 24 };

/** A refresh in a process of its own, as the service does it; says `go` when it begins. */
function startRefresh(folder: string, now: number) {
  const program = `
    const { openEmbedded } = await import(${JSON.stringify(engineModule)});
    const { refresh } = await import(${JSON.stringify(refreshModule)});
    const engine = await openEmbedded(${JSON.stringify(folder)});
    process.stdout.write('go');
    await refresh({ engine, retention: ${JSON.stringify(defaultRetention)} }, ${now}, ${JSON.stringify(options)});
    await engine.close();`;
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The figures of each day, and the memory of recipients, as text that is the same for the same content. */
async function content(engine: Engine): Promise<Map<string, string>> {
  const days = await engine.read<{ day: string }>(
    `SELECT toString(day) AS day, * EXCEPT day FROM score_facts ORDER BY ALL`,
  );
  const found = new Map<string, string>();
  for (const { day, ...row } of days) found.set(day, `${found.get(day) ?? ''}${JSON.stringify(row)}\n`);
  const recipients = await engine.read('SELECT * FROM score_recipients FINAL ORDER BY r, sid');
  found.set('recipients', JSON.stringify(recipients));
  return found;
}

test(`killed ${KILLS} times in the middle of a refresh, no day is ever half there and the figures come out right`, async () => {
  const seed = Date.now() % 100_000;
  const random = randomOf(seed);
  const end = Date.now();
  let now = end - 6 * DAY;
  const service = await startTestService({
    clock: { now: () => now, after: systemClock.after },
    scoreRefreshMs: DAY,
  });
  const copy = await mkdtemp(path.join(tmpdir(), 'posthorn-kill-'));
  try {
    for (let day = 6; day >= 0; day--) {
      now = end - day * DAY;
      const lines: string[] = [];
      for (let i = 0; i < 40; i++) {
        const at = (ms: number) => ({ timestamp: String(Math.floor(ms / 1000)) });
        const message = { message_id: `k${day}-${i}`, campaign_id: `c${i % 5}` };
        const sent = now - HOUR - random() * 12 * HOUR;
        lines.push(
          line('reception', { ...message, ...at(sent), rcpt_to: `u${i}@example.net`, open_tracking: true }),
        );
        if (random() < 0.5)
          lines.push(line('open', { ...message, ...at(sent + random() * HOUR), rcpt_to: '' }));
        if (random() < 0.2) lines.push(line('tempfail', { ...message, ...at(sent + random() * HOUR) }));
      }
      assert.equal((await service.postBytes(gzipSync(lines.join('\n')))).status, 200);
      await service.signals.idle();
    }
    await service.signals.close();
    const folder = path.join(service.dir, 'clickhouse');
    await cp(folder, path.join(copy, 'clickhouse'), { recursive: true });

    const undisturbed = await openEmbedded(path.join(copy, 'clickhouse'));
    const began = performance.now();
    const done = await refresh({ engine: undisturbed, retention: defaultRetention }, now, options);
    const took = performance.now() - began;
    const right = await content(undisturbed);
    await undisturbed.close();
    assert.ok(done.made.length >= 7 && done.closed.length >= 1, JSON.stringify(done));
    assert.ok(right.size >= 8);

    let killed = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const child = startRefresh(folder, now);
      const exited = once(child, 'exit');
      await once(child.stdout!, 'data');
      const timer = setTimeout(() => child.kill('SIGKILL'), (random() * took * (kill + 1)) / KILLS);
      const [, signal] = await exited;
      if (signal === 'SIGKILL') killed++;
      clearTimeout(timer);
      const engine = await openEmbedded(folder);
      for (const [day, figures] of await content(engine)) {
        if (day !== 'recipients') assert.equal(figures, right.get(day), `seed ${seed}, kill ${kill}, ${day}`);
      }
      await engine.close();
    }
    assert.ok(killed > 0);
    const engine = await openEmbedded(folder);
    await refresh({ engine, retention: defaultRetention }, now, options);
    assert.deepEqual(await content(engine), right, `seed ${seed}`);
    await engine.close();
  } finally {
    await service.stop();
    await rm(copy, { recursive: true, force: true });
  }
});
