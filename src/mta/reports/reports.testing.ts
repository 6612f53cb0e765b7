/** What the tests of reports have in common. */
import type { Envelope, NotifyRequest, StoredRecipient } from '../../spool/stored-message.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import type { DeliveryUnderTest } from '../testing.ts';

/** Mail that the server under test made itself and still has, in order. */
export function ownMail(mta: DeliveryUnderTest): { envelope: Envelope; content: Buffer }[] {
  const ids = new Set<string>();
  for (const outcome of mta.journal()) {
    if (outcome.kind === 'received' && outcome.message.source === 'api') ids.add(outcome.message.spoolId);
  }
  return [...ids].map((id) => ({ envelope: mta.spool.envelope(id)!, content: mta.spool.content(id)! }));
}

export function stored(address: string, notify: NotifyRequest['notify'] = []): StoredRecipient {
  const messageId = `0000${Buffer.from(address).toString('hex')}`.slice(0, 20).padEnd(20, '0');
  return { address, originalRecipient: '', messageId, notify };
}

/** Queues what the spool held when it was opened, as a server does that starts. */
export function recovered(mta: DeliveryUnderTest): void {
  for (const batch of mta.spool.recover()) {
    for (const item of batch) {
      mta.scheduler.add(item.domain, item.vmta, queuedRecipient(item), mta.clock.now());
    }
  }
  mta.dispatcher.kick();
}
