import type { ContentRoom } from './content-room.ts';
import { hasBareLineEnd, MessageCollector, removeStuffing } from './message-data.ts';
import type { Reply } from './reply.ts';
import { BARE_LINE_END, NO_ROOM, TOO_BIG } from './server-replies.ts';
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
  readonly #room: ContentRoom | undefined;
  readonly #collector: MessageCollector;
  #stuffed = false;
  /** Bytes of the room that are ours. */
  #held = 0;
  #crowded = false;

  constructor(
    { maxMessageSize, contentRoom }: Pick<SmtpServerOptions, 'maxMessageSize' | 'contentRoom'>,
    startedAt: number,
    collected: IncomingContent['collected'] = null,
  ) {
    this.startedAt = startedAt;
    this.#room = contentRoom;
    this.collected = collected;
    const limit = Math.min(maxMessageSize, LARGEST_MESSAGE);
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
      const used = found ? end : input.length;
      this.#hold(used - from);
      return used;
    });
    return found;
  }

  push(piece: Buffer): void {
    this.#collector.push(piece);
    this.#hold(piece.length);
  }

  /** Finds room for what was just collected; without it, what comes is read and forgotten. */
  #hold(bytes: number): void {
    if (!this.#room) return;
    if (!this.#crowded && !this.overflowed) {
      if (this.#room.take(bytes)) {
        this.#held += bytes;
        return;
      }
      this.#crowded = true;
    }
    if (this.#crowded) this.#collector.forget();
    this.release();
  }

  /** Gives the room back: the content is no longer needed. */
  release(): void {
    this.#room?.give(this.#held);
    this.#held = 0;
  }

  /** Keeps the room until a handler has answered. */
  heldUntil<T>(call: () => MaybeLater<T>): MaybeLater<T> {
    let answer: MaybeLater<T>;
    try {
      answer = call();
    } catch (error) {
      this.release();
      throw error;
    }
    if (!(answer instanceof Promise)) {
      this.release();
      return answer;
    }
    return answer.then(
      (value) => {
        this.release();
        return value;
      },
      (error) => {
        this.release();
        throw error;
      },
    );
  }

  /** The finished content, or why it is not taken. */
  judge({ maxMessageSize, bareLineEnds }: SmtpServerOptions): Buffer | Reply {
    if (this.#collector.overflowed) return TOO_BIG;
    if (this.#crowded) return NO_ROOM;
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
