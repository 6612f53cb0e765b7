import type { Envelope, PendingRecipient } from './stored-message.ts';

/** Octets of all content that is kept. */
const MOST_BYTES = 32 * 1024 * 1024;
const LARGEST = 1024 * 1024;
/** A message with more recipients takes long to go out; its envelope has a cache of its own. */
const MOST_RECIPIENTS = 32;
/** What an entry takes beside the content, about. */
const OVERHEAD = 2048;
/** Mail that has not gone out by then waits for something, and makes room when others need it. */
const FRESH_MS = 10_000;

interface Message {
  readonly envelope: Envelope;
  readonly content: Buffer;
}

interface Recent {
  /**
   * Null when it is forgotten. The engine's map leaves old tables behind as it changes, each of which points to the next
   * and holds the entries of its time, so that one among the old objects keeps all that came later, until the next full
   * collection: with the messages in them that would be several a second under load.
   */
  message: Message | null;
  readonly keptAt: number;
  /** Places in the envelope of those who wait, as the disk has them. */
  waiting: number[];
}

/**
 * Messages that were stored a moment ago, as they were in memory. Most mail goes out at once: reading it back, decoding
 * it and counting its recipients on disk would cost as much as storing it. The disk has everything that is here, so
 * anything may be forgotten at any time. When there is no room the newcomers are not kept: queues are worked off from
 * the oldest, so those are the ones to be asked for.
 */
export class RecentMessages {
  readonly #kept = new Map<string, Recent>();
  #bytes = 0;

  /** These are on disk now. */
  keep(envelope: Envelope, content: Buffer, recipients: readonly PendingRecipient[], now: number): void {
    if (content.length > LARGEST || recipients.length > MOST_RECIPIENTS) return;
    const bytes = content.length + OVERHEAD;
    if (this.#bytes + bytes > MOST_BYTES) {
      this.#makeRoom(bytes, now);
      if (this.#bytes + bytes > MOST_BYTES) return;
    }
    const { spoolId } = envelope.facts;
    const waiting = recipients.map(({ index }) => index);
    this.#kept.set(spoolId, { message: { envelope, content }, keptAt: now, waiting });
    this.#bytes += bytes;
  }

  #makeRoom(bytes: number, now: number): void {
    for (const [spoolId, { keptAt }] of this.#kept) {
      if (this.#bytes + bytes <= MOST_BYTES || now - keptAt < FRESH_MS) return;
      this.forget(spoolId);
    }
  }

  get(spoolId: string): Message | undefined {
    return this.#kept.get(spoolId)?.message ?? undefined;
  }

  /** Places of the recipients that wait; undefined when only the disk knows. */
  waiting(spoolId: string): readonly number[] | undefined {
    return this.#kept.get(spoolId)?.waiting;
  }

  /** A recipient is gone from the disk; the message goes with its last one. */
  settled(spoolId: string, index: number): void {
    const recent = this.#kept.get(spoolId);
    if (!recent) return;
    recent.waiting = recent.waiting.filter((one) => one !== index);
    if (recent.waiting.length === 0) this.forget(spoolId);
  }

  forget(spoolId: string): void {
    const recent = this.#kept.get(spoolId);
    if (!recent?.message) return;
    this.#kept.delete(spoolId);
    this.#bytes -= recent.message.content.length + OVERHEAD;
    recent.message = null;
  }
}
