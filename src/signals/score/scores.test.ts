import { test } from 'node:test';
import { until } from '../../system/testing.ts';
import { line, startTestService } from '../test-service.ts';
import { dayOf } from './refresh/days.ts';

test('figures follow the events by themselves', async () => {
  const service = await startTestService({ scoreRefreshMs: 30 });
  try {
    const mails = async () => {
      const report = await service.get(
        `/api/v1/signals/cohort-engagement?from=${dayOf(Date.now() - 86_400_000)}&to=${dayOf(Date.now())}`,
      );
      return report.body.results.data
        .flatMap((row: { history: { c_total: number }[] }) => row.history)
        .reduce((n: number, day: { c_total: number }) => n + day.c_total, 0);
    };
    await service.ingest([line('reception'), line('reception')]);
    await until(async () => (await mails()) === 2, undefined, 50);
    await service.ingest([line('reception')]);
    await until(async () => (await mails()) === 3, undefined, 50);
  } finally {
    await service.stop();
  }
});
