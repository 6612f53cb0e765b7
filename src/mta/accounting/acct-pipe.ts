import { type ChildProcess, spawn } from 'node:child_process';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import type { Clock } from '../../system/clock.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { type RecordOptions, type Rows, rowsOf } from './rows.ts';

export interface AcctPipeOptions extends RecordOptions {
  /** The command of `<acct-file "|COMMAND">`, without the bar; the system's shell reads it. */
  readonly command: string;
  /** Which of several blocks with this command it is; default 1. */
  readonly nth?: number;
  /** `retry-interval`: wait before a program that ended is started again; default 5 min. */
  readonly retryIntervalMs?: number;
  /** `write-timeout`: a program that takes nothing for this long is given up; default 1 min. */
  readonly writeTimeoutMs?: number;
  /** Bytes kept for a slow program; default 1 MiB. */
  readonly maxBuffered?: number;
}

export interface AcctPipeView extends OutcomeView {
  /** `pmta reload`: starts the program again if it is not running. */
  restart(): void;
}

/**
 * Feeds the records of an `<acct-file>` to a program (PowerMTA guide 11.3). The program gets the title whenever it is
 * started. While it is down, its records are dropped: a pipe never holds back deliveries nor the journal, which is
 * why the guide tells operators to configure a file beside it. `flush` promises that the records were handed to the
 * pipe or dropped, not that the program has done anything with them.
 */
export function createAcctPipe(
  options: AcctPipeOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): AcctPipeView {
  const rows = rowsOf(options);
  for (const warning of rows.warnings) log.warn(`acct-file |${options.command}: ${warning}`);
  return new AcctPipe(options, rows, clock, log);
}

class AcctPipe implements AcctPipeView {
  readonly name: string;
  readonly #options: AcctPipeOptions;
  readonly #rows: Rows;
  readonly #clock: Clock;
  readonly #log: Log;
  #child: ChildProcess | null = null;
  #open = false;
  #dropped = 0;
  #cancelRetry = () => {};
  #cancelTimeout: (() => void) | null = null;

  constructor(options: AcctPipeOptions, rows: Rows, clock: Clock, log: Log) {
    const { command, nth = 1 } = options;
    this.name = `acct-file |${command}${nth > 1 ? ` (${nth})` : ''}`;
    this.#options = options;
    this.#rows = rows;
    this.#clock = clock;
    this.#log = log;
  }

  async open(): Promise<number> {
    this.#open = true;
    if (!this.#child) this.#start();
    return 0;
  }

  write(_seq: number, outcome: Outcome): void {
    const row = this.#rows.row(outcome);
    if (row !== null) this.#put(`${row}\n`);
  }

  async flush(): Promise<unknown> {
    return {};
  }

  restart(): void {
    if (this.#open && !this.#child) this.#start();
  }

  /** Ends the program's input and waits for its end, as long as `write-timeout`. */
  async close(): Promise<void> {
    this.#open = false;
    this.#cancelRetry();
    const child = this.#child;
    if (!child) return;
    const ended = new Promise<void>((done) => child.once('close', () => done()));
    child.stdin?.end();
    const cancel = this.#clock.after(this.#timeout, () => kill(child));
    await ended;
    cancel();
  }

  get #timeout(): number {
    return this.#options.writeTimeoutMs ?? 60_000;
  }

  #start(): void {
    this.#cancelRetry();
    // A group of its own, so that a program behind the shell ends with it.
    const child = spawn('/bin/sh', ['-c', this.#options.command], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.#child = child;
    let told = false;
    const giveUp = (stage: string, details: string) => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#cancelTimeout?.();
      this.#cancelTimeout = null;
      if (!this.#open) return;
      if (!told) this.#log.error(`Error ${stage} ${JSON.stringify(this.#options.command)}: ${details}`);
      told = true;
      kill(child);
      this.#cancelRetry = this.#clock.after(this.#options.retryIntervalMs ?? 300_000, () => this.#start());
    };
    child.once('error', (error) => giveUp('starting', reason(error)));
    child.stdin!.on('error', (error) => giveUp('writing to', reason(error)));
    child.once('close', (code, signal) => {
      giveUp('executing', signal ? `ended by ${signal}` : `ended with exit code ${code}`);
    });
    child.stdin!.on('drain', () => {
      this.#cancelTimeout?.();
      this.#cancelTimeout = null;
    });
    if (this.#dropped > 0) {
      this.#log.warn(`${this.#dropped} records were not given to ${JSON.stringify(this.#options.command)}`);
      this.#dropped = 0;
    }
    this.#put(`${this.#rows.title}\n`);
  }

  #put(text: string): void {
    const stdin = this.#child?.stdin;
    if (!stdin || stdin.destroyed || stdin.writableLength > (this.#options.maxBuffered ?? 1024 * 1024)) {
      this.#dropped++;
      return;
    }
    if (stdin.write(text) || this.#cancelTimeout) return;
    const child = this.#child!;
    this.#cancelTimeout = this.#clock.after(this.#timeout, () => {
      stdin.destroy(new Error(`nothing was taken for ${this.#timeout} ms`));
      kill(child);
    });
  }
}

function kill(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
