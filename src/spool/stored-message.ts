import type { MessageFacts, RecipientFacts } from '../events/outcome.ts';

/** What the sender asked about reports for one recipient (RFC 3461). */
export interface NotifyRequest {
  /** Empty: not given, which means failures only. `['never']` stands alone. */
  readonly notify: readonly ('never' | 'success' | 'failure' | 'delay')[];
}

/** The part of a stored message that never changes; kept once, beside its content. */
export interface Envelope {
  readonly facts: MessageFacts;
  readonly recipients: readonly (RecipientFacts & NotifyRequest)[];
  /** BODY parameter of MAIL: whether the content holds bytes above 127 (RFC 6152). */
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  /** RET parameter of MAIL, '' if not given. */
  readonly returnContent: '' | 'full' | 'headers';
  /** Headers to take out when the message goes (`remove-header`, processed control headers). */
  readonly removeHeaders: readonly string[];
  /** No report may be sent about this message (`suppress-local-dsn`). */
  readonly suppressReports: boolean;
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
}
