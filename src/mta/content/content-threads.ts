import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import type { MaybeLater } from '../../smtp/index.ts';
import { Attached } from '../../system/attached.ts';
import type { Log } from '../../system/log.ts';
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import type { ContentWork, CopyOrder, MadeCopy, PlannedTracking } from './content-work.ts';
import type { Answer, Job } from './messages.ts';

/** A thread that has made the plan of a message is preferred for its copies, unless it has so many more jobs. */
const MORE_JOBS_FOR_A_PLAN = 4;
/** Jobs that the threads there are may have in hand before another is started. */
const BUSY = 2;

/** What a job leaves behind dies at once; more room for it cost a thread a hundred megabytes and saved no time. */
const SMALL: ResourceLimits = { maxYoungGenerationSizeMb: 8 };

interface Waiting {
  readonly done: (answer: Answer) => void;
  readonly failed: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  /** Jobs in hand, by number. */
  readonly jobs: Map<number, Waiting>;
}

interface Plan {
  readonly id: number;
  readonly settings: string;
  readonly thread: Thread;
  readonly planned: PlannedTracking;
}

/**
 * Content work in threads of its own. They start as they are needed, so that a relay that neither tracks nor signs has
 * none. One that ends, for want of memory or by a fault, takes the jobs that it had in hand with it: these reject, and
 * the next job starts another.
 */
export class ContentThreads implements ContentWork {
  readonly #most: number;
  readonly #limits: ResourceLimits;
  readonly #log: Log;
  readonly #threads: Thread[] = [];
  readonly #plans = new Attached<Buffer, Plan>();
  #job = 0;
  #plan = 0;

  /** `most` threads, at least one; `limits` are those of each. */
  constructor(most: number, log: Log, limits: ResourceLimits = SMALL) {
    this.#most = most;
    this.#log = log;
    this.#limits = limits;
  }

  plan(content: Buffer, settings: TrackingSettings): MaybeLater<PlannedTracking> {
    const key = JSON.stringify(settings);
    const known = this.#plans.get(content);
    if (known?.settings === key) return known.planned;
    const thread = this.#thread();
    const id = ++this.#plan;
    const job: Job = { job: ++this.#job, kind: 'plan', plan: id, content: copyOf(content), settings };
    return this.#ask(thread, job).then((answer) => {
      const { planned } = answer as Extract<Answer, { kind: 'planned' }>;
      this.#plans.set(content, { id, settings: key, thread, planned });
      return planned;
    });
  }

  make(content: Buffer, order: CopyOrder): Promise<MadeCopy> {
    const known = order.tracking ? this.#plans.get(content) : undefined;
    const fits = known && known.settings === JSON.stringify(order.tracking!.settings);
    const thread = this.#thread(known?.thread);
    // A thread that did not make the plan makes it once and keeps it under the same name.
    const plan = fits ? known.id : ++this.#plan;
    const ask = (octets: Uint8Array<ArrayBuffer> | null) =>
      this.#ask(thread, { job: ++this.#job, kind: 'make', plan, content: octets, order });
    const asked =
      fits && known.thread === thread
        ? ask(null).then((answer) => (answer.kind === 'forgotten' ? ask(copyOf(content)) : answer))
        : ask(copyOf(content));
    return asked.then((answer) => {
      const made = answer as Extract<Answer, { kind: 'made' }>;
      const copy = made.content
        ? Buffer.from(made.content.buffer, made.content.byteOffset, made.content.byteLength)
        : content;
      const whole = made.fields === '' ? copy : Buffer.concat([Buffer.from(made.fields), copy]);
      return { content: whole, faults: made.faults };
    });
  }

  /** What is in hand is lost: nobody may wait for anything any more. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #ask({ worker, jobs }: Thread, job: Job): Promise<Answer> {
    return new Promise((resolve, reject) => {
      jobs.set(job.job, { done: resolve, failed: reject });
      worker.postMessage(job, job.content ? [job.content.buffer] : []);
    });
  }

  /** The one with the fewest jobs, or `preferred`; a new one when all are busy. */
  #thread(preferred?: Thread): Thread {
    let least: Thread | undefined;
    for (const thread of this.#threads) if (!least || thread.jobs.size < least.jobs.size) least = thread;
    if (!least || (least.jobs.size >= BUSY && this.#threads.length < this.#most)) return this.#start();
    const near = preferred && preferred.jobs.size <= least.jobs.size + MORE_JOBS_FOR_A_PLAN;
    return near && this.#threads.includes(preferred) ? preferred : least;
  }

  #start(): Thread {
    // Compiled or not, the thread's file is of the same kind as this one.
    const own = fileURLToPath(import.meta.url);
    const file = path.join(path.dirname(own), `content-thread${path.extname(own)}`);
    const worker = new Worker(file, { name: 'content', resourceLimits: this.#limits });
    const thread: Thread = { worker, jobs: new Map() };
    let cause = new Error('the content thread ended');
    worker.on('message', (answer: Answer) => {
      const waiting = thread.jobs.get(answer.job);
      thread.jobs.delete(answer.job);
      if (answer.kind === 'fault') waiting?.failed(new Error(answer.error));
      else waiting?.done(answer);
    });
    worker.on('error', (error) => {
      cause = error as Error;
      this.#log.error(`a content thread ended: ${cause.stack ?? cause.message}`, { jobs: thread.jobs.size });
    });
    worker.on('exit', () => {
      const at = this.#threads.indexOf(thread);
      if (at !== -1) this.#threads.splice(at, 1);
      for (const { failed } of thread.jobs.values()) failed(cause);
      thread.jobs.clear();
    });
    // The server ends when its work ends; a thread without a job does not keep it.
    worker.unref();
    this.#threads.push(thread);
    return thread;
  }
}

/** To be handed over: sent as it is, a part of a larger piece of memory would take all of that along. */
function copyOf(content: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(content);
}
