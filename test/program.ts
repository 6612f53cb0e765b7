/** Runs the program as a user would: as a process, from its command line, on free ports, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until as untilOften } from '../src/system/testing.ts';

export const root = path.resolve(import.meta.dirname, '..');
const program = path.join(root, 'bin', 'posthorn.js');

const folders = new Set<string>();
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  // Who was killed may still be writing for a moment.
  for (const dir of folders) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
});

/** A process that is killed when this one ends, before the folders of this one are removed. */
export function endsWithUs<C extends ChildProcess>(child: C): C {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** A folder that is removed when the test file ends. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-test-'));
  folders.add(dir);
  return dir;
}

const [FIRST_PORT, BLOCK, BLOCKS] = [20_000, 100, 120];
/** Ports of this process, from `next` on; it has them for itself while it listens on the one before. */
let block: { next: number; end: number } | undefined;

/**
 * The first of `count` neighbouring ports on loopback that are all free, and that no other test file takes before the
 * program of this one listens on them.
 */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 2 * BLOCKS; tries++) {
    if (!block || block.next + count > block.end) block = await claimBlock();
    const base = block.next;
    block.next += count;
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
  throw new Error(`no ${count} neighbouring ports are free`);
}

async function claimBlock(): Promise<{ next: number; end: number }> {
  const from = Math.floor(Math.random() * BLOCKS);
  for (let n = 0; n < BLOCKS; n++) {
    const first = FIRST_PORT + ((from + n) % BLOCKS) * BLOCK;
    const server = createServer().unref();
    const mine = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ host: '127.0.0.1', port: first }, () => resolve(true));
    });
    if (mine) return { next: first + 1, end: first + BLOCK };
  }
  throw new Error('every block of ports for tests is taken');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the programs of this test file compiled, so that a second start is quicker; away from the user's own cache. */
let compiled: string | undefined;

/** A program that is running. */
export class Program {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  readonly finished: Promise<Finished>;

  constructor(args: readonly string[], env: Record<string, string> = {}, bin = program) {
    compiled ??= temporaryFolder();
    this.process = spawn(process.execPath, [bin, ...args], {
      env: { NODE_COMPILE_CACHE: compiled, ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.finished = new Promise((resolve) => {
      this.process.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }));
    });
    running.add(this.process);
  }

  /** Resolves when standard output has this text; rejects when the program ends before. */
  async says(text: string, withinMs?: number): Promise<void> {
    await until(() => {
      const { exitCode, signalCode } = this.process;
      if (exitCode !== null || signalCode !== null)
        throw new Error(`it ended with ${exitCode ?? signalCode}: ${this.stderr}`);
      return this.stdout.includes(text);
    }, withinMs);
  }

  async stop(): Promise<Finished> {
    this.process.kill('SIGTERM');
    return await this.finished;
  }
}

/** Runs a program to its end. */
export function run(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return new Program(args, env).finished;
}

/** As everywhere, but looking less often: what is asked here may cost the program something. */
export function until(holds: () => boolean | Promise<boolean>, withinMs?: number): Promise<void> {
  return untilOften(holds, withinMs, 25);
}
