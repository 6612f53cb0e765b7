import type { StatusFacts } from '../../events/outcome.ts';
import type { QueuedRecipient } from '../queue/queue.ts';

/** What one try did to one recipient. */
export type RecipientResult =
  | { readonly kind: 'delivered'; readonly status: StatusFacts }
  | { readonly kind: 'refused'; readonly status: StatusFacts }
  | { readonly kind: 'deferred'; readonly status: StatusFacts }
  /** The try broke off before this recipient had an answer; it says nothing about the recipient. */
  | { readonly kind: 'broken-off' };

export interface TriedRecipient {
  readonly item: QueuedRecipient;
  readonly result: RecipientResult;
}
