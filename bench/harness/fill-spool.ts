/** Puts recipients into a spool through its own interface, as many to a message as asked; each message is 1 kB. */
import { openSpool } from '../../src/spool/spool.ts';
import { spoolIdMaker } from '../../src/spool/spool-id.ts';
import type { Envelope, PendingRecipient } from '../../src/spool/stored-message.ts';

export const CONTENT = Buffer.from(`Subject: x\r\n\r\n${'x'.repeat(1000)}\r\n`);

export interface Filling {
  readonly recipients: number;
  readonly perMessage: number;
  /** Recipients are dealt out to d0.test, d1.test and so on. */
  readonly domains: number;
  /** Messages whose writes share a transaction. */
  readonly batch: number;
}

export async function fillSpool(dir: string, { recipients: total, ...filling }: Filling): Promise<void> {
  const spool = openSpool(dir);
  const nextId = spoolIdMaker(Date.now);
  for (let n = 0; n < total; ) {
    const batch: Promise<void>[] = [];
    for (let i = 0; i < filling.batch && n < total; i++) {
      const count = Math.min(filling.perMessage, total - n);
      const addresses = Array.from(
        { length: count },
        (_, k) => `user${n + k}@d${(n + k) % filling.domains}.test`,
      );
      n += count;
      const { envelope, pending } = message(nextId(), addresses);
      batch.push(spool.store(envelope, CONTENT, pending, []));
    }
    await Promise.all(batch);
  }
  await spool.close();
}

function message(
  spoolId: string,
  addresses: readonly string[],
): { envelope: Envelope; pending: PendingRecipient[] } {
  const receivedAt = Date.now();
  const facts = {
    spoolId,
    receivedAt,
    sender: 'news@brand.test',
    size: CONTENT.length,
    source: 'smtp',
    vmta: '{default}',
    headers: [],
  };
  const recipients = addresses.map((address, k) => ({
    address,
    originalRecipient: '',
    messageId: `${spoolId}${String(k).padStart(4, '0')}`,
    notify: [],
  }));
  const envelope = {
    facts,
    recipients,
    eightBit: false,
    smtpUtf8: false,
    returnContent: '',
    removeHeaders: [],
    suppressReports: true,
  };
  const pending = addresses.map((address, index): PendingRecipient => {
    const domain = address.slice(address.indexOf('@') + 1);
    return { spoolId, index, domain, vmta: '{default}', receivedAt, attempts: 0, holdUntil: 0, priority: 50 };
  });
  return { envelope: envelope as unknown as Envelope, pending };
}
