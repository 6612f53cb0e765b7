import type { BounceRule } from '../../config/index.ts';
import { statusWithText } from './dsn-text.ts';

/** PowerMTA's categories (guide 11.6) and what each means to an operator. Any other name is one of the operator's. */
export const categories: ReadonlyMap<string, string> = new Map([
  ['bad-configuration', 'the remote host is set up wrongly'],
  ['bad-connection', 'the connection to the remote host broke'],
  ['bad-domain', "the recipient's domain does not exist or is invalid"],
  ['bad-mailbox', 'the address does not exist'],
  ['content-related', 'the content was refused'],
  ['inactive-mailbox', 'the mailbox exists but is disabled or expired'],
  ['invalid-sender', "the sender's domain cannot be verified"],
  ['message-expired', 'it could not be delivered within bounce-after'],
  ['no-answer-from-host', 'the remote host did not answer'],
  ['other', 'nothing else fits'],
  ['policy-related', 'refused by policy'],
  ['protocol-errors', 'a command was refused for its syntax or order'],
  ['quota-issues', 'the mailbox is over its limit'],
  ['relaying-issues', 'the remote host does not relay'],
  ['routing-errors', 'there is no route, or a loop'],
  ['spam-related', 'taken for spam, or the sender is listed'],
  ['virus-related', 'taken for a virus'],
]);

/** The longest part of a reply that patterns see: bounds the work of any pattern from the configuration. */
const LONGEST = 1000;

/**
 * The text that category patterns are matched against: `5.1.1 (bad destination mailbox address) smtp;550 5.1.1 …`.
 * An expired message is matched by its expiry alone, else the last temporary reply would take its category.
 */
export function matchText(status: string, statusText: string, diagnostic: string): string {
  const own = statusWithText(status, statusText);
  const expired = /^[45]\.4\.7$/.test(status);
  return `${own}${diagnostic === '' || expired ? '' : ` ${diagnostic}`}`.slice(0, LONGEST).trim();
}

export interface Categorised {
  readonly category: string;
  /** The pattern that decided, as between slashes; '' when none did. */
  readonly pattern: string;
}

/** The category of a bounce and the pattern that decided. `text` as from `matchText`, rules in their order of search. */
export function categorise(text: string, rules: readonly BounceRule[]): Categorised {
  const found = rules.find(({ pattern }) => pattern.test(text));
  return { category: found?.category ?? 'other', pattern: found?.pattern.source ?? '' };
}

/** The category of a bounce. */
export function categoryOf(text: string, rules: readonly BounceRule[]): string {
  return categorise(text, rules).category;
}
