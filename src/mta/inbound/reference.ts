/**
 * Recognises our own messages in the reports of others, without adding anything to mail: the id in our Received
 * field, which reports bring back in the headers they enclose, carries the message's SparkPost id and a short keyed
 * signature. A report that quotes an id we did not sign is about somebody else's mail.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** `SPOOLID.BASE.SIGNATURE`: 16 and 20 hexadecimal digits, then 12. */
const REFERENCE = /\b([0-9a-f]{16})\.([0-9a-f]{20})([sm])\.([0-9a-f]{12})\b/;

const HASH_BLOCK = 64;
/** Octets of what is signed: 16 and 20 digits, a dot, a letter. */
const LONGEST_SIGNED = 38;

/** A reference of ours. */
export interface Reference {
  readonly spoolId: string;
  readonly base: string;
  /** The message has one recipient, whose id is the base itself. */
  readonly single: boolean;
}

export class ReferenceSigner {
  readonly #inner: Buffer;
  readonly #outer: Buffer;

  constructor(key: Buffer) {
    const short = key.length > HASH_BLOCK ? hash('sha256', key, 'buffer') : key;
    this.#inner = Buffer.alloc(HASH_BLOCK + LONGEST_SIGNED, 0x36);
    this.#outer = Buffer.alloc(HASH_BLOCK + 32, 0x5c);
    for (const [i, octet] of short.entries()) {
      this.#inner[i]! ^= octet;
      this.#outer[i]! ^= octet;
    }
  }

  /** The id for a Received field. `single`: the message has one recipient, whose id is the base itself. */
  sign(spoolId: string, base: string, single: boolean): string {
    const text = `${spoolId}.${base}${single ? 's' : 'm'}`;
    return `${text}.${this.#signature(text)}`;
  }

  /** What a Received value quotes, when we signed it; null when it is not one of ours. */
  verify(received: string): Reference | null {
    const found = REFERENCE.exec(received);
    if (!found) return null;
    const [, spoolId, base, kind, signature] = found as unknown as [string, string, string, string, string];
    const expected = this.#signature(`${spoolId}.${base}${kind}`);
    if (!timingSafeEqual(Buffer.from(signature), Buffer.from(expected))) return null;
    return { spoolId, base, single: kind === 's' };
  }

  /**
   * The id of the message that a Received value speaks of, for this recipient; null when it is not one of ours, or
   * when it had several recipients and the report does not say which.
   */
  messageId(received: string, recipient: string): string | null {
    const reference = this.verify(received);
    return reference && referencedId(reference, recipient);
  }

  /** HMAC-SHA-256 (RFC 2104) by two digests of one call each, at half of what Node's object for it costs a message. */
  #signature(text: string): string {
    if (text.length > LONGEST_SIGNED) throw new RangeError(`no spool id and message id: ${text}`);
    const end = HASH_BLOCK + this.#inner.write(text, HASH_BLOCK, 'latin1');
    // As text of one octet a character: a buffer for it would cost four times as much.
    const inner = hash('sha256', this.#inner.subarray(0, end), 'binary');
    this.#outer.write(inner, HASH_BLOCK, 'binary');
    return hash('sha256', this.#outer, 'hex').slice(0, 12);
  }
}

/**
 * SparkPost's id of one recipient's copy. It follows from the base and the address alone, because a report about a
 * message to several names the address and not its position.
 */
export function messageIdOf(base: string, recipient: string, single: boolean): string {
  if (single) return base;
  const tail = createHmac('sha256', base).update(recipient.toLowerCase()).digest('hex').slice(0, 8);
  return base.slice(0, 12) + tail;
}

/** The id of the message to this recipient; null when there were several and it is not said which. */
export function referencedId({ base, single }: Reference, recipient: string): string | null {
  if (single) return base;
  return recipient === '' ? null : messageIdOf(base, recipient, false);
}
