import { Fault } from '../diagnostic.ts';
import type { Pattern } from '../pattern/pattern.ts';
import { freeText } from '../tokens.ts';
import { compound, readPattern } from './compound.ts';
import { canonicalDomain, canonicalIp, readHost, twoWords } from './network.ts';
import { readHeaderName, readInteger, wordType } from './scalars.ts';
import type { ListType, ValueType } from './value-type.ts';

/** Whose domain signs: that of Sender or From, of From alone, or a fixed identity `local@domain` / `@domain`. */
export type DkimIdentity =
  | { readonly kind: 'sender-or-from' | 'strict-from' }
  | { readonly kind: 'fixed'; readonly identity: string; readonly domain: string };

function readFixedIdentity(word: string, bareDomain: boolean): DkimIdentity | Fault {
  const at = word.lastIndexOf('@');
  const domain = canonicalDomain(word.slice(at + 1));
  if (!domain || (at < 0 && !bareDomain)) {
    return new Fault(`"${word}" is not an identity`, { text: word, hint: 'write local@domain or @domain' });
  }
  return { kind: 'fixed', identity: `${word.slice(0, Math.max(0, at))}@${domain}`, domain };
}

export const dkimIdentity: ValueType<DkimIdentity> = wordType<DkimIdentity>(
  'compound',
  "{ EMAIL | '@' DOMAIN | DOMAIN | 'sender-or-from' | 'strict-from' }",
  (word) => {
    const lower = word.toLowerCase();
    if (lower === 'sender-or-from' || lower === 'strict-from') return { kind: lower };
    return readFixedIdentity(word, true);
  },
  { words: ['sender-or-from', 'strict-from'] },
);

export const dkimFallback: ValueType<DkimIdentity> = wordType<DkimIdentity>(
  'compound',
  "{ EMAIL | '@' DOMAIN }",
  (word) => readFixedIdentity(word, true),
);

/** Header names (lower case) and regexes over header names. */
export const headersOrPatterns: ListType<readonly (string | Pattern)[]> = {
  kind: 'list',
  grammar: 'HEADER_OR_REGEX_LIST',
  empty: [],
  parse({ text }) {
    const out: (string | Pattern)[] = [];
    let rest = text;
    for (;;) {
      const offset = text.length - rest.length;
      if (rest.startsWith('/')) {
        let end = 1;
        while (end < rest.length && rest[end] !== '/') end += rest[end] === '\\' ? 2 : 1;
        const pattern = readPattern(rest.slice(0, end + 1));
        if (pattern instanceof Fault) return new Fault(pattern.message, { ...pattern, offset });
        out.push(pattern);
        rest = rest.slice(end + 1).trimStart();
      } else {
        const comma = rest.indexOf(',');
        const name = (comma < 0 ? rest : rest.slice(0, comma)).trim();
        if (!name) return new Fault('empty item in list', { offset });
        const read = readHeaderName(name);
        if (read instanceof Fault) return new Fault(read.message, { ...read, offset });
        out.push(read);
        rest = comma < 0 ? '' : rest.slice(comma);
      }
      if (!rest) return out;
      if (rest[0] !== ',') {
        return new Fault(`surplus argument "${rest}"`, { offset: text.length - rest.length, text: rest });
      }
      rest = rest.slice(1).trimStart();
    }
  },
};

/** A host to deliver to. `lookup-mx` means the MX hosts of `name` instead of `name` itself. */
export interface SmtpHost {
  readonly kind: 'host' | 'ip' | 'lookup-mx';
  readonly name: string;
  readonly port: number | null;
}

function readSmtpHost(item: string): SmtpHost | Fault {
  const lookup = /^lookup-mx:[ \t]*(.+)$/i.exec(item);
  if (lookup) {
    const domain = readHost(lookup[1]!);
    return domain instanceof Fault ? domain : { kind: 'lookup-mx', name: domain, port: null };
  }
  const match = /^\[(?:IPv6:)?([^\]]*)\](?::(.*))?$/i.exec(item) ?? /^([^:]+)(?::(.*))?$/.exec(item);
  const bad = () =>
    new Fault(`"${item}" is not a host`, {
      text: item,
      hint: 'write name, [address] or lookup-mx:domain, with :port',
    });
  if (!match) return bad();
  const port = match[2] === undefined ? null : readInteger(match[2], 1, 65535);
  if (port instanceof Fault) return port;
  const ip = canonicalIp(match[1]!);
  if (ip) return { kind: 'ip', name: ip, port };
  const name = item.startsWith('[') ? null : canonicalDomain(match[1]!);
  return name ? { kind: 'host', name, port } : bad();
}

/** Levels of preference, the most preferred first; the hosts of a level are equals. */
export const smtpHosts: ValueType<readonly (readonly SmtpHost[])[]> = {
  kind: 'string',
  grammar:
    "LEVEL { ';' LEVEL } ; LEVEL = HOST { ',' HOST } ; HOST = { name | '[' IP ']' | '[IPv6:' IP6 ']' } [ ':' PORT ] | 'lookup-mx:' DOMAIN",
  parse({ text }) {
    const whole = freeText(text);
    if (whole instanceof Fault) return whole;
    const levels: SmtpHost[][] = [];
    for (const level of whole.split(';')) {
      const hosts: SmtpHost[] = [];
      for (const item of level.split(',')) {
        const trimmed = item.trim();
        if (!trimmed) return new Fault('empty item in list', { text: whole });
        const read = readSmtpHost(trimmed);
        if (read instanceof Fault) return read;
        hosts.push(read);
      }
      levels.push(hosts);
    }
    return levels;
  },
};

/** The domain of a queue, also a reserved one such as `{sparkpost}`. */
export const queueDomain: ValueType<string> = wordType(
  'string',
  "{ QUEUE_DOMAIN | '{sparkpost}' }",
  (word) => {
    if (/^\{[^{}\s]{1,100}\}$/.test(word)) return word.toLowerCase();
    return canonicalDomain(word) ?? new Fault(`"${word}" is not a queue domain`, { text: word });
  },
);

export const proxyClient: ValueType<{ readonly ip: string; readonly port: number; readonly host: string }> =
  compound("IP [':' PORT] HOST", (text) => {
    const two = twoWords(text);
    if (two instanceof Fault) return two;
    const whole = canonicalIp(two[0]);
    const split = /^\[?([^\]]*?)\]?:(\d{1,5})$/.exec(two[0]);
    const ip = whole ?? (split ? canonicalIp(split[1]!) : null);
    const port = whole ? 0 : split ? readInteger(split[2]!, 0, 65535) : 0;
    if (!ip) return new Fault(`"${two[0]}" is not an IP address`, { text: two[0] });
    if (port instanceof Fault) return port;
    const host = readHost(two[1]);
    return host instanceof Fault ? host : { ip, port, host };
  });
