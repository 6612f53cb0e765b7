/** One of SparkPost's bounce classes: what kind of failure an event tells of. */
export interface BounceClass {
  readonly code: number;
  readonly name: string;
  readonly category: 'Undetermined' | 'Hard' | 'Soft' | 'Block' | 'Admin';
  readonly categoryId: 0 | 1 | 2 | 3 | 4;
  readonly description: string;
}

const categories = ['Undetermined', 'Hard', 'Soft', 'Block', 'Admin'] as const;

const rows: readonly (readonly [code: number, name: string, categoryId: 0 | 1 | 2 | 3 | 4, text: string])[] =
  [
    [1, 'Undetermined', 0, 'Nothing is known that would tell the reason.'],
    [10, 'Invalid Recipient', 1, 'The mailbox does not exist, or not any more.'],
    [20, 'Soft Bounce', 2, 'The receiving side could not take the message this time.'],
    [21, 'DNS Failure', 2, 'No mail host was found for the domain.'],
    [22, 'Mailbox Full', 2, 'The mailbox has no room left.'],
    [23, 'Too Large', 2, 'The message is larger than the receiver takes.'],
    [24, 'Timeout', 2, 'The message expired before any host took it.'],
    [25, 'Admin Failure', 4, 'Stopped on the sending side: suppressed, deleted, forbidden by policy.'],
    [30, 'Generic Bounce: No RCPT', 1, 'A permanent failure of which the recipient cannot be made out.'],
    [40, 'Generic Bounce', 2, 'A failure without a stated reason.'],
    [50, 'Mail Block', 3, "Refused for the sender's policy or reputation."],
    [51, 'Spam Block', 3, 'Refused because the sender is taken for a source of spam.'],
    [52, 'Spam Content', 3, 'Refused because the content is taken for spam.'],
    [53, 'Prohibited Attachment', 3, 'Refused for an attachment.'],
    [54, 'Relaying Denied', 3, 'The host does not take mail for this recipient.'],
    [60, 'Auto-Reply', 2, 'An automatic answer, no failure.'],
    [70, 'Transient Failure', 2, 'A temporary failure; there will be further attempts.'],
    [80, 'Subscribe', 4, 'A request to subscribe, no failure.'],
    [90, 'Unsubscribe', 1, 'A request to unsubscribe, no failure of delivery.'],
    [100, 'Challenge-Response', 2, 'A question whether the sender is human.'],
  ];

/** All classes in the order of their codes. */
export const bounceClasses: readonly BounceClass[] = rows.map(([code, name, categoryId, description]) => ({
  code,
  name,
  category: categories[categoryId],
  categoryId,
  description,
}));
