import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { Fetcher } from './fetcher.ts';
import type { Ledger } from './ledger.ts';
import type { Accepted, Done, PlannedAction } from './records.ts';

/** What came of one action; `again` asks for another try later. */
export interface ActionResult {
  readonly ok: boolean;
  readonly doubt: boolean;
  readonly status: number;
  readonly fault: string;
  readonly again: boolean;
}

export interface ActionsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly ledger: Ledger;
  readonly fetcher: Fetcher;
  /** Sends a bounce, complaint or absence notice back. */
  readonly sendBack: (record: Accepted, action: PlannedAction) => Promise<ActionResult>;
  /** The plan of this copy is finished. */
  readonly finished: (record: Accepted) => Promise<void>;
  /** Copies worked on at the same time. */
  readonly concurrency: number;
}

/** How often an action is tried when nothing answers, and the waits between (ms, doubling up to the last). */
const MOST_TRIES = 12;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/** One copy's actions, made in order: a reader clicks after having opened. */
interface Chain {
  readonly record: Accepted;
  readonly left: { readonly n: number; readonly action: PlannedAction }[];
  tries: number;
  /** A try of this step got no answer. */
  doubted: boolean;
  /** When the next step may be made. */
  due: number;
}

/** Carries out what was planned, each action once, when it is due. */
export class Actions {
  readonly #options: ActionsOptions;
  readonly #queue = new DueQueue();
  #running = 0;
  #finishing = 0;
  #cancel: (() => void) | null = null;
  #wakesAt = Number.POSITIVE_INFINITY;
  #closed = false;
  #idle: (() => void)[] = [];
  /** Grows with `forget`, so that a step that was under way then reports to nobody. */
  #epoch = 0;

  constructor(options: ActionsOptions) {
    this.#options = options;
  }

  /** Copies whose plan is done and that are being cleared away. */
  get finishing(): number {
    return this.#finishing;
  }

  /** Takes up a copy's plan, or what is left of it after a restart. */
  add(record: Accepted, left: readonly { readonly n: number; readonly action: PlannedAction }[]): void {
    if (left.length === 0) return;
    this.#queue.push({ record, left: [...left], tries: 0, doubted: false, due: left[0]!.action.due });
    this.#run();
  }

  /** Drops everything that has not begun. */
  forget(): void {
    this.#epoch++;
    this.#queue.clear();
  }

  /** Lets the steps that are under way end; begins no other. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #run(): void {
    if (this.#closed) return;
    const { clock, concurrency } = this.#options;
    while (this.#running < concurrency) {
      const next = this.#queue.peek();
      if (!next) return;
      if (next.due > clock.now()) {
        this.#wakeAt(next.due);
        return;
      }
      this.#queue.pop();
      this.#running++;
      void this.#step(next).finally(() => {
        this.#running--;
        if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
        this.#run();
      });
    }
  }

  #wakeAt(due: number): void {
    if (due >= this.#wakesAt) return;
    this.#cancel?.();
    this.#wakesAt = due;
    this.#cancel = this.#options.clock.after(Math.max(1, due - this.#options.clock.now()), () => {
      this.#wakesAt = Number.POSITIVE_INFINITY;
      this.#run();
    });
  }

  async #step(chain: Chain): Promise<void> {
    const { clock, ledger, log, finished } = this.#options;
    const epoch = this.#epoch;
    const { n, action } = chain.left[0]!;
    let result: ActionResult;
    try {
      result = await this.#act(chain.record, action);
    } catch (error) {
      log.error('an action failed', { action: action.kind, reason: (error as Error).message });
      result = { ok: false, doubt: false, status: 0, fault: 'internal', again: false };
    }
    if (epoch !== this.#epoch) return;
    // Cut short by the end of the program: the next start does it again.
    if (this.#closed && result.again) return;
    chain.tries++;
    chain.doubted ||= result.doubt;
    if (result.again && chain.tries < MOST_TRIES) {
      chain.due = clock.now() + Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (chain.tries - 1));
      this.#queue.push(chain);
      return;
    }
    const done: Done = {
      k: 'done',
      at: clock.now(),
      id: chain.record.id,
      n,
      kind: action.kind,
      who: action.who,
      ok: result.ok,
      doubt: chain.doubted,
      status: result.status,
      fault: result.fault,
      tries: chain.tries,
    };
    const last = chain.left.length === 1;
    if (last) this.#finishing++;
    try {
      await ledger.append(done);
      if (last) await finished(chain.record);
    } catch (error) {
      log.error('an action could not be recorded', { reason: (error as Error).message });
    } finally {
      if (last) this.#finishing--;
    }
    if (last) return;
    chain.left.shift();
    chain.tries = 0;
    chain.doubted = false;
    chain.due = chain.left[0]!.action.due;
    this.#queue.push(chain);
  }

  async #act(record: Accepted, action: PlannedAction): Promise<ActionResult> {
    if (action.url === '') return this.#options.sendBack(record, action);
    const method = action.kind === 'unsubscribe' ? 'POST' : 'GET';
    const got = await this.#options.fetcher.fetch(action.url, action.how, method);
    if (got.fault !== '') {
      const again = got.fault === 'refused';
      return { ok: false, doubt: got.fault === 'lost', status: 0, fault: got.fault, again };
    }
    const fault = judgeAnswer(action, got);
    return { ok: fault === '', doubt: false, status: got.status, fault, again: false };
  }
}

/** What a tracker must answer: a picture for a pixel, a redirect for a link, 2xx (and no redirect) to one-click. */
function judgeAnswer(
  action: PlannedAction,
  got: { readonly status: number; readonly contentType: string; readonly location: string },
): string {
  switch (action.kind) {
    case 'click':
      if (got.status < 300 || got.status > 399) return 'status';
      return /^https?:\/\//i.test(got.location) ? '' : 'location';
    case 'unsubscribe':
      return got.status >= 200 && got.status <= 299 ? '' : 'status';
    default:
      if (got.status !== 200) return 'status';
      return got.contentType.startsWith('image/') ? '' : 'type';
  }
}

/** Chains by the time at which they are due: a binary heap, as there may be very many. */
class DueQueue {
  #heap: Chain[] = [];

  peek(): Chain | undefined {
    return this.#heap[0];
  }

  clear(): void {
    this.#heap = [];
  }

  push(chain: Chain): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(chain);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.due <= chain.due) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = chain;
  }

  pop(): Chain | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.due < heap[child]!.due) child++;
      if (heap[child]!.due >= last.due) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
