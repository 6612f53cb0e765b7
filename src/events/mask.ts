import { isIPv6 } from 'node:net';

const LONGEST = 4000;
/** Bounded repetitions: a reply of a thousand at-signs costs no more than one of a thousand letters. */
const ADDRESS = /[^\s<>()[\]{}",;:@]{1,64}@[^\s<>()[\]{}",;:@]{1,255}/g;
const IPV4 = /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)/g;
/** What may be an IPv6 address; `isIPv6` tells it from a time of day. */
const COLONS = /(?<![0-9a-z:])[0-9a-f:]{3,39}(?![0-9a-z])/gi;

/**
 * A reply without the parts that differ from message to message, so that like failures group: addresses become
 * `...@...`, IP addresses `a.b.c.d`, as in SparkPost's `reason`.
 */
export function maskedReason(text: string): string {
  return text
    .slice(0, LONGEST)
    .replace(ADDRESS, '...@...')
    .replace(IPV4, 'a.b.c.d')
    .replace(COLONS, (found) => {
      const address = found.replace(/(?<!:):$/, '');
      return isIPv6(address) ? `a.b.c.d${found.slice(address.length)}` : found;
    });
}

/** `text` without the address `recipient` and its parts, in any letter case; what stands for them is `...`. */
export function withoutRecipient(text: string, recipient: string): string {
  const at = recipient.lastIndexOf('@');
  const local = at < 0 ? recipient : recipient.slice(0, at);
  const clean = replaceWord(text, recipient, '...@...');
  if (at < 0) return clean;
  // VERP senders and some receivers write local=domain; some write the local part alone.
  return replaceWord(replaceWord(clean, `${local}=${recipient.slice(at + 1)}`, '...'), local, '...');
}

/** Replaces `word` where it is not part of a longer word; without a regular expression, since it is from outside. */
export function replaceWord(text: string, word: string, by: string): string {
  if (word === '') return text;
  const hay = text.toLowerCase();
  const needle = word.toLowerCase();
  // Letters whose lower case is longer would shift every position after them.
  if (hay.length !== text.length) return replaceWord(hay, word, by);
  let result = '';
  let from = 0;
  for (let i = hay.indexOf(needle); i >= 0; i = hay.indexOf(needle, i + 1)) {
    if (i < from || isWord(hay.charAt(i - 1)) || isWord(hay.charAt(i + needle.length))) continue;
    result += text.slice(from, i) + by;
    from = i + needle.length;
  }
  return result + text.slice(from);
}

function isWord(character: string): boolean {
  return /^[\p{L}\p{M}\p{N}_]$/u.test(character);
}
