import type { Envelope, PendingRecipient } from './stored-message.ts';

/** A message with more recipients goes into the store at once: it takes long to go out. */
const MOST_RECIPIENTS = 32;

export interface FreshMessage {
  readonly spoolId: string;
  readonly envelope: Envelope;
  readonly content: Buffer;
  /** By their place in the envelope: those who wait, as the disk has them. */
  readonly waiting: Map<number, PendingRecipient>;
  /** Of the log, in which it stands. */
  readonly segment: number;
  /** Octets kept free for it in the store. */
  readonly reserved: number;
}

interface Entry {
  /**
   * Null when it has gone. The engine's map leaves old tables behind as it changes, each of which points to the next
   * and holds the entries of its time, so that one among the old objects keeps all that came later, until the next full
   * collection: with the messages in them that would be several a second under load.
   */
  message: FreshMessage | null;
  /** Settlements of it that are on their way to the log. */
  settling: number;
  /** It is being moved into the store: its settlements are the store's from here on. */
  moving: boolean;
  /** Told when either of those ends. */
  changed: PromiseWithResolvers<void> | null;
}

/** Messages that stand in the log and not in the store, as they were in memory. */
export class FreshMail {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** Whether a message is one for the log. */
  static takes(recipients: readonly PendingRecipient[]): boolean {
    if (recipients.length === 0 || recipients.length > MOST_RECIPIENTS) return false;
    // Those stand in a list by time.
    return recipients.every(({ delayNoticeAt }) => delayNoticeAt === undefined);
  }

  /** It is in the log now. */
  keep(message: FreshMessage): void {
    this.#entries.set(message.spoolId, { message, settling: 0, moving: false, changed: null });
  }

  get(spoolId: string): FreshMessage | undefined {
    return this.#entries.get(spoolId)?.message ?? undefined;
  }

  /** Whether all of these stand in the log, and stay there. */
  allStay(spoolIds: Iterable<string>): boolean {
    for (const spoolId of spoolIds) {
      const entry = this.#entries.get(spoolId);
      if (!entry || entry.moving) return false;
    }
    return true;
  }

  /** Recipients of these are being settled in the log. */
  settle(spoolIds: Iterable<string>): void {
    for (const spoolId of spoolIds) this.#entries.get(spoolId)!.settling++;
  }

  /** That has ended; `settled` was told of each who is gone. Answers what went with its last recipient. */
  settleEnded(spoolIds: Iterable<string>): FreshMessage[] {
    const gone: FreshMessage[] = [];
    for (const spoolId of spoolIds) {
      const entry = this.#entries.get(spoolId)!;
      entry.settling--;
      this.#tell(entry);
      const { message } = entry;
      if (entry.settling > 0 || entry.moving || message!.waiting.size > 0) continue;
      gone.push(message!);
      this.#forget(entry);
    }
    return gone;
  }

  /** A recipient is gone from the disk. */
  settled(spoolId: string, index: number): void {
    this.get(spoolId)?.waiting.delete(index);
  }

  /**
   * Of these, the messages that stand in the log and are to be moved into the store now; resolves when nothing else
   * happens to them. `moved` must be called with each.
   */
  async move(spoolIds: Iterable<string>): Promise<FreshMessage[]> {
    const moving: FreshMessage[] = [];
    // In order, so that two who wait for each other's do not wait for ever.
    for (const spoolId of [...new Set(spoolIds)].sort()) {
      const entry = this.#entries.get(spoolId);
      if (!entry) continue;
      // Somebody else does; it may fail.
      while (entry.moving) await this.#change(entry);
      if (!entry.message) continue;
      entry.moving = true;
      while (entry.settling > 0) await this.#change(entry);
      moving.push(entry.message);
    }
    return moving;
  }

  /** Those are in the store now, or it refused them. */
  moved(messages: readonly FreshMessage[], stored: boolean): void {
    for (const { spoolId } of messages) {
      const entry = this.#entries.get(spoolId)!;
      entry.moving = false;
      if (stored) this.#forget(entry);
      this.#tell(entry);
    }
  }

  /** Some that stand in this segment of the log, at most `limit`; the oldest come first. */
  ofSegment(segment: number, limit: number): string[] {
    const found: string[] = [];
    for (const [spoolId, { message }] of this.#entries) {
      if (found.length >= limit || message!.segment > segment) break;
      found.push(spoolId);
    }
    return found;
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.message!.spoolId);
    entry.message = null;
  }

  #change(entry: Entry): Promise<void> {
    entry.changed ??= Promise.withResolvers();
    return entry.changed.promise;
  }

  #tell(entry: Entry): void {
    entry.changed?.resolve();
    entry.changed = null;
  }
}
