import { readGatewayReport } from './gateway-reports.ts';
import type { MimePart } from './mime.ts';
import { readQmailReport } from './qmail-report.ts';
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
  reportFields,
  statusInText,
  typedValue,
} from './report-parts.ts';

export type DeliveryAction = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';

/** What a report says about one recipient. Texts are one line each and '' where the report says nothing. */
export interface ReportedRecipient {
  /** Final-Recipient without its type, else Original-Recipient; '' when the report redacts both. */
  readonly recipient: string;
  /** Original-Recipient without its type. */
  readonly originalRecipient: string;
  readonly action: DeliveryAction;
  /** Enhanced status code alone; never '': `5.0.0`, `4.0.0` or `2.0.0` where the report has none. */
  readonly status: string;
  /** `smtp;` and the reply on one line; another type than smtp is kept as written: `x-unix;no such user`. */
  readonly diagnostic: string;
  /** Remote-MTA without its type. */
  readonly remoteMta: string;
}

/** Layouts that are known without a pattern of the operator's. */
export type DeliveryReportFormat = 'dsn' | 'qmail' | 'mxl' | 'brightmail' | 'interscan';

/** A recognised report about what became of a message (RFC 3464, qmail's plain text, or that of a gateway). */
export interface DeliveryReport {
  readonly kind: 'report';
  readonly format: DeliveryReportFormat;
  /** Host that wrote the report, without its type. */
  readonly reportingMta: string;
  /** Original-Envelope-Id. */
  readonly envId: string;
  /** When the reporting host got the message; milliseconds since the epoch. */
  readonly arrivalDate?: number;
  /** At least one, at most 10,000. */
  readonly recipients: readonly ReportedRecipient[];
  /** `null` when nothing of the message was returned. */
  readonly original: OriginalMessage | null;
}

/** The mail is none of the reports we know. */
export interface UnrecognisedReport {
  readonly kind: 'unrecognised';
}

/** The mail says that it is a report and cannot be read as one. `reason` is one sentence part for the log. */
export interface DamagedReport {
  readonly kind: 'damaged';
  readonly reason: string;
}

/** Recipients of one report (compatibility guide, bounces 6.3). */
export const MOST_RECIPIENTS = 10_000;
const MOST_FIELDS = 20 * MOST_RECIPIENTS;
/** Octets of the machine-readable part; 10,000 recipients with long replies need less. */
const LONGEST_STATUS = 16 * 1024 * 1024;

const STATUS_TYPES = new Set(['message/delivery-status', 'message/global-delivery-status']);

/**
 * Reads a report of another host about our message: RFC 3464 with the variants of RFC 6533 and the leniencies that
 * mail in the field needs, then the plain text of qmail and of some gateways. Takes time linear in the size of the mail, whatever is in it.
 */
export function readDeliveryReport(raw: Buffer): DeliveryReport | UnrecognisedReport | DamagedReport {
  const report = openReport(raw);
  if (announcedReport(report.root, 'feedback-report')) return { kind: 'unrecognised' };
  const announced = announcedReport(report.root, 'delivery-status');
  const part = report.leaves.find((leaf) => STATUS_TYPES.has(leaf.type)) ?? untypedStatus(report, announced);
  if (part) return readDsn(report, part);
  if (announced) {
    return { kind: 'damaged', reason: announced.fault ?? 'the report has no delivery-status part' };
  }
  return readQmailReport(report) ?? readGatewayReport(report) ?? { kind: 'unrecognised' };
}

/**
 * A part that holds the fields under the name of plain text: PowerMTA's plain-text reports are one whole, and some
 * reporters mistype the second part of a multipart/report.
 */
function untypedStatus(report: OpenedReport, announced: MimePart | null): MimePart | undefined {
  if (!announced && report.root.type !== 'text/plain') return undefined;
  return report.leaves.find((leaf) => {
    if (leaf.type !== 'text/plain') return false;
    const start = partContent(report.raw, leaf, 8192).toString('latin1');
    return (
      /^[\r\n]*reporting-mta[ \t]*:/i.test(start) && /^(?:final|original)-recipient[ \t]*:/im.test(start)
    );
  });
}

function readDsn(report: OpenedReport, part: MimePart): DeliveryReport | DamagedReport {
  if (part.bodyEnd - part.bodyStart > LONGEST_STATUS) {
    return { kind: 'damaged', reason: 'the delivery-status part is too long' };
  }
  const listed = reportFields(partContent(report.raw, part, LONGEST_STATUS), MOST_FIELDS);
  if (listed === null) return { kind: 'damaged', reason: 'the delivery-status part has too many fields' };
  let fields = listed;
  if (part.header.find('final-recipient') || part.header.find('reporting-mta')) {
    // The empty line after the part's own header is missing, so that the first fields stand in it.
    fields = [];
    addFields(part.header, fields);
    fields = fields.concat(listed);
  }

  const { perMessage, blocks } = sortFields(fields);
  if (blocks.length > MOST_RECIPIENTS) {
    return { kind: 'damaged', reason: `the report names more than ${MOST_RECIPIENTS} recipients` };
  }
  const recipients: ReportedRecipient[] = [];
  for (const block of blocks) {
    const recipient = readBlock(block);
    if (recipient) recipients.push(recipient);
  }
  if (recipients.length === 0) {
    return { kind: 'damaged', reason: 'the delivery-status part says nothing about any recipient' };
  }
  const arrived = Date.parse(textOf(perMessage, 'arrival-date').slice(0, 100));
  return {
    kind: 'report',
    format: 'dsn',
    reportingMta: mtaName(textOf(perMessage, 'reporting-mta')),
    envId: textOf(perMessage, 'original-envelope-id'),
    ...(Number.isNaN(arrived) ? {} : { arrivalDate: arrived }),
    recipients,
    original: findOriginal(report, part),
  };
}

type Block = Map<string, ReportField>;

const PER_MESSAGE = new Set(['reporting-mta', 'original-envelope-id', 'arrival-date']);
const PER_RECIPIENT = new Set([
  'final-recipient',
  'original-recipient',
  'action',
  'status',
  'diagnostic-code',
  'remote-mta',
]);

/**
 * Parts the fields by what they are, not only by empty lines: those are missing between groups in some reports and
 * stand within groups in others. Of a field that occurs twice in a group the first counts.
 */
function sortFields(fields: readonly ReportField[]): { perMessage: Block; blocks: Block[] } {
  const perMessage: Block = new Map();
  const blocks: Block[] = [];
  let block: Block | null = null;
  let blank = false;
  for (const [i, field] of fields.entries()) {
    blank ||= field.afterBlank;
    if (PER_MESSAGE.has(field.key)) {
      if (!perMessage.has(field.key)) perMessage.set(field.key, field);
      continue;
    }
    if (!PER_RECIPIENT.has(field.key)) continue;
    if (block === null || beginsBlock(block, field.key, blank, fields[i + 1]?.key)) {
      if (blocks.length > MOST_RECIPIENTS) break;
      block = new Map();
      blocks.push(block);
    }
    if (!block.has(field.key)) block.set(field.key, field);
    blank = false;
  }
  return { perMessage, blocks };
}

function beginsBlock(block: Block, key: string, blank: boolean, next: string | undefined): boolean {
  const names = key === 'final-recipient' || key === 'original-recipient';
  if (!names && key !== 'action') return false;
  if (block.has(key)) return true;
  if (!names) return false;
  if (blank && (block.has('final-recipient') || block.has('action'))) return true;
  return key === 'original-recipient' && next === 'final-recipient' && block.has('final-recipient');
}

function textOf(block: Block, key: string): string {
  const field = block.get(key);
  return field ? fieldText(field) : '';
}

/** `null` for a group that says nothing: neither what happened nor why. */
function readBlock(block: Block): ReportedRecipient | null {
  const diagnostic = diagnosticOf(textOf(block, 'diagnostic-code'));
  const stated = statusInText(textOf(block, 'status').replace(/^[^0-9]+/, ''));
  const implied = stated || statusInText(typedValue(diagnostic).value);
  const action = actionOf(textOf(block, 'action')) ?? ACTION_OF_CLASS.get(implied.charAt(0));
  if (!action) return null;
  const originalRecipient = addressOf(textOf(block, 'original-recipient'));
  return {
    recipient: addressOf(textOf(block, 'final-recipient')) || originalRecipient,
    originalRecipient,
    action,
    status: implied || STATUS_OF_ACTION[action],
    diagnostic,
    remoteMta: mtaName(textOf(block, 'remote-mta')),
  };
}

const ACTIONS = new Map<string, DeliveryAction>([
  ['failed', 'failed'],
  ['failure', 'failed'],
  ['delayed', 'delayed'],
  ['delivered', 'delivered'],
  ['relayed', 'relayed'],
  ['expanded', 'expanded'],
]);
const ACTION_OF_CLASS = new Map<string, DeliveryAction>([
  ['5', 'failed'],
  ['4', 'delayed'],
  ['2', 'delivered'],
]);
const STATUS_OF_ACTION: Record<DeliveryAction, string> = {
  failed: '5.0.0',
  delayed: '4.0.0',
  delivered: '2.0.0',
  relayed: '2.0.0',
  expanded: '2.0.0',
};

function actionOf(text: string): DeliveryAction | undefined {
  return ACTIONS.get(/^[a-z]{0,20}/.exec(text.toLowerCase())![0]);
}

/** `smtp; 550 …` as accounting writes it, `smtp;550 …`; a text without type is taken for a reply. */
function diagnosticOf(text: string): string {
  if (text === '') return '';
  const { type, value } = typedValue(text);
  if (value === '') return '';
  return type === '' || type === 'smtp' ? `smtp;${value}` : `${text.slice(0, type.length)};${value}`;
}
