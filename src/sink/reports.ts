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
  const { record, host, original } = facts;
  const words = `This is the mail system at host ${host}.\r\n\r\nYour message could not be delivered:\r\n\r\n<${record.rcpt}>: user unknown\r\n`;
  const header = [
    ...commonHeader(facts, `Mail Delivery System <mailer-daemon@${host}>`, record.from),
    'Subject: Undelivered Mail Returned to Sender',
    'Auto-Submitted: auto-replied',
  ];
  if (form === 'text') return join([...header, ...TEXT, '', words]);
  const fields = [
    `Reporting-MTA: dns; ${host}`,
    ...(record.envid ? [`Original-Envelope-Id: ${record.envid}`] : []),
    `Arrival-Date: ${date(record.at)}`,
    '',
    ...(record.orcpt ? [`Original-Recipient: rfc822;${record.orcpt}`] : []),
    `Final-Recipient: rfc822;${record.rcpt}`,
    'Action: failed',
    `Status: ${status}`,
    `Remote-MTA: dns; ${host}`,
    `Diagnostic-Code: smtp; 550 ${status} <${record.rcpt}>: user unknown`,
    `Last-Attempt-Date: ${date(facts.now)}`,
    '',
  ];
  const headOnly = form === 'headers' || original.length > MOST_ORIGINAL;
  const parts: Part[] = [
    { type: 'text/plain; charset=us-ascii', content: Buffer.from(words) },
    { type: 'message/delivery-status', content: join(fields) },
  ];
  if (form !== 'noorig') {
    parts.push({
      type: headOnly ? 'text/rfc822-headers' : 'message/rfc822',
      content: headOnly ? headerOf(original) : original,
    });
  }
  return multipartReport(header, 'delivery-status', parts, record.id);
}

/** A complaint in the Abuse Reporting Format (RFC 5965), with the whole original. */
export function buildComplaint(facts: ReportFacts, feedbackType: string, from: string, to: string): Buffer {
  const { record, host, original } = facts;
  const header = [
    ...commonHeader(facts, `Feedback Loop <${from}>`, to),
    'Subject: Complaint about a message from your network',
  ];
  const fields = [
    `Feedback-Type: ${feedbackType}`,
    'User-Agent: Bouncy/1.0',
    'Version: 1',
    `Original-Mail-From: <${record.from}>`,
    `Original-Rcpt-To: <${record.rcpt}>`,
    `Arrival-Date: ${date(record.at)}`,
    `Source-IP: ${facts.sourceIp}`,
    `Reported-Domain: ${record.from.slice(record.from.lastIndexOf('@') + 1) || host}`,
    `Reporting-MTA: dns; ${host}`,
    ...(record.envid ? [`Original-Envelope-Id: ${record.envid}`] : []),
    'Incidents: 1',
    '',
  ];
  const words = `A user of ${host} has marked the message below as ${feedbackType}.\r\n`;
  const headOnly = original.length > MOST_ORIGINAL;
  return multipartReport(
    header,
    'feedback-report',
    [
      { type: 'text/plain; charset=us-ascii', content: Buffer.from(words) },
      { type: 'message/feedback-report', content: join(fields) },
      {
        type: headOnly ? 'text/rfc822-headers' : 'message/rfc822',
        content: headOnly ? headerOf(original) : original,
      },
    ],
    record.id,
  );
}

/** An absence notice (RFC 3834). */
export function buildAutoReply(facts: ReportFacts): Buffer {
  const { record } = facts;
  return join([
    ...commonHeader(facts, record.rcpt, record.from),
    'Subject: Out of office: automatic reply',
    'Auto-Submitted: auto-replied',
    `In-Reply-To: <${record.mid}>`,
    ...TEXT,
    '',
    'I am out of the office and will read your message when I am back.',
    '',
  ]);
}

interface Part {
  readonly type: string;
  readonly content: Buffer;
}

const TEXT = ['Content-Type: text/plain; charset=us-ascii', 'Content-Transfer-Encoding: 7bit'];

function commonHeader({ record, host, now }: ReportFacts, from: string, to: string): string[] {
  return [
    `Date: ${date(now)}`,
    `From: ${from}`,
    `To: <${to}>`,
    `Message-ID: <${record.id}.${now.toString(36)}@${host}>`,
    'MIME-Version: 1.0',
  ];
}

function multipartReport(
  header: readonly string[],
  kind: string,
  parts: readonly Part[],
  id: string,
): Buffer {
  const boundary = `=_report-${id}`;
  const pieces = [
    join([
      ...header,
      `Content-Type: multipart/report; report-type=${kind};`,
      `\tboundary="${boundary}"`,
      '',
      '',
    ]),
  ];
  for (const { type, content } of parts) {
    const encoding = /[\u0080-\u00ff]/.test(content.toString('latin1')) ? '8bit' : '7bit';
    pieces.push(
      Buffer.from(`--${boundary}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`),
      content,
      Buffer.from('\r\n'),
    );
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return Buffer.concat(pieces);
}

function headerOf(message: Buffer): Buffer {
  const end = message.indexOf('\r\n\r\n');
  return end < 0 ? message.subarray(0, MOST_ORIGINAL) : message.subarray(0, Math.min(end + 2, MOST_ORIGINAL));
}

function join(lines: readonly string[]): Buffer {
  return Buffer.from(lines.join('\r\n'));
}

function date(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000');
}
