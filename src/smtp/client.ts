import { domainToAscii } from '../mail/address.ts';
import type { Clock } from '../system/clock.ts';
import type {
  ConnectionFacts,
  OutgoingMessage,
  SendResult,
  SendStage,
  SmtpClientTimeouts,
} from './client-types.ts';
import { positive } from './client-types.ts';
import type { Wire } from './client-wire.ts';
import { addStuffing, finalDot } from './message-data.ts';
import { encodeOrcpt, encodeXtext, type MailParams, type RcptParams } from './path.ts';
import type { SmtpReply } from './reply-reader.ts';

/** Content up to this goes out in one piece with what stands before or after it. */
const ONE_PIECE = 65_536;
const BLOCK = 262_144;
const CRLF = Buffer.from('\r\n', 'latin1');
const BARE_DOT = '.\r\n';
const INTERRUPTED = { error: 'interrupted for a more urgent queue', code: 'EINTERRUPTED' } as const;
const NON_ASCII = /[^\u0000-\u007f]/;
const CONTROLS = /[\u0000-\u001f\u007f]/;

/** A connection that stands: greeted, secured and authenticated as asked. One transaction at a time. */
export class SmtpClient {
  readonly facts: ConnectionFacts;
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #timeouts: SmtpClientTimeouts;
  readonly #keywords: ReadonlyMap<string, string>;
  #needsReset = false;
  #transactions = 0;
  #closing = false;
  #interrupted = false;
  #current: Transaction | null = null;

  constructor(
    wire: Wire,
    clock: Clock,
    timeouts: SmtpClientTimeouts,
    facts: ConnectionFacts,
    keywords: ReadonlyMap<string, string>,
  ) {
    this.#wire = wire;
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.facts = facts;
    this.#keywords = keywords;
  }

  /** Whether another transaction may be tried: the connection stands and the server said nothing unasked. */
  get usable(): boolean {
    return !this.#closing && this.#wire.fault === null && this.#wire.pending.length === 0;
  }

  /** Transactions begun. */
  get transactions(): number {
    return this.#transactions;
  }

  /** Whether EHLO offered it (and the caller did not ask to ignore it). */
  offers(keyword: string): boolean {
    return this.#keywords.has(keyword);
  }

  /** Bytes that the server takes for one message; Infinity when it states no limit (RFC 1870). */
  get sizeLimit(): number {
    const limit = Number(this.#keywords.get('SIZE') || '0');
    return Number.isSafeInteger(limit) && limit > 0 ? limit : Number.POSITIVE_INFINITY;
  }

  /** What of the message this server can not do; null when nothing stands in the way. */
  needs(message: OutgoingMessage): SendResult['needs'] {
    if (!this.offers('SMTPUTF8') && isInternationalized(message)) return 'SMTPUTF8';
    if (message.require8BitMime && message.params?.body === '8BITMIME' && !this.offers('8BITMIME')) {
      return '8BITMIME';
    }
    return message.content.length > this.sizeLimit ? 'SIZE' : null;
  }

  /**
   * One mail transaction. Refusals and lost connections are values; a recipient is the server's when its own reply
   * and `data` are both 2xx. Throws only for an address that holds a control character.
   */
  async send(message: OutgoingMessage): Promise<SendResult> {
    const transaction = new Transaction(message, this.#clock.now());
    transaction.needs = this.needs(message);
    if (transaction.needs) return transaction.result(this.#clock.now());
    if (this.#closing || this.#wire.fault || this.#wire.pending.length > 0) {
      this.#lose(transaction, 'mail');
      return transaction.result(this.#clock.now());
    }
    if (this.#interrupted) {
      transaction.lost = { stage: 'mail', ...INTERRUPTED };
      return transaction.result(this.#clock.now());
    }
    const envelope = this.#envelopeLines(message);
    this.#transactions++;
    this.#current = transaction;
    try {
      if (this.offers('PIPELINING')) await this.#pipelined(transaction, envelope);
      else await this.#oneByOne(transaction, envelope);
    } finally {
      this.#current = null;
    }
    return transaction.result(this.#clock.now());
  }

  /**
   * The connection is needed for something more urgent. A transaction whose content is not wholly sent is lost with the
   * code `EINTERRUPTED`, and so is every later one; one that only waits for the final reply goes on, for the server may
   * have taken it.
   */
  interrupt(): void {
    this.#interrupted = true;
    if (this.#current && !this.#current.ended) this.#wire.fail(INTERRUPTED);
  }

  // The envelope

  #envelopeLines(message: OutgoingMessage): { mail: string; rcpt: string[] } {
    return {
      mail: `MAIL FROM:<${checked(wireAddress(message.from))}>${this.#mailParams(message)}\r\n`,
      rcpt: message.recipients.map(
        ({ address, params }) =>
          `RCPT TO:<${checked(wireAddress(address))}>${params ? this.#rcptParams(params) : ''}\r\n`,
      ),
    };
  }

  #mailParams(message: OutgoingMessage): string {
    const params: MailParams = message.params ?? {};
    let out = '';
    if (this.offers('SIZE')) out += ` SIZE=${message.content.length}`;
    if (params.body && this.offers('8BITMIME')) out += ` BODY=${params.body}`;
    if (this.offers('SMTPUTF8') && (message.params?.smtputf8 || isInternationalized(message)))
      out += ' SMTPUTF8';
    if (this.offers('DSN')) {
      if (params.ret) out += ` RET=${params.ret}`;
      if (params.envid) out += ` ENVID=${encodeXtext(params.envid)}`;
    }
    if (params.auth !== undefined && this.offers('AUTH')) out += ` AUTH=${encodeXtext(params.auth || '<>')}`;
    return out + extraParams(params.extra);
  }

  #rcptParams(params: RcptParams): string {
    let out = '';
    if (this.offers('DSN')) {
      if (params.notify && params.notify.length > 0) out += ` NOTIFY=${params.notify.join(',')}`;
      if (params.orcpt) out += ` ORCPT=${encodeOrcpt(params.orcpt)}`;
    }
    return out + extraParams(params.extra);
  }

  /**
   * RFC 2920: the whole envelope in one write. With CHUNKING (RFC 3030) a small message goes along, which makes one
   * round trip of the transaction.
   */
  async #pipelined(transaction: Transaction, envelope: { mail: string; rcpt: string[] }): Promise<void> {
    const wire = this.#wire;
    const { content } = transaction.message;
    const chunking = this.offers('CHUNKING') && !transaction.message.separateDot;
    const along = chunking && content.length <= ONE_PIECE;
    const resets = this.#needsReset ? 1 : 0;
    this.#needsReset = true;
    let batch = (resets ? 'RSET\r\n' : '') + envelope.mail + envelope.rcpt.join('');
    if (along) {
      transaction.ended = true;
      const chunk = withLineEnd(content);
      batch += `BDAT ${chunk.length} LAST\r\n`;
      const head = Buffer.from(batch, 'utf8');
      wire.write(Buffer.concat([head, chunk]), batch);
      transaction.bytes = chunk.length;
    } else wire.ask(chunking ? batch : `${batch}DATA\r\n`);

    const replies = resets + 1 + envelope.rcpt.length;
    await wire.expect(replies, this.#timeouts.command);
    if (resets) wire.take();
    transaction.mail = wire.take();
    for (let i = 0; i < envelope.rcpt.length; i++) transaction.recipients[i] = wire.take();
    transaction.envelopeAt = this.#clock.now();
    if (transaction.recipients.at(-1) === null || transaction.mail === null) {
      return this.#lose(transaction, transaction.mail === null ? 'mail' : 'rcpt');
    }
    if (along) return this.#finalReply(transaction, true);
    if (chunking) {
      if (transaction.hasRecipients) await this.#sendChunk(transaction);
      return;
    }
    await wire.expect(1, this.#timeouts.data);
    await this.#afterData(transaction);
  }

  async #oneByOne(transaction: Transaction, envelope: { mail: string; rcpt: string[] }): Promise<void> {
    const wire = this.#wire;
    if (this.#needsReset) {
      wire.ask('RSET\r\n');
      await wire.expect(1, this.#timeouts.command);
      if (wire.take() === null) return this.#lose(transaction, 'mail');
    }
    this.#needsReset = true;
    wire.ask(envelope.mail);
    await wire.expect(1, this.#timeouts.command);
    transaction.mail = wire.take();
    if (transaction.mail === null) return this.#lose(transaction, 'mail');
    if (!positive(transaction.mail)) return;
    for (const [i, line] of envelope.rcpt.entries()) {
      wire.ask(line);
      await wire.expect(1, this.#timeouts.command);
      transaction.recipients[i] = wire.take();
      if (transaction.recipients[i] === null) return this.#lose(transaction, 'rcpt');
    }
    transaction.envelopeAt = this.#clock.now();
    if (!transaction.hasRecipients) return;
    if (this.offers('CHUNKING') && !transaction.message.separateDot) return this.#sendChunk(transaction);
    wire.ask('DATA\r\n');
    await wire.expect(1, this.#timeouts.data);
    await this.#afterData(transaction);
  }

  // Content

  async #sendChunk(transaction: Transaction): Promise<void> {
    const chunk = withLineEnd(transaction.message.content);
    transaction.bytes = chunk.length;
    this.#wire.write(`BDAT ${chunk.length} LAST\r\n`);
    // With its last byte the message is the server's.
    const last = Math.max(0, chunk.length - BLOCK);
    let whole = await this.#wire.writeBlocks(chunk.subarray(0, last), BLOCK, this.#timeouts.dataBlock);
    if (whole) {
      transaction.ended = true;
      whole = await this.#wire.writeBlocks(chunk.subarray(last), BLOCK, this.#timeouts.dataBlock);
    }
    await this.#finalReply(transaction, whole);
  }

  async #afterData(transaction: Transaction): Promise<void> {
    const answer = this.#wire.take();
    if (answer === null) return this.#lose(transaction, 'data');
    if (answer.code !== 354) {
      transaction.data = answer;
      // Whatever else a server may mean by a 2xx here, it has no message.
      if (positive(answer)) this.#desynchronized(transaction, 'data');
      return;
    }
    if (!transaction.hasRecipients) {
      // Pipelined DATA was taken although nobody is to get it: RFC 2920 section 3.1 asks for an empty message.
      this.#wire.write(BARE_DOT);
      await this.#wire.expect(1, this.#timeouts.dataEnd);
      this.#wire.take();
      return;
    }
    const whole = await this.#sendContent(transaction);
    await this.#finalReply(transaction, whole);
  }

  /** False when the server spoke, or the connection was lost, before all was sent. */
  async #sendContent(transaction: Transaction): Promise<boolean> {
    const wire = this.#wire;
    const { content, separateDot } = transaction.message;
    // A dot in a segment of its own needs the line end of the last line in the segment before.
    const stuffed = separateDot ? withLineEnd(addStuffing(content)) : addStuffing(content);
    const dot = finalDot(stuffed);
    transaction.bytes = stuffed.length + dot.length;
    if (stuffed.length <= ONE_PIECE && !separateDot) {
      transaction.ended = true;
      wire.writeTogether([stuffed, dot]);
      return true;
    }
    if (!(await wire.writeBlocks(stuffed, BLOCK, this.#timeouts.dataBlock))) return false;
    if (separateDot) await wire.flushed(this.#timeouts.dataBlock);
    transaction.ended = true;
    wire.write(dot);
    return true;
  }

  async #finalReply(transaction: Transaction, whole: boolean): Promise<void> {
    const wire = this.#wire;
    await wire.expect(1, this.#timeouts.dataEnd);
    transaction.data = wire.take();
    if (transaction.data === null) {
      this.#lose(transaction, whole && wire.socket.writableLength === 0 ? 'final' : 'content');
    } else if (!whole && !positive(transaction.data)) {
      // The server gave up on a message that it had not got whole: what is left of it would be read as commands.
      this.#closing = true;
      wire.end();
    } else if (!whole || (transaction.data.code < 400 && !positive(transaction.data))) {
      this.#desynchronized(transaction, whole ? 'final' : 'content');
    } else this.#needsReset = !positive(transaction.data);
  }

  #lose(transaction: Transaction, stage: SendStage): undefined {
    const wire = this.#wire;
    const unasked = wire.fault ? null : wire.take();
    if (unasked)
      wire.fail({
        error: `the server said unasked: ${unasked.code} ${unasked.lines.join(' ')}`,
        code: 'EPROTOCOL',
      });
    const fault = wire.fault ?? { error: 'connection closed', code: 'ECLOSED' };
    transaction.lost = { stage, ...fault };
  }

  /** A reply that belongs to nothing: go on and every later one would be taken for the wrong command's. */
  #desynchronized(transaction: Transaction, stage: SendStage): void {
    this.#wire.fail({ error: `reply ${transaction.data?.code} makes no sense here`, code: 'EPROTOCOL' });
    transaction.data = null;
    this.#lose(transaction, stage);
  }

  // The rest of the connection's life

  /** RSET; the server's reply, null when the connection is lost. */
  async reset(): Promise<SmtpReply | null> {
    if (!this.usable) return null;
    this.#needsReset = false;
    return this.#simple('RSET\r\n', this.#timeouts.command);
  }

  /** NOOP, to see whether the server is still there. */
  async noop(): Promise<SmtpReply | null> {
    return this.usable ? this.#simple('NOOP\r\n', this.#timeouts.command) : null;
  }

  async #simple(line: string, timeoutMs: number): Promise<SmtpReply | null> {
    this.#wire.write(line);
    await this.#wire.expect(1, timeoutMs);
    return this.#wire.take();
  }

  /** Says QUIT, waits a little for the answer and closes. */
  async quit(): Promise<void> {
    if (this.#closing) return;
    const { usable } = this;
    this.#closing = true;
    if (usable) await this.#simple('QUIT\r\n', this.#timeouts.quit);
    this.#wire.end();
  }

  /** Closes without a word; what is under way is lost. */
  destroy(): void {
    this.#closing = true;
    this.#wire.fail({ error: 'connection closed', code: 'ECLOSED' });
  }

  /** Calls back once when the connection ends, whoever ended it; at once when it has ended. */
  onClose(then: () => void): void {
    if (this.#wire.socket.destroyed) then();
    else this.#wire.socket.once('close', then);
  }
}

/** What is known of one transaction while it runs. */
class Transaction {
  readonly message: OutgoingMessage;
  readonly recipients: (SmtpReply | null)[];
  needs: SendResult['needs'] = null;
  mail: SmtpReply | null = null;
  data: SmtpReply | null = null;
  lost: SendResult['lost'] = null;
  bytes = 0;
  /** The end of the content is on its way. */
  ended = false;
  envelopeAt: number;
  readonly #startedAt: number;

  constructor(message: OutgoingMessage, now: number) {
    this.message = message;
    this.recipients = new Array<SmtpReply | null>(message.recipients.length).fill(null);
    this.#startedAt = now;
    this.envelopeAt = now;
  }

  get hasRecipients(): boolean {
    return positive(this.mail) && this.recipients.some(positive);
  }

  result(now: number): SendResult {
    const { needs, mail, recipients, data, lost, bytes } = this;
    const timings = { envelope: this.envelopeAt - this.#startedAt, content: now - this.envelopeAt };
    return { needs, mail, recipients, data, lost, bytes, timings };
  }
}

/** A chunk needs no final dot, but the message must still end with a line end. */
function withLineEnd(content: Buffer): Buffer {
  const end = content.length;
  if (end === 0 || (content[end - 1] === 0x0a && content[end - 2] === 0x0d)) return content;
  return content[end - 1] === 0x0d
    ? Buffer.concat([content, CRLF.subarray(1)])
    : Buffer.concat([content, CRLF]);
}

/** An internationalized domain goes in A-labels, which every server takes; only a local part can need SMTPUTF8. */
function wireAddress(address: string): string {
  if (!NON_ASCII.test(address)) return address;
  const at = address.lastIndexOf('@');
  const domain = at === -1 ? null : domainToAscii(address.slice(at + 1));
  return domain === null ? address : address.slice(0, at + 1) + domain;
}

/**
 * Whether a server without SMTPUTF8 cannot have it. Many clients ask for SMTPUTF8 wherever it is offered; what is ASCII
 * in envelope and header all the same is an ordinary message (RFC 6531 section 3.2, RFC 6532 section 3).
 */
function isInternationalized({ params, from, recipients, content }: OutgoingMessage): boolean {
  return (
    NON_ASCII.test(wireAddress(from)) ||
    recipients.some(({ address }) => NON_ASCII.test(wireAddress(address))) ||
    (params?.smtputf8 === true && hasHeaderBeyondAscii(content))
  );
}

function hasHeaderBeyondAscii(content: Buffer): boolean {
  const end = content.indexOf('\r\n\r\n');
  return content.subarray(0, end === -1 ? content.length : end).some((octet) => octet > 0x7f);
}

/** A line end in an address would be a command of its own; nothing that read the address may have let it through. */
function checked(address: string): string {
  if (CONTROLS.test(address)) throw new Error('an address with a control character came to the SMTP client');
  return address;
}

function extraParams(extra: ReadonlyMap<string, string> | undefined): string {
  if (!extra) return '';
  let out = '';
  for (const [keyword, value] of extra) out += ` ${keyword}${value === '' ? '' : `=${value}`}`;
  return checked(out);
}
