/** Puts what a remote host said, or what we found ourselves, into the terms of accounting and events. */
import type { Config } from '../../config/index.ts';
import { bounceClassOf } from '../../events/bounce-class.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { replyText, type SmtpReply } from '../../smtp/index.ts';
import { categoryOf, matchText } from '../accounting/category.ts';
import { statusText } from '../accounting/dsn-text.ts';

/** Each recipient's record and events hold it. */
const LONGEST_DIAGNOSTIC = 4096;

/** The reply as a diagnostic: code and text on one line, the code of continuation lines dropped; its first 4,096. */
export function diagnosticOf(reply: SmtpReply): string {
  return `smtp;${replyText(reply).trimEnd()}`.slice(0, LONGEST_DIAGNOSTIC);
}

export interface ReplyReading {
  /** The reply answered RCPT, and a 553 without an enhanced code means a bad mailbox there. */
  readonly rcptOf553?: boolean;
  /** Of a 421 only the code is told, not the words (`replace-smtp-421-service-response`). */
  readonly hide421?: boolean;
}

/** What a reply means for the recipients it concerns. */
export function statusOfReply(reply: SmtpReply, config: Config, reading: ReplyReading = {}): StatusFacts {
  const digit = reply.code >= 500 ? 5 : reply.code >= 200 && reply.code < 300 ? 2 : 4;
  // The basic code decides about success and retry; an enhanced code of another class contradicts it and is dropped.
  const agrees = reply.enhanced.startsWith(String(digit));
  let status = agrees ? reply.enhanced : `${digit}.0.0`;
  if (!agrees && reply.code === 553 && reading.rcptOf553) status = '5.1.1';
  const diagnostic =
    reply.code === 421 && reading.hide421
      ? `smtp;421 ${reply.enhanced ? `${reply.enhanced} ` : ''}service unavailable`
      : diagnosticOf(reply);
  return describeStatus(status, statusText(status), diagnostic, config);
}

/** A reply that means success, in the fewest words: where nothing but that may count. */
export function plainStatus(reply: SmtpReply): StatusFacts {
  const diagnostic = diagnosticOf(reply);
  return { status: '2.0.0', statusText: 'success', diagnostic, category: '', bounceClass: 0 };
}

/** What we found ourselves, without a reply. */
export function localStatus(status: string, text: string, config: Config): StatusFacts {
  return describeStatus(status, text, '', config);
}

/** A status in all the words that records and events need. */
export function describeStatus(
  status: string,
  text: string,
  diagnostic: string,
  config: Config,
): StatusFacts {
  const success = status.startsWith('2');
  return {
    status,
    statusText: text,
    diagnostic,
    category: success ? '' : categoryOf(matchText(status, text, diagnostic), config.bounceCategories),
    bounceClass: success ? 0 : bounceClassOf({ status, statusText: text, diagnostic }).code,
  };
}
