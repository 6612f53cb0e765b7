import { decodeCharset } from './header-text.ts';
import {
  isOriginal,
  type OpenedReport,
  type OriginalMessage,
  originalHeaders,
  partContent,
  readOriginal,
} from './report-parts.ts';

/** Octets of the text that are decoded. Notices are short; what is longer was sent to cost time. */
const LONGEST_TEXT = 64 * 1024;

/** The words of a report to people: its first text part, decoded, lines ended by LF. '' if there is none. */
export function reportText(report: OpenedReport): string {
  const part =
    report.leaves.find((leaf) => leaf.type === 'text/plain') ??
    report.leaves.find((leaf) => leaf.type.startsWith('text/') && !isOriginal(leaf));
  if (!part) return '';
  const bytes = partContent(report.raw, part, LONGEST_TEXT);
  // A wrong or missing charset: octets as they are, so that addresses and codes can still be read.
  const text = decodeCharset(bytes, part.parameters.get('charset') ?? 'utf-8') ?? bytes.toString('latin1');
  return text.replace(/\r\n?/g, '\n');
}

/** The returned message of a report without fields: attached, else its header as it stands in the text. */
export function originalInText(report: OpenedReport, text: string): OriginalMessage | null {
  const attached = report.leaves.find((leaf) => isOriginal(leaf) && leaf !== report.root);
  if (attached) return readOriginal(report.raw, attached);
  const found = /^[> ]{0,4}(?:Return-Path|Received):/im.exec(text);
  if (!found) return null;
  const quote = /^[> ]*/.exec(found[0])![0];
  const lines = text.slice(found.index).split('\n', 2000);
  const header =
    quote === '' ? lines : lines.map((line) => (line.startsWith(quote) ? line.slice(quote.length) : line));
  return originalHeaders(Buffer.from(header.join('\n')), 0);
}
