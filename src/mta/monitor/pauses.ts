/**
 * What an operator has paused, kept across restarts: queues by pattern in the order they were named (the last one that
 * matches a queue counts, so one queue of a paused pattern can be resumed), and jobs by name.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { reason, writeFileDurably } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';
import { queuePattern } from './queue-pattern.ts';

interface Stored {
  readonly queues: readonly { readonly pattern: string; readonly paused: boolean }[];
  readonly jobs: readonly string[];
}

const FILE = 'paused.json';
/** More lines than an operator gives; each new queue is compared with all of them. */
const MOST = 1000;

export class Pauses {
  readonly #file: string;
  #queues: { pattern: string; paused: boolean; matches: (domain: string, vmta: string) => boolean }[] = [];
  #jobs = new Set<string>();

  constructor(stateDir: string) {
    this.#file = path.join(stateDir, FILE);
  }

  /** Reads what was paused when the server last ended. */
  async load(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw new UserError(`${this.#file} cannot be read: ${reason(error)}`, { cause: error });
    }
    try {
      const { queues, jobs } = JSON.parse(text) as Stored;
      this.#queues = queues.map(({ pattern, paused }) => ({
        pattern,
        paused,
        matches: queuePattern(pattern),
      }));
      this.#jobs = new Set(jobs);
    } catch (error) {
      throw new UserError(`${this.#file} is not what this program wrote; remove it, and nothing is paused`, {
        cause: error,
      });
    }
  }

  isQueuePaused(domain: string, vmta: string): boolean {
    return this.#queues.findLast(({ matches }) => matches(domain, vmta))?.paused ?? false;
  }

  get jobs(): ReadonlySet<string> {
    return this.#jobs;
  }

  /** Resolves when it is on disk; false when too much is paused already. */
  async queue(pattern: string, paused: boolean): Promise<boolean> {
    const matches = queuePattern(pattern);
    // What the new line covers wholly says nothing any more.
    const kept = this.#queues.filter(({ pattern: older }) => older !== pattern && !matches(...halves(older)));
    if (paused || kept.length > 0) kept.push({ pattern, paused, matches });
    if (kept.length > MOST) return false;
    this.#queues = kept;
    await this.#save();
    return true;
  }

  async job(name: string, paused: boolean): Promise<boolean> {
    if (paused && this.#jobs.size >= MOST) return false;
    if (paused) this.#jobs.add(name);
    else this.#jobs.delete(name);
    await this.#save();
    return true;
  }

  async #save(): Promise<void> {
    const stored: Stored = {
      queues: this.#queues.map(({ pattern, paused }) => ({ pattern, paused })),
      jobs: [...this.#jobs],
    };
    await writeFileDurably(this.#file, `${JSON.stringify(stored)}\n`, 0o600);
  }
}

function halves(pattern: string): [domain: string, vmta: string] {
  const slash = pattern.lastIndexOf('/');
  return slash < 0 ? [pattern, '*'] : [pattern.slice(0, slash), pattern.slice(slash + 1)];
}
