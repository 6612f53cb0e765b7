import type { StatusFacts } from '../../../events/outcome.ts';
import type { SubmittedPart, SubmittedRecipient, SubmittedSender } from '../submission.ts';

/** What is wrong with an address, in the facts of a reply. */
export interface AddressFault {
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}

/** What a file may hold, from the settings of `<source {pickup}>`. */
export interface FileRules {
  /** Bytes of the message, of all its parts. */
  readonly mostBytes: number;
  readonly mostRecipients: number;
  /** Addresses without a domain are taken (`auto-qualify-domain`). */
  readonly unqualified: boolean;
  /** `pickup-remove-dot` */
  readonly removeDot: boolean;
  /** What is told of a recipient whose address is none, when the others go all the same. */
  readonly refusal: (fault: AddressFault) => StatusFacts;
  /** The fault of a recipient in a suppression list of the source; null when it is in none. */
  readonly suppressed?: (address: string) => AddressFault | null;
}

/** What a pickup file says; or why it never will be mail. */
export type PickupContent =
  | {
      readonly kind: 'message';
      /** Of HELO or EHLO; '' when none. */
      readonly heloName: string;
      readonly sender: SubmittedSender;
      /** x-job of the plain form; '' when none. */
      readonly jobId: string;
      readonly recipients: readonly SubmittedRecipient[];
      readonly merge: boolean;
      readonly parts: readonly SubmittedPart[];
    }
  | { readonly kind: 'bad'; readonly reason: string };

export function bad(reason: string): PickupContent {
  return { kind: 'bad', reason };
}
