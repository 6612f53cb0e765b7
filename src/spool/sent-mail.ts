/**
 * What was sent lately, for as long as reports about it may come: whose each message id is, and what has been reported
 * of it. Written in the transaction that settles the recipient, so a report can never be faster than the memory of
 * its message; marked in the transaction that takes the report, so that none counts twice.
 *
 * Kept only where somebody reads reports (`enabled`), for 14 days, and at most ten million recipients: about 3 GB.
 */
import type { Database, RootDatabase } from 'lmdb';
import type { MatchedMessage, Outcome } from '../events/outcome.ts';

/** Something that was reported of a message: `bounce`, or `complaint` with its type. */
export interface ReportMark {
  readonly messageId: string;
  readonly what: string;
}

/** Longest that a report about a message is matched with it. */
export const REMEMBERED_MS = 14 * 24 * 3_600_000;
const MOST_REMEMBERED = 10_000_000;
/** Records forgotten in one transaction. */
const BATCH = 2_000;

/** Ordered by time, so that the oldest are found without a look at the rest. */
type SentKey = [second: number, messageId: string];
type MarkKey = [second: number, messageId: string, what: string];
type SentValue = Omit<MatchedMessage, 'messageId'>;

export class SentMail {
  /** Off where no processor reads reports: then nothing is written. */
  enabled = false;
  readonly #sent: Database<SentValue, SentKey>;
  readonly #marks: Database<true, MarkKey>;
  readonly #most: number;

  constructor(root: RootDatabase, most: number = MOST_REMEMBERED) {
    this.#sent = root.openDB({ name: 'sent' });
    this.#marks = root.openDB({ name: 'reported' });
    this.#most = most;
  }

  /** The message with this id, if it was sent lately. */
  find(messageId: string): MatchedMessage | null {
    const value = this.#sent.get([secondOf(messageId), messageId]);
    return value && typeof value.recipient === 'string' ? { messageId, ...value } : null;
  }

  wasReported({ messageId, what }: ReportMark): boolean {
    return this.#marks.doesExist([secondOf(messageId), messageId, what]);
  }

  get size(): number {
    return entries(this.#sent);
  }

  /** Adds the writes that keep what is delivered in mind. */
  remember(outcomes: readonly Outcome[], writes: Promise<boolean>[]): void {
    if (!this.enabled) return;
    for (const outcome of outcomes) {
      if (outcome.kind !== 'delivered') continue;
      const { message, recipient, attempt } = outcome;
      const value: SentValue = {
        recipient: recipient.address,
        sender: message.sender,
        from: message.from,
        senderDomain: message.senderDomain,
        jobId: message.jobId,
        vmta: attempt.vmta,
        pool: message.pool,
        sendingIp: attempt.sourceIp,
        subaccountId: message.subaccountId,
        ...(message.customMessageId === '' ? {} : { customMessageId: message.customMessageId }),
      };
      writes.push(this.#sent.put([secondOf(recipient.messageId), recipient.messageId], value));
    }
  }

  /** Adds the writes that keep in mind what was reported. */
  mark(marks: readonly ReportMark[], writes: Promise<boolean>[]): void {
    for (const { messageId, what } of marks) {
      writes.push(this.#marks.put([secondOf(messageId), messageId, what], true));
    }
  }

  /** The removal of a batch of what is too old or too much, and whether there is more of it. */
  outdated(now: number): { writes: Promise<boolean>[]; more: boolean } {
    const before = Math.floor((now - REMEMBERED_MS) / 1000);
    const end = [before] as unknown as SentKey;
    const surplus = Math.max(0, this.size - this.#most);
    const old = [...this.#sent.getKeys({ end, limit: BATCH })];
    const sent = surplus > old.length ? [...this.#sent.getKeys({ limit: Math.min(surplus, BATCH) })] : old;
    // A mark outlives its message by nothing: without the message there is no match.
    const through = sent.length === BATCH ? sent.at(-1)![0] : before;
    const marks = [...this.#marks.getKeys({ end: [through] as unknown as MarkKey, limit: BATCH })];
    return {
      writes: [...sent.map((key) => this.#sent.remove(key)), ...marks.map((key) => this.#marks.remove(key))],
      more: sent.length === BATCH || marks.length === BATCH,
    };
  }
}

function entries(database: Database): number {
  return (database.getStats() as { entryCount: number }).entryCount;
}

/** Every id of ours holds its second: `0000`, then four bytes, low byte first. */
function secondOf(messageId: string): number {
  const time = Buffer.from(messageId.slice(4, 12), 'hex');
  return time.length === 4 ? time.readUInt32LE() : 0;
}
