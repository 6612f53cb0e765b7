/**
 * Plain-text reports of three mail gateways whose layouts have names in accounting: `mxl` (MX Logic), `brightmail`
 * (Symantec Brightmail Gateway), `interscan` (Trend Micro InterScan). The compatibility guide does not say how they are
 * recognised; the rules here ask for the gateway's own mark and for an address in the place where it writes one.
 */
import type { DeliveryReport, DeliveryReportFormat, ReportedRecipient } from './delivery-report.ts';
import { addressOf, mtaName, type OpenedReport, oneLine, statusInText } from './report-parts.ts';
import { originalInText, reportText } from './report-text.ts';

const MOST_LINES = 2000;
const LONGEST_LINE = 2000;
/** Notices of these gateways are about one message to a few. */
const MOST_RECIPIENTS = 100;

interface Layout {
  readonly format: DeliveryReportFormat;
  /** Whether the gateway has left its mark. */
  known(report: OpenedReport, text: string): boolean;
  read(lines: readonly string[]): Noted[];
}

interface Noted {
  readonly recipient: string;
  /** What the remote host or the gateway said. */
  readonly reply: string;
}

const layouts: readonly Layout[] = [
  {
    // The failed addresses one to a line, each with its reply; then a copy of the header.
    format: 'mxl',
    known: ({ root }, text) =>
      (/<mxl~/i.test(root.header.get('message-id') ?? '') ||
        root.header.find('x-mxl-hash') !== undefined ||
        /^mta\/src\//i.test(root.header.get('x-mx-bounce') ?? '')) &&
      /could not be delivered|delivery failed/i.test(text),
    read: (lines) => repliesAfterAddress(lines, /^\s{0,8}<([^<>\s]{3,320})>:\s*(.*)$/),
  },
  {
    // The dialogue with the remote host: what was sent, what came back.
    format: 'interscan',
    known: ({ root }, text) =>
      /interscan/i.test(root.header.get('from') ?? '') ||
      /interscan/i.test(root.header.get('subject') ?? '') ||
      /\binterscan\b/i.test(text),
    read: readDialogue,
  },
  {
    // A list of `Recipient:` and `Reason:`.
    format: 'brightmail',
    known: ({ root }, text) =>
      (/brightmail/i.test(root.header.get('from') ?? '') || /\bbrightmail\b/i.test(text.slice(0, 2000))) &&
      /deliver/i.test(text.slice(0, 4000)),
    read: readLabelled,
  },
];

/** `null` if the mail is none of them. */
export function readGatewayReport(report: OpenedReport): DeliveryReport | null {
  const text = reportText(report);
  if (text === '') return null;
  for (const layout of layouts) {
    if (!layout.known(report, text)) continue;
    const lines = text.split('\n', MOST_LINES).map((line) => oneLine(line.slice(0, LONGEST_LINE)));
    const noted = layout.read(beforeCopy(lines)).slice(0, MOST_RECIPIENTS);
    if (noted.length === 0) continue;
    return {
      kind: 'report',
      format: layout.format,
      reportingMta: '',
      envId: '',
      recipients: noted.map(recipientOf),
      original: originalInText(report, text),
    };
  }
  return null;
}

/** The lines before the copy of the message, which is not the gateway's to say. */
function beforeCopy(lines: readonly string[]): readonly string[] {
  const copy = lines.findIndex((line) =>
    /^(?:included is a copy|-{5,}|(?:original|returned) message|received: )/i.test(line),
  );
  return copy < 0 ? lines : lines.slice(0, copy);
}

/** A reply goes on over the following lines, until an empty one or the next address. */
function repliesAfterAddress(lines: readonly string[], form: RegExp): Noted[] {
  const found: { recipient: string; reply: string }[] = [];
  let open = false;
  for (const line of lines) {
    const match = form.exec(line);
    if (match) {
      found.push({ recipient: match[1]!, reply: match[2]! });
      open = true;
    } else if (line === '') open = false;
    else if (open) found.at(-1)!.reply = `${found.at(-1)!.reply} ${line}`.trim();
  }
  return found;
}

function readDialogue(lines: readonly string[]): Noted[] {
  const found: { recipient: string; reply: string }[] = [];
  let asked = '';
  for (const line of lines) {
    const sent = /^(?:sent )?<<<\s*RCPT TO:\s*<?([^<>\s]{3,320})>?/i.exec(line);
    if (sent) asked = sent[1]!;
    const received = /^(?:received )?>>>\s*([45]\d\d.*)$/i.exec(line);
    if (received && asked !== '') {
      const known = found.find(({ recipient, reply }) => recipient === asked && reply === '');
      if (known) known.reply = received[1]!;
      else found.push({ recipient: asked, reply: received[1]! });
      asked = '';
    }
    const unable = /^unable to deliver message to:?\s*<?([^<>\s]{3,320}?)>?\.?$/i.exec(line);
    if (unable && !found.some(({ recipient }) => recipient === unable[1])) {
      found.push({ recipient: unable[1]!, reply: '' });
    }
  }
  return found;
}

function readLabelled(lines: readonly string[]): Noted[] {
  const found: { recipient: string; reply: string }[] = [];
  for (const line of lines) {
    const recipient = /^(?:failed |original )?recipients?:\s*<?([^<>\s]{3,320})>?/i.exec(line);
    if (recipient) found.push({ recipient: recipient[1]!, reply: '' });
    const reason = /^(?:reason|error|remote server (?:said|response)):\s*(.+)$/i.exec(line);
    const last = found.at(-1);
    if (reason && last?.reply === '') last.reply = reason[1]!;
  }
  return found;
}

function recipientOf({ recipient, reply }: Noted): ReportedRecipient {
  const text = oneLine(reply);
  const host = /^(?:remote host |host )([^\s:]{1,255}) said:\s*/i.exec(text);
  const said = host ? text.slice(host[0].length) : text;
  return {
    recipient: addressOf(recipient),
    originalRecipient: '',
    action: 'failed',
    status: statusInText(said) || '5.0.0',
    diagnostic: said === '' ? '' : `smtp;${said}`,
    remoteMta: host ? mtaName(host[1]!) : '',
  };
}
