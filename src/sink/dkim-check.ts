import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { draw } from './draw.ts';

export interface DkimCheckOptions {
  /** Share of messages that are looked at, 0 to 1. */
  readonly share: number;
  readonly seed: number;
  readonly now: () => number;
  /** TXT records of a name; empty when there are none. */
  readonly texts: (name: string) => readonly string[];
  /** Writes the result down; until that is done the message counts as busy. */
  readonly result: (id: string, dkim: 'pass' | 'fail' | 'none') => Promise<void>;
}

/** Messages that wait to be looked at; beyond, mail is left unchecked rather than memory filled. */
const MOST_WAITING = 2000;
const MOST_BYTES = 64 * 1024 * 1024;

/** Verifies signatures after the sender has its answer, one message at a time. */
export class DkimChecks {
  readonly #options: DkimCheckOptions;
  #waiting: { id: string; content: Buffer }[] = [];
  #bytes = 0;
  #running: Promise<void> | null = null;
  #closed = false;

  constructor(options: DkimCheckOptions) {
    this.#options = options;
  }

  /** Messages that wait or are being looked at. */
  get busy(): number {
    return this.#waiting.length + (this.#running ? 1 : 0);
  }

  /** Takes a message if the sample wants it. */
  add(id: string, fingerprint: string, content: Buffer): void {
    const { share, seed } = this.#options;
    if (share <= 0 || draw(seed, fingerprint, 'dkim-sample') >= share) return;
    if (this.#waiting.length >= MOST_WAITING || this.#bytes + content.length > MOST_BYTES) return;
    this.#waiting.push({ id, content });
    this.#bytes += content.length;
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = [];
    await this.#running;
  }

  async #run(): Promise<void> {
    // Mail that waits for an answer goes first.
    await new Promise((resolve) => setImmediate(resolve));
    for (let next = this.#waiting.shift(); next && !this.#closed; next = this.#waiting.shift()) {
      this.#bytes -= next.content.length;
      // A message that the verifier cannot read at all carries no valid signature either.
      const dkim = await this.#verify(next.content).catch(() => 'fail' as const);
      if (!this.#closed) await this.#options.result(next.id, dkim);
    }
    this.#running = null;
  }

  async #verify(content: Buffer): Promise<'pass' | 'fail' | 'none'> {
    const { results } = await dkimVerify(content, {
      curTime: new Date(this.#options.now()),
      resolver: async (name: string, type: string) => {
        const texts = type === 'TXT' ? this.#options.texts(name) : [];
        if (texts.length === 0) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
        return texts.map((text) => [text]);
      },
    });
    const signatures = results.filter((result) => result.status.result !== 'none');
    if (signatures.length === 0) return 'none';
    return signatures.some((result) => result.status.result === 'pass') ? 'pass' : 'fail';
  }
}
