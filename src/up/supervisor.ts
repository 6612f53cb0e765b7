/**
 * Runs the programs of a set as child processes: waits until each is ready, starts it again when it dies, and stops
 * all of them in the end, the last started first.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../system/clock.ts';
import { UserError } from '../system/user-error.ts';

export interface ChildSpec {
  readonly name: string;
  /** Arguments after `posthorn`. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Resolves true when the program answers. */
  readonly isReady: () => Promise<boolean>;
  /** Called with each line of standard output; without it lines are passed on, marked with the name. */
  readonly onLine?: (line: string) => void;
  /** A program that ends by itself when its work is done, with exit code 0. */
  readonly ends?: boolean;
}

export interface SupervisorOptions {
  /** The executable and its first arguments, up to the command name. */
  readonly command: readonly string[];
  readonly clock: Clock;
  /** Takes one line about a child: for the terminal. */
  readonly say: (line: string) => void;
  /** How long a program may take to become ready. */
  readonly readyWithinMs: number;
  /** How long a program may take to stop before it is killed. */
  readonly stopWithinMs: number;
  /** Called when the set of running processes changed, with their process ids. */
  readonly onPids?: (pids: ReadonlyMap<string, number>) => void;
}

interface Child {
  readonly spec: ChildSpec;
  process: ChildProcess | null;
  /** The last words on standard error, for the message when it does not start. */
  lastWords: string[];
  exited: Promise<void>;
  restarts: number;
  ready: boolean;
  finished: boolean;
}

/** Set in the environment of a child: stop when standard input ends. */
export const SUPERVISED = 'POSTHORN_SUPERVISED';
const FIRST_RESTART_MS = 200;
const LONGEST_RESTART_MS = 5000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Map<string, Child>();
  #stopping = false;
  #fail: (error: UserError) => void = () => {};
  /** Rejects when a program can no longer be kept running. */
  readonly failed: Promise<never>;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Somebody may not be waiting yet; the rejection is delivered to whoever waits later.
    this.failed.catch(() => {});
  }

  /** Starts a program and resolves when it is ready; rejects with its own last sentence when it is not to be had. */
  async start(spec: ChildSpec): Promise<void> {
    const child: Child = {
      spec,
      process: null,
      lastWords: [],
      exited: Promise.resolve(),
      restarts: 0,
      ready: false,
      finished: false,
    };
    this.#children.set(spec.name, child);
    this.#spawn(child);
    await this.#untilReady(child);
  }

  /** How often a program died and was started again. */
  restarts(name: string): number {
    return this.#children.get(name)?.restarts ?? 0;
  }

  isFinished(name: string): boolean {
    return this.#children.get(name)?.finished ?? false;
  }

  /** Stops the named programs (all when none is named), the last started first. */
  async stop(...names: string[]): Promise<void> {
    if (names.length === 0) this.#stopping = true;
    const chosen = [...this.#children.values()]
      .filter((child) => names.length === 0 || names.includes(child.spec.name))
      .reverse();
    for (const child of chosen) {
      child.finished = true;
      const running = child.process;
      if (!running || running.exitCode !== null || running.signalCode !== null) continue;
      running.kill('SIGTERM');
      const cancel = this.#options.clock.after(this.#options.stopWithinMs, () => {
        this.#options.say(`${child.spec.name} did not stop in time and was killed`);
        running.kill('SIGKILL');
      });
      await child.exited;
      cancel();
    }
  }

  #spawn(child: Child): void {
    const [file, ...first] = this.#options.command;
    const { spec } = child;
    child.lastWords = [];
    const running = spawn(file!, [...first, ...spec.args], {
      env: { ...process.env, ...spec.env, [SUPERVISED]: '1' },
      // The pipe is never written to: a supervised program stops when it closes, so none outlives a killed parent.
      stdio: ['pipe', 'pipe', 'pipe'],
      // Ctrl-C reaches only the parent, which then stops everything in order.
      detached: true,
    });
    child.process = running;
    child.ready = false;
    createInterface({ input: running.stdout! }).on('line', (line) => {
      if (spec.onLine) spec.onLine(line);
      else this.#options.say(`${spec.name}: ${line}`);
    });
    createInterface({ input: running.stderr! }).on('line', (line) => {
      child.lastWords.push(line);
      if (child.lastWords.length > 20) child.lastWords.shift();
      if (child.ready) this.#options.say(`${spec.name}: ${line}`);
    });
    child.exited = new Promise((resolve) => {
      // What could not be started has an 'error' and then a 'close' too: it is one end.
      let over = false;
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        if (over) return;
        over = true;
        this.#onExit(child, code, signal);
        resolve();
      };
      running.once('error', (error) => {
        child.lastWords.push(`${file} could not be started: ${error.message}`);
        end(1, null);
      });
      // 'close' comes after the last line was read.
      running.once('close', end);
    });
    this.#tellPids();
  }

  #onExit(child: Child, code: number | null, signal: NodeJS.Signals | null): void {
    this.#tellPids();
    const { spec } = child;
    if (this.#stopping || child.finished) return;
    if (spec.ends && code === 0) {
      child.finished = true;
      return;
    }
    const how = signal ? `was killed (${signal})` : `ended with exit code ${code}`;
    if (!child.ready && child.restarts === 0) {
      this.#fail(new UserError(`${spec.name} ${how} before it was ready: ${lastSentence(child)}`));
      return;
    }
    const wait = Math.min(FIRST_RESTART_MS * 2 ** Math.min(child.restarts, 10), LONGEST_RESTART_MS);
    child.restarts++;
    const words = signal ? '' : `: ${lastSentence(child)}`;
    this.#options.say(`${spec.name} ${how}${words}; starting it again (restart ${child.restarts})`);
    this.#options.clock.after(wait, () => {
      if (this.#stopping || child.finished) return;
      this.#spawn(child);
      this.#untilReady(child).catch((error) => {
        if (!this.#stopping) this.#options.say((error as Error).message);
      });
    });
  }

  async #untilReady(child: Child): Promise<void> {
    const { clock, readyWithinMs } = this.#options;
    const deadline = clock.now() + readyWithinMs;
    const running = child.process;
    while (clock.now() < deadline) {
      if (child.process !== running || running?.exitCode !== null || running.signalCode !== null) {
        if (child.finished || child.restarts > 0) return;
        await child.exited;
        // Its work was done before it was asked whether it is ready.
        if (child.finished) return;
        throw new UserError(`${child.spec.name} did not start: ${lastSentence(child)}`);
      }
      if (await child.spec.isReady()) {
        child.ready = true;
        return;
      }
      await new Promise<void>((resolve) => clock.after(50, resolve));
    }
    throw new UserError(
      `${child.spec.name} was not ready after ${readyWithinMs / 1000} s: ${lastSentence(child)}`,
    );
  }

  #tellPids(): void {
    const pids = new Map<string, number>();
    for (const [name, { process: running }] of this.#children) {
      if (running?.pid && running.exitCode === null && running.signalCode === null)
        pids.set(name, running.pid);
    }
    this.#options.onPids?.(pids);
  }
}

/** A child's last words, without the name that it puts before them. */
function lastSentence(child: Child): string {
  const line = child.lastWords.findLast((words) => words.trim() !== '' && !words.startsWith('    at '));
  return line?.replace(/^posthorn [a-z]+: /, '') ?? 'it said nothing';
}
