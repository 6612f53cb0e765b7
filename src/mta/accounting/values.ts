import type {
  AttemptFacts,
  Complaint,
  MessageFacts,
  Outcome,
  OutcomeKind,
  RecipientFacts,
  RemoteBounce,
  RemoteStatus,
  StatusFacts,
} from '../../events/outcome.ts';
import { addressToUnicode, queueToUnicode } from '../../mail/address.ts';
import { columnKey, type RecordType } from './columns.ts';
import { csvRow } from './csv.ts';
import { statusWithText } from './dsn-text.ts';

export interface ValueOptions {
  /** Milliseconds since the epoch as the file writes them: see `accountingTime`. */
  readonly time: (ms: number) => string;
  readonly userString: string;
  /** What stands for a recipient's local part; `null` leaves recipients as they are. */
  readonly hide: RecipientCover | null;
}

/** Takes recipients out of texts: see privacy.ts. */
export interface RecipientCover {
  address(address: string): string;
  /** A text that may quote the recipient: a reply, a VERP sender. */
  text(text: string, recipient: string): string;
}

/** The record type of an outcome. */
export const typeOf: Readonly<Record<OutcomeKind, RecordType>> = {
  received: 'r',
  delivered: 'd',
  bounced: 'b',
  deferred: 't',
  'queue-deferred': 'tq',
  'remote-bounce': 'rb',
  'remote-status': 'rs',
  complaint: 'f',
};

/** An outcome under the names by which columns ask for its parts; `null` where its kind has no such part. */
interface Parts {
  readonly type: RecordType;
  readonly outcome: Outcome;
  readonly message: MessageFacts | null;
  readonly recipient: RecipientFacts | null;
  readonly attempt: AttemptFacts | null;
  readonly result: StatusFacts | null;
  readonly report: RemoteBounce | RemoteStatus | Complaint | null;
  readonly options: ValueOptions;
}

type Getter = (parts: Parts) => string;

const getters: ReadonlyMap<string, Getter> = new Map<string, Getter>(
  Object.entries({
    timeLogged: (p) => p.options.time(p.outcome.at),
    timeQueued: (p) => (p.message && p.type !== 'r' ? p.options.time(p.message.receivedAt) : ''),
    totalSecondsQueued: (p) =>
      p.message && p.type !== 'r'
        ? String(Math.max(0, Math.floor((p.outcome.at - p.message.receivedAt) / 1000)))
        : '',
    orig,
    rcpt,
    orcpt: (p) => {
      const original = p.recipient?.originalRecipient ?? (p.type === 'f' ? '' : p.report?.originalRecipient);
      return original ? covered(original, p) : '';
    },
    dsnAction: (p) => {
      if (p.outcome.kind === 'delivered' || p.outcome.kind === 'remote-status') return p.outcome.action;
      return p.type === 'b' ? 'failed' : p.type === 't' ? 'delayed' : '';
    },
    dsnStatus: (p) => (p.result ? statusWithText(p.result.status, p.result.statusText) : ''),
    dsnDiag: (p) => {
      const { diagnostic = '', byRule } = p.result ?? {};
      const said = withoutRecipient(diagnostic, p);
      return byRule === undefined ? said : `${said}${said === '' ? '' : '; '}${byRule}`;
    },
    dsnMta: (p) => {
      if (p.attempt) return hostAndIp(p.attempt.remoteHost, p.attempt.destinationIp);
      return p.report && p.report.kind !== 'complaint' ? p.report.remoteMta : '';
    },
    dsnReportingMta: (p) => (p.outcome.kind === 'remote-bounce' ? p.outcome.reportingMta : ''),
    bounceCat: (p) => (p.type === 'd' || p.type === 'tq' ? '' : (p.result?.category ?? '')),
    srcType: (p) => p.message?.source ?? (p.type === 'f' ? '' : (p.report?.source ?? '')),
    srcMta: (p) => {
      const from = p.message ?? (p.type === 'f' ? null : p.report);
      return from ? hostAndIp(from.heloName, from.clientIp) : '';
    },
    rcvSourceIp: (p) => (p.type === 'r' ? p.message!.clientIp : ''),
    rcvDestinationIp: (p) => (p.type === 'r' ? p.message!.localIp : ''),
    dlvType: (p) => p.attempt?.transport ?? '',
    dlvSourceIp: (p) => {
      if (p.outcome.kind === 'complaint') return p.outcome.originalSourceIp;
      return p.attempt?.sourceIp || (p.type === 'tq' ? '0.0.0.0' : '');
    },
    dlvDestinationIp: (p) => p.attempt?.destinationIp ?? '',
    dlvEsmtpAvailable: (p) => (p.type === 'tq' ? '' : keywords(p.attempt)),
    dlvSize: (p) => (p.outcome.kind === 'delivered' ? String(p.outcome.size) : ''),
    vmta: (p) => {
      if (p.type === 'r') return p.message!.pool || p.message!.vmta;
      // Mail that a cold VMTA or a reroute got bounces there, tried or not.
      if (p.outcome.kind === 'bounced') return p.outcome.queue.slice(p.outcome.queue.lastIndexOf('/') + 1);
      return p.attempt?.vmta ?? p.message?.vmta ?? p.report?.matched?.vmta ?? '';
    },
    vmtaPool: (p) => p.message?.pool ?? p.report?.matched?.pool ?? '',
    jobId: (p) => p.message?.jobId ?? p.report?.matched?.jobId ?? '',
    envId: (p) => p.message?.envId ?? p.report?.envId ?? '',
    queue: (p) => queueToUnicode(p.outcome.kind === 'bounced' ? p.outcome.queue : (p.attempt?.queue ?? '')),
    userString: (p) => (p.message || p.type === 'tq' ? p.options.userString : ''),
    dlvTlsProtocol: (p) => (p.type === 'tq' ? '' : (p.attempt?.tlsProtocol ?? '')),
    dlvTlsCipher: (p) => (p.type === 'tq' ? '' : (p.attempt?.tlsCipher ?? '')),
    rcvSmtpUser: (p) => p.message?.user ?? '',
    format: (p) => p.report?.format ?? '',
    repSourceIp: (p) => (p.outcome.kind === 'complaint' ? p.outcome.localIp : ''),
    feedbackType: (p) => (p.outcome.kind === 'complaint' ? p.outcome.feedbackType : ''),
    userAgent: (p) => (p.outcome.kind === 'complaint' ? p.outcome.userAgent : ''),
    reportingMta: (p) => (p.outcome.kind === 'complaint' ? p.outcome.reportingMta : ''),
    reportedDomain: (p) => (p.outcome.kind === 'complaint' ? p.outcome.reportedDomain : ''),
    matched: ({ report }) => (!report ? '' : report.matched ? 'yes' : report.repeated ? 'repeated' : 'no'),
    matchedRcpt: (p) => (p.report?.matched ? covered(p.report.matched.recipient, p) : ''),
    // Belongs to a later release; the name is taken, the moment is not kept.
    timeFirstAttempt: () => '',
  } satisfies Record<string, Getter>).map(([name, getter]) => [columnKey(name), getter]),
);

function partsOf(outcome: Outcome, options: ValueOptions): Parts {
  const ofMessage = 'message' in outcome ? outcome : null;
  return {
    type: typeOf[outcome.kind],
    outcome,
    message: ofMessage?.message ?? null,
    recipient: ofMessage?.recipient ?? null,
    attempt: 'attempt' in outcome ? outcome.attempt : null,
    result: 'result' in outcome ? outcome.result : null,
    report: 'sentTo' in outcome ? outcome : null,
    options,
  };
}

/** Value source of one column for one record type. */
export function columnValue(column: string): Getter {
  const key = columnKey(column);
  if (key.startsWith('header_')) {
    const name = key.slice('header_'.length);
    const value: Getter = (p) => firstOf(p.message?.headers ?? p.report?.headers ?? [], name) ?? '';
    // Its address may carry the recipient in VERP.
    return name === 'return-path' ? (p) => withoutRecipient(value(p), p) : value;
  }
  if (key.startsWith('arf_')) {
    const name = key.slice('arf_'.length);
    return (p) => {
      if (p.outcome.kind !== 'complaint') return '';
      const values = p.outcome.fields
        .filter(([n]) => n.toLowerCase() === name)
        .map(([, value]) => withoutRecipient(value, p));
      // Several values become a CSV record of their own, which the outer record quotes again.
      return values.length > 1 ? csvRow(values) : (values[0] ?? '');
    };
  }
  return getters.get(key) ?? (() => '');
}

/** First value of a header, unfolded, controls as `\xNN` as in replies: files are shown on terminals. `undefined` if the
 * message has none. `name` in lower case. */
export function firstOf(
  headers: readonly (readonly [name: string, value: string])[],
  name: string,
): string | undefined {
  return headers
    .find(([n]) => n.toLowerCase() === name)?.[1]
    .replace(/\r?\n(?=[ \t])/g, '')
    .trim()
    .replace(
      /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g,
      (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
    );
}

export type RowMaker = (outcome: Outcome) => string[];

/**
 * A function from outcomes of one type to the values under `title` (whose first column is `type`). Columns that the
 * type did not ask for stay empty even where the value exists. `mapped` names headers whose value, if the message
 * has one of them, takes the place of a column's own.
 */
export function rowMaker(
  type: RecordType,
  title: readonly string[],
  columns: readonly string[],
  options: ValueOptions,
  mapped: ReadonlyMap<string, readonly string[]> = new Map(),
): RowMaker {
  const own = new Set(columns.map(columnKey));
  const cells = title.slice(1).map((column) => {
    if (!own.has(columnKey(column))) return null;
    const value = columnValue(column);
    const headers = mapped.get(columnKey(column));
    if (!headers) return value;
    const names = headers.map((h) => h.toLowerCase());
    return (p: Parts) => {
      const from = p.message?.headers ?? p.report?.headers ?? [];
      for (const name of names) {
        const found = firstOf(from, name);
        if (found !== undefined) return found;
      }
      return value(p);
    };
  });
  return (outcome) => {
    const parts = partsOf(outcome, options);
    return [type, ...cells.map((cell) => cell?.(parts) ?? '')];
  };
}

function orig(p: Parts): string {
  // A sender, and the address of a report, may carry the recipient in VERP.
  if (p.outcome.kind === 'complaint') {
    return addressToUnicode(withoutRecipient(p.outcome.originalSender || p.outcome.sentTo, p));
  }
  return addressToUnicode(withoutRecipient(p.report?.sentTo ?? p.message?.sender ?? '', p));
}

/** A text in which the recipient may occur, as the privacy policy wants it. */
function withoutRecipient(text: string, p: Parts): string {
  if (!p.options.hide) return text;
  return p.options.hide.text(text, p.recipient?.address ?? p.report?.recipient ?? '');
}

function rcpt(p: Parts): string {
  const address = p.recipient?.address ?? p.report?.recipient ?? '';
  return address === '' ? '' : covered(address, p);
}

function covered(address: string, p: Parts): string {
  return addressToUnicode(p.options.hide ? p.options.hide.address(address) : address);
}

/** EHLO keywords without their parameters, as in `8BITMIME,SIZE`. */
function keywords(attempt: AttemptFacts | null): string {
  return attempt?.esmtp.map((line) => line.split(' ', 1)[0]).join(',') ?? '';
}

function hostAndIp(host: string, ip: string): string {
  if (host === '' || ip === '') return host || (ip && `(${ip})`);
  return `${host} (${ip})`;
}

/** Times as accounting files have them; rows of one second share the work. */
export function accountingTime(iso: boolean): (ms: number) => string {
  let lastSecond = Number.NaN;
  let lastText = '';
  return (ms) => {
    const second = Math.floor(ms / 1000);
    if (!iso) return String(second);
    if (second !== lastSecond) {
      const d = new Date(second * 1000);
      const offset = -d.getTimezoneOffset();
      const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
      lastText = `${localDate(second * 1000)} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}${zone}`;
      lastSecond = second;
    }
    return lastText;
  };
}

/** `YYYY-MM-DD` in local time. */
export function localDate(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}
