// A disk that is full or fails while events come in: senders are told to repeat, nothing acknowledged is lost, nothing
// counts twice, and afterwards everything goes on by itself.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { missing } from '../scripts/system-packages.ts';
import { beginService, outcomeAt, postBatch } from '../src/signals/service-process-testing.ts';
import { line, TEST_KEY } from '../src/signals/test-service.ts';
import { type Fault, faultLayer } from './fault-layer.ts';
import { temporaryFolder, until } from './program.ts';

const EVENTS = 30;

function batch(): Buffer {
  const lines = Array.from({ length: EVENTS }, () => line('delivery', { campaign_id: 'faults' }));
  return gzipSync(lines.join('\n'));
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function ask(url: string, where: string): Promise<{ status: number; body: any }> {
  const response = await fetch(`${url}${where}`, { headers: { authorization: TEST_KEY } });
  return { status: response.status, body: await response.json() };
}

async function delivered(url: string): Promise<{ table: number; rollUp: number }> {
  const from = new Date(Date.now() - 7_200_000).toISOString().slice(0, 16);
  const report = await ask(url, `/api/v1/metrics/deliverability?from=${from}&metrics=count_delivered`);
  const found = await ask(url, '/api/v1/events/message?campaigns=faults&per_page=1&from=2020-01-01T00:00Z');
  return { table: found.body.total_count, rollUp: report.body.results[0].count_delivered };
}

async function settled(url: string): Promise<void> {
  // While the engine fails, the status says so and nothing else.
  while (((await ask(url, '/api/v1/ingest/status')).body.results?.batches_pending ?? 1) > 0) await sleep(50);
}

/** Sends until it is taken, as senders are asked to. */
async function untilTaken(url: string, body: Buffer): Promise<string> {
  for (;;) {
    try {
      return await postBatch(url, body);
    } catch (error) {
      if (!/^Error: 50[03]/.test(String(error))) throw error;
      await sleep(100);
    }
  }
}

test('a full disk and a failing one', { skip: missing('gcc') }, async () => {
  const folder = temporaryFolder();
  const dir = path.join(folder, 'data');
  mkdirSync(dir);
  const layer = faultLayer(dir, path.join(folder, 'control'));
  let service = beginService(dir, { env: layer.env });
  try {
    let url = (await service.ready)!;
    assert.ok(url, service.log());
    let taken = 0;
    const good = async () => {
      await postBatch(url, batch());
      taken++;
    };
    await good();
    await settled(url);
    for (const fault of ['enospc', 'eio-sync'] satisfies Fault[]) {
      // At rest: the batch cannot be kept, so it is not taken.
      layer.switch(fault, true);
      const refused = batch();
      await assert.rejects(
        postBatch(url, refused),
        /^Error: 503 \{"errors":\[\{"message":"The batch could not be/,
        fault,
      );
      assert.equal((await ask(url, '/health')).status, 200);
      layer.switch(fault, false);
      const id = await untilTaken(url, refused);
      taken++;
      assert.equal(
        (await outcomeAt(url, id)).number_succeeded,
        EVENTS,
        `${fault}: the same batch is taken afterwards`,
      );

      // In the middle of the work: what is acknowledged stays, and is stored when the disk is well again.
      await Promise.all(Array.from({ length: 12 }, good));
      layer.switch(fault, true);
      const triedAgain = service.log().split('will be tried again').length;
      const during = batch();
      const waiting = untilTaken(url, during);
      // Until it has reached the engine, and not only the door; nothing may be left for the engine to do, though.
      await until(() => service.log().split('will be tried again').length > triedAgain, 10_000).catch(
        () => {},
      );
      layer.switch(fault, false);
      await waiting;
      taken++;
      await settled(url);
      const expected = { table: taken * EVENTS, rollUp: taken * EVENTS };
      assert.deepEqual(await delivered(url), expected, `${fault}\n${service.log().slice(-2000)}`);
    }
    // The faults did reach the engine, not only the door.
    assert.match(service.log(), /will be tried again/);
    service.child.kill('SIGKILL');
    await service.exited;
    service = beginService(dir, { env: layer.env });
    url = (await service.ready)!;
    assert.ok(url, service.log());
    await settled(url);
    assert.deepEqual(
      await delivered(url),
      { table: taken * EVENTS, rollUp: taken * EVENTS },
      'after a restart',
    );
  } finally {
    service.child.kill('SIGKILL');
    await service.exited;
  }
});

test('a disk that fills up after so many bytes, wherever in the work that is', {
  skip: missing('gcc'),
}, async () => {
  const folder = temporaryFolder();
  const dir = path.join(folder, 'data');
  mkdirSync(dir);
  let sent = 0;
  const run = async (room: number | null, batches: readonly Buffer[]): Promise<boolean[]> => {
    const more: Record<string, string> = room === null ? {} : { FAULT_ENOSPC_AFTER: String(room) };
    const layer = faultLayer(dir, path.join(folder, 'control'), more);
    const service = beginService(dir, { env: layer.env });
    try {
      const url = await service.ready;
      if (room === null) assert.ok(url, service.log());
      const taken: boolean[] = [];
      for (const body of batches) {
        taken.push(
          url !== null &&
            (await postBatch(url, body).then(
              () => true,
              (error) => {
                assert.match(String(error), /^Error: 503 /);
                return false;
              },
            )),
        );
      }
      if (room !== null) await sleep(300);
      else {
        await settled(url!);
        const expected = { table: sent * EVENTS, rollUp: sent * EVENTS };
        assert.deepEqual(await delivered(url!), expected, service.log().slice(-2000));
      }
      return taken;
    } finally {
      service.child.kill('SIGKILL');
      await service.exited;
    }
  };
  sent = 1;
  await run(null, [batch()]);
  let refused = 0;
  let acknowledged = 0;
  for (const room of [0, 3000, 12_000, 30_000, 50_000, 80_000, 150_000, 300_000]) {
    const batches = Array.from({ length: 4 }, batch);
    const taken = await run(room, batches);
    acknowledged += taken.filter(Boolean).length;
    refused += taken.filter((one) => !one).length;
    sent += batches.length;
    // With room again: what was acknowledged is stored once, and so is what is sent again.
    await run(
      null,
      batches.filter((_, i) => !taken[i]),
    );
  }
  assert.ok(refused > 0 && acknowledged > 0, `${refused} refused, ${acknowledged} taken`);
});
