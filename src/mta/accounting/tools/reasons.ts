import { isIPv6 } from 'node:net';
import type { AcctRecord } from './read-records.ts';

/** More of a reply is not looked at. */
const LONGEST = 1000;

const ADDRESS = /[\w.!#$%&'*+/=?^`{|}~-]{1,256}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}/g;
const IPV4 = /(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]\d)/g;
const LIKE_IPV6 = /(?<![\w:])[\da-f:]{2,39}(?![\w:])/gi;
/** Queue ids and the like: eight or more hexadecimal digits, and what hangs on them. */
const HEX = /(?<![\w<])(?=[a-f]{0,20}\d)[\da-f]{8,64}(?:[-.][\da-z]{1,64}){0,8}(?!\w)/gi;

/**
 * The reason of a bounce as it is counted: the reply without what differs from recipient to recipient, so that
 * "no such user ana" and "no such user bob" are one reason.
 */
export function generalReason(record: AcctRecord): string {
  const rcpt = record.get('rcpt').toLowerCase();
  const orig = record.get('orig').toLowerCase();
  const source = record.get('dlvsourceip').toLowerCase();
  const servers = [record.get('dlvdestinationip'), record.get('dsnmta').split(' ')[0]!]
    .filter((name) => name !== '')
    .map((name) => name.toLowerCase());
  const ip = (text: string) => {
    const found = text.toLowerCase();
    if (found === source) return '<SENDER_IPADDRESS>';
    return servers.includes(found) ? '<RCPT_SERVER>' : '<OTHER_IPADDRESS>';
  };
  let text = record.get('dsndiag').slice(0, LONGEST);
  text = text.replace(ADDRESS, (found) => {
    const address = found.toLowerCase();
    if (address === rcpt) return '<RCPT_USER>';
    return address === orig ? '<ORIG>' : '<OTHER_USER>';
  });
  text = text.replace(LIKE_IPV6, (found) => (isIPv6(found) ? ip(found) : found)).replace(IPV4, ip);
  for (const name of servers) text = withoutWord(text, name, '<RCPT_SERVER>');
  const local = rcpt.slice(0, Math.max(0, rcpt.lastIndexOf('@')));
  // A short local part ("a", "no") is a word of the reply far more often than the user.
  if (local.length >= 4) text = withoutWord(text, local, '<RCPT_USER>');
  text = text.replace(/<(<[A-Z_]+>)>/g, '$1');
  return text.replace(HEX, '<HEXDUMP>') || record.get('dsnstatus') || '(no reply)';
}

/** Every place of a word, in any case, that no letter or digit touches. */
function withoutWord(text: string, word: string, tag: string): string {
  const lower = text.toLowerCase();
  // A few letters have a longer lower case; places would not fit then.
  if (lower.length !== text.length) return text;
  let result = '';
  let from = 0;
  for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, at + 1)) {
    const touches = (c: string | undefined) => c !== undefined && /[\p{L}\p{N}_]/u.test(c);
    if (at < from || touches(text[at - 1]) || touches(text[at + word.length])) continue;
    result += text.slice(from, at) + tag;
    from = at + word.length;
  }
  return result + text.slice(from);
}
