/** Whether a recipient may be taken: its address, relaying, suppression lists (delivery guide, section 19). */
import type { Config, Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { parseAddress } from '../../mail/address.ts';
import { type Reply, reply } from '../../smtp/index.ts';
import { statusText } from '../accounting/dsn-text.ts';
import { describeStatus } from '../deliver/status.ts';

export interface RecipientFault {
  readonly why: 'malformed' | 'relaying' | 'suppressed';
  readonly reply: Reply;
}

/**
 * The address with its domain completed, if the source lets that be done: `user` alone gets the `domain-suffix`, and a
 * domain without dots is a host in it. Without a suffix it is the domain that this host itself is in.
 */
export function qualified(address: string, config: Config, source: Settings<'source'>): string {
  const host = config.hostNames[0]!;
  // RFC 5321 section 4.5.1: the one name that every host takes without a domain.
  if (address.toLowerCase() === 'postmaster') return `${address}@${host}`;
  if (address === '' || !source.get('auto-qualify-domain')) return address;
  const at = address.lastIndexOf('@');
  const suffix = config.global.get('domain-suffix');
  if (at < 0) return `${address}@${suffix || host}`;
  const domain = address.slice(at + 1);
  if (domain === '' || /[.[\]]/.test(domain) || config.isLocalDomain(domain)) return address;
  const parent = suffix || host.slice(host.indexOf('.') + 1 || host.length);
  return parent === '' ? address : `${address}.${parent}`;
}

/** What is wrong with a recipient from this source; null when nothing is. `given` may lack its domain. */
export function recipientFault(
  given: string,
  config: Config,
  source: Settings<'source'>,
): RecipientFault | null {
  const whole = qualified(given, config, source);
  const address = parseAddress(whole);
  if (!address) {
    return { why: 'malformed', reply: reply(553, '5.1.3', 'recipient address is malformed') };
  }
  if (!config.isRelayAllowed(address, source)) {
    // relay-debug keeps a mistake in the rules from losing mail while they are tried out.
    const text = `relaying denied for <${given}>`;
    const denied = config.global.get('relay-debug') ? reply(450, '4.7.1', text) : reply(550, '5.7.1', text);
    return { why: 'relaying', reply: denied };
  }
  return suppressionFault(given, config, source);
}

/** The suppression list of the source that holds a recipient, as a fault; null when none does. */
export function suppressionFault(
  given: string,
  config: Config,
  source: Settings<'source'>,
): RecipientFault | null {
  const whole = qualified(given, config, source);
  for (const name of source.get('suppression-lists')) {
    const list = config.addressLists.get(name.toLowerCase());
    if (list?.matches(whole)) {
      const text = `recipient is in suppression list "${list.name}": <${whole}>`;
      return { why: 'suppressed', reply: reply(550, '5.7.1', text) };
    }
  }
  return null;
}

/** The fault as the status of a bounce, for a recipient that is taken nevertheless. */
export function bounceOf(
  { reply: { code, enhanced = '5.0.0', text } }: RecipientFault,
  config: Config,
): StatusFacts {
  return describeStatus(enhanced, statusText(enhanced), `smtp;${code} ${enhanced} ${text}`, config);
}
