import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { openEmbedded } from '../../store/engine.ts';
import { defaultRetention } from '../../store/retention.ts';
import { migrate } from '../../store/schema.ts';
import { forgetRecipient } from './forget.ts';
import { refresh } from './refresh.ts';

test('a forgotten recipient is in none of the tables of the scores, others stay', async () => {
  const dir = await mkdtemp(`${tmpdir()}/posthorn-forget-`);
  const engine = await openEmbedded(dir);
  try {
    await migrate(engine, defaultRetention);
    const now = Date.now();
    for (const [day, name] of [
      [8, 'ada'],
      [8, 'bob'],
      [1, 'ada'],
      [1, 'bob'],
    ] as const) {
      for (const [type, ms] of [
        ['injection', 0],
        ['click', 1000],
      ] as const) {
        await engine.write(
          `INSERT INTO events (ts, event_id, type, sign, version, message_id, rcpt_to)
           SELECT fromUnixTimestamp64Milli({at:Int64}, 'UTC'), {id:String}, {type:String}, 1, 1, {m:String}, {to:String}`,
          {
            at: now - day * 86_400_000 + ms,
            id: `${day}${name}${type}`,
            type,
            m: `${day}${name}`,
            to: `${name}@example.net`,
          },
        );
      }
    }
    await refresh({ engine, retention: defaultRetention }, now, { eventAgeHours: 24 });
    const rowsOf = async (name: string) => {
      const counts = [];
      for (const table of ['score_recipients', 'score_touches', 'score_acts']) {
        const [row] = await engine.background.read<{ n: number }>(
          `SELECT uniqExact(r) AS n FROM ${table} WHERE r = reinterpretAsUInt64(substring(SHA1({to:String}), 1, 8))`,
          { to: `${name}@example.net` },
        );
        counts.push(row!.n);
      }
      return counts;
    };
    assert.deepEqual(await rowsOf('ada'), [1, 1, 1]);
    await forgetRecipient(engine, createHash('sha1').update('ada@example.net').digest('hex'));
    assert.deepEqual(await rowsOf('ada'), [0, 0, 0]);
    assert.deepEqual(await rowsOf('bob'), [1, 1, 1]);
    await assert.rejects(forgetRecipient(engine, 'ada@example.net'), /not a SHA-1/);
  } finally {
    await engine.close();
    await rm(dir, { recursive: true, force: true });
  }
});
