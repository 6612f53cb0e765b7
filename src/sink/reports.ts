import { buildComplaintReport } from '../mail/build-complaint.ts';
import { buildDeliveryReport } from '../mail/build-delivery-report.ts';
import { dateHeader, headerField, messageId } from '../mail/header.ts';
import { fromField, plainMail, textPart, toField } from '../mail/report-writer.ts';
import type { Accepted } from './records.ts';

/** What is needed to write a report about a message. */
export interface ReportFacts {
  readonly record: Accepted;
  /** The message as it was received. */
  readonly original: Buffer;
  /** Name of the host that reports. */
  readonly host: string;
  readonly now: number;
  /** Address of the host that sent the message. */
  readonly sourceIp: string;
}

/** Longest original that is sent back whole; of a longer one only the header goes. */
const MOST_ORIGINAL = 1024 * 1024;

/**
 * A delivery status notification (RFC 3464) for a message that was first accepted and then bounced. `form`: the whole
 * original, its header alone, nothing of it, or no report at all but words for people.
 */
export function buildBounce(
  facts: ReportFacts,
  status: string,
  form: 'full' | 'headers' | 'noorig' | 'text',
): Buffer {
  const { record, host, original, now } = facts;
  const from = `Mail Delivery System <mailer-daemon@${host}>`;
  if (form === 'text') {
    return plainMail(
      header(facts, from, 'Undelivered Mail Returned to Sender'),
      textPart(
        `This is the mail system at host ${host}.\r\n\r\nYour message could not be delivered:\r\n\r\n<${record.rcpt}>: user unknown\r\n`,
      ),
    );
  }
  return buildDeliveryReport({
    format: 'standard',
    return: form === 'headers' || original.length > MOST_ORIGINAL ? 'headers' : 'full',
    host,
    from,
    to: record.from,
    envId: record.envid,
    arrivalDate: record.at,
    now,
    unique: uniqueOf(facts),
    recipients: [
      {
        recipient: record.rcpt,
        originalRecipient: record.orcpt,
        action: 'failed',
        status,
        diagnostic: `smtp; 550 ${status} <${record.rcpt}>: user unknown`,
        remoteMta: host,
      },
    ],
    original: form === 'noorig' ? null : original,
  });
}

/** A complaint in the Abuse Reporting Format (RFC 5965), with the whole original. */
export function buildComplaint(facts: ReportFacts, feedbackType: string, from: string, to: string): Buffer {
  const { record, host, original, now } = facts;
  return buildComplaintReport({
    host,
    from: `Feedback Loop <${from}>`,
    to,
    now,
    unique: uniqueOf(facts),
    feedbackType,
    userAgent: 'Bouncy/1.0',
    envId: record.envid,
    originalMailFrom: record.from,
    originalRcptTo: [record.rcpt],
    sourceIp: facts.sourceIp,
    reportedDomain: record.from.slice(record.from.lastIndexOf('@') + 1) || host,
    arrivalDate: record.at,
    return: original.length > MOST_ORIGINAL ? 'headers' : 'full',
    original,
  });
}

/** An absence notice (RFC 3834). */
export function buildAutoReply(facts: ReportFacts): Buffer {
  const { record } = facts;
  const fields = header(facts, record.rcpt, 'Out of office: automatic reply');
  return plainMail(
    [...fields, headerField('In-Reply-To', `<${record.mid}>`)],
    textPart('I am out of the office and will read your message when I am back.\r\n'),
  );
}

function header(facts: ReportFacts, from: string, subject: string): string[] {
  return [
    headerField('Date', dateHeader(facts.now)),
    fromField(from),
    toField(facts.record.from),
    headerField('Message-ID', messageId(uniqueOf(facts), facts.host)),
    headerField('Subject', subject),
    headerField('Auto-Submitted', 'auto-replied'),
  ];
}

function uniqueOf({ record, now }: ReportFacts): string {
  return `${record.id}.${now.toString(36)}`;
}
