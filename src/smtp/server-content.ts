import { hasBareLineEnd, MessageCollector, removeStuffing } from './message-data.ts';
import type { Reply } from './reply.ts';
import { BARE_LINE_END, TOO_BIG } from './server-replies.ts';
import type { Answer, MaybeLater, SmtpServerOptions } from './server-types.ts';
import type { ServerWire } from './server-wire.ts';

/** What one message may take of this process when the options set no limit. */
export const LARGEST_MESSAGE = 512 * 1024 * 1024;

/** The content of one message on its way in, by DATA or by chunks. */
export class IncomingContent {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Who gets it in the place of `onMessage`. */
  readonly collected: ((content: Buffer) => MaybeLater<Answer>) | null;
  readonly #collector: MessageCollector;
  #stuffed = false;

  constructor(maxSize: number, startedAt: number, collected: IncomingContent['collected'] = null) {
    this.startedAt = startedAt;
    this.collected = collected;
    const limit = Math.min(maxSize, LARGEST_MESSAGE);
    // Stuffed dots do not count (RFC 1870 section 5), so a little more than the limit is held until they are off.
    this.#collector = new MessageCollector(limit + (limit >> 5) + 1024);
  }

  get received(): number {
    return this.#collector.received;
  }

  get overflowed(): boolean {
    return this.#collector.overflowed;
  }

  /** Takes input up to the final dot; false while it has not come. */
  readUntilDot(wire: ServerWire): boolean {
    this.#stuffed = true;
    let found = false;
    wire.takePiece((input, from) => {
      const end = this.#collector.pushUntilDot(input, from);
      found = end !== -1;
      return found ? end : input.length;
    });
    return found;
  }

  push(piece: Buffer): void {
    this.#collector.push(piece);
  }

  /** The finished content, or why it is not taken. */
  judge({ maxMessageSize, bareLineEnds }: SmtpServerOptions): Buffer | Reply {
    if (this.#collector.overflowed) return TOO_BIG;
    const raw = this.#stuffed ? this.#collector.contentUntilDot() : this.#collector.content();
    if (bareLineEnds === 'reject' && hasBareLineEnd(raw)) return BARE_LINE_END;
    const content = this.#stuffed ? removeStuffing(raw) : raw;
    return content.length > maxMessageSize ? TOO_BIG : content;
  }
}

/** One chunk of BDAT. Its bytes follow the command at once, so they are read even when they are not wanted. */
export class IncomingChunk {
  readonly size: number;
  readonly isLast: boolean;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What to say when it is through, in the place of a yes; its bytes are forgotten then. */
  refusal: Reply | null = null;
  #left: number;

  constructor(size: number, isLast: boolean, startedAt: number) {
    this.size = size;
    this.isLast = isLast;
    this.startedAt = startedAt;
    this.#left = size;
  }

  /** Takes input up to the end of the chunk; false while it has not come. */
  read(wire: ServerWire, into: IncomingContent | null): boolean {
    if (this.#left > 0 && wire.available > 0) {
      wire.takePiece((input, from) => {
        const end = Math.min(input.length, from + this.#left);
        this.#left -= end - from;
        if (!this.refusal) into?.push(input.subarray(from, end));
        return end;
      });
    }
    return this.#left === 0;
  }
}
