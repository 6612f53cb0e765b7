/** Runs one program with a message on its standard input: no shell, bounded output, bounded time. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from '../../system/clock.ts';

export type ProgramEnd =
  | { readonly kind: 'exited'; readonly code: number; readonly output: string }
  | { readonly kind: 'killed'; readonly why: string; readonly output: string }
  /** It could not be started: not there, no right to run it, no process to be had. */
  | { readonly kind: 'not-started'; readonly error: string };

export interface ProgramOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: Buffer;
  /** Longest time without the program taking any of its input, and longest time from then to its end. */
  readonly inputTimeoutMs: number;
  readonly endTimeoutMs: number;
}

/** Octets of output that are kept; the rest is read and dropped, so that the program never waits for us. */
const MOST_OUTPUT = 2048;
const OUTPUT_WAIT_MS = 500;

/** Nothing of our own environment, which may hold secrets. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

export class Programs {
  readonly #clock: Clock;
  readonly #running = new Set<ChildProcess>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Kills what runs, with all that it started in its process group. */
  killAll(): void {
    for (const child of this.#running) killGroup(child);
  }

  run({ program, args, input, inputTimeoutMs, endTimeoutMs }: ProgramOptions): Promise<ProgramEnd> {
    return new Promise((resolve) => {
      let child: ChildProcess;
      try {
        child = spawn(program, args, {
          stdio: ['pipe', 'pipe', 'pipe'],
          cwd: '/',
          env: ENVIRONMENT,
          // A process group of its own, so that what it starts can be killed with it.
          detached: true,
        });
      } catch (error) {
        resolve({ kind: 'not-started', error: (error as Error).message });
        return;
      }
      this.#running.add(child);
      const output: Buffer[] = [];
      let kept = 0;
      let late = '';
      let cancel = () => {};
      let ended = false;
      const limit = (ms: number, what: string) => {
        if (ended || child.exitCode !== null || child.signalCode !== null) return;
        cancel();
        cancel = this.#clock.after(ms, () => {
          late = `${what} for ${Math.round(ms / 1000)} s`;
          killGroup(child);
        });
      };
      const end = (result: ProgramEnd) => {
        if (ended) return;
        ended = true;
        cancel();
        this.#running.delete(child);
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
        resolve(result);
      };
      for (const stream of [child.stdout, child.stderr]) {
        stream!.on('error', () => {});
        stream!.on('data', (chunk: Buffer) => {
          if (kept < MOST_OUTPUT) output.push(chunk.subarray(0, MOST_OUTPUT - kept));
          kept += chunk.length;
        });
      }
      const said = () => Buffer.concat(output).toString('utf8').trim();
      child.once('error', (error) => end({ kind: 'not-started', error: error.message }));
      child.once('exit', (code, signal) => {
        const over = () =>
          end(
            code !== null
              ? { kind: 'exited', code, output: said() }
              : { kind: 'killed', why: late || `ended by ${signal}`, output: said() },
          );
        cancel();
        // 'close' is when its last output is read; one that leaves another process behind with it is not waited for.
        child.once('close', over);
        cancel = this.#clock.after(OUTPUT_WAIT_MS, over);
      });
      const stdin = child.stdin!;
      // A program need not read all of its input; its exit code tells whether it was content.
      stdin.on('error', () => {});
      limit(inputTimeoutMs, 'the program took none of its input');
      feed(stdin, input, {
        progress: () => limit(inputTimeoutMs, 'the program took none of its input'),
        done: () => limit(endTimeoutMs, 'the program did not end'),
      });
    });
  }
}

const SLICE = 256 * 1024;

/** Writes in slices, so that a program that takes its time is told from one that takes nothing. */
function feed(
  stdin: NonNullable<ChildProcess['stdin']>,
  input: Buffer,
  told: { readonly progress: () => void; readonly done: () => void },
): void {
  let at = 0;
  const next = (error?: Error | null) => {
    if (error || stdin.destroyed) {
      told.done();
      return;
    }
    if (at > 0) told.progress();
    if (at >= input.length) {
      stdin.end(told.done);
      return;
    }
    const slice = input.subarray(at, at + SLICE);
    at += slice.length;
    stdin.write(slice, next);
  };
  next();
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
