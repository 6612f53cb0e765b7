import type { MessageFacts, RecipientFacts, StatusFacts } from '../events/outcome.ts';

/** What the sender asked about reports for one recipient (RFC 3461). */
export interface NotifyRequest {
  /** Empty: not given, which means failures only. `['never']` stands alone. */
  readonly notify: readonly ('never' | 'success' | 'failure' | 'delay')[];
}

/** Facts of a message that mail merge may give each recipient's copy for itself. */
export type OwnFacts = Pick<
  MessageFacts,
  | 'sender'
  | 'from'
  | 'fromName'
  | 'senderDomain'
  | 'subject'
  | 'vmta'
  | 'pool'
  | 'jobId'
  | 'envId'
  | 'customMessageId'
  | 'subaccountId'
  | 'size'
>;

/** A time of the X-Schedule kind: attempts only from `start` until before `end`; milliseconds since the epoch. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

export interface StoredRecipient extends RecipientFacts, NotifyRequest {
  /** What this copy has different from the message's facts; see `factsFor`. */
  readonly own?: Partial<OwnFacts>;
  /** Mail merge: this recipient's variables, and which parts it gets in which order (null: all, ascending). */
  readonly merge?: {
    readonly values: readonly (readonly [name: string, value: string])[];
    readonly parts: readonly number[] | null;
  };
  /** Taken only to be bounced with this status; it waits in the queue domain `REFUSED_QUEUE`. */
  readonly refusal?: StatusFacts;
}

/** The queue domain of recipients that were taken only to be bounced. */
export const REFUSED_QUEUE = '{refused}';

/** How the stored content of mail merge is laid out. */
export interface StoredTemplate {
  /** Octets at the beginning that come before the parts of every recipient (our own header fields). */
  readonly head: number;
  readonly parts: readonly { readonly number: number; readonly start: number; readonly end: number }[];
  /** An undefined variable becomes empty text. */
  readonly expandUndefined: boolean;
}

/** The facts as they are for one recipient. */
export function factsFor(envelope: Envelope, index: number): MessageFacts {
  const own = envelope.recipients[index]?.own;
  return own ? { ...envelope.facts, ...own } : envelope.facts;
}

/** The part of a stored message that never changes; kept once, beside its content. */
export interface Envelope {
  readonly facts: MessageFacts;
  readonly recipients: readonly StoredRecipient[];
  /** BODY parameter of MAIL: whether the content holds bytes above 127 (RFC 6152). */
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  /** RET parameter of MAIL, '' if not given. */
  readonly returnContent: '' | 'full' | 'headers';
  /** What our own reports return where RET says nothing (`dsn-return-default`); absent when that is left to them. */
  readonly returnDefault?: 'full' | 'headers';
  /** Headers to take out when the message goes (`remove-header`, processed control headers). */
  readonly removeHeaders: readonly string[];
  /** No report may be sent about this message (`suppress-local-dsn`). */
  readonly suppressReports: boolean;
  /** We made this message ourselves: nothing that it meets makes us send another. */
  readonly ownMail?: true;
  /** CRC-32 of the content, put in by the spool when it stores both; layout 1 had none. */
  readonly contentChecksum?: number;
  /** The content is a template: what a recipient gets is made at delivery. */
  readonly template?: StoredTemplate;
  /** Each recipient gets a return path of its own: `verp-default`, or the VERP parameter of MAIL. */
  readonly verp?: boolean;
  /** A Date that delivery adds: where there is none, or in the place of the one there is (`date-header-time`). */
  readonly dateAtDelivery?: 'missing' | 'override';
  /** The delivering VMTA is told in X-Virtual-MTA, unless the message has one (`add-x-virtual-mta-header`). */
  readonly tellVmta?: boolean;
  /** Value of X-DKIM-Options, when it is processed. */
  readonly dkimOptions?: string;
  /** PEM text of X-DKIM-Key, when it is processed: to sign with, never to be told to anybody. */
  readonly dkimKey?: string;
  /** Tracking as the `<source>` sets it, name and value of each directive; absent when it sets nothing. */
  readonly sourceTracking?: readonly (readonly [name: string, value: string])[];
}

/** The part that changes: where one recipient waits and how often it was tried. */
export interface PendingRecipient {
  readonly spoolId: string;
  /** Position in `Envelope.recipients`. */
  readonly index: number;
  /** Recipient domain (A-label) and VMTA of its queue. */
  readonly domain: string;
  readonly vmta: string;
  readonly receivedAt: number;
  readonly attempts: number;
  /** Not tried before this time; 0 when nothing holds it. */
  readonly holdUntil: number;
  readonly priority: number;
  /** Bytes of the message; not given in what an older version stored. */
  readonly size?: number;
  /** Tried only in these windows, earliest first; not given: at any time. */
  readonly windows?: readonly Window[];
  /** When its sender is first to hear of delay, if asked for; kept in a list of its own and not given back. */
  readonly delayNoticeAt?: number;
  /** What the last attempt was told, for a report; not given back by `recover`. */
  readonly lastReply?: { readonly status: string; readonly diagnostic: string; readonly remoteHost: string };
  /** Job ID; not given when there is none. */
  readonly job?: string;
}
