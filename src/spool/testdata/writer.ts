// Stores and settles messages as fast as it can and prints each write that was acknowledged, until it is killed.
import { openSpool } from '../spool.ts';
import type { Envelope, PendingRecipient } from '../stored-message.ts';

const [dir, round] = process.argv.slice(2) as [string, string];
const spool = openSpool(dir);
for (const _ of spool.recover());

const recipient = (index: number) => ({
  address: `u${index}@a.test`,
  originalRecipient: '',
  messageId: '',
  notify: [],
});

async function worker(name: number): Promise<never> {
  for (let n = 0; ; n++) {
    const spoolId = `${round}-${name}-${n}`;
    const facts = { spoolId, receivedAt: 1, sender: '', size: 4000 } as Envelope['facts'];
    const envelope = { facts, recipients: [recipient(0), recipient(1)] } as unknown as Envelope;
    const pending = [0, 1].map(
      (index): PendingRecipient => ({
        spoolId,
        index,
        domain: 'a.test',
        vmta: 'v',
        receivedAt: 1,
        attempts: 0,
        holdUntil: 0,
        priority: 50,
      }),
    );
    await spool.store(envelope, Buffer.alloc(4000, 'x'), pending, []);
    process.stdout.write(`stored ${spoolId}\n`);
    if (n % 2 === 0) continue;
    const outcome = { kind: 'delivered', at: 2, message: facts } as never;
    await spool.settle(
      [0, 1].map((index) => ({ spoolId, index, state: 'done' as const })),
      [outcome],
    );
    process.stdout.write(`settled ${spoolId}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(worker));
