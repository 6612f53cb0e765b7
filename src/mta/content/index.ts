import { availableParallelism } from 'node:os';
import type { Settings } from '../../config/index.ts';
import type { Log } from '../../system/log.ts';
import { ContentThreads } from './content-threads.ts';
import { type ContentWork, ContentWorkHere } from './content-work.ts';
import { SmallContentHere } from './small-content-here.ts';

export type { ContentWork, CopyOrder, MadeCopy, PlannedTracking } from './content-work.ts';
export { ContentWorkHere } from './content-work.ts';

/**
 * By the threads that the configuration wants beside the main one, 0 for none. Where it does not say, one processor is
 * left to the main thread.
 */
export function createContentWork(
  global: Pick<Settings<'global'>, 'get'>,
  log: Log,
  processors = availableParallelism(),
): ContentWork {
  const wanted = global.get('content-threads');
  if (wanted === 0) return new ContentWorkHere();
  const threads = new ContentThreads(wanted ?? Math.max(1, processors - 1), log);
  return wanted === null && processors <= 2 ? new SmallContentHere(threads) : threads;
}
