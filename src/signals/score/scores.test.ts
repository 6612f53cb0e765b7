import assert from 'node:assert/strict';
import { test } from 'node:test';
import { line, startTestService } from '../test-service.ts';
import { dayOf } from './refresh/days.ts';

test('figures follow the events by themselves', async () => {
  const service = await startTestService({ scoreRefreshMs: 30 });
  try {
    const seen = async (mails: number) => {
      const today = dayOf(Date.now());
      for (let tries = 0; tries < 600; tries++) {
        const report = await service.get(
          `/api/v1/signals/cohort-engagement?from=${dayOf(Date.now() - 86_400_000)}&to=${today}`,
        );
        const sum = report.body.results.data
          .flatMap((row: { history: { c_total: number }[] }) => row.history)
          .reduce((n: number, day: { c_total: number }) => n + day.c_total, 0);
        if (sum === mails) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.fail(`the figures never came to ${mails}`);
    };
    await service.ingest([line('reception'), line('reception')]);
    await seen(2);
    await service.ingest([line('reception')]);
    await seen(3);
  } finally {
    await service.stop();
  }
});
