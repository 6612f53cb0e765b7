/** Single recipients among those that wait, by what an operator knows of them (management guide, 4.7 and 4.8). */
import { addressToUnicode } from '../../mail/address.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { queuePattern } from './queue-pattern.ts';

/** What must hold of a recipient; null stands for anything. */
export interface RecipientFilter {
  /** Id of the message. */
  readonly spoolId: string | null;
  readonly queue: string | null;
  readonly orig: string | null;
  readonly rcpt: string | null;
  readonly jobId: string | null;
  readonly envId: string | null;
  /** Milliseconds in the queue, at least. */
  readonly olderThan: number | null;
}

export interface FoundRecipient {
  readonly queue: Queue;
  readonly item: QueuedRecipient;
  readonly envelope: Envelope;
}

export interface RecipientActions {
  /** Recipients that match, in the order of their queues; those in delivery just now are not among them. */
  find(filter: RecipientFilter, now: number): Iterable<FoundRecipient>;
  /** Ends recipients as deleted by the administrator; how many. `report`: their senders are told. */
  delete(filter: RecipientFilter, how: { report: boolean; account: boolean }, now: number): number;
  setPriority(filter: RecipientFilter, priority: number, now: number): number;
}

/** The envelope is read only when the filter asks for what is in it: a million recipients are looked at quickly. */
export function* findRecipients(
  scheduler: Scheduler,
  envelopeOf: (spoolId: string) => Envelope | undefined,
  filter: RecipientFilter,
  now: number,
): Generator<FoundRecipient> {
  const inQueue = queuePattern(filter.queue ?? '*/*');
  for (const queue of scheduler.queues()) {
    if (!inQueue(queue.domain, queue.vmta)) continue;
    for (const item of scheduler.items(queue)) {
      if (filter.spoolId !== null && item.spoolId !== filter.spoolId) continue;
      if (filter.jobId !== null && item.job !== filter.jobId) continue;
      if (filter.olderThan !== null && now - item.receivedAt < filter.olderThan) continue;
      const envelope = envelopeOf(item.spoolId);
      if (!envelope || !envelopeMatches(envelope, item, filter)) continue;
      yield { queue, item, envelope };
    }
  }
}

export function envelopeMatches(envelope: Envelope, item: QueuedRecipient, filter: RecipientFilter): boolean {
  if (filter.orig !== null && !sameAddress(envelope.facts.sender, filter.orig)) return false;
  if (filter.envId !== null && envelope.facts.envId !== filter.envId) return false;
  return filter.rcpt === null || sameAddress(envelope.recipients[item.index]?.address ?? '', filter.rcpt);
}

/** Addresses as people type them: any case, with or without angle brackets, domains in A- or U-labels. */
function sameAddress(address: string, typed: string): boolean {
  const form = (text: string) => addressToUnicode(text).toLowerCase();
  return form(address) === form(typed.replace(/^<|>$/g, ''));
}
