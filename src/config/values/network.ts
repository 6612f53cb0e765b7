import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';
import { Fault } from '../diagnostic.ts';
import { words } from '../tokens.ts';
import { listType, readInteger, wordType } from './scalars.ts';
import type { ValueType } from './value-type.ts';

/** A network: `bits` leading bits of `bytes` (4 or 16 of them) count. `text` is as written. */
export interface Cidr {
  readonly text: string;
  readonly family: 4 | 6;
  readonly bits: number;
  readonly bytes: readonly number[];
}

/** An address without brackets, IPv4-mapped IPv6 as IPv4, in one spelling; null when it is none. */
export function canonicalIp(text: string): string | null {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return null;
  const zone = text.indexOf('%');
  const address = ipaddr.IPv6.parse(zone < 0 ? text : text.slice(0, zone));
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toString();
}

/** The 4 or 16 bytes of an address in the form of `canonicalIp`. */
export function ipBytes(ip: string): readonly number[] {
  return ipaddr.parse(ip).toByteArray();
}

/** `10/8`, `173.194/16`, `192.0.2.7`, `2001:db8::/32`: missing octets are 0, no `/bits` is one address. */
export function readCidr(word: string): Cidr | Fault {
  const fault = () =>
    new Fault(`"${word}" is not an address or network`, {
      text: word,
      hint: 'write as 192.0.2.7, 192.0.2.0/24, 10/8 or 2001:db8::/32',
    });
  const [base = '', bitsText, more] = word.split('/');
  if (more !== undefined) return fault();
  if (base.includes(':')) {
    if (!isIPv6(base) || base.includes('%')) return fault();
    const bits = bitsText === undefined ? 128 : /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : -1;
    if (bits < 0 || bits > 128) return fault();
    return { text: word, family: 6, bits, bytes: ipaddr.IPv6.parse(base).toByteArray() };
  }
  const octets = base.split('.');
  const wrong = octets.some((o) => !/^\d{1,3}$/.test(o) || Number(o) > 255);
  if (wrong || octets.length > 4 || (bitsText === undefined && octets.length !== 4)) return fault();
  const bits = bitsText === undefined ? 32 : /^\d{1,2}$/.test(bitsText) ? Number(bitsText) : -1;
  if (bits < 0 || bits > 32) return fault();
  const bytes = [0, 1, 2, 3].map((i) => Number(octets[i] ?? 0));
  return { text: word, family: 4, bits, bytes };
}

/** Whether the network holds the address, given by its bytes. */
export function cidrContains(cidr: Cidr, bytes: readonly number[]): boolean {
  if (bytes.length !== cidr.bytes.length) return false;
  let left = cidr.bits;
  for (let i = 0; left > 0; i++, left -= 8) {
    const mask = left >= 8 ? 0xff : (0xff << (8 - left)) & 0xff;
    if ((bytes[i]! & mask) !== (cidr.bytes[i]! & mask)) return false;
  }
  return true;
}

/** Whether the network is exactly one address. */
export const isSingle = (cidr: Cidr): boolean => cidr.bits === cidr.bytes.length * 8;

/**
 * One spelling for a domain or host name: lower case, A-labels, no final dot. Null when it cannot be a host name
 * (blanks, too long, malformed international label). Underscores are let through: real MX names have them.
 */
export function canonicalDomain(text: string): string | null {
  let name = text.endsWith('.') ? text.slice(0, -1) : text;
  if (name.length === 0 || name.length > 1000) return null;
  if (/[^\x00-\x7f]/.test(name)) name = domainToASCII(name);
  name = name.toLowerCase();
  return name.length <= 253 && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name) ? name : null;
}

export function readHost(word: string): string | Fault {
  const host = canonicalDomain(word);
  return host ?? new Fault(`"${word}" is not a host name`, { text: word });
}

export const host: ValueType<string> = wordType('host', 'HOST', (w) => readHost(w));
export const domainName: ValueType<string> = wordType('host', 'DOMAIN', (w) => readHost(w));

export function readIp(word: string): string | Fault {
  return canonicalIp(word) ?? new Fault(`"${word}" is not an IP address`, { text: word });
}

export const ip: ValueType<string> = wordType('ip', 'IP', (w) => readIp(w));
export const cidr: ValueType<Cidr> = wordType('cidr', 'CIDR', (w) => readCidr(w));

/** `HOST:PORT`, `[IPv6]:PORT`, or without the port when that is allowed. */
function splitPort(word: string, required: boolean): { host: string; port: number | null } | Fault {
  const match = /^\[([^\]]*)\](?::(.*))?$/.exec(word) ?? /^([^:]*)(?::(.*))?$/.exec(word);
  const hostText = match ? match[1]! : word;
  const portText = match?.[2];
  if (portText === undefined) {
    if (required) {
      return new Fault(`"${word}" has no port`, {
        text: word,
        hint: 'write ADDRESS:PORT, IPv6 as [ADDRESS]:PORT',
      });
    }
    return { host: hostText, port: null };
  }
  const number = readInteger(portText, 0, 65535);
  return number instanceof Fault ? number : { host: hostText, port: number };
}

/** A network and a port; `::` without brackets is taken for an address. */
export function readCidrPort(word: string): { cidr: Cidr; port: number } | Fault {
  const split = splitPort(word, true);
  if (split instanceof Fault) return split;
  const read = readCidr(split.host);
  return read instanceof Fault ? read : { cidr: read, port: split.port! };
}

/** A server's address; `port` null when it is not named. */
export interface IpPort {
  readonly ip: string;
  readonly port: number | null;
}

/** `IP` or, as an addition of ours, `IP:PORT`. */
export const ipMaybePort: ValueType<IpPort> = wordType<IpPort>('ip', "IP [':' PORT]", (w) => {
  const whole = canonicalIp(w);
  if (whole) return { ip: whole, port: null };
  const split = splitPort(w, false);
  if (split instanceof Fault) return split;
  const read = readIp(split.host);
  return read instanceof Fault ? read : { ip: read, port: split.port };
});

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export const hostPort: ValueType<HostPort> = wordType<HostPort>('hostport', "{ IP | HOST } ':' PORT", (w) => {
  const split = splitPort(w, true);
  if (split instanceof Fault) return split;
  const read = canonicalIp(split.host) ?? readHost(split.host);
  return read instanceof Fault ? read : { host: read, port: split.port! };
});

export interface DomainMaybePort {
  readonly host: string;
  readonly port: number | null;
}

export const domainMaybePort: ValueType<DomainMaybePort> = wordType<DomainMaybePort>(
  'string',
  "DOMAIN [':' PORT]",
  (w) => {
    const split = splitPort(w, false);
    if (split instanceof Fault) return split;
    const read = canonicalIp(split.host) ?? readHost(split.host);
    return read instanceof Fault ? read : { host: read, port: split.port };
  },
);

/** An envelope address; `domain` is canonical, `local` as written. */
export interface Address {
  readonly local: string;
  readonly domain: string;
}

export const formatAddress = (a: Address): string => `${a.local}@${a.domain}`;

export function readAddress(word: string): Address | Fault {
  const at = word.lastIndexOf('@');
  const domain = canonicalDomain(word.slice(at + 1));
  const local = word.slice(0, Math.max(0, at));
  if (at < 1 || !domain || local.length > 256 || /[\s<>]/.test(local)) {
    return new Fault(`"${word}" is not an e-mail address`, {
      text: word,
      hint: 'local@domain, without name and angle brackets',
    });
  }
  return { local, domain };
}

function readAddressText(word: string): string | Fault {
  const read = readAddress(word);
  return read instanceof Fault ? read : formatAddress(read);
}

/** `local@domain`, as text in one spelling. */
export const address: ValueType<string> = wordType('address', 'EMAIL', readAddressText);

export const addresses = listType('address-list', 'EMAIL_LIST', readAddressText);

export const url: ValueType<string> = wordType('url', 'URL', (w) => {
  if (!URL.canParse(w) || !/^https?:\/\//i.test(w)) {
    return new Fault(`"${w}" is not an http or https URL`, { text: w });
  }
  return w;
});

/** An http(s) URL of host, port and path only (User's Guide 3.3.10.98.1). */
export const plainUrl: ValueType<string> = wordType(
  'url',
  "('http'|'https') '://' HOST [':' PORT] ['/' PATH]",
  (w) => {
    const parsed = /^https?:\/\//i.test(w) && URL.canParse(w) ? new URL(w) : null;
    if (!parsed) return new Fault(`"${w}" is not an absolute http or https URL`, { text: w });
    if (parsed.username || parsed.password || /[?#@]/.test(w)) {
      return new Fault('URL has user information, a query or a fragment', {
        hint: 'only host, port and path',
      });
    }
    return w;
  },
);

/** The two words that most compound values consist of. */
export function twoWords(text: string): [string, string] | Fault {
  const all = words(text);
  if (all instanceof Fault) return all;
  if (all.length < 2) return new Fault('argument missing', { hint: 'two arguments are needed' });
  if (all.length > 2) {
    return new Fault(`surplus argument "${all[2]!.text}"`, { offset: all[2]!.offset, text: all[2]!.text });
  }
  return [all[0]!.text, all[1]!.text];
}
