/** Messages over kept sessions, at a steady rate or as fast as they are taken, sent by a process of its own. */
import { fork } from 'node:child_process';
import { connectSmtp } from '../../src/smtp/index.ts';
import { endsWithUs } from '../../test/program.ts';
import { profiledAs } from './flame.ts';
import { newsletter, plainMessage } from './messages.ts';

export interface Submission {
  /** Messages a second, all sessions together; null for as many as the server takes. */
  readonly rate: number | null;
  readonly messages: number;
  readonly sessions: number;
  /** A text of that many bytes, or a newsletter of 20 kB with 25 links. */
  readonly content: number | 'newsletter';
  /** STARTTLS, then AUTH as this user; null for neither. */
  readonly login: { readonly user: string; readonly password: string } | null;
}

/**
 * Sends, and answers how many milliseconds each message waited for its `250`. At a steady rate that is counted from
 * when the message was due and not from when it was sent, so a server that stalls does not hide the messages that it
 * keeps from being sent.
 */
export function submit(port: number, submission: Submission): Promise<number[]> {
  const order = JSON.stringify({ port, submission });
  const child = endsWithUs(fork(import.meta.filename, [order], { env: profiledAs('sender') }));
  return new Promise((resolve, reject) => {
    child.once('message', (times) => resolve(times as number[]));
    child.once('exit', (code) => reject(new Error(`the sender ended with ${code}`)));
  });
}

async function send(port: number, submission: Submission): Promise<number[]> {
  const { rate, messages, sessions, login } = submission;
  const content = submission.content === 'newsletter' ? newsletter() : plainMessage(submission.content);
  const times: number[] = [];
  const clients = await Promise.all(
    Array.from({ length: sessions }, async () => {
      const connected = await connectSmtp({
        host: '127.0.0.1',
        port,
        heloName: 'bench.test',
        ...(login && {
          tls: { mode: 'require' as const, verify: 'no' as const },
          auth: { ...login, mechanisms: ['PLAIN'] as const },
        }),
      });
      if (!connected.ok) throw new Error(connected.error);
      return connected.client;
    }),
  );
  let next = 0;
  const begun = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      for (let n = next++; n < messages; n = next++) {
        const due = rate === null ? performance.now() : begun + (n * 1000) / rate;
        const early = due - performance.now();
        if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
        const result = await client.send({
          from: 'news@brand.test',
          recipients: [{ address: `reader${n}@far.test` }],
          content,
        });
        if (result.data?.code !== 250) throw new Error(JSON.stringify(result));
        times.push(performance.now() - due);
      }
      await client.quit();
    }),
  );
  return times;
}

if (process.argv[1] === import.meta.filename && process.send) {
  const { port, submission } = JSON.parse(process.argv[2]!);
  process.send(await send(port, submission), () => process.exit(0));
}
