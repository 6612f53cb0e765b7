import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII, domainToUnicode as urlDomainToUnicode } from 'node:url';

/**
 * An envelope address in two halves, each as it was written: quotes of a quoted local part, case, and the brackets
 * of an address literal stay, so that `formatAddress(parseAddress(text))` is `text`.
 */
export interface Address {
  readonly local: string;
  readonly domain: string;
}

/**
 * RFC 5321 allows 64 octets in a local part. VERP and forwarding schemes write longer ones, and refusing them would
 * lose mail that other MTAs carry, so the bound is what a path may hold.
 */
const LONGEST_LOCAL = 255;
const LONGEST_DOMAIN = 255;

/**
 * Reads `local@domain` without angle brackets (RFC 5321 section 4.1.2, RFC 6531 section 3.3). Takes quoted local
 * parts, dot-strings with any atext or UTF-8, domains of letters, digits, hyphens, underscores and UTF-8, and address
 * literals. Two leniencies that mail in the field needs: dots at odd places of a local part, underscores in domains.
 * `null` for everything else, and for the null sender.
 */
export function parseAddress(text: string): Address | null {
  if (text.length > LONGEST_LOCAL + 1 + LONGEST_DOMAIN) return null;
  const at = text.startsWith('"') ? endOfQuoted(text) : text.indexOf('@');
  if (at < 1 || text.charCodeAt(at) !== 0x40) return null;
  const local = text.slice(0, at);
  const domain = text.slice(at + 1);
  if (Buffer.byteLength(local) > LONGEST_LOCAL) return null;
  if (!local.startsWith('"') && !isDotString(local)) return null;
  return isDomain(domain) || isAddressLiteral(domain) ? { local, domain } : null;
}

/** The address as text, without angle brackets. */
export function formatAddress(address: Address): string {
  return `${address.local}@${address.domain}`;
}

/** The index after a quoted local part, or -1 if it is not closed or holds a control character. */
function endOfQuoted(text: string): number {
  for (let i = 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i + 1;
    if (code === 0x5c) i++;
    const quoted = text.charCodeAt(i);
    if (!(quoted >= 0x20 && quoted !== 0x7f && !(quoted >= 0x80 && quoted < 0xa0))) return -1;
  }
  return -1;
}

/** Visible ASCII without RFC 5322's specials (the dot is allowed), and UTF-8 beyond the C1 controls. */
function isDotString(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || (code >= 0x7f && code < 0xa0)) return false;
    switch (code) {
      case 0x22: // "
      case 0x28: // (
      case 0x29: // )
      case 0x2c: // ,
      case 0x3a: // :
      case 0x3b: // ;
      case 0x3c: // <
      case 0x3e: // >
      case 0x40: // @
      case 0x5b: // [
      case 0x5c: // \
      case 0x5d: // ]
        return false;
    }
  }
  return text.isWellFormed();
}

/** Whether `text` is a domain name that mail may be addressed to, in A-labels, U-labels or both. */
export function isDomain(text: string): boolean {
  return domainToAscii(text) !== null;
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3); general literals name nothing we could reach. */
export function isAddressLiteral(text: string): boolean {
  return literalAddress(text) !== null;
}

/** The IP address inside an address literal, `null` if `text` is none. */
export function literalAddress(text: string): string | null {
  if (!text.startsWith('[') || !text.endsWith(']')) return null;
  const inner = text.slice(1, -1);
  if (isIPv4(inner)) return inner;
  if (!/^ipv6:/i.test(inner)) return null;
  const address = inner.slice(5);
  return isIPv6(address) && !address.includes('%') ? address : null;
}

/**
 * The one spelling of an address literal, so that a host has one queue and its limits whoever writes how many zeros;
 * an IPv4 address in IPv6 is that IPv4 address. `null` if it is none.
 */
function canonicalLiteral(text: string): string | null {
  const address = literalAddress(text);
  if (address === null) return null;
  if (isIPv4(address)) return `[${address}]`;
  const shortest = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(shortest);
  if (!mapped) return `[ipv6:${shortest}]`;
  const octets = mapped
    .slice(1)
    .flatMap((hex) => [Number.parseInt(hex, 16) >> 8, Number.parseInt(hex, 16) & 255]);
  return `[${octets.join('.')}]`;
}

const LDH_DOMAIN =
  /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/**
 * A domain in A-labels and lower case, the one form to compare, to look up and to keep in files; address literals come
 * back in lower case and their shortest form. `null` if it is no domain (empty label, label over 63 octets, forbidden character).
 */
export function domainToAscii(domain: string): string | null {
  const known = asciiForms.get(domain);
  if (known !== undefined) return known;
  const ascii = asciiOf(domain);
  if (ascii === null || !isAscii(domain)) return ascii;
  if (asciiForms.size >= MOST_ASCII_FORMS) asciiForms.clear();
  asciiForms.set(copyOf(domain), copyOf(ascii));
  return ascii;
}

/** The same few domains are asked about several times for each message. */
const asciiForms = new Map<string, string>();
const MOST_ASCII_FORMS = 1000;

/** ASCII text by itself: a piece of a longer text keeps all of that in memory. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

function asciiOf(domain: string): string | null {
  if (domain.length === 0 || domain.length > LONGEST_DOMAIN) return null;
  const plain = domain.toLowerCase();
  if (isAscii(plain)) {
    if (plain.startsWith('[')) return canonicalLiteral(plain);
    return LDH_DOMAIN.test(plain) ? plain : null;
  }
  // The platform's function parses a URL's host: it would decode %41 and cut at a slash, so those never reach it.
  if (/[\u0000-\u002c\u002f\u003a-\u0040[-^`{-\u009f]/.test(plain) || !plain.isWellFormed()) return null;
  const ascii = domainToASCII(plain);
  // It also turns full-width digits into an IPv4 address, which no domain is.
  return ascii.length <= LONGEST_DOMAIN && LDH_DOMAIN.test(ascii) && !isIPv4(ascii) ? ascii : null;
}

/** The domain in U-labels for people to read; unchanged when it has none or is no domain. */
export function domainToUnicode(domain: string): string {
  if (!/xn--/i.test(domain)) return domain;
  const ascii = domainToAscii(domain);
  if (ascii === null) return domain;
  return urlDomainToUnicode(ascii) || domain;
}

/** `domain/vmta` with the domain in U-labels, as records and lists show the name of a queue. */
export function queueToUnicode(queue: string): string {
  const slash = queue.lastIndexOf('/');
  return slash < 0 ? queue : domainToUnicode(queue.slice(0, slash)) + queue.slice(slash);
}

/** An address with its domain in U-labels, for people to read; its local part is unchanged. */
export function addressToUnicode(address: string): string {
  const at = address.lastIndexOf('@') + 1;
  return at === 0 ? address : address.slice(0, at) + domainToUnicode(address.slice(at));
}

/** The domain of an address in A-labels and lower case, '' if the text is no address. */
export function domainOf(address: string): string {
  const parsed = parseAddress(address);
  return parsed ? (domainToAscii(parsed.domain) ?? '') : '';
}

/** Whether an address needs the SMTPUTF8 extension (RFC 6531): only its local part can, domains have A-labels. */
export function needsSmtpUtf8(address: Address): boolean {
  return !isAscii(address.local);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** A local part without its quoting: `"kim.x"` and `kim.x` name the same mailbox (RFC 5321 section 4.1.2). */
export function unquoteLocal(local: string): string {
  if (!local.startsWith('"')) return local;
  return local.slice(1, -1).replace(/\\(.)/gs, '$1');
}

/** A local part as it must be written: quoted when it holds anything but atext, single dots and UTF-8. */
export function quoteLocal(text: string): string {
  if (text !== '' && isDotString(text) && !/^\.|\.\.|\.$/.test(text)) return text;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * VERP: sender `box@sd.example` and recipient `who@rd.example` give `box-who=rd.example@sd.example` (PowerMTA guide
 * 3.3.7.15). `null` if either is no address or the result would be none.
 */
export function encodeVerp(sender: string, recipient: string): string | null {
  const from = parseAddress(sender);
  const to = parseAddress(recipient);
  if (!from || !to) return null;
  const local = quoteLocal(`${unquoteLocal(from.local)}-${unquoteLocal(to.local)}=${to.domain}`);
  const address = `${local}@${from.domain}`;
  return parseAddress(address) ? address : null;
}

export interface VerpAddress {
  /** The sender before expansion, `box@sd.example`. */
  readonly sender: string;
  readonly recipient: string;
  /** More than one hyphen could have parted box and recipient, and no known box decided. */
  readonly ambiguous: boolean;
}

/**
 * Undoes `encodeVerp`. The last `=` parts the recipient's domain. The hyphen between box and recipient is certain when
 * `box` (the sender's local part, as the operator knows it) is given; else the first one is taken, since boxes rarely
 * have one and recipients often do. `null` if the address is not of this form.
 */
export function decodeVerp(address: string, box?: string): VerpAddress | null {
  const parsed = parseAddress(address);
  if (!parsed) return null;
  const local = unquoteLocal(parsed.local);
  const equals = local.lastIndexOf('=');
  if (equals < 0) return null;
  const domain = local.slice(equals + 1);
  let hyphen: number;
  if (box === undefined) {
    hyphen = local.indexOf('-');
  } else {
    const name = unquoteLocal(box);
    if (!local.toLowerCase().startsWith(`${name.toLowerCase()}-`)) return null;
    hyphen = name.length;
  }
  if (hyphen < 1 || hyphen >= equals - 1) return null;
  const sender = `${quoteLocal(local.slice(0, hyphen))}@${parsed.domain}`;
  const recipient = `${quoteLocal(local.slice(hyphen + 1, equals))}@${domain}`;
  if (!parseAddress(recipient)) return null;
  const next = local.indexOf('-', hyphen + 1);
  return { sender, recipient, ambiguous: box === undefined && next > 0 && next < equals };
}
