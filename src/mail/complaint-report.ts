import { isIP } from 'node:net';
import type { DamagedReport, UnrecognisedReport } from './delivery-report.ts';
import type { MimePart } from './mime.ts';
import {
  addFields,
  addressOf,
  announcedReport,
  fieldText,
  findOriginal,
  mtaName,
  type OpenedReport,
  type OriginalMessage,
  openReport,
  partContent,
  type ReportField,
  readOriginal,
  reportFields,
} from './report-parts.ts';

/** A recognised complaint. Texts are one line each and '' where the report says nothing. */
export interface ComplaintReport {
  readonly kind: 'report';
  readonly format: 'arf' | 'jmrp';
  /** As written: `abuse`, `fraud`, `not-spam` … (RFC 5965 section 7.3); '' for JMRP. */
  readonly feedbackType: string;
  readonly userAgent: string;
  /** Without its type. */
  readonly reportingMta: string;
  /** Address of the host that sent the message complained about; '' if the field holds none. */
  readonly sourceIp: string;
  /** The first Reported-Domain. */
  readonly reportedDomain: string;
  readonly envId: string;
  /** Envelope sender of the message complained about, without angle brackets. */
  readonly originalMailFrom: string;
  /** Every Original-Rcpt-To that names somebody, in order; empty where the reporter redacts them, and for JMRP. */
  readonly originalRcptTo: readonly string[];
  /** JMRP: whom a header of the enclosed message names as the one who complains; no field of a report. */
  readonly originalRecipients?: readonly string[];
  /** When the reporter got the message; milliseconds since the epoch. */
  readonly arrivalDate?: number;
  /** Every field of the machine-readable part in order, names as written; empty for JMRP. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** `null` when nothing of the message was returned. */
  readonly original: OriginalMessage | null;
}

const MOST_FIELDS = 10_000;
/** Octets of the machine-readable part. */
const LONGEST_FEEDBACK = 4 * 1024 * 1024;
/** The programme's own header in the attached message: whom the message was delivered to. */
const JMRP_FIELD = 'x-hmxmroriginalrecipient';

/**
 * Reads a complaint from a feedback loop: the Abuse Reporting Format (RFC 5965), with or without the right outer type,
 * or Hotmail's JMRP, which is a plain forward of the message with a header of its own (compatibility guide, bounces
 * 7.2). Takes time linear in the size of the mail, whatever is in it.
 */
export function readComplaint(raw: Buffer): ComplaintReport | UnrecognisedReport | DamagedReport {
  const report = openReport(raw);
  const part = report.leaves.find((leaf) => leaf.type === 'message/feedback-report');
  if (part) return readArf(report, part);
  const announced = announcedReport(report.root, 'feedback-report');
  if (announced) {
    return { kind: 'damaged', reason: announced.fault ?? 'the report has no feedback-report part' };
  }
  return readJmrp(report) ?? { kind: 'unrecognised' };
}

function readArf(report: OpenedReport, part: MimePart): ComplaintReport | DamagedReport {
  if (part.bodyEnd - part.bodyStart > LONGEST_FEEDBACK) {
    return { kind: 'damaged', reason: 'the feedback-report part is too long' };
  }
  let listed = reportFields(partContent(report.raw, part, LONGEST_FEEDBACK), MOST_FIELDS);
  if (listed === null) return { kind: 'damaged', reason: 'the feedback-report part has too many fields' };
  if (part.header.find('feedback-type')) {
    // The empty line after the part's own header is missing, so that the first fields stand in it.
    const own: ReportField[] = [];
    addFields(part.header, own);
    listed = own.filter(({ key }) => !key.startsWith('content-')).concat(listed);
  }
  if (listed.length === 0) return { kind: 'damaged', reason: 'the feedback-report part has no fields' };

  const fields = listed.map((field): [name: string, value: string] => [field.name, fieldText(field)]);
  const first = new Map<string, string>();
  const originalRcptTo: string[] = [];
  for (const [i, [, value]] of fields.entries()) {
    const { key } = listed[i]!;
    if (!first.has(key)) first.set(key, value);
    if (key !== 'original-rcpt-to') continue;
    const address = addressOf(value);
    if (address !== '') originalRcptTo.push(address);
  }
  const text = (key: string) => first.get(key) ?? '';
  const arrived = Date.parse((text('arrival-date') || text('received-date')).slice(0, 100));
  return {
    kind: 'report',
    format: 'arf',
    feedbackType: text('feedback-type'),
    userAgent: text('user-agent'),
    reportingMta: mtaName(text('reporting-mta')),
    sourceIp: ipAddress(text('source-ip')),
    reportedDomain: text('reported-domain'),
    envId: text('original-envelope-id'),
    originalMailFrom: addressOf(text('original-mail-from')),
    originalRcptTo,
    ...(Number.isNaN(arrived) ? {} : { arrivalDate: arrived }),
    fields,
    original: findOriginal(report, part),
  };
}

/** `192.0.2.1`, `[192.0.2.1]` or `IPv6:2001:db8::1`; '' for anything else. */
function ipAddress(text: string): string {
  const bare = text
    .slice(0, 100)
    .replace(/^\[/, '')
    .replace(/\]$/, '')
    .replace(/^ipv6:/i, '');
  return isIP(bare) ? bare : '';
}

function readJmrp(report: OpenedReport): ComplaintReport | null {
  for (const part of report.leaves) {
    if (part.type !== 'message/rfc822' || part === report.root) continue;
    const original = readOriginal(report.raw, part);
    if (!original.headers.some(([name]) => name.toLowerCase() === JMRP_FIELD)) continue;
    return {
      kind: 'report',
      format: 'jmrp',
      feedbackType: '',
      userAgent: '',
      reportingMta: '',
      sourceIp: '',
      reportedDomain: '',
      envId: '',
      originalMailFrom: '',
      originalRcptTo: [],
      originalRecipients: original.headers
        .filter(([name]) => name.toLowerCase() === JMRP_FIELD)
        .slice(0, 1)
        .map(([, value]) => addressOf(value)),
      fields: [],
      original,
    };
  }
  return null;
}
