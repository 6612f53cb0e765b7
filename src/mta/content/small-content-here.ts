import type { MaybeLater } from '../../smtp/index.ts';
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import {
  type ContentWork,
  ContentWorkHere,
  type CopyOrder,
  type MadeCopy,
  type PlannedTracking,
} from './content-work.ts';

/** Octets. Up to here the main thread is held up for one or two milliseconds; a page of links alone takes ten times that. */
const LARGEST_HERE = 64 * 1024;

/**
 * For machines of two processors, or one. There a thread only takes turns with the main one, and with it a message costs
 * two fifths more processor time in all (docs/performance.md). What would hold up everybody else goes to a thread all the
 * same.
 */
export class SmallContentHere implements ContentWork {
  readonly #here = new ContentWorkHere();
  readonly #threads: ContentWork;

  constructor(threads: ContentWork) {
    this.#threads = threads;
  }

  plan(content: Buffer, settings: TrackingSettings): MaybeLater<PlannedTracking> {
    return this.#for(content).plan(content, settings);
  }

  make(content: Buffer, order: CopyOrder): MaybeLater<MadeCopy> {
    return this.#for(content).make(content, order);
  }

  async close(): Promise<void> {
    await this.#threads.close();
  }

  #for(content: Buffer): ContentWork {
    return content.length <= LARGEST_HERE ? this.#here : this.#threads;
  }
}
