/**
 * What became of a recipient: one record, written once where the thing happened. Accounting rows, events, counters
 * and the web interface are views of it; a fact that is in one view and not in another is a bug.
 *
 * All times are milliseconds since the epoch. Optional text is '' when there is none, never undefined, so that a
 * record reads the same after a trip through the spool's journal.
 */
export type Outcome =
  | Received
  | Delivered
  | Bounced
  | Deferred
  | QueueDeferred
  | RemoteBounce
  | RemoteStatus
  | Complaint;

/** Accounting types `r`, `d`, `b`, `t`, `tq`, `rb`, `rs`, `f` (accounting guide, section 2). */
export type OutcomeKind = Outcome['kind'];

/** Facts fixed when the message was accepted, the same for each of its recipients. */
export interface MessageFacts {
  /** Id in the spool; names the message in logs and to the operator. */
  readonly spoolId: string;
  readonly receivedAt: number;
  /** Envelope sender as it stands after rewriting; '' is the null sender. */
  readonly sender: string;
  /** Address and display name of the From header. */
  readonly from: string;
  readonly fromName: string;
  /** Domain of Sender, else From: what signals filters and DKIM ask for. */
  readonly senderDomain: string;
  /** At most 998 characters, decoded from RFC 2047. */
  readonly subject: string;
  /** Bytes of the stored message. */
  readonly size: number;
  /** How it came in. */
  readonly source: 'smtp' | 'api' | 'pickup' | 'http';
  readonly heloName: string;
  readonly clientIp: string;
  readonly localIp: string;
  /** SMTP AUTH user, '' when none. */
  readonly user: string;
  /** VMTA chosen ('{default}' if none) and the pool it was chosen through ('' if none). */
  readonly vmta: string;
  readonly pool: string;
  readonly jobId: string;
  readonly envId: string;
  /** Headers that an accounting column asks for, in message order, names as they stood in the message. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Value of `custom-message-id-header`; '' when none or unusable. */
  readonly customMessageId: string;
  /** Signals subaccount named by the message itself; 0 when it named none. */
  readonly subaccountId: number;
  readonly openTracking: boolean;
  readonly initialPixel: boolean;
  readonly clickTracking: boolean;
}

export interface RecipientFacts {
  /** Envelope recipient as given. */
  readonly address: string;
  /** ORCPT without its `rfc822;` prefix. */
  readonly originalRecipient: string;
  /** SparkPost's id of this copy of the message: 20 hexadecimal digits, unique per recipient. */
  readonly messageId: string;
}

/** One try to hand a recipient over. Empty texts where the try did not get that far. */
export interface AttemptFacts {
  /** `domain/vmta` after queue-to and roll-up. */
  readonly queue: string;
  readonly vmta: string;
  readonly transport: 'smtp' | 'pipe' | 'file' | 'discard' | 'http-delivery';
  /** How many tries of this recipient came before: 0 on the first. */
  readonly retries: number;
  readonly sourceIp: string;
  readonly destinationIp: string;
  /** Remote host name; '' if none was contacted. */
  readonly remoteHost: string;
  /** EHLO keywords of the peer, in its order. */
  readonly esmtp: readonly string[];
  readonly tlsProtocol: string;
  readonly tlsCipher: string;
}

/** Why: in the terms of RFC 3463/3464 and in both vocabularies of categories. */
export interface StatusFacts {
  /** Enhanced status code alone, `5.1.1`. */
  readonly status: string;
  /** The text that accounting puts in parentheses after it. */
  readonly statusText: string;
  /** `smtp;` and the reply as received, lines joined by one blank; '' if no reply was read. */
  readonly diagnostic: string;
  /** PowerMTA's bounce category; '' for deliveries. */
  readonly category: string;
  /** SparkPost's bounce class; 0 for deliveries. */
  readonly bounceClass: number;
  /** In our words, the rule of the configuration that made a failure of it which the reply alone would not have been. */
  readonly byRule?: string;
}

interface OfMessage {
  readonly at: number;
  readonly message: MessageFacts;
  readonly recipient: RecipientFacts;
}

export interface Received extends OfMessage {
  readonly kind: 'received';
}

export interface Delivered extends OfMessage {
  readonly kind: 'delivered';
  readonly attempt: AttemptFacts;
  readonly result: StatusFacts;
  /** `relayed` over SMTP, `delivered` where this host is the last. */
  readonly action: 'relayed' | 'delivered';
  /** Bytes transferred. */
  readonly size: number;
}

export interface Bounced extends OfMessage {
  readonly kind: 'bounced';
  /** `null` when no try was made (expiry in the queue, deletion, missing VMTA). */
  readonly attempt: AttemptFacts | null;
  readonly queue: string;
  readonly retries: number;
  readonly result: StatusFacts;
}

export interface Deferred extends OfMessage {
  readonly kind: 'deferred';
  readonly attempt: AttemptFacts;
  readonly result: StatusFacts;
}

/** A whole queue failed an attempt: no connection, greeting refused, DNS. Concerns no single recipient. */
export interface QueueDeferred {
  readonly kind: 'queue-deferred';
  readonly at: number;
  readonly attempt: AttemptFacts;
  readonly result: StatusFacts;
}

/** What a report from another host says. `matched` is our own message that it speaks about, when we know it. */
interface Report {
  readonly at: number;
  /** Address that the report was sent to. */
  readonly sentTo: string;
  /** Recipient that the report names; '' when redacted. */
  readonly recipient: string;
  readonly originalRecipient: string;
  /** Layout that was recognised: dsn, qmail, arf, jmrp … or a pattern file's name. */
  readonly format: string;
  readonly envId: string;
  readonly source: 'smtp' | 'api' | 'pickup' | 'http';
  readonly heloName: string;
  readonly clientIp: string;
  /** Local address that took the report. */
  readonly localIp: string;
  /** Headers of the enclosed original, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Unmatched reports are recorded and counted, and say nothing about anybody to Signals. */
  readonly matched: MatchedMessage | null;
  /** It speaks of a message of ours of which the same was reported before; `matched` is then null. */
  readonly repeated?: true;
}

export interface MatchedMessage {
  readonly messageId: string;
  readonly recipient: string;
  readonly sender: string;
  readonly from: string;
  readonly senderDomain: string;
  readonly jobId: string;
  readonly vmta: string;
  readonly pool: string;
  readonly sendingIp: string;
  readonly subaccountId: number;
  /** Absent or '' when the message had none. */
  readonly customMessageId?: string;
}

export interface RemoteBounce extends Report {
  readonly kind: 'remote-bounce';
  readonly result: StatusFacts;
  readonly remoteMta: string;
  readonly reportingMta: string;
}

export interface RemoteStatus extends Report {
  readonly kind: 'remote-status';
  readonly action: 'delivered' | 'relayed' | 'expanded' | 'delayed';
  readonly result: StatusFacts;
  readonly remoteMta: string;
  readonly reportingMta: string;
}

export interface Complaint extends Report {
  readonly kind: 'complaint';
  /** Envelope sender of the message complained about, '' if not given. */
  readonly originalSender: string;
  readonly feedbackType: string;
  readonly userAgent: string;
  readonly reportingMta: string;
  /** Address of the host that sent the message complained about. */
  readonly originalSourceIp: string;
  readonly reportedDomain: string;
  /** Every field of the machine-readable part, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/**
 * A view of outcomes that keeps them on disk (an accounting file, event files). Outcomes come in the order of
 * their sequence numbers, each once; the caller's journal keeps them until `flush` has said that they are safe.
 *
 * For each batch the caller calls `write` for every outcome, stores what `intend` answers, calls `flush`, stores what
 * that answers, and calls `stored`. After a crash it calls `open` with what was stored last, and then writes everything
 * again that came after the last completed `flush`, or after the number that `open` answers.
 */
export interface OutcomeView {
  /** Stable across restarts: the key under which the checkpoint is kept. */
  readonly name: string;
  /**
   * Takes back what the stored state does not cover, or answers the number of the last outcome of an interrupted
   * `flush` that is on disk; 0 when there was no such thing.
   */
  open(state: unknown): Promise<number>;
  /** Takes one outcome; may buffer. `seq` grows by one per outcome and never repeats. */
  write(seq: number, outcome: Outcome): void;
  /** What `flush` is about to do, as a small JSON value, for views that cannot take back; null when it is nothing. */
  intend?(): unknown;
  /** Resolves when all that was written is on disk, with a small JSON value to remember. */
  flush(): Promise<unknown>;
  /** What `flush` answered is on disk in the journal. */
  stored?(): void;
  close(): Promise<void>;
}
