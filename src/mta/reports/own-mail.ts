/**
 * Mail that this server makes itself: reports to senders, notices to operators, copies. It goes into the spool and a
 * queue like any other mail, with a record of its reception, and nothing that it meets makes us send another.
 */
import type { Config } from '../../config/index.ts';
import { messageIdBase } from '../../events/message-id.ts';
import type { MessageFacts, Received } from '../../events/outcome.ts';
import { domainToAscii } from '../../mail/address.ts';
import { Header } from '../../mail/header.ts';
import { decodeWords, firstAddress } from '../../mail/header-text.ts';
import type { NewMessage } from '../../spool/spool.ts';
import type { Envelope, PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Caused } from '../deliver/outcome-writer.ts';
import { messageIdOf } from '../inbound/reference.ts';
import { queueDomain } from '../route/queue-domain.ts';

export interface OwnMailDeps {
  readonly config: () => Config;
  readonly newSpoolId: () => string;
  readonly hostName: string;
  readonly clock: Clock;
}

export interface OwnMail {
  /** Given when the content had to hold the id already. */
  readonly spoolId: string;
  /** '' for the null sender, which everything but a copy has. */
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly content: Buffer;
  /** The VMTA that it leaves through; one that is no longer configured is replaced by `{default}`. */
  readonly vmta: string;
  /** Facts that a copy takes over from its original. */
  readonly like?: Pick<MessageFacts, 'jobId' | 'envId' | 'subaccountId'>;
}

const PRIORITY = 50;
const LONGEST_SUBJECT = 998;

export class OwnMailMaker {
  readonly #deps: OwnMailDeps;

  constructor(deps: OwnMailDeps) {
    this.#deps = deps;
  }

  get hostName(): string {
    return this.#deps.hostName;
  }

  newSpoolId(): string {
    return this.#deps.newSpoolId();
  }

  /** The message as the spool takes it, and the records of its reception; at least one recipient. */
  make(mail: OwnMail): { message: NewMessage; outcomes: Received[] } {
    const { clock, hostName } = this.#deps;
    const config = this.#deps.config();
    const { spoolId, content, recipients } = mail;
    const now = clock.now();
    const vmta = config.vmtas.get(mail.vmta.toLowerCase());
    const header = new Header(content);
    const from = firstAddress(header.get('from') ?? '');
    const facts: MessageFacts = {
      spoolId,
      receivedAt: now,
      sender: mail.sender,
      from: from?.address ?? '',
      fromName: from?.name ?? '',
      senderDomain: asciiDomain(from?.address ?? ''),
      subject: decodeWords(header.get('subject') ?? '', LONGEST_SUBJECT),
      size: content.length,
      source: 'api',
      heloName: hostName,
      clientIp: '',
      localIp: '',
      user: '',
      vmta: vmta?.name ?? '{default}',
      pool: '',
      jobId: mail.like?.jobId ?? '',
      envId: mail.like?.envId ?? '',
      headers: [],
      customMessageId: '',
      subaccountId: mail.like?.subaccountId ?? 0,
      openTracking: false,
      initialPixel: false,
      clickTracking: false,
    };
    const single = recipients.length === 1;
    const base = messageIdBase(now);
    const envelope: Envelope = {
      facts,
      recipients: recipients.map((address) => ({
        address,
        originalRecipient: '',
        messageId: messageIdOf(base, address, single),
        notify: ['never' as const],
      })),
      eightBit: content.some((octet) => octet > 0x7f),
      smtpUtf8: [mail.sender, ...recipients].some(isBeyondAscii),
      returnContent: '',
      removeHeaders: [],
      suppressReports: true,
      ownMail: true,
    };
    const pending = recipients.map(
      (address, index): PendingRecipient => ({
        spoolId,
        index,
        domain: queueDomain(config, asciiDomain(address), facts.vmta),
        vmta: facts.vmta,
        receivedAt: now,
        attempts: 0,
        holdUntil: 0,
        priority: PRIORITY,
        size: content.length,
      }),
    );
    const outcomes = envelope.recipients.map(
      ({ address, originalRecipient, messageId }): Received => ({
        kind: 'received',
        at: now,
        message: facts,
        recipient: { address, originalRecipient, messageId },
      }),
    );
    return { message: { envelope, content, recipients: pending }, outcomes };
  }
}

/** Several pieces of own mail as one consequence. */
export function together(made: readonly { message: NewMessage; outcomes: Received[] }[]): Caused {
  return { messages: made.map(({ message }) => message), outcomes: made.flatMap(({ outcomes }) => outcomes) };
}

function asciiDomain(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return domainToAscii(domain) ?? domain.toLowerCase();
}

function isBeyondAscii(address: string): boolean {
  return /[^\x00-\x7f]/.test(address.slice(0, address.lastIndexOf('@')));
}
