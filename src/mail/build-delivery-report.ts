import { domainToAscii, parseAddress } from './address.ts';
import type { DeliveryAction } from './delivery-report.ts';
import { dateHeader, headerField, messageId } from './header.ts';
import { typedValue } from './report-parts.ts';
import {
  asciiLine,
  fieldsPart,
  fromField,
  multipartReport,
  originalPart,
  plainMail,
  reportField,
  textPart,
  toField,
  type WrittenPart,
} from './report-writer.ts';

/** What became of one recipient, as outcomes hold it: texts are '' where there is none. */
export interface RecipientToReport {
  readonly recipient: string;
  /** ORCPT, with its type unless that is rfc822. */
  readonly originalRecipient: string;
  readonly action: DeliveryAction;
  /** `5.1.1`. */
  readonly status: string;
  /** What the status means, for people where there is no reply to show: `delivery time expired`. */
  readonly statusText?: string;
  /** `smtp;` and the reply. */
  readonly diagnostic: string;
  /** Host that gave the reply. */
  readonly remoteMta: string;
  /** Milliseconds since the epoch; written for delays alone. */
  readonly willRetryUntil?: number;
}

export interface DeliveryReportFacts {
  /** `dsn-format`: multipart/report, or the delivery-status fields alone as plain text. */
  readonly format: 'standard' | 'plain-text';
  /** RET of the message; has no effect on plain text. */
  readonly return: 'headers' | 'full';
  /** Name of this host. */
  readonly host: string;
  /** Text of the From field (`custom-dsn-from-header`); '' for postmaster at this host. */
  readonly from: string;
  /** Envelope sender of the message, to whom the report goes. The report's own envelope sender is `<>`. */
  readonly to: string;
  readonly envId: string;
  /** When the message was accepted and when the report is written; milliseconds since the epoch. */
  readonly arrivalDate: number;
  readonly now: number;
  /** Unique on this host, for the Message-ID. */
  readonly unique: string;
  /** At least one. */
  readonly recipients: readonly RecipientToReport[];
  /** The message as it was accepted; `null` when it is gone. */
  readonly original: Buffer | null;
}

const LONGEST_DIAGNOSTIC = 8000;
/** Recipients named in the words for people; the fields name all. */
const MOST_NAMED = 100;

/**
 * Writes a delivery status notification (RFC 3461 section 6, RFC 3464) as a complete mail with CRLF lines. Nothing in
 * the facts can end a field or a part early, and outside a returned message no line is longer than 998 octets. All
 * but an 8-bit original and a UTF-8 local part in To is ASCII.
 */
export function buildDeliveryReport(facts: DeliveryReportFacts): Buffer {
  if (facts.recipients.length === 0) throw new Error('a delivery report names at least one recipient');
  const host = asciiLine(facts.host).slice(0, 255);
  const fields = [
    headerField('Date', dateHeader(facts.now)),
    fromField(facts.from || `Mail Delivery System <postmaster@${host}>`),
    toField(facts.to),
    headerField('Subject', subjectOf(facts.recipients)),
    headerField('Message-ID', messageId(facts.unique.slice(0, 200), host)),
    'Auto-Submitted: auto-replied\r\n',
  ];
  const status = statusFields(facts);
  if (facts.format === 'plain-text') return plainMail(fields, textPart(status.join('')));
  const parts: WrittenPart[] = [textPart(words(facts)), fieldsPart('message/delivery-status', status)];
  if (facts.original) parts.push(originalPart(facts.original, facts.return));
  return multipartReport(fields, 'delivery-status', parts);
}

function statusFields(facts: DeliveryReportFacts): string[] {
  const fields = [
    reportField('Reporting-MTA', `dns; ${facts.host}`),
    reportField('Original-Envelope-Id', facts.envId),
    reportField('Arrival-Date', dateHeader(facts.arrivalDate)),
  ];
  for (const recipient of facts.recipients) {
    const { action, remoteMta, diagnostic, willRetryUntil } = recipient;
    const { type, value } = typedValue(diagnostic);
    fields.push(
      '\r\n',
      reportField('Original-Recipient', typedAddress(recipient.originalRecipient)),
      reportField('Final-Recipient', typedAddress(recipient.recipient) || 'rfc822;'),
      `Action: ${action}\r\n`,
      `Status: ${statusOf(recipient)}\r\n`,
      reportField('Remote-MTA', remoteMta && `dns; ${remoteMta}`),
      reportField('Diagnostic-Code', value && `${type || 'smtp'}; ${value}`, LONGEST_DIAGNOSTIC),
      action === 'delayed' && willRetryUntil !== undefined
        ? reportField('Will-Retry-Until', dateHeader(willRetryUntil))
        : '',
    );
  }
  return fields;
}

function statusOf({ status, action }: RecipientToReport): string {
  if (/^[245]\.[0-9]{1,3}\.[0-9]{1,3}$/.test(status)) return status;
  return action === 'failed' ? '5.0.0' : action === 'delayed' ? '4.0.0' : '2.0.0';
}

/**
 * `rfc822; kim@x.example`. A local part beyond ASCII takes the type utf-8 and the escapes that let it stand in a part
 * of ASCII (RFC 6533 section 3).
 */
function typedAddress(text: string): string {
  if (text === '') return '';
  const { type, value } = typedValue(text);
  if (type !== '' && type !== 'rfc822' && type !== 'utf-8') return `${type}; ${value}`;
  const address = parseAddress(value);
  const written = address ? `${address.local}@${domainToAscii(address.domain) ?? address.domain}` : value;
  if (/^[ -~]*$/.test(written)) return `rfc822; ${written}`;
  const escaped = written.replace(
    /[^!-*,-<>-[\]-~]/gu,
    (character) => `\\x{${character.codePointAt(0)!.toString(16).toUpperCase().padStart(2, '0')}}`,
  );
  return `utf-8; ${escaped}`;
}

function subjectOf(recipients: readonly RecipientToReport[]): string {
  const has = (action: DeliveryAction) => recipients.some((recipient) => recipient.action === action);
  const outcome = has('failed') ? 'Failure' : has('delayed') ? 'Delay' : 'Success';
  return `Delivery Status Notification (${outcome})`;
}

const SENTENCES: Record<DeliveryAction, string> = {
  failed: 'It could not be delivered to:',
  delayed: 'It has not been delivered yet, and we keep trying, to:',
  delivered: 'It was delivered to:',
  relayed: 'It was passed on to a host that sends no reports of its own, to:',
  expanded: 'It was delivered to a list, to:',
};

/** The part for people. Texts of remote hosts are indented: no line of theirs can pass for one of ours. */
function words({ host, arrivalDate, recipients }: DeliveryReportFacts): string {
  const lines = [`This is the mail system at host ${asciiLine(host).slice(0, 255)}.`, ''];
  lines.push(`This is about your message of ${dateHeader(arrivalDate)}.`);
  let named = 0;
  for (const action of Object.keys(SENTENCES) as DeliveryAction[]) {
    const some = recipients.filter((recipient) => recipient.action === action);
    if (some.length === 0) continue;
    lines.push('', SENTENCES[action]);
    for (const recipient of some) {
      if (named++ >= MOST_NAMED) break;
      lines.push('', `    ${oneWord(recipient.recipient)}`);
      const { value } = typedValue(recipient.diagnostic);
      if (value !== '') lines.push(...wrap(asciiLine(value).slice(0, LONGEST_DIAGNOSTIC)));
      else {
        const text = recipient.statusText ? `${recipient.statusText} ` : '';
        lines.push(...wrap(asciiLine(`${text}(status ${statusOf(recipient)})`).slice(0, LONGEST_DIAGNOSTIC)));
      }
      if (action === 'delayed' && recipient.willRetryUntil !== undefined) {
        lines.push(`      (we try until ${dateHeader(recipient.willRetryUntil)})`);
      }
    }
  }
  if (named > MOST_NAMED) lines.push('', 'The report attached to this mail names all recipients.');
  return `${lines.join('\r\n')}\r\n`;
}

/** An address for people: UTF-8 stays. */
function oneWord(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').slice(0, 600);
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.replace(/[^ ]{900}(?=[^ ])/g, '$& ').split(' ')) {
    if (line !== '' && line.length + 1 + word.length > 70) {
      lines.push(`      ${line}`);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(`      ${line}`);
  return lines;
}
