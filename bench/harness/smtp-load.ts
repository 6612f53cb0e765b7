/** Postfix's own load programs: `smtp-source` sends as fast as it is let, `smtp-sink` takes and counts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { freePorts } from '../../test/program.ts';

/** Takes every message and forgets it. */
export interface CountingSink {
  readonly port: number;
  /** Messages taken so far. */
  readonly count: number;
  /** Resolves with the moment (`performance.now()`) at which it had taken `n` messages since it started. */
  reaches(n: number, withinMs: number): Promise<number>;
  stop(): void;
}

export async function startSink(): Promise<CountingSink> {
  const port = await freePorts(1);
  const args = ['-c', '-h', 'sink.test', `127.0.0.1:${port}`, '1000'];
  const root = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const child = spawn('smtp-sink', [...root, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let count = 0;
  let reached: { n: number; done: (at: number) => void } | null = null;
  let rest = '';
  child.stdout!.setEncoding('latin1').on('data', (text: string) => {
    const all = rest + text;
    const last = all.lastIndexOf('mesg=');
    rest = all.slice(-64);
    const found = last < 0 ? null : /^mesg=(\d+)\r/.exec(all.slice(last, last + 32));
    // A number that is cut in two is whole in the next piece.
    if (found) count = Number(found[1]);
    if (reached && count >= reached.n) {
      reached.done(performance.now());
      reached = null;
    }
  });
  process.once('exit', () => child.kill('SIGKILL'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  return {
    port,
    get count() {
      return count;
    },
    reaches(n, withinMs) {
      return new Promise((resolve, reject) => {
        if (count >= n) return resolve(performance.now());
        const late = setTimeout(
          () => reject(new Error(`only ${count} of ${n} messages arrived in ${withinMs} ms`)),
          withinMs,
        );
        reached = {
          n,
          done(at) {
            clearTimeout(late);
            resolve(at);
          },
        };
      });
    },
    stop: () => void child.kill('SIGKILL'),
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
