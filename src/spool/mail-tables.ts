/** The three tables that make up a stored message: it has a record in each, or something is broken. */
import type { Database, RangeOptions } from 'lmdb';
import type { Envelope, PendingRecipient } from './stored-message.ts';

export type PendingKey = [spoolId: string, index: number];
export type PendingValue = Omit<PendingRecipient, 'spoolId' | 'index'>;

export interface MailTables {
  readonly envelopes: Database<Envelope, string>;
  readonly contents: Database<Buffer, string>;
  /** One record for each recipient that waits. */
  readonly pending: Database<PendingValue, PendingKey>;
}

/** The keys of all recipients of a message that wait. */
export function recipientsOf(spoolId: string): RangeOptions {
  return { start: [spoolId, 0], end: [spoolId, Number.POSITIVE_INFINITY] };
}
