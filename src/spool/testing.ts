/** What the tests of the store put into it. */
import type { Received } from '../events/outcome.ts';
import type { Envelope, PendingRecipient } from './stored-message.ts';

/** A message as it is handed to `store`. */
export function sample(spoolId: string, recipients: number) {
  const facts: Envelope['facts'] = {
    spoolId,
    receivedAt: 1_700_000_000_000,
    sender: 'news@brand.test',
    from: 'news@brand.test',
    fromName: '',
    senderDomain: 'brand.test',
    subject: 'Hello',
    size: 12,
    source: 'smtp',
    heloName: 'feed.test',
    clientIp: '127.0.0.1',
    localIp: '127.0.0.1',
    user: '',
    vmta: 'v',
    pool: '',
    jobId: '',
    envId: '',
    headers: [['X-Job', 'one']],
    customMessageId: '',
    subaccountId: 0,
    openTracking: false,
    initialPixel: false,
    clickTracking: false,
  };
  const addresses = Array.from({ length: recipients }, (_, i) => ({
    address: `u${i}@a.test`,
    originalRecipient: '',
    messageId: `00000000000000000${i.toString(16).padStart(3, '0')}`,
    notify: [],
  }));
  const envelope: Envelope = {
    facts,
    recipients: addresses,
    eightBit: false,
    smtpUtf8: false,
    returnContent: '',
    removeHeaders: [],
    suppressReports: false,
  };
  const pending = addresses.map(
    (_, index): PendingRecipient => ({
      spoolId,
      index,
      domain: 'a.test',
      vmta: 'v',
      receivedAt: facts.receivedAt,
      attempts: 0,
      holdUntil: 0,
      priority: 50,
    }),
  );
  const outcomes = addresses.map(
    (recipient): Received => ({ kind: 'received', at: facts.receivedAt, message: facts, recipient }),
  );
  return { envelope, pending, outcomes };
}
