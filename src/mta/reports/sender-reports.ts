/**
 * Reports to senders about what became of their mail (delivery guide, section 14; RFC 3461, RFC 3464): who gets one,
 * and what stands in it.
 */
import type { Config } from '../../config/index.ts';
import type { Bounced, Delivered, Received } from '../../events/outcome.ts';
import { domainOf } from '../../mail/address.ts';
import { buildDeliveryReport, type RecipientToReport } from '../../mail/build-delivery-report.ts';
import { editHeaders } from '../../mail/header.ts';
import type { NewMessage, Spool } from '../../spool/spool.ts';
import { type Envelope, factsFor, type PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import { mergedContent } from '../deliver/merged-content.ts';
import type { Told } from '../deliver/outcome-writer.ts';
import { returnPath } from '../deliver/return-path.ts';
import type { OwnMailMaker } from './own-mail.ts';

/** What one report is made of: recipients of one message whose reports go to one address. */
interface Group {
  readonly envelope: Envelope;
  readonly index: number;
  readonly to: string;
  readonly recipients: RecipientToReport[];
}

/** Recipients in one report; a message to more of them that fail together gets several. */
const MOST_RECIPIENTS = 1000;
/** A larger message is not sent back whole, whatever was asked for: every copy of it would be stored once more. */
const LARGEST_RETURNED = 10 * 1024 * 1024;

export class SenderReports {
  readonly #config: () => Config;
  readonly #spool: Spool;
  readonly #mail: OwnMailMaker;
  readonly #clock: Clock;

  constructor(config: () => Config, spool: Spool, mail: OwnMailMaker, clock: Clock) {
    this.#config = config;
    this.#spool = spool;
    this.#mail = mail;
    this.#clock = clock;
  }

  /** Reports that final outcomes of one queue give rise to. */
  about(queue: { domain: string; vmta: string }, told: readonly Told[]) {
    const groups = new Map<string, Group>();
    for (const { envelope, index, outcome } of told) {
      const wanted = outcome.kind === 'delivered' ? 'success' : 'failure';
      if (!this.#wants(envelope, index, wanted)) continue;
      if (outcome.kind === 'delivered' && this.#isPassedOn(queue, outcome)) continue;
      if (outcome.kind === 'bounced' && outcome.attempt?.transport === 'discard') continue;
      this.#add(groups, envelope, index, this.#line(queue, envelope, index, outcome));
    }
    return this.#write(queue, groups);
  }

  /** A report that these recipients of one queue still wait. */
  delays(
    queue: { domain: string; vmta: string },
    waiting: readonly { envelope: Envelope; item: PendingRecipient }[],
  ) {
    const groups = new Map<string, Group>();
    const settings = this.#config().queue(queue.domain, queue.vmta);
    for (const { envelope, item } of waiting) {
      if (!this.#wants(envelope, item.index, 'delay')) continue;
      const { address, originalRecipient } = envelope.recipients[item.index]!;
      const { lastReply } = item;
      this.#add(groups, envelope, item.index, {
        recipient: address,
        originalRecipient,
        action: 'delayed',
        status: lastReply?.status.startsWith('4') ? lastReply.status : '4.0.0',
        diagnostic: this.#shown(queue, lastReply?.diagnostic ?? ''),
        remoteMta: lastReply?.remoteHost ?? '',
        willRetryUntil: item.receivedAt + settings.get('bounce-after'),
      });
    }
    return this.#write(queue, groups);
  }

  /** Whether the sender of this recipient's copy may and wants to hear of it. */
  #wants(envelope: Envelope, index: number, what: 'success' | 'failure' | 'delay'): boolean {
    const { sender, vmta } = factsFor(envelope, index);
    if (sender === '' || envelope.ownMail || envelope.suppressReports) return false;
    const { notify } = envelope.recipients[index]!;
    if (!(notify.length === 0 ? what === 'failure' : notify.includes(what))) return false;
    // Unlike every other directive of <domain>, this one is about the domain that the mail comes from.
    return this.#config().queue(domainOf(sender).toLowerCase(), vmta).get('deliver-local-dsn');
  }

  /** RFC 3461 section 5.2.2: a next host that knows DSN has taken over the request, and reports itself. */
  #isPassedOn(queue: { domain: string; vmta: string }, { action, attempt }: Delivered): boolean {
    if (action !== 'relayed' || attempt.transport !== 'smtp') return false;
    if (this.#config().queue(queue.domain, queue.vmta).get('ignore-dsn')) return false;
    return attempt.esmtp.some((keyword) => /^DSN(?:\s|$)/i.test(keyword));
  }

  #line(
    queue: { domain: string; vmta: string },
    envelope: Envelope,
    index: number,
    outcome: Delivered | Bounced,
  ): RecipientToReport {
    const { address, originalRecipient } = envelope.recipients[index]!;
    let { diagnostic } = outcome.result;
    let remoteMta = outcome.attempt?.remoteHost ?? '';
    if (outcome.kind === 'bounced' && !outcome.attempt) {
      // Given up while it waited: what the last attempt was told is what the sender can use.
      const last = this.#spool.pending(envelope.facts.spoolId, index)?.lastReply;
      diagnostic ||= last?.diagnostic ?? '';
      if (diagnostic === last?.diagnostic) remoteMta = last.remoteHost;
    }
    return {
      recipient: address,
      originalRecipient,
      action: outcome.kind === 'bounced' ? 'failed' : outcome.action,
      status: outcome.result.status,
      statusText: outcome.result.statusText,
      diagnostic: this.#shown(queue, diagnostic),
      remoteMta,
    };
  }

  /** `replace-smtp-421-service-response`: what a host says with its 421 is not passed on. */
  #shown(queue: { domain: string; vmta: string }, diagnostic: string): string {
    if (!this.#config().queue(queue.domain, queue.vmta).get('replace-smtp-421-service-response'))
      return diagnostic;
    const found = /^smtp;421[ -](?:(4\.\d{1,3}\.\d{1,3})(?: |$))?/.exec(diagnostic);
    return found ? `smtp;421 ${found[1] ? `${found[1]} ` : ''}service unavailable` : diagnostic;
  }

  #add(groups: Map<string, Group>, envelope: Envelope, index: number, line: RecipientToReport): void {
    const to = returnPath(envelope, index);
    // Mail merge makes each recipient's copy a message of its own.
    const own = envelope.template ? index : '';
    const base = `${envelope.facts.spoolId} ${own} ${to}`;
    let key = base;
    for (let n = 1; (groups.get(key)?.recipients.length ?? 0) >= MOST_RECIPIENTS; n++) key = `${base} ${n}`;
    const group = groups.get(key);
    if (group) group.recipients.push(line);
    else groups.set(key, { envelope, index, to, recipients: [line] });
  }

  #write(queue: { domain: string; vmta: string }, groups: ReadonlyMap<string, Group>) {
    const made: { message: NewMessage; outcomes: Received[] }[] = [];
    const config = this.#config();
    const settings = config.queue(queue.domain, queue.vmta);
    for (const { envelope, index, to, recipients } of groups.values()) {
      const facts = factsFor(envelope, index);
      const original = this.#original(envelope, index);
      const spoolId = this.#mail.newSpoolId();
      const whole =
        (envelope.returnContent || envelope.returnDefault) === 'full' &&
        (original?.length ?? 0) <= LARGEST_RETURNED;
      const content = buildDeliveryReport({
        format: settings.get('dsn-format'),
        // RFC 3461 section 4.3: a whole message is returned with failures alone.
        return: whole && recipients.some(({ action }) => action === 'failed') ? 'full' : 'headers',
        host: this.#mail.hostName,
        from: config.global.get('custom-dsn-from-header') ?? '',
        to,
        envId: facts.envId,
        arrivalDate: facts.receivedAt,
        now: this.#clock.now(),
        unique: spoolId,
        recipients,
        original,
      });
      made.push(this.#mail.make({ spoolId, sender: '', recipients: [to], content, vmta: facts.vmta }));
    }
    return made;
  }

  /** As the recipient would have got it: without what reception found to be for us alone, a private key among it. */
  #original(envelope: Envelope, index: number): Buffer | null {
    const stored = this.#spool.content(envelope.facts.spoolId);
    const content = stored && mergedContent(envelope, index, stored);
    if (!content) return null;
    return envelope.removeHeaders.length > 0
      ? editHeaders(content, { remove: envelope.removeHeaders })
      : content;
  }
}
