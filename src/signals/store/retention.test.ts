import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { line, startTestService, TEST_KEY } from '../test-service.ts';
import { openEmbedded } from './engine.ts';

test('a shorter time to keep events takes effect at the next start: old events go, their counts stay', async () => {
  const keepAll = { events: 400, messages: 400, metrics: 400 };
  const service = await startTestService({ eventAgeHours: 24 * 100, retention: keepAll });
  try {
    const ago = (days: number) => String(Math.floor(Date.now() / 1000) - days * 86_400);
    await service.ingest([
      line('reception', { message_id: 'old', timestamp: ago(40), campaign_id: 'c' }),
      line('open', { message_id: 'old', timestamp: ago(39), rcpt_to: '' }),
      line('reception', { message_id: 'new', timestamp: ago(2), campaign_id: 'c' }),
    ]);
    const metrics =
      '/api/v1/metrics/deliverability/campaign?from=2020-01-01T00:00&precision=day&metrics=count_injected,count_unique_rendered';
    const counts = (await service.get(metrics)).body.results;
    assert.deepEqual(counts, [{ campaign_id: 'c', count_injected: 2, count_unique_rendered: 1 }]);
    await service.signals.sealDays();
    await service.signals.close();

    const signals = await startSignals({
      dataDir: service.dir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: TEST_KEY,
      log: silentLog,
      clock: systemClock,
      retention: { ...keepAll, events: 10, messages: 20 },
    });
    const ask = async (where: string) =>
      (await fetch(signals.url + where, { headers: { authorization: TEST_KEY } })).json() as Promise<{
        results: unknown;
      }>;
    assert.deepEqual((await ask(metrics)).results, counts);
    await signals.close();

    const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
    try {
      const of = async (sql: string) => await engine.background.read<object>(sql);
      assert.deepEqual(await of('SELECT message_id FROM events'), [{ message_id: 'new' }]);
      assert.deepEqual(await of('SELECT message_id FROM messages'), [{ message_id: 'new' }]);
      assert.deepEqual(await of('SELECT sum(injected) AS n FROM metrics_hour'), [{ n: 2 }]);
      assert.deepEqual(await of('SELECT count() AS n FROM engagement'), [{ n: 1 }]);
    } finally {
      await engine.close();
    }
  } finally {
    await service.stop();
  }
});
