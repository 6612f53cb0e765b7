/** The real service with a heap that would not hold one of these batches: whatever is not bounded ends it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { beginService, outcomeAt, postBatch } from '../service-process-testing.ts';
import { line } from '../test-service.ts';

const HEAP_MIB = 200;
/** All of the process; a third of it is the engine at rest. */
const MOST_MIB = 1500;

const counts = (o: Record<string, unknown>) => [
  o.error_type ?? 'success',
  o.number_succeeded,
  o.number_failed ?? 0,
];

test('memory is bounded for any batch, and for many at once', {
  skip: process.platform !== 'linux',
}, async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-memory-'));
  const service = beginService(dir, { node: [`--max-old-space-size=${HEAP_MIB}`] });
  try {
    const url = (await service.ready)!;
    assert.ok(url, service.log());
    const peak = () => {
      const status = readFileSync(`/proc/${service.child.pid}/status`, 'utf8');
      return Math.round(Number(/VmHWM:\s*(\d+)/.exec(status)![1]) / 1024);
    };
    const told: string[] = [`at rest ${peak()}`];
    const check = async (name: string, bodies: readonly Buffer[], expected: unknown[]) => {
      const ids = await Promise.all(bodies.map((body) => postBatch(url, body)));
      for (const id of ids) assert.deepEqual(counts(await outcomeAt(url, id)), expected, name);
      told.push(`${name} ${peak()}`);
    };
    const zeros = gzipSync(Buffer.alloc(64 * 2 ** 20));
    const bomb = Buffer.concat(Array.from({ length: 75 }, () => zeros));
    assert.ok(bomb.length > 4.5 * 2 ** 20);
    await check('four bombs of 5 MB', Array(4).fill(bomb), ['decompress', 0, 0]);
    const one = gzipSync(Buffer.alloc(255 * 2 ** 20, 'x'), { level: 1 });
    await check('a line of 255 MB', [one], ['validation', 0, 1]);
    // Short events of one message: a million of them are 150 MB.
    const event = line('open', { event_id: 'NUMBER', message_id: 'm', rcpt_to: '' });
    const [before, after] = event.split('NUMBER') as [string, string];
    const million: string[] = [];
    for (let i = 0; i < 50_000; i++) million.push(`${before}${i}${after}`);
    const lines = gzipSync(`${million.join('\n')}\n`, { level: 1 });
    const rest = gzipSync(Buffer.from('{}\n'.repeat(950_000)), { level: 1 });
    await check('a million lines', [Buffer.concat([lines, rest])], ['validation', 50_000, 950_000]);
    const many = Array.from({ length: 40 }, (_, n) => {
      const some = Array.from({ length: 500 }, (_, i) => `${before}${n}-${i}${after}`);
      return gzipSync(some.join('\n'), { level: 1 });
    });
    await check('forty batches at once', many, ['success', 500, 0]);
    console.log(`peak of the process in MiB: ${told.join(', ')}`);
    assert.ok(peak() < MOST_MIB, `${peak()} MiB`);
  } finally {
    service.child.kill('SIGKILL');
    await service.exited;
    await rm(dir, { recursive: true, force: true });
  }
});
