import { bounceClassOf, replyParts } from '../../events/bounce-class.ts';

export type BounceCategory = 'Undetermined' | 'Hard' | 'Soft' | 'Block' | 'Admin';

export interface BounceClass {
  readonly code: number;
  readonly name: string;
  readonly category: BounceCategory;
  readonly description: string;
}

/** SparkPost's bounce classification codes. */
export const bounceClasses: readonly BounceClass[] = [
  [1, 'Undetermined', 'Undetermined', 'The response text could not be mapped to any known class.'],
  [10, 'Invalid Recipient', 'Hard', 'The mailbox does not exist or the address is not valid.'],
  [20, 'Soft Bounce', 'Soft', 'Generic temporary refusal at the side of the recipient.'],
  [21, 'DNS Failure', 'Soft', 'The DNS of the domain gave no mail host.'],
  [22, 'Mailbox Full', 'Soft', 'The recipient has no storage left.'],
  [23, 'Too Large', 'Soft', 'The message is larger than the recipient accepts.'],
  [24, 'Timeout', 'Soft', 'The message expired before it could be delivered.'],
  [25, 'Admin Failure', 'Admin', 'Stopped by a policy of the sending side.'],
  [30, 'Generic Bounce: No RCPT', 'Hard', 'The bounce names no recipient.'],
  [40, 'Generic Bounce', 'Soft', 'Failure without a stated cause.'],
  [50, 'Mail Block', 'Block', 'Refused for reasons of policy or reputation.'],
  [51, 'Spam Block', 'Block', 'Refused because the sender counts as a source of spam.'],
  [52, 'Spam Content', 'Block', 'Refused because the content was judged to be spam.'],
  [53, 'Prohibited Attachment', 'Block', 'Refused because of a forbidden attachment.'],
  [54, 'Relaying Denied', 'Block', 'The host does not take mail for this recipient from this sender.'],
  [60, 'Auto-Reply', 'Soft', 'Automatic answer such as a notice of absence.'],
  [70, 'Transient Failure', 'Soft', 'Delayed for now; more attempts follow.'],
  [80, 'Subscribe', 'Admin', 'A request to subscribe.'],
  [90, 'Unsubscribe', 'Hard', 'A request to unsubscribe.'],
  [100, 'Challenge-Response', 'Soft', 'A challenge that asks the sender to confirm.'],
].map(([code, name, category, description]) => ({ code, name, category, description }) as BounceClass);

const byCode = new Map(bounceClasses.map((c) => [c.code, c]));
const undetermined = bounceClasses[0]!;

/** The class of a code; codes outside the table count as undetermined. */
export function bounceClass(code: number): BounceClass {
  return byCode.get(code) ?? undetermined;
}

/**
 * The class of a failure whose sender gives none, by the remote host's reply, and by its SMTP code alone where the reply
 * does not begin with one (SparkPost, Bounce classification codes); `null` where nothing tells.
 */
export function classByReply(reply: string, errorCode: string): number | null {
  const lacksCode = replyParts(reply).code === 0 && /^[45]\d\d$/.test(errorCode);
  const diagnostic = (lacksCode ? `${errorCode} ${reply}` : reply).trim();
  const code = diagnostic === '' ? 0 : bounceClassOf({ status: '', diagnostic }).code;
  return code > 1 ? code : null;
}
