import { Fault } from '../diagnostic.ts';
import { type DomainPattern, readDomainPattern } from '../domain-pattern.ts';
import { compilePattern, type Pattern } from '../pattern/pattern.ts';
import { listItems, oneWord, regexToken, words } from '../tokens.ts';
import {
  type Cidr,
  canonicalDomain,
  canonicalIp,
  formatAddress,
  readAddress,
  readCidr,
  readCidrPort,
  readHost,
  readIp,
  twoWords,
} from './network.ts';
import { type Rate, readRate } from './quantities.ts';
import { readInteger, resolvePath } from './scalars.ts';
import type { ValueType } from './value-type.ts';

/** Several words, read together. */
export function compound<T>(
  grammar: string,
  read: (text: string, folder: string) => T | Fault,
  more: Partial<ValueType<T>> = {},
): ValueType<T> {
  return { kind: 'compound', grammar, ...more, parse: (input) => read(input.text, input.folder) };
}

/** Two words, each read on its own. */
function pair<A, B, T>(
  grammar: string,
  left: (word: string) => A | Fault,
  right: (word: string) => B | Fault,
  join: (a: A, b: B) => T,
): ValueType<T> {
  return compound(grammar, (text) => {
    const two = twoWords(text);
    if (two instanceof Fault) return two;
    const a = left(two[0]);
    if (a instanceof Fault) return a;
    const b = right(two[1]);
    return b instanceof Fault ? b : join(a, b);
  });
}

export interface ListenerAddress {
  /** An address to bind; `0.0.0.0` for every IPv4 one, `::` for every IPv6 one. */
  readonly address: string;
  readonly port: number;
}

/** The address part of a listener: only single addresses and "all of them" can be bound. */
export function readListenerAddress(word: string): ListenerAddress | Fault {
  const read = readCidrPort(word);
  if (read instanceof Fault) return read;
  const { cidr, port } = read;
  if (cidr.bits === 0) return { address: cidr.family === 4 ? '0.0.0.0' : '::', port };
  const ip = canonicalIp(cidr.text.split('/')[0]!);
  if (!ip || cidr.bits !== cidr.bytes.length * 8) {
    return new Fault(`"${word}" is neither one address nor all of them`, {
      text: word,
      hint: 'write 0/0:PORT or ADDRESS:PORT',
    });
  }
  return { address: ip, port };
}

export const listener: ValueType<ListenerAddress & { readonly source: string | null }> = compound(
  "CIDR ':' PORT ['source=' NAME]",
  (text) => {
    const all = words(text);
    if (all instanceof Fault) return all;
    const [where, option, surplus] = all;
    if (!where) return new Fault('argument missing');
    const address = readListenerAddress(where.text);
    if (address instanceof Fault) return address;
    if (!option) return { ...address, source: null };
    const source = /^source=(.+)$/i.exec(option.text);
    if (!source || surplus) {
      const wrong = source ? surplus! : option;
      return new Fault(`surplus argument "${wrong.text}"`, {
        offset: wrong.offset,
        text: wrong.text,
        hint: 'only source=NAME may follow the address',
      });
    }
    return { ...address, source: source[1]! };
  },
);

export const sourceHost: ValueType<{ readonly cidr: Cidr; readonly host: string }> = pair(
  '{ IP | CIDR } HOST',
  readCidr,
  readHost,
  (cidr, host) => ({ cidr, host }),
);

export const ipAndHost: ValueType<{ readonly ip: string; readonly host: string }> = pair(
  'IP HOST',
  readIp,
  readHost,
  (ip, host) => ({ ip, host }),
);

export type AliasFrom =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'local-part'; readonly local: string }
  | { readonly kind: 'domain'; readonly domain: string };

export const alias: ValueType<{ readonly from: AliasFrom; readonly to: readonly string[] }> = compound(
  "{ EMAIL | LOCALPART | '*@' DOMAIN } EMAIL_LIST",
  (text) => {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match) return new Fault('argument missing', { hint: 'an address and what it stands for' });
    const left = match[1]!;
    let from: AliasFrom;
    if (left.startsWith('*@')) {
      const domain = canonicalDomain(left.slice(2));
      if (!domain) return new Fault(`"${left}" is not *@DOMAIN`, { text: left });
      from = { kind: 'domain', domain };
    } else if (left.includes('@')) {
      const address = readAddress(left);
      if (address instanceof Fault) return address;
      from = { kind: 'address', address: formatAddress(address) };
    } else {
      from = { kind: 'local-part', local: left };
    }
    const items = listItems(match[2]!, text.length - match[2]!.length);
    if (items instanceof Fault) return items;
    const to: string[] = [];
    for (const item of items) {
      const address = readAddress(item.text);
      if (address instanceof Fault) return new Fault(address.message, { ...address, offset: item.offset });
      to.push(formatAddress(address));
    }
    return { from, to };
  },
);

/** A regex between slashes, compiled; nothing may follow it. */
export function readPattern(text: string): Pattern | Fault {
  const token = regexToken(text);
  if (token instanceof Fault) return token;
  const rest = text.slice(token.end).trim();
  if (rest) return new Fault(`surplus argument "${rest}"`, { offset: token.end, text: rest });
  return compilePattern(token.source);
}

export type AddressTest =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'local-part'; readonly local: string }
  | { readonly kind: 'regex'; readonly pattern: Pattern };

/** An address, a regex over addresses, or (when allowed) a bare local part. */
function addressTest(grammar: string, localParts: boolean): ValueType<AddressTest> {
  return compound(grammar, (text) => {
    if (text.startsWith('/')) {
      const pattern = readPattern(text);
      return pattern instanceof Fault ? pattern : { kind: 'regex', pattern };
    }
    const word = oneWord(text);
    if (word instanceof Fault) return word;
    if (localParts && !word.text.includes('@')) return { kind: 'local-part', local: word.text };
    const address = readAddress(word.text);
    return address instanceof Fault ? address : { kind: 'address', address: formatAddress(address) };
  });
}

export const relayAddress = addressTest('{ EMAIL | REGEX }', false);
export const listedAddress = addressTest('{ EMAIL | LOCALPART | REGEX }', true);

export const domainKey: ValueType<{
  readonly selector: string;
  readonly domain: string;
  readonly file: string;
}> = compound("SELECTOR ',' { DOMAIN | '*' } ',' FILE", (text, folder) => {
  const items = listItems(text);
  if (items instanceof Fault) return items;
  if (items.length !== 3) {
    return new Fault(items.length < 3 ? 'argument missing' : `surplus argument "${items[3]!.text}"`, {
      hint: 'write as SELECTOR, DOMAIN, FILE',
    });
  }
  const [selector, domainText, file] = items.map((i) => i.text) as [string, string, string];
  const domain = domainText === '*' ? '*' : canonicalDomain(domainText);
  if (!domain)
    return new Fault(`"${domainText}" is not a domain`, { text: domainText, offset: items[1]!.offset });
  if (!canonicalDomain(selector)) return new Fault(`"${selector}" is not a selector`, { text: selector });
  return { selector, domain, file: resolvePath(file, folder) };
});

/** A macro's name and its items as written (they may hold further `$macros`). */
export const domainMacro: ValueType<{ readonly name: string; readonly items: readonly string[] }> = compound(
  'MACRO ITEM_LIST',
  (text) => {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match) return new Fault('argument missing', { hint: 'a name and a list of items' });
    if (!/^[A-Za-z0-9_]{1,100}$/.test(match[1]!)) {
      return new Fault(`"${match[1]}" is not a macro name`, {
        text: match[1]!,
        hint: 'letters, digits and underscores only',
      });
    }
    const items = listItems(match[2]!, text.length - match[2]!.length);
    return items instanceof Fault ? items : { name: match[1]!, items: items.map((i) => i.text) };
  },
);

export const pickup: ValueType<{ readonly directory: string; readonly bad: string }> = compound(
  'DIR DIR',
  (text, folder) => {
    const two = twoWords(text);
    if (two instanceof Fault) return two;
    return { directory: resolvePath(two[0], folder), bad: resolvePath(two[1], folder) };
  },
);

export type HttpAccess = {
  readonly cidr: Cidr;
  readonly access: 'none' | 'monitor' | 'operator' | 'admin';
  readonly denyLogs: boolean;
};

const ACCESS = ['none', 'monitor', 'operator', 'admin'] as const;

export const httpAccess: ValueType<HttpAccess> = compound(
  "CIDR { 'monitor' [',deny-logs'] | 'operator' | 'admin' | 'none' }",
  (text) => {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match) return new Fault('argument missing', { hint: 'a network and an access level' });
    const cidr = readCidr(match[1]!);
    if (cidr instanceof Fault) return cidr;
    const level = match[2]!.toLowerCase().replace(/[ \t]*,[ \t]*/g, ',');
    if (level === 'monitor,deny-logs') return { cidr, access: 'monitor', denyLogs: true };
    const access = ACCESS.find((a) => a === level);
    return access
      ? { cidr, access, denyLogs: false }
      : new Fault(`"${match[2]}" is not an access level`, {
          text: match[2]!,
          hint: 'none, monitor, monitor,deny-logs, operator or admin',
        });
  },
  { words: ['none', 'monitor', 'monitor,deny-logs', 'operator', 'admin'] },
);

const wholeNumber = (word: string) => readInteger(word, 0, 999_999_999_999_999);

export const patternAndLimit: ValueType<{ readonly pattern: DomainPattern; readonly limit: number }> = pair(
  'DOMPAT INT',
  readDomainPattern,
  wholeNumber,
  (pattern, limit) => ({ pattern, limit }),
);

const countOrNone = (word: string) =>
  word.toLowerCase() === 'unlimited' ? Number.POSITIVE_INFINITY : wholeNumber(word);

export const cidrAndLimit: ValueType<{ readonly cidr: Cidr; readonly limit: number }> = pair(
  "CIDR { INT | 'unlimited' }",
  readCidr,
  countOrNone,
  (cidr, limit) => ({ cidr, limit }),
);

const cidrAndRate = (
  grammar: string,
  data: boolean,
): ValueType<{ readonly cidr: Cidr; readonly rate: Rate | null }> =>
  pair(
    grammar,
    readCidr,
    (w): { rate: Rate | null } | Fault => {
      const rate = readRate(w, data);
      return rate instanceof Fault ? rate : { rate };
    },
    (cidr, { rate }) => ({ cidr, rate }),
  );

export const cidrRate = cidrAndRate("CIDR { 'unlimited' | '0' | RATE }", false);
export const cidrDataRate = cidrAndRate("CIDR { 'unlimited' | '0' | DATARATE }", true);

/** `enable-signals`: send or not, or the name of a filter that decides. */
export type EnableSignals =
  | { readonly kind: 'send'; readonly subaccount: number | null }
  | { readonly kind: 'drop' }
  | { readonly kind: 'filter'; readonly filter: string };

/** The number after `subaccount=`; IDs are above zero. */
export function readSubaccount(option: string): number | Fault {
  const match = /^subaccount=(.*)$/i.exec(option);
  if (!match)
    return new Fault(`surplus argument "${option}"`, { text: option, hint: 'only subaccount=N may follow' });
  return readInteger(match[1]!.trim(), 1, 4_294_967_295);
}

export const enableSignals: ValueType<EnableSignals> = compound(
  "{ 'true' [',subaccount=' INT] | 'false' | FILTER }",
  (text) => {
    const items = listItems(text);
    if (items instanceof Fault) return items;
    const [first, option, surplus] = items;
    const word = first!.text.toLowerCase();
    if (surplus) return new Fault(`surplus argument "${surplus.text}"`, { text: surplus.text });
    if (word === 'true' || word === 'yes') {
      if (!option) return { kind: 'send', subaccount: null };
      const subaccount = readSubaccount(option.text);
      return subaccount instanceof Fault ? subaccount : { kind: 'send', subaccount };
    }
    if (option) {
      return new Fault(`"${option.text}" goes only with true`, { text: option.text, offset: option.offset });
    }
    return word === 'false' || word === 'no' ? { kind: 'drop' } : { kind: 'filter', filter: first!.text };
  },
  { words: ['true', 'false'], refersTo: 'signals-filter' },
);

/** A PEM file with certificate and key, and the pass phrase of the key. */
export const certificate: ValueType<{ readonly file: string; readonly passPhrase: string | null }> = {
  kind: 'file',
  grammar: 'FILE [STRING]',
  parse({ text, folder }) {
    const all = words(text);
    if (all instanceof Fault) return all;
    const [file, phrase, surplus] = all;
    if (!file) return new Fault('argument missing');
    if (surplus) return new Fault('surplus argument', { offset: surplus.offset, text: surplus.text });
    return { file: resolvePath(file.text, folder), passPhrase: phrase ? phrase.text : null };
  },
};
