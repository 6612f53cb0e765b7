import { domainToASCII } from 'node:url';
import { LONGEST_TARGET } from './token.ts';

/** Why a link is left as it is. */
export type LinkSkip =
  | 'scheme'
  | 'unparsable'
  | 'credentials'
  | 'too long'
  | 'own'
  | 'template'
  | 'excluded'
  | 'list-unsubscribe'
  | 'switched off'
  | 'too many'
  | 'unknown reference';

export interface LinkPolicy {
  /** `host` or `host:port` of our tracking domains, lower case: their tracked URLs are never wrapped again. */
  readonly trackingHosts: ReadonlySet<string>;
  /** Domain patterns with `*` for any run of characters (`tracking-exclude-domain`). */
  readonly excludeDomains: readonly string[];
  /** URLs of this message's List-Unsubscribe field. */
  readonly listUnsubscribe: ReadonlySet<string>;
}

/**
 * Decides on one link: its target, white space taken off as browsers do, or why it is not wrapped. `value` has its
 * character references decoded.
 */
export function linkTarget(value: string, policy: LinkPolicy): { readonly target: string } | LinkSkip {
  const target = trimUrl(value);
  if (!/^https?:\/\//i.test(target)) return 'scheme';
  const authority = authorityOf(target);
  if (/\{\{|\}\}|%%|\*\||\|\*/.test(authority)) return 'template';
  if (Buffer.byteLength(target) > LONGEST_TARGET) return 'too long';
  if (authority.includes('@')) return 'credentials';
  const host = linkHost(target, authority);
  if (host === null) return 'unparsable';
  if (policy.trackingHosts.has(host.full) && /^\/[fqu]\//.test(URL.parse(target)!.pathname)) return 'own';
  if (policy.listUnsubscribe.has(target)) return 'list-unsubscribe';
  if (policy.excludeDomains.some((pattern) => matchesDomain(pattern, host.name))) return 'excluded';
  return { target };
}

/** Controls and blanks at both ends go, tabs and line ends inside too (URL standard, basic URL parser). */
function trimUrl(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && value.charCodeAt(start) <= 0x20) start++;
  while (end > start && value.charCodeAt(end - 1) <= 0x20) end--;
  return value.slice(start, end).replace(/[\t\r\n]+/g, '');
}

function authorityOf(target: string): string {
  const start = target.indexOf('//') + 2;
  const end = target.slice(start).search(/[/?#]/);
  return end < 0 ? target.slice(start) : target.slice(start, start + end);
}

interface Host {
  /** With its port, if that is not the scheme's own. */
  readonly full: string;
  readonly name: string;
}

/** Scheme and authority of the last link, and its host: the links of a message mostly lead to one. */
let lastSite = '';
let lastHost: Host | null = null;

/**
 * `hostOf` for a target whose ends are trimmed: then nothing after the authority can change what it says. Only without
 * an authority it can: browsers read https:///a as https://a.
 */
function linkHost(target: string, authority: string): Host | null {
  if (authority === '' || target.includes('\0')) return hostOf(target, authority);
  const site = target.slice(0, target.indexOf('//') + 2 + authority.length);
  if (site !== lastSite) {
    lastHost = hostOf(target, authority);
    lastSite = site;
  }
  return lastHost;
}

/** `null` if the address is not safe to send anybody to. */
function hostOf(target: string, authority: string): Host | null {
  // Browsers read a backslash as a slash: https://good.example\@evil.example leads to either, by the reader.
  if (/[\u0000\r\n]/.test(target) || authority.includes('\\')) return null;
  const url = URL.parse(target);
  if (!url || url.hostname === '' || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null;
  if (url.username !== '' || url.password !== '') return null;
  return { full: url.host, name: url.hostname };
}

/**
 * The `Location` for an authenticated target: the original with blanks, controls and non-ASCII percent-encoded and an
 * internationalised host in A-labels, nothing else changed. `null` if the target may not be redirected to.
 */
export function redirectLocation(target: string): string | null {
  if (!/^https?:\/\//i.test(target) || Buffer.byteLength(target) > LONGEST_TARGET) return null;
  const start = target.indexOf('//') + 2;
  let authority = authorityOf(target);
  if (hostOf(target, authority) === null) return null;
  const rest = target.slice(start + authority.length);
  if (/[^\u0021-\u007e]/.test(authority)) {
    const port = /:\d*$/.exec(authority)?.[0] ?? '';
    const ascii = domainToASCII(authority.slice(0, authority.length - port.length));
    if (ascii === '') return null;
    authority = ascii + port;
  }
  const encoded = rest.toWellFormed().replace(/[^\u0021-\u007e]+/g, encodeURIComponent);
  return target.slice(0, start) + authority + encoded;
}

/** Whether a host matches a pattern in which `*` stands for any run of characters. Linear but for one level of retry. */
export function matchesDomain(pattern: string, host: string): boolean {
  const p = pattern.toLowerCase();
  let i = 0;
  let k = 0;
  let star = -1;
  let mark = 0;
  while (k < host.length) {
    if (p[i] === '*') {
      star = i++;
      mark = k;
    } else if (p[i] === host[k]) {
      i++;
      k++;
    } else if (star >= 0) {
      i = star + 1;
      k = ++mark;
    } else return false;
  }
  while (p[i] === '*') i++;
  return i === p.length;
}

/** Addresses in a List-Unsubscribe value (RFC 2369): what stands in angle brackets. */
export function listUnsubscribeUrls(value: string): string[] {
  return [...value.slice(0, 16_384).matchAll(/<([^<>]*)>/g)].map((match) => trimUrl(match[1]!));
}
