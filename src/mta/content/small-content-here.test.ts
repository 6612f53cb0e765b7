import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import { keptLog } from '../testing.ts';
import { createContentWork } from './index.ts';

const settings: TrackingSettings = {
  opens: true,
  initialOpens: false,
  clicks: true,
  scheme: 'https',
  host: 'click.brand.test',
  sender: 'news@brand.test',
};
const head = 'From: news@brand.test\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n';
const small = Buffer.from(`${head}<a href="https://shop.test/">1</a>\r\n`);
const large = Buffer.concat([small, Buffer.from('x'.repeat(76).concat('\r\n').repeat(1000))]);
const order = { tracking: null, signatures: [], now: 0 };

/** Which of these messages are worked on in a thread. */
async function inThreads(line: string, processors: number): Promise<{ small: boolean; large: boolean }> {
  const { log } = keptLog();
  const work = createContentWork(good(line).global, log, processors);
  try {
    const planned = [small, large].map((content) => work.plan(content, settings));
    for (const plan of planned) assert.equal((await plan).changesBody, true);
    assert.equal((await work.make(large, order)).content.length, large.length);
    return { small: planned[0] instanceof Promise, large: planned[1] instanceof Promise };
  } finally {
    await work.close();
  }
}

test('on two processors only large messages are handed to a thread, on more all, with none wanted none', async () => {
  assert.deepEqual(await inThreads('', 1), { small: false, large: true });
  assert.deepEqual(await inThreads('', 2), { small: false, large: true });
  assert.deepEqual(await inThreads('', 3), { small: true, large: true });
  assert.deepEqual(await inThreads('content-threads 0\n', 4), { small: false, large: false });
  assert.deepEqual(await inThreads('content-threads 1\n', 2), { small: true, large: true });
});
