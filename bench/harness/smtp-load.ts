/** Postfix's own load programs: `smtp-source` sends as fast as it is let, `smtp-sink` takes and counts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { endsWithUs, freePorts, temporaryFolder } from '../../test/program.ts';
import { fail } from './given.ts';

/** Takes every message and forgets it. */
export interface CountingSink {
  readonly port: number;
  /** Messages taken so far. */
  readonly count: number;
  /** Resolves with the moment (`performance.now()`) at which it had taken `n` messages since it started. */
  reaches(n: number, withinMs: number): Promise<number>;
  stop(): void;
}

/** Ends the benchmark, saying what to do, when these programs are not here. */
export function needLoadPrograms(...programs: ('smtp-source' | 'smtp-sink')[]): void {
  for (const name of programs) {
    // Told to do nothing, either complains and ends.
    if (spawnSync(name, [], { stdio: 'ignore' }).error) {
      fail(`${name} is not here: it comes with Postfix (apt-get install postfix), which need not be running`);
    }
  }
}

/** How often the sink's count is looked at, milliseconds: what a measurement may end too late. */
const LOOK_MS = 5;

/**
 * The sink tells its count after each message. It tells a file, which is looked into now and then: a pipe would wake this
 * process for every message, and the faster the server, the more of its time that would take.
 */
export async function startSink(): Promise<CountingSink> {
  const port = await freePorts(1);
  const args = ['-c', '-h', 'sink.test', `127.0.0.1:${port}`, '1000'];
  const root = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const counts = openSync(path.join(temporaryFolder(), 'counts'), 'w+');
  const child = endsWithUs(spawn('smtp-sink', [...root, ...args], { stdio: ['ignore', counts, 'inherit'] }));
  await wait(300);
  const end = Buffer.alloc(64);
  const count = () => {
    const from = Math.max(0, fstatSync(counts).size - end.length);
    const text = end.toString('latin1', 0, readSync(counts, end, 0, end.length, from));
    // Each count ends with CR; what follows the last one is not whole yet.
    return Number(/mesg=(\d+)\r[^\r]*$/.exec(text)?.[1] ?? 0);
  };
  return {
    port,
    get count() {
      return count();
    },
    async reaches(n, withinMs) {
      const late = performance.now() + withinMs;
      while (count() < n) {
        if (performance.now() > late)
          throw new Error(`only ${count()} of ${n} messages arrived in ${withinMs} ms`);
        await wait(LOOK_MS);
      }
      return performance.now();
    },
    stop() {
      child.kill('SIGKILL');
      closeSync(counts);
    },
  };
}

export interface Load {
  readonly messages: number;
  readonly sessions: number;
  /** Bytes of a message. */
  readonly size: number;
  /** Sessions are kept for all messages; otherwise each message comes over a connection of its own. */
  readonly kept: boolean;
}

/** Sends to a port; resolves when every message has been answered `250`, rejects at the first refusal. */
export function sendLoad(port: number, { messages, sessions, size, kept }: Load): Promise<void> {
  const args = ['-s', `${sessions}`, '-m', `${messages}`, '-l', `${size}`, ...(kept ? ['-d'] : [])];
  const child: ChildProcess = spawn(
    'smtp-source',
    [...args, '-f', 'news@brand.test', '-t', 'reader@far.test', `127.0.0.1:${port}`],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  endsWithUs(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`smtp-source ended with ${code}`)),
    );
  });
}

/**
 * Sends parts of a load until so many seconds are over, at least one. Returns how many messages that were.
 */
export async function warmUp<L extends { readonly messages: number; readonly sessions: number }>(
  seconds: number,
  load: L,
  send: (part: L) => Promise<unknown>,
): Promise<number> {
  const end = performance.now() + seconds * 1000;
  const messages = Math.max(load.sessions, Math.round(load.messages / 10));
  let sent = 0;
  do {
    await send({ ...load, messages });
    sent += messages;
  } while (performance.now() < end);
  return sent;
}
