/** Reports of unusual form, read by the operator's own patterns (bounce guide, section 6.4). */
import path from 'node:path';
import type { Processor } from '../../config/index.ts';
import type { ComplaintReport } from '../../mail/complaint-report.ts';
import type { DeliveryAction, DeliveryReport } from '../../mail/delivery-report.ts';
import { addressOf, mtaName, oneLine, openReport, statusInText } from '../../mail/report-parts.ts';
import { originalInText, reportText } from '../../mail/report-text.ts';
import type { Log } from '../../system/log.ts';

/** A report that a pattern has read; its format is the name of the pattern's file. */
export type PatternReport<T> = Omit<T, 'format'> & { readonly format: string };

const LONGEST_VALUE = 998;

interface Found {
  readonly format: string;
  readonly value: (name: string) => string;
  readonly original: DeliveryReport['original'];
}

/** The first file that fits decides. */
function find(raw: Buffer, { bodyPatternFiles, logMatchInfo }: Processor, log: Log): Found | null {
  if (bodyPatternFiles.length === 0) return null;
  const report = openReport(raw);
  const text = reportText(report);
  if (text === '') return null;
  for (const { file, pattern } of bodyPatternFiles) {
    const groups = pattern?.extract(text);
    if (!groups) continue;
    const value = (name: string) => oneLine((groups.get(name) ?? '').slice(0, LONGEST_VALUE));
    if (logMatchInfo) {
      const values = Object.fromEntries([...groups.keys()].map((name) => [name, value(name)]));
      log.info(`matched body-pattern defined in file:${file}`, values);
    }
    return { format: path.basename(file), value, original: originalInText(report, text) };
  }
  return null;
}

/** Words that patterns catch, and what they say. */
const ACTIONS: readonly (readonly [RegExp, DeliveryAction])[] = [
  [/^delay/i, 'delayed'],
  [/^deliver/i, 'delivered'],
  [/^relay/i, 'relayed'],
  [/^expand/i, 'expanded'],
];

export interface PatternBounce extends PatternReport<DeliveryReport> {
  /** Group `or`: the originator, which stands for the address that the report came to. */
  readonly originator: string;
}

export function bounceByPattern(raw: Buffer, processor: Processor, log: Log): PatternBounce | null {
  const found = find(raw, processor, log);
  if (!found) return null;
  const { value, format, original } = found;
  const diag = value('diag');
  const action = ACTIONS.find(([words]) => words.test(value('action')))?.[1] ?? 'failed';
  const status = statusInText(diag);
  return {
    kind: 'report',
    format,
    originator: addressOf(value('or')),
    reportingMta: mtaName(value('repMta')),
    envId: '',
    recipients: [
      {
        recipient: addressOf(value('r')),
        originalRecipient: addressOf(value('orig')),
        action,
        status: status || (action === 'failed' ? '5.0.0' : action === 'delayed' ? '4.0.0' : '2.0.0'),
        diagnostic: diag === '' ? '' : /^[\w-]{1,20};/.test(diag) ? diag : `smtp;${diag}`,
        remoteMta: mtaName(value('remMta')),
      },
    ],
    original,
  };
}

export function complaintByPattern(
  raw: Buffer,
  processor: Processor,
  log: Log,
): PatternReport<ComplaintReport> | null {
  const found = find(raw, processor, log);
  if (!found) return null;
  const { value, format, original } = found;
  const rcpt = addressOf(value('rcpt'));
  return {
    kind: 'report',
    format,
    feedbackType: '',
    userAgent: '',
    reportingMta: value('reportedDomainFrom'),
    sourceIp: value('dlvSourceIp'),
    reportedDomain: value('reportedDomainTo'),
    envId: '',
    originalMailFrom: addressOf(value('orig')),
    originalRcptTo: rcpt === '' ? [] : [rcpt],
    fields: [],
    original,
  };
}
