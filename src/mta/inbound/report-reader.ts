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
import type { ReferenceSigner } from './reference.ts';

/** How the report came. */
export interface ReportArrival {
  readonly raw: Buffer;
  readonly session: {
    readonly heloName: string;
    readonly remoteAddress: string;
    readonly localAddress: string;
  };
  readonly at: number;
  readonly log: Log;
}

export interface ReadReport {
  /** What the report tells, to be stored with the mail's acceptance. */
  readonly outcomes: readonly Outcome[];
  /** The mail goes on to the ordinary queue of its recipient. */
  readonly deliver: boolean;
}

const NOT_EXAMINED: ReadReport = { outcomes: [], deliver: true };

export class ReportReader {
  readonly #references: ReferenceSigner;

  constructor(references: ReferenceSigner) {
    this.#references = references;
  }

  /** Examines mail to one recipient, if a processor's address list names it. */
  read(config: Config, recipient: string, arrival: ReportArrival): ReadReport {
    const { bounceProcessor, feedbackLoopProcessor } = config;
    if (bounceProcessor?.matches(recipient)) {
      const read = readDeliveryReport(arrival.raw);
      if (read.kind === 'report') {
        return {
          outcomes: this.#bounces(read, recipient, arrival, config),
          deliver: bounceProcessor.settings.get('deliver-matched-email'),
        };
      }
      return this.#unread(read, recipient, arrival, bounceProcessor.settings.get('deliver-unmatched-email'));
    }
    if (feedbackLoopProcessor?.matches(recipient)) {
      const read = readComplaint(arrival.raw);
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
    return report.recipients.map((said): RemoteBounce | RemoteStatus => {
      const common = {
        ...this.#common(report, sentTo, said.recipient || said.originalRecipient, arrival),
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
    return about.map(
      (recipient): Complaint => ({
        kind: 'complaint',
        ...this.#common(report, sentTo, recipient, arrival),
        originalRecipient: '',
        originalSender: report.originalMailFrom,
        feedbackType: report.feedbackType,
        userAgent: report.userAgent,
        reportingMta: report.reportingMta,
        originalSourceIp: report.sourceIp,
        reportedDomain: report.reportedDomain,
        fields: report.fields,
      }),
    );
  }

  #common(
    report: {
      readonly format: string;
      readonly envId: string;
      readonly original: { readonly headers: readonly (readonly [string, string])[] } | null;
    },
    sentTo: string,
    recipient: string,
    { session, at }: ReportArrival,
  ) {
    const headers = report.original?.headers ?? [];
    return {
      at,
      sentTo,
      recipient,
      format: report.format,
      envId: report.envId,
      source: 'smtp' as const,
      heloName: session.heloName,
      clientIp: session.remoteAddress,
      localIp: session.localAddress,
      headers,
      matched: this.#match(headers, recipient),
    };
  }

  /** Our own message that the enclosed headers belong to. What else is known of it, Signals finds by the id. */
  #match(headers: readonly (readonly [string, string])[], recipient: string): MatchedMessage | null {
    for (const [name, value] of headers) {
      if (name.toLowerCase() !== 'received') continue;
      const messageId = this.#references.messageId(value, recipient);
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
}
