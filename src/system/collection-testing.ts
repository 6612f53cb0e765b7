/** For tests of what the engine's quick collections can free. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const SIZE = 2000;
const COUNT = 4000;
const AT_A_TIME = 10;

/**
 * Buffers come and go, ten at a time, among quick collections and with one full one, so that what is under way at that
 * moment grows old and is garbage soon. Returns how many of 4,000 are still held after all have gone.
 */
export function heldBuffers(come: (id: string, content: Buffer) => void, go: (id: string) => void): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (how?: { type: 'minor' }) => void;
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < COUNT; i++) {
    come(`m${i}`, Buffer.allocUnsafeSlow(SIZE));
    if (i >= AT_A_TIME) go(`m${i - AT_A_TIME}`);
    if (i === 500) collect();
    if (i % 200 === 0) collect({ type: 'minor' });
  }
  for (let i = COUNT - AT_A_TIME; i < COUNT; i++) go(`m${i}`);
  for (let i = 0; i < 3; i++) collect({ type: 'minor' });
  return (process.memoryUsage().arrayBuffers - before) / SIZE;
}
