import { dateHeader, headerField, messageId } from './header.ts';
import {
  asciiLine,
  fieldsPart,
  fromField,
  headerAddress,
  multipartReport,
  originalPart,
  reportField,
  textPart,
  toField,
} from './report-writer.ts';

/** What a complaint says; optional texts are '' where there is none, and leave no field. */
export interface ComplaintFacts {
  /** Name of the host that reports. */
  readonly host: string;
  /** Text of the From field; '' for postmaster at `host`. */
  readonly from: string;
  /** Address of the feedback loop. */
  readonly to: string;
  readonly now: number;
  /** Unique on this host, for the Message-ID. */
  readonly unique: string;
  /** `abuse`, `fraud`, `not-spam` … (RFC 5965 section 7.3). */
  readonly feedbackType: string;
  readonly userAgent: string;
  readonly envId: string;
  /** Envelope sender and recipients of the message complained about; no recipients to redact them. */
  readonly originalMailFrom: string;
  readonly originalRcptTo: readonly string[];
  /** Address of the host that sent the message. */
  readonly sourceIp: string;
  readonly reportedDomain: string;
  /** When the message was received; milliseconds since the epoch. */
  readonly arrivalDate?: number;
  readonly return: 'headers' | 'full';
  readonly original: Buffer;
}

/**
 * Writes a complaint in the Abuse Reporting Format (RFC 5965) as a complete mail with CRLF lines. Nothing in the facts
 * can end a field or a part early; outside a returned message no line is longer than 998 octets.
 */
export function buildComplaintReport(facts: ComplaintFacts): Buffer {
  const host = asciiLine(facts.host).slice(0, 255);
  const feedbackType = asciiLine(facts.feedbackType).replace(/[^A-Za-z0-9_-]/g, '') || 'other';
  const header = [
    headerField('Date', dateHeader(facts.now)),
    fromField(facts.from || `Feedback Loop <postmaster@${host}>`),
    toField(facts.to),
    headerField('Subject', `Complaint about a message (${feedbackType.slice(0, 40)})`),
    headerField('Message-ID', messageId(facts.unique.slice(0, 200), host)),
  ];
  const fields = [
    reportField('Feedback-Type', feedbackType),
    reportField('User-Agent', facts.userAgent || 'Posthorn'),
    'Version: 1\r\n',
    reportField('Original-Envelope-Id', facts.envId),
    addressField('Original-Mail-From', facts.originalMailFrom),
    ...facts.originalRcptTo.map((address) => addressField('Original-Rcpt-To', address)),
    facts.arrivalDate === undefined ? '' : reportField('Arrival-Date', dateHeader(facts.arrivalDate)),
    reportField('Reporting-MTA', `dns; ${host}`),
    reportField('Source-IP', facts.sourceIp),
    reportField('Reported-Domain', facts.reportedDomain),
  ];
  return multipartReport(header, 'feedback-report', [
    textPart(
      `This is a complaint of type ${feedbackType.slice(0, 40)} about a message from your network.\r\n` +
        'The message, or its header, is attached.\r\n',
    ),
    fieldsPart('message/feedback-report', fields),
    originalPart(facts.original, facts.return),
  ]);
}

/** The address in angle brackets; one with a UTF-8 local part keeps it, because it is the key to the message. */
function addressField(name: string, address: string): string {
  const written = headerAddress(address);
  return written === '' ? '' : headerField(name, `<${written}>`);
}
