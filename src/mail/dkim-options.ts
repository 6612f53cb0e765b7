/** X-DKIM-Options: what a message asks of its own first signature (PowerMTA guide 10.6.3). */
import { domainToAscii } from './address.ts';

export interface DkimOptions {
  /** s=; '' when none is asked for. */
  readonly selector: string;
  /** d=, in A-labels, or `*` for the key that signs for every domain; '' when none is asked for. */
  readonly domain: string;
  /** i=, `user@domain` or `@domain`; '' when none is asked for. */
  readonly identity: string;
  /** q=; '' when none is asked for. */
  readonly queryMethod: string;
  /** Name of the `<domain-key-list>` that the key is to come from; '' when none is asked for. */
  readonly keyList: string;
}

const LONGEST = 4096;
const MOST_TAGS = 50;
/** Labels of a DNS name: with X-DKIM-Key it goes into the signature as it stands. */
const SELECTOR = /^(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,10})?$/;

/**
 * Reads the field's value: `tag=value` joined by `;`, one more `;` at the end allowed, unknown tags passed over. A text
 * says what is wrong with it: a message must not be signed with another key than the one it asked for in vain.
 */
export function parseDkimOptions(value: string): DkimOptions | string {
  if (value.length > LONGEST) return `it is longer than ${LONGEST} characters`;
  const tags = new Map<string, string>();
  for (const item of value.split(';', MOST_TAGS + 1)) {
    const text = item.trim();
    if (text === '') continue;
    const equals = text.indexOf('=');
    const name = text.slice(0, Math.max(0, equals)).trim().toLowerCase();
    if (!/^[a-z][a-z0-9_-]*$/.test(name)) return `"${shown(text)}" is not tag=value`;
    if (tags.has(name)) return `${shown(name)}= stands twice`;
    if (tags.size === MOST_TAGS) return `it has more than ${MOST_TAGS} tags`;
    tags.set(name, text.slice(equals + 1).trim());
  }
  const selector = tags.get('s') ?? '';
  if (!SELECTOR.test(selector)) return `s=${shown(selector)} is not a selector`;
  const given = tags.get('d') ?? '';
  const domain = given === '' || given === '*' ? given : hostDomain(given);
  if (domain === null) return `d=${shown(given)} is not a domain`;
  const identity = readIdentity(tags.get('i') ?? '');
  if (identity === null) return `i=${shown(tags.get('i')!)} is not an identity`;
  return {
    selector,
    domain,
    identity,
    queryMethod: tags.get('q') ?? '',
    keyList: tags.get('key-list') ?? '',
  };
}

function readIdentity(text: string): string | null {
  if (text === '') return '';
  const at = text.lastIndexOf('@');
  const domain = hostDomain(text.slice(at + 1));
  return domain === null ? null : `${text.slice(0, Math.max(0, at))}@${domain}`;
}

/** A domain that can have a key; an address literal cannot. */
function hostDomain(text: string): string | null {
  return text.startsWith('[') ? null : domainToAscii(text);
}

/** For a log line. */
function shown(text: string): string {
  return text.slice(0, 60).replace(/[^ -~]/g, '?');
}
