/**
 * Reads returned mail at the door: delivery reports for the bounce processor, complaints for the feedback loop
 * processor (bounce guide, sections 5 to 7). What a report says becomes outcomes; whether the mail itself goes on is
 * for the configuration to say. A report that does not quote an id we signed is recorded, and says nothing about
 * anybody to Signals.
 */
import type { Config } from '../../config/index.ts';
import type { Complaint, MatchedMessage, Outcome, RemoteBounce, RemoteStatus } from '../../events/outcome.ts';
import { readComplaint } from '../../mail/complaint-report.ts';
import { readDeliveryReport } from '../../mail/delivery-report.ts';
import type { Log } from '../../system/log.ts';
import { statusText } from '../accounting/dsn-text.ts';
import { describeStatus } from '../deliver/status.ts';
import { type Reference, type ReferenceSigner, referencedId } from './reference.ts';

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
}

const NOT_EXAMINED: ReadReport = { outcomes: [], deliver: true };

/**
 * Octets of quoted headers that the outcomes of one mail hold together: a report may name 10,000 recipients, and each
 * outcome has the headers of the message again. A report about up to eight keeps all, in any case.
 */
const MOST_HEADER_BYTES = 8 * 1024 * 1024;
/** Hosts that a message has passed. */
const MOST_RECEIVED = 100;
/** Of a text that is in each outcome. */
const LONGEST_TEXT = 998;

type Read<T> = (raw: Buffer) => T;

/** A reading that is done once per mail, to however many addresses of a processor it goes. */
function once<T>(read: Read<T>): Read<T> {
  const known = new WeakMap<Buffer, { readonly value: T }>();
  return (raw) => {
    let found = known.get(raw);
    if (!found) {
      found = { value: read(raw) };
      known.set(raw, found);
    }
    return found.value;
  };
}

export class ReportReader {
  readonly #signer: ReferenceSigner;
  readonly #deliveryReport = once(readDeliveryReport);
  readonly #complaint = once(readComplaint);

  constructor(references: ReferenceSigner) {
    this.#signer = references;
  }

  /** Examines mail to one recipient, if a processor's address list names it. */
  read(config: Config, recipient: string, arrival: ReportArrival): ReadReport {
    const { bounceProcessor, feedbackLoopProcessor } = config;
    if (bounceProcessor?.matches(recipient)) {
      const read = this.#deliveryReport(arrival.raw);
      if (read.kind === 'report') {
        return {
          outcomes: this.#bounces(read, recipient, arrival, config),
          deliver: bounceProcessor.settings.get('deliver-matched-email'),
        };
      }
      return this.#unread(read, recipient, arrival, bounceProcessor.settings.get('deliver-unmatched-email'));
    }
    if (feedbackLoopProcessor?.matches(recipient)) {
      const read = this.#complaint(arrival.raw);
      if (read.kind === 'report') {
        return {
          outcomes: this.#complaints(read, recipient, arrival),
          deliver: feedbackLoopProcessor.settings.get('deliver-matched-email'),
        };
      }
      return this.#unread(
        read,
        recipient,
        arrival,
        feedbackLoopProcessor.settings.get('deliver-unmatched-email'),
      );
    }
    return NOT_EXAMINED;
  }

  #unread(
    read: { readonly kind: 'unrecognised' } | { readonly kind: 'damaged'; readonly reason: string },
    recipient: string,
    { log, session }: ReportArrival,
    deliverUnmatched: boolean,
  ): ReadReport {
    // A report that cannot be read always goes on to somebody who can (section 5).
    const deliver = read.kind === 'damaged' || deliverUnmatched;
    log.info(
      `${read.kind === 'damaged' ? `report could not be read: ${read.reason}` : 'no report recognised'}; ${deliver ? 'delivered' : 'discarded'}`,
      { recipient, client: session.remoteAddress },
    );
    return { outcomes: [], deliver };
  }

  #bounces(
    report: Extract<ReturnType<typeof readDeliveryReport>, { kind: 'report' }>,
    sentTo: string,
    arrival: ReportArrival,
    config: Config,
  ): Outcome[] {
    const found = this.#found(report, report.recipients.length, arrival);
    return report.recipients.map((said): RemoteBounce | RemoteStatus => {
      const common = {
        ...this.#common(report, found, sentTo, said.recipient || said.originalRecipient, arrival),
        originalRecipient: said.originalRecipient,
        result: describeStatus(said.status, statusText(said.status), said.diagnostic, config),
        remoteMta: said.remoteMta,
        reportingMta: report.reportingMta,
      };
      return said.action === 'failed'
        ? { kind: 'remote-bounce', ...common }
        : { kind: 'remote-status', action: said.action, ...common };
    });
  }

  #complaints(
    report: Extract<ReturnType<typeof readComplaint>, { kind: 'report' }>,
    sentTo: string,
    arrival: ReportArrival,
  ): Outcome[] {
    const about = report.originalRcptTo.length > 0 ? report.originalRcptTo : [''];
    const found = this.#found(report, about.length, arrival);
    const fields = within(report.fields, MOST_HEADER_BYTES / (about.length * arrival.addresses));
    return about.map(
      (recipient): Complaint => ({
        kind: 'complaint',
        ...this.#common(report, found, sentTo, recipient, arrival),
        originalRecipient: '',
        originalSender: report.originalMailFrom,
        feedbackType: report.feedbackType.slice(0, LONGEST_TEXT),
        userAgent: report.userAgent.slice(0, LONGEST_TEXT),
        reportingMta: report.reportingMta,
        originalSourceIp: report.sourceIp,
        reportedDomain: report.reportedDomain.slice(0, LONGEST_TEXT),
        fields,
      }),
    );
  }

  #common(
    report: {
      readonly format: string;
      readonly envId: string;
      readonly original: { readonly headers: HeaderList } | null;
    },
    found: Found,
    sentTo: string,
    recipient: string,
    { session, at }: ReportArrival,
  ) {
    return {
      at,
      sentTo,
      recipient,
      format: report.format,
      envId: report.envId.slice(0, LONGEST_TEXT),
      source: 'smtp' as const,
      heloName: session.heloName,
      clientIp: session.remoteAddress,
      localIp: session.localAddress,
      headers: found.headers,
      matched: match(found.references, recipient),
    };
  }

  /** What the enclosed headers say, found once, however many recipients the report names. */
  #found({ original }: Enclosing, outcomes: number, { addresses }: ReportArrival): Found {
    const headers = original?.headers ?? [];
    return {
      headers: within(headers, MOST_HEADER_BYTES / (outcomes * addresses)),
      references: headers
        .filter(([name]) => name.toLowerCase() === 'received')
        .slice(0, MOST_RECEIVED)
        .flatMap(([, value]) => this.#signer.verify(value) ?? []),
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

/** Our own message that a report speaks of. What else is known of it, Signals finds by the id. */
function match(references: readonly Reference[], recipient: string): MatchedMessage | null {
  for (const reference of references) {
    const messageId = referencedId(reference, recipient);
    if (messageId === null) continue;
    return {
      messageId,
      recipient,
      sender: '',
      from: '',
      senderDomain: '',
      jobId: '',
      vmta: '',
      pool: '',
      sendingIp: '',
      subaccountId: 0,
    };
  }
  return null;
}
