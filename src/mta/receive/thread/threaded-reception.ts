import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import type { Config } from '../../../config/index.ts';
import type { Resolver } from '../../../dns/index.ts';
import type { Clock } from '../../../system/clock.ts';
import type { Log } from '../../../system/log.ts';
import { UserError } from '../../../system/user-error.ts';
import type { Timings } from '../../monitor/traffic.ts';
import type { TakeMessage } from '../submission.ts';
import { writeEntry } from './forwarded-log.ts';
import { TakeOver } from './hand-over.ts';
import type { FromReception, ReceptionThreadData, ToReception } from './messages.ts';
import { RootForThread } from './remote-root.ts';

export interface ThreadedReceptionDeps {
  readonly takeMessage: TakeMessage;
  /** Why no message can be taken now; null when all is well. */
  readonly spoolRefusal: () => string | null;
  /** Answers the questions of checks. */
  readonly resolver: () => Pick<Resolver, 'query'>;
  readonly onTimed: (sums: Timings) => void;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** How old what the thread knows about the room on disk may be. */
const REFUSAL_EVERY_MS = 500;

type Asked = Extract<ToReception, { readonly ask: number }>;
type WithoutAsk<T> = T extends unknown ? Omit<T, 'ask'> : never;

interface Waiting {
  readonly done: (addresses: readonly string[]) => void;
  readonly failed: (error: Error) => void;
}

/**
 * SMTP reception in a thread of its own, with all its limits, so that they stay exact. The thread is part of the server: a
 * fault that ends it ends the server, as it would without the thread.
 */
export class ThreadedReception {
  readonly #deps: ThreadedReceptionDeps;
  readonly #worker: Worker;
  readonly #sessions = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #takeOver: TakeOver;
  readonly #root = new RootForThread((given) => this.#say(given));
  readonly #waiting = new Map<number, Waiting>();
  /** By the numbers that both threads know them by. */
  readonly #configs = new Map<number, Config>();
  #inForce = 0;
  #lastConfig = 0;
  #lastAsk = 0;
  #refusal: string | null = null;
  #cancelLook = () => {};
  #closing = false;
  addresses: readonly string[] = [];

  /** `limits`: of the thread's memory; default the engine's own. */
  constructor(deps: ThreadedReceptionDeps, limits: ResourceLimits = {}) {
    this.#deps = deps;
    this.#takeOver = new TakeOver(
      deps.takeMessage,
      (number) => this.#configs.get(number)!,
      (messages) => this.#say({ kind: 'judged', messages }),
    );
    // Compiled or not, the thread's file is of the same kind as this one.
    const own = fileURLToPath(import.meta.url);
    const file = path.join(path.dirname(own), `reception-thread${path.extname(own)}`);
    const workerData: ReceptionThreadData = { hostName: deps.hostName, sessions: this.#sessions };
    this.#worker = new Worker(file, { name: 'reception', workerData, resourceLimits: limits });
    this.#worker.on('message', (message: FromReception) => this.#heard(message));
    this.#worker.on('error', (error) => this.#ended(error as Error));
    this.#worker.on('exit', () => this.#ended(null));
  }

  get openSessions(): number {
    return Atomics.load(this.#sessions, 0);
  }

  get mostSessions(): number {
    return Atomics.load(this.#sessions, 1);
  }

  /** As `Listeners.apply`. */
  async apply(config: Config): Promise<void> {
    const known = [...this.#configs].find(([, one]) => one === config)?.[0];
    const number = known ?? ++this.#lastConfig;
    const before = this.#inForce;
    this.#configs.set(number, config);
    this.#inForce = number;
    this.#refusal = this.#deps.spoolRefusal();
    const { file, texts } = config;
    try {
      this.addresses = await this.#ask({
        kind: 'apply',
        config: number,
        file,
        texts,
        refusal: this.#refusal,
      });
    } catch (error) {
      this.#inForce = before;
      if (known === undefined) this.#configs.delete(number);
      // There is no server that this would be the reception of.
      if (before === 0) await this.#terminate();
      throw error;
    }
    this.#lookAgain();
  }

  /** As `Listeners.close`. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing) return;
    await this.#ask({ kind: 'close', graceMs });
    await this.#terminate();
  }

  async #terminate(): Promise<void> {
    this.#closing = true;
    this.#cancelLook();
    await this.#worker.terminate();
  }

  #say(message: ToReception): void {
    this.#worker.postMessage(message);
  }

  #ask(asked: WithoutAsk<Asked>): Promise<readonly string[]> {
    const ask = ++this.#lastAsk;
    return new Promise((done, failed) => {
      this.#waiting.set(ask, { done, failed });
      this.#say({ ...asked, ask });
    });
  }

  #heard(message: FromReception): void {
    switch (message.kind) {
      case 'mail':
        this.#takeOver.take(message);
        break;
      case 'log':
        writeEntry(this.#deps.log, message);
        break;
      case 'timed': {
        const { kind: _, ...sums } = message;
        this.#deps.onTimed(sums);
        break;
      }
      case 'dns-asked': {
        const { ask, name, type } = message;
        const answered = this.#deps.resolver().query(name, type);
        void answered.then((found) => this.#say({ kind: 'dns-answered', ask, found }));
        break;
      }
      case 'root-wanted':
      case 'root-done':
        void this.#root.asked(message);
        break;
      case 'unused':
        // It may have been brought back meanwhile.
        if (message.config !== this.#inForce) this.#configs.delete(message.config);
        break;
      case 'done':
      case 'failed': {
        const waiting = this.#waiting.get(message.ask);
        this.#waiting.delete(message.ask);
        if (message.kind === 'done') waiting?.done(message.addresses);
        else if (message.fault === null) waiting?.failed(new UserError(message.message));
        else waiting?.failed(new Error(message.message, { cause: message.fault }));
        break;
      }
    }
  }

  #lookAgain(): void {
    this.#cancelLook();
    this.#cancelLook = this.#deps.clock.after(REFUSAL_EVERY_MS, () => {
      const why = this.#deps.spoolRefusal();
      if (why !== this.#refusal) this.#say({ kind: 'refusal', why });
      this.#refusal = why;
      this.#lookAgain();
    });
  }

  #ended(error: Error | null): void {
    if (this.#closing) return;
    this.#closing = true;
    const why = error?.stack ?? error?.message ?? 'it came to its end';
    this.#deps.log.error(`the thread of SMTP reception ended, and the server with it: ${why}`);
    throw new Error('the thread of SMTP reception ended', { cause: error });
  }
}
