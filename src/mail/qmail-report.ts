import type { DeliveryReport, ReportedRecipient } from './delivery-report.ts';
import { headerText } from './header.ts';
import {
  addressOf,
  isOriginal,
  mtaName,
  type OpenedReport,
  oneLine,
  originalHeaders,
  partContent,
  readOriginal,
  statusInText,
} from './report-parts.ts';

/** Octets of the text that are looked at; the copy of the message comes last, and only its header is read. */
const LONGEST_TEXT = 8 * 1024 * 1024;
const MOST_RECIPIENTS = 10_000;
const LONGEST_PARAGRAPH = 64 * 1024;
const LONGEST_LINE = 8 * 1024;
/** Lines before the copy of the message. */
const MOST_LINES = 100_000;
/** The words to people before the first recipient. */
const MOST_OPENING_PARAGRAPHS = 4;

/** What qmail and its relatives begin with. */
const CERTAIN_OPENING = /^hi\. this is the /i;
/** Programs that took over the layout with words of their own; they must end it as qmail does, too. */
const LIKELY_OPENINGS = [
  "wasn't able to deliver your message",
  'unable to deliver your message',
  'unable to deliver message to the following',
  'your message could not be delivered',
];
/** `--- Below this line is a copy of the message.` and its variants. */
const COPY_LINE =
  /^-{1,40} ?(?:below this line|enclosed (?:is|are)|original message|undelivered message|the original|returned message|copy of)/i;

/**
 * Reads the plain-text report of qmail-send and its relatives: an opening from the program, paragraphs that begin with
 * `<address>:`, a line that starts the copy of the message. `null` if the mail is none.
 */
export function readQmailReport(report: OpenedReport): DeliveryReport | null {
  const part = report.leaves[0];
  if (part?.type !== 'text/plain') return null;
  const text = partContent(report.raw, part, LONGEST_TEXT);
  const recipients: ReportedRecipient[] = [];
  let opening = '';
  let openingParagraphs = 0;
  let copyAt = -1;
  for (const paragraph of paragraphs(text)) {
    if (paragraph === null) return null;
    const first = paragraph.lines[0]!;
    if (first.startsWith('<') && first.includes('>:')) {
      if (openingParagraphs === 0 || recipients.length === MOST_RECIPIENTS) return null;
      recipients.push(readParagraph(paragraph.lines));
    } else if (recipients.length > 0 && first.startsWith('-')) {
      // qmail promises that its break line begins with a hyphen, and nothing about the words after it.
      if (CERTAIN_OPENING.test(opening) || COPY_LINE.test(first)) copyAt = paragraph.secondLine;
      break;
    } else if (recipients.length === 0) {
      if (openingParagraphs === 0) {
        opening = oneLine(paragraph.lines.join(' '));
        if (!isOpening(opening)) return null;
      }
      if (++openingParagraphs > MOST_OPENING_PARAGRAPHS) return null;
    } else {
      // More words about the last recipient: qmail's own replies may hold empty lines.
    }
  }
  if (recipients.length === 0 || (copyAt < 0 && !CERTAIN_OPENING.test(opening))) return null;
  const attached = report.leaves.find(isOriginal);
  return {
    kind: 'report',
    format: 'qmail',
    reportingMta: hostOf(opening),
    envId: '',
    recipients,
    original:
      copyAt >= 0 && copyAt < text.length
        ? originalHeaders(text, copyAt)
        : attached
          ? readOriginal(report.raw, attached)
          : null,
  };
}

function isOpening(text: string): boolean {
  if (CERTAIN_OPENING.test(text)) return true;
  const lower = text.toLowerCase();
  return LIKELY_OPENINGS.some((phrase) => lower.includes(phrase));
}

/** `Hi. This is the qmail-send program at mx.example.` names the host that reports. */
function hostOf(opening: string): string {
  const match = /^hi\. this is the [^.]{0,80}? at ([^ ]{1,255})/i.exec(opening);
  return match ? mtaName(match[1]!.replace(/[.,:;]$/, '')) : '';
}

interface Paragraph {
  /** At least one; a paragraph longer than 64 KiB is cut. */
  readonly lines: readonly string[];
  /** Offset of the octet after the first line. */
  readonly secondLine: number;
}

/** The text's paragraphs; `null` as the last of them if there are too many lines to be a notice. */
function* paragraphs(text: Buffer): Generator<Paragraph | null> {
  let count = 0;
  let lines: string[] = [];
  let size = 0;
  let secondLine = 0;
  for (let at = 0; at < text.length; ) {
    const lf = text.indexOf(0x0a, at);
    const end = lf < 0 ? text.length : lf;
    if (++count > MOST_LINES) {
      yield null;
      return;
    }
    // Beyond the bound a line is only asked whether it ends the paragraph.
    const most = size > LONGEST_PARAGRAPH ? 1 : LONGEST_LINE;
    const line = headerText(text.subarray(at, Math.min(end, at + most))).trimEnd();
    at = lf < 0 ? text.length : lf + 1;
    if (line === '') {
      if (lines.length > 0) yield { lines, secondLine };
      lines = [];
      size = 0;
      continue;
    }
    if (lines.length === 0) secondLine = at;
    size += line.length + 1;
    if (size <= LONGEST_PARAGRAPH || lines.length === 0) lines.push(line);
  }
  if (lines.length > 0) yield { lines, secondLine };
}

/** One recipient: the address, the program's words, and in them the reply of the remote host if there was one. */
function readParagraph(lines: readonly string[]): ReportedRecipient {
  const first = lines[0]!;
  const close = first.indexOf('>:');
  const rest = first.slice(close + 2).trim();
  const words = rest === '' ? lines.slice(1) : [rest, ...lines.slice(1)];
  let remoteMta = '';
  let reply: string[] | null = null;
  const said: string[] = [];
  for (const line of words) {
    const about = REMOTE_HOST.exec(line);
    if (about) remoteMta ||= mtaName((about[1] ?? about[2] ?? about[3])!.replace(/[.,:]$/, ''));
    const quote = /^remote host said:[ \t]*/i.exec(line);
    if (quote && reply === null) reply = [line.slice(quote[0].length)];
    else if (/^giving up on /i.test(line)) break;
    else if (reply) reply.push(line);
    else said.push(line);
  }
  const text = oneLine((reply ?? said).join(' '));
  return {
    recipient: addressOf(first.slice(1, close)),
    originalRecipient: '',
    // The layout has no other meaning: the program writes when it has given up, also after temporary errors.
    action: 'failed',
    status: statusInText(text) || statusInText(oneLine(said.join(' '))) || '5.0.0',
    diagnostic: text === '' ? '' : `smtp;${text}`,
    remoteMta,
  };
}

const REMOTE_HOST =
  /^(?:connected to ([^ ]{1,255}) but |giving up on ([^ ]{1,255})|([^ ]{1,255}) (?:does not like recipient|failed (?:on|after) ))/i;
