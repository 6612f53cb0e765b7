/** Messages at a steady rate over kept sessions, and how long each waited for its `250`. */
import { fork } from 'node:child_process';
import { connectSmtp } from '../../src/smtp/index.ts';

export interface Pace {
  /** Messages a second, all sessions together. */
  readonly rate: number;
  readonly seconds: number;
  readonly sessions: number;
  /** Bytes of a message. */
  readonly size: number;
}

/**
 * Milliseconds from the moment at which each message was due to its `250`, measured in a process of its own. Counted
 * from when it was due and not from when it was sent, a server that stalls does not hide the messages that it keeps
 * from being sent.
 */
export function pacedLatencies(port: number, pace: Pace): Promise<number[]> {
  const child = fork(import.meta.filename, [JSON.stringify({ port, pace })]);
  return new Promise((resolve, reject) => {
    child.once('message', (times) => resolve(times as number[]));
    child.once('exit', (code) => reject(new Error(`the paced sender ended with ${code}`)));
  });
}

async function send(port: number, { rate, seconds, sessions, size }: Pace): Promise<number[]> {
  const line = `${'x'.repeat(74)}\r\n`;
  const content = Buffer.from(`Subject: x\r\n\r\n${line.repeat(Math.ceil(size / 76))}`);
  const times: number[] = [];
  const gap = (1000 * sessions) / rate;
  const begun = performance.now() + 200;
  const session = async (index: number) => {
    const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'bench.test' });
    if (!connected.ok) throw new Error(connected.error);
    for (let n = 0; ; n++) {
      const due = begun + (n + index / sessions) * gap;
      if (due > begun + seconds * 1000) break;
      const early = due - performance.now();
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
      const result = await connected.client.send({
        from: 'news@brand.test',
        recipients: [{ address: 'reader@far.test' }],
        content,
      });
      if (result.data?.code !== 250) throw new Error(JSON.stringify(result));
      times.push(performance.now() - due);
    }
    await connected.client.quit();
  };
  await Promise.all(Array.from({ length: sessions }, (_, i) => session(i)));
  return times;
}

if (process.argv[1] === import.meta.filename && process.send) {
  const { port, pace } = JSON.parse(process.argv[2]!);
  process.send(await send(port, pace), () => process.exit(0));
}
