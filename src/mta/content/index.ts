import { availableParallelism } from 'node:os';
import type { Settings } from '../../config/index.ts';
import type { Log } from '../../system/log.ts';
import { ContentThreads } from './content-threads.ts';
import { type ContentWork, ContentWorkHere } from './content-work.ts';

export type { ContentWork, CopyOrder, MadeCopy, PlannedTracking } from './content-work.ts';
export { ContentWorkHere } from './content-work.ts';

/** How many threads the configuration wants beside the main one. One leaves a processor to the main thread. */
export function contentThreads(global: Settings<'global'>): number {
  return global.get('content-threads') ?? Math.max(1, availableParallelism() - 1);
}

/** `threads`: how many may work beside the main one; 0 does everything in the main one. */
export function createContentWork(threads: number, log: Log): ContentWork {
  return threads > 0 ? new ContentThreads(threads, log) : new ContentWorkHere();
}
