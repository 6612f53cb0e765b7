/**
 * Reads returned mail at the door: delivery reports for the bounce processor, complaints for the feedback loop
 * processor (bounce guide, sections 5 to 7). What a report says becomes outcomes; whether the mail itself goes on, and
 * who gets a copy, is for the configuration to say. A report that does not quote an id we signed for the recipient that
 * it names is recorded, and says nothing about anybody to Signals; nor does one that says again what was said before.
 */
import type { Config, Processor } from '../../config/index.ts';
import type { Complaint, MatchedMessage, Outcome, RemoteBounce, RemoteStatus } from '../../events/outcome.ts';
import { decodeVerp } from '../../mail/address.ts';
import { type ComplaintReport, readComplaint } from '../../mail/complaint-report.ts';
import { type DeliveryReport, readDeliveryReport } from '../../mail/delivery-report.ts';
import type { ReportMark } from '../../spool/sent-mail.ts';
import type { Spool } from '../../spool/spool.ts';
import { Attached } from '../../system/attached.ts';
import type { Log } from '../../system/log.ts';
import { statusText } from '../accounting/dsn-text.ts';
import { describeStatus } from '../deliver/status.ts';
import { bounceByPattern, complaintByPattern, type PatternReport } from './body-patterns.ts';
import { Forwards } from './forwards.ts';
import { Matcher, type Named } from './matcher.ts';
import type { Reference, ReferenceSigner } from './reference.ts';

/** How the report came. */
export interface ReportArrival {
  readonly raw: Buffer;
  readonly session: {
    readonly heloName: string;
    readonly remoteAddress: string;
    readonly localAddress: string;
  };
  readonly at: number;
  /** Addresses that the mail is for, all together: what is kept of it is kept for each. */
  readonly addresses: number;
  readonly log: Log;
}

export interface ReadReport {
  /** What the report tells, to be stored with the mail's acceptance. */
  readonly outcomes: readonly Outcome[];
  /** The mail goes on to the ordinary queue of its recipient. */
  readonly deliver: boolean;
  /** Who gets a copy of it. */
  readonly forwardTo: readonly string[];
  /** What is now known to be reported; to be stored with the outcomes and then given to `finished`. */
  readonly reported: readonly ReportMark[];
}

const NOT_EXAMINED: ReadReport = { outcomes: [], deliver: true, forwardTo: [], reported: [] };

/**
 * Octets of quoted headers that the outcomes of one mail hold together: a report may name 10,000 recipients, and each
 * outcome has the headers of the message again. A report about up to eight keeps all, in any case.
 */
const MOST_HEADER_BYTES = 8 * 1024 * 1024;
/** Recipients of one report that are worked on before others get their turn; each takes some tenth of a millisecond. */
const TURN_MS = 10;
/** Of a text that is in each outcome. */
const LONGEST_TEXT = 998;

type Read<T> = (raw: Buffer) => T;

/** A reading that is done once per mail, to however many addresses of a processor it goes. */
function once<T>(read: Read<T>): Read<T> {
  const known = new Attached<Buffer, { readonly value: T }>();
  return (raw) => {
    let found = known.get(raw);
    if (!found) {
      found = { value: read(raw) };
      known.set(raw, found);
    }
    return found.value;
  };
}

type BounceReport = PatternReport<DeliveryReport> & { readonly originator?: string };

export class ReportReader {
  readonly #matcher: Matcher;
  readonly #spool: Pick<Spool, 'sent' | 'envelope' | 'pending'>;
  readonly #forwards = new Forwards();
  readonly #deliveryReport = once(readDeliveryReport);
  readonly #complaint = once(readComplaint);
  /** What is being stored as reported right now. */
  readonly #underWay = new Set<string>();

  constructor(references: ReferenceSigner, spool: Pick<Spool, 'sent' | 'envelope' | 'pending'>) {
    this.#matcher = new Matcher(references, spool);
    this.#spool = spool;
  }

  /** Whether a processor has this mail examined. */
  examines({ bounceProcessor, feedbackLoopProcessor }: Config, recipient: string): boolean {
    return !!bounceProcessor?.matches(recipient) || !!feedbackLoopProcessor?.matches(recipient);
  }

  /** Examines mail to one recipient, if a processor's address list names it. */
  async read(config: Config, recipient: string, arrival: ReportArrival): Promise<ReadReport> {
    const { bounceProcessor, feedbackLoopProcessor } = config;
    const { raw, log } = arrival;
    if (bounceProcessor?.matches(recipient)) {
      const read = this.#deliveryReport(raw);
      const report =
        read.kind === 'unrecognised' ? (bounceByPattern(raw, bounceProcessor, log) ?? read) : read;
      if (report.kind !== 'report') return this.#unread(report, recipient, arrival, bounceProcessor, config);
      return this.#taken(bounceProcessor, await this.#bounces(report, recipient, arrival, config));
    }
    if (feedbackLoopProcessor?.matches(recipient)) {
      const read = this.#complaint(raw);
      const report =
        read.kind === 'unrecognised' ? (complaintByPattern(raw, feedbackLoopProcessor, log) ?? read) : read;
      if (report.kind !== 'report')
        return this.#unread(report, recipient, arrival, feedbackLoopProcessor, config);
      return this.#taken(feedbackLoopProcessor, this.#complaints(report, recipient, arrival));
    }
    return NOT_EXAMINED;
  }

  /** What was reported is stored, or could not be: from now on the store knows. */
  finished(reported: readonly ReportMark[]): void {
    for (const mark of reported) this.#underWay.delete(keyOf(mark));
  }

  #taken(processor: Processor, { outcomes, reported }: Told): ReadReport {
    const deliver = processor.settings.get('deliver-matched-email');
    return { outcomes, reported, deliver, forwardTo: [] };
  }

  #unread(
    read: { readonly kind: 'unrecognised' } | { readonly kind: 'damaged'; readonly reason: string },
    recipient: string,
    { raw, at, log, session }: ReportArrival,
    { settings }: Processor,
    config: Config,
  ): ReadReport {
    // A report that cannot be read always goes on to somebody who can (section 5).
    const damaged = read.kind === 'damaged';
    const deliver = damaged || settings.get('deliver-unmatched-email');
    const addresses = damaged ? settings.get('forward-errors-to') : settings.get('forward-unmatched-to');
    const forwardTo = this.#forwards.allowed(addresses, raw, at, log, (address) =>
      this.examines(config, address),
    );
    const copies = forwardTo.length > 0 ? `; copies to ${forwardTo.join(', ')}` : '';
    log.info(
      `${damaged ? `report could not be read: ${read.reason}` : 'no report recognised'}; ${deliver ? 'delivered' : 'discarded'}${copies}`,
      { recipient, client: session.remoteAddress },
    );
    return { outcomes: [], deliver, forwardTo, reported: [] };
  }

  async #bounces(
    report: BounceReport,
    sentTo: string,
    arrival: ReportArrival,
    config: Config,
  ): Promise<Told> {
    const found = this.#found(report, report.recipients.length, arrival);
    const told: Told = { outcomes: [], reported: [] };
    let turnBegan = performance.now();
    for (const said of report.recipients) {
      if (performance.now() - turnBegan > TURN_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        turnBegan = performance.now();
      }
      const failed = said.action === 'failed';
      const common = {
        ...this.#common(report, found, sentTo, said, arrival),
        // A report to a return path of VERP that names nobody is about whom the return path names.
        ...(said.recipient === '' && said.originalRecipient === '' ? verpRecipient(sentTo) : {}),
        ...(report.originator ? { sentTo: report.originator } : {}),
        ...this.#match(found, said, sentTo, failed ? 'bounce' : null, told.reported),
        originalRecipient: said.originalRecipient,
        result: describeStatus(said.status, statusText(said.status), said.diagnostic, config),
        remoteMta: said.remoteMta,
        reportingMta: report.reportingMta,
      };
      const outcome: RemoteBounce | RemoteStatus =
        said.action === 'failed'
          ? { kind: 'remote-bounce', ...common }
          : { kind: 'remote-status', action: said.action, ...common };
      told.outcomes.push(outcome);
    }
    return told;
  }

  #complaints(report: PatternReport<ComplaintReport>, sentTo: string, arrival: ReportArrival): Told {
    const named =
      report.originalRcptTo.length > 0 ? report.originalRcptTo : (report.originalRecipients ?? []);
    const about = named.length > 0 ? named : [''];
    const found = this.#found(report, about.length, arrival);
    const fields = within(report.fields, MOST_HEADER_BYTES / (about.length * arrival.addresses));
    const told: Told = { outcomes: [], reported: [] };
    const what = `complaint ${complaintType(report.feedbackType)}`;
    for (const [i, recipient] of about.entries()) {
      const said = { recipient, originalRecipient: '' };
      const outcome: Complaint = {
        kind: 'complaint',
        ...this.#common(report, found, sentTo, said, arrival),
        ...this.#match(found, said, sentTo, what, told.reported),
        // What only a header of the enclosed message says is no field of the report.
        recipient: report.originalRcptTo[i] ?? '',
        originalRecipient: '',
        originalSender: report.originalMailFrom,
        feedbackType: report.feedbackType.slice(0, LONGEST_TEXT),
        userAgent: report.userAgent.slice(0, LONGEST_TEXT),
        reportingMta: report.reportingMta,
        originalSourceIp: report.sourceIp,
        reportedDomain: report.reportedDomain.slice(0, LONGEST_TEXT),
        fields,
      };
      told.outcomes.push(outcome);
    }
    return told;
  }

  /** The message that is spoken of, unless the same was said of it before. */
  #match(
    { references }: Found,
    named: Named,
    sentTo: string,
    what: string | null,
    reported: ReportMark[],
  ): { matched: MatchedMessage | null; repeated?: true } {
    const matched = this.#matcher.match(references, named, sentTo);
    if (!matched || what === null) return { matched };
    const mark = { messageId: matched.messageId, what };
    const key = keyOf(mark);
    if (this.#underWay.has(key) || this.#spool.sent.wasReported(mark))
      return { matched: null, repeated: true };
    this.#underWay.add(key);
    reported.push(mark);
    return { matched };
  }

  #common(
    report: {
      readonly format: string;
      readonly envId: string;
      readonly original: { readonly headers: HeaderList } | null;
    },
    found: Found,
    sentTo: string,
    said: Named,
    { session, at }: ReportArrival,
  ) {
    return {
      at,
      sentTo,
      recipient: said.recipient || said.originalRecipient,
      format: report.format,
      envId: report.envId.slice(0, LONGEST_TEXT),
      source: 'smtp' as const,
      heloName: session.heloName,
      clientIp: session.remoteAddress,
      localIp: session.localAddress,
      headers: found.headers,
    };
  }

  /** What the enclosed headers say, found once, however many recipients the report names. */
  #found({ original }: Enclosing, outcomes: number, { addresses }: ReportArrival): Found {
    const headers = original?.headers ?? [];
    return {
      headers: within(headers, MOST_HEADER_BYTES / (outcomes * addresses)),
      references: this.#matcher.references(headers),
    };
  }
}

type HeaderList = readonly (readonly [name: string, value: string])[];

interface Enclosing {
  readonly original: { readonly headers: HeaderList } | null;
}

interface Found {
  /** As each of the outcomes keeps them. */
  readonly headers: HeaderList;
  readonly references: readonly Reference[];
}

/** The first fields, as many as have room. */
function within(fields: HeaderList, most: number): HeaderList {
  let size = 0;
  const beyond = fields.findIndex(([name, value]) => {
    size += name.length + value.length;
    return size > most;
  });
  return beyond < 0 ? fields : fields.slice(0, beyond);
}

/** What the reading of one report has come to. */
interface Told {
  readonly outcomes: Outcome[];
  readonly reported: ReportMark[];
}

function keyOf({ messageId, what }: ReportMark): string {
  return `${messageId} ${what}`;
}

/** The registered types (RFC 5965, RFC 6430, RFC 6591); anything else counts as one. */
function complaintType(type: string): string {
  const lower = type.toLowerCase();
  return /^(?:abuse|fraud|virus|not-spam|opt-out|opt-out-list|auth-failure|dmarc|miscategorized)$/.test(lower)
    ? lower
    : lower === ''
      ? 'abuse'
      : 'other';
}

function verpRecipient(sentTo: string): { recipient?: string } {
  const verp = decodeVerp(sentTo);
  return verp && !verp.ambiguous ? { recipient: verp.recipient } : {};
}
