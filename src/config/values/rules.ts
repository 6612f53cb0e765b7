import { Fault } from '../diagnostic.ts';
import { type DomainPattern, readDomainPattern } from '../domain-pattern.ts';
import { compilePattern, type Pattern } from '../pattern/pattern.ts';
import { listItems, oneWord, regexToken, words } from '../tokens.ts';
import { readSubaccount } from './compound.ts';
import { canonicalDomain, readAddress, twoWords } from './network.ts';
import { readInterval } from './quantities.ts';
import { readHeaderName, readInteger } from './scalars.ts';
import type { ValueType } from './value-type.ts';

/** What a pattern-list rule decides: VMTA or pool, recipient priority, or "go on in that list". */
export interface PatternResult {
  readonly vmta: string | null;
  readonly priority: number | null;
  readonly callTo: string | null;
}

/** `virtual-mta=V,recipient-priority=N` or `call-to: LIST`. */
export function readPatternResult(text: string, offset: number): PatternResult | Fault {
  const joined = text.replace(/call-to:[ \t]+/gi, 'call-to:');
  const items = listItems(joined, offset);
  if (items instanceof Fault) return items;
  const result = {
    vmta: null as string | null,
    priority: null as number | null,
    callTo: null as string | null,
  };
  for (const item of items) {
    const match = /^(virtual-mta=|recipient-priority=|call-to:)(.*)$/i.exec(item.text);
    const at = { text: item.text, offset: item.offset };
    if (!match) {
      return new Fault(`"${item.text}" is not a result`, {
        ...at,
        hint: 'virtual-mta=NAME, recipient-priority=N, call-to:LIST',
      });
    }
    const value = match[2]!;
    if (!value) return new Fault('argument missing', at);
    const key = match[1]!.toLowerCase();
    if (key === 'virtual-mta=') result.vmta ??= value;
    else if (key === 'call-to:') result.callTo ??= value;
    else {
      const priority = readInteger(value, 0, 100);
      if (priority instanceof Fault) return new Fault(priority.message, { ...priority, ...at });
      result.priority ??= priority;
    }
  }
  return result;
}

export type PatternSubject =
  | { readonly kind: 'header'; readonly header: string }
  | { readonly kind: 'mail-from' }
  | { readonly kind: 'rcpt-to' }
  | { readonly kind: 'always' };

/** The head of a pattern-list rule; `result` null when a nested list follows instead. */
export interface PatternRuleHead {
  readonly subject: PatternSubject;
  readonly pattern: Pattern | null;
  readonly result: PatternResult | null;
}

const RESULT =
  "( { 'virtual-mta=' VMTA_OR_POOL | 'recipient-priority=' INT(0..100) | 'call-to:' NAME } {',' ...} | '<pattern-list>' )";
const RESULT_WORDS = ['virtual-mta=', 'recipient-priority=', 'call-to:'];

/** What follows the regex; nothing is legal only where a nested list opened (the caller cut that off). */
function finish(text: string, subject: PatternSubject, base: number): PatternRuleHead | Fault {
  const token = regexToken(text);
  if (token instanceof Fault)
    return new Fault(token.message, { ...token, offset: base + (token.offset ?? 0) });
  const pattern = compilePattern(token.source);
  if (pattern instanceof Fault) return new Fault(pattern.message, { ...pattern, offset: base });
  const rest = text.slice(token.end).trim();
  if (!rest) return { subject, pattern, result: null };
  const result = readPatternResult(rest, base + text.length - rest.length);
  return result instanceof Fault ? result : { subject, pattern, result };
}

export const headerRule: ValueType<PatternRuleHead> = {
  kind: 'rule',
  grammar: `HEADER REGEX ${RESULT}`,
  words: RESULT_WORDS,
  parse({ text }) {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match) return new Fault('argument missing', { hint: 'a header, a regex and a result' });
    const header = readHeaderName(match[1]!);
    if (header instanceof Fault) return header;
    return finish(match[2]!, { kind: 'header', header }, text.length - match[2]!.length);
  },
};

const envelopeRule = (kind: 'mail-from' | 'rcpt-to'): ValueType<PatternRuleHead> => ({
  kind: 'rule',
  grammar: `REGEX ${RESULT}`,
  words: RESULT_WORDS,
  parse: ({ text }) => (text ? finish(text, { kind }, 0) : new Fault('argument missing')),
});

export const mailFromRule = envelopeRule('mail-from');
export const rcptToRule = envelopeRule('rcpt-to');

export const catchAllRule: ValueType<PatternRuleHead> = {
  kind: 'rule',
  grammar: RESULT.slice(2, -2),
  words: RESULT_WORDS,
  parse({ text }) {
    const subject = { kind: 'always' } as const;
    if (!text) return { subject, pattern: null, result: null };
    const result = readPatternResult(text, 0);
    return result instanceof Fault ? result : { subject, pattern: null, result };
  },
};

/** What happens to the queue when a reply matches. Times in milliseconds; Infinity is "never by itself". */
export interface ReplyActions {
  readonly mode: 'normal' | 'backoff' | null;
  readonly skipMx: boolean;
  readonly bounceQueue: boolean;
  readonly bounceRcpt: boolean;
  readonly disableSourceIp: boolean;
  readonly reenableAfter: number | null;
  readonly deferQueue: boolean;
}

export interface ReplyRule {
  readonly pattern: Pattern;
  readonly actions: ReplyActions;
}

const ACTIONS = [
  'mode=normal',
  'mode=backoff',
  'skip-mx',
  'bounce-queue',
  'bounce-rcpt',
  'disable-source-ip',
  'reenable-after=',
  'defer-queue',
];

function readActions(text: string, base: number): ReplyActions | Fault {
  const items = listItems(text, base);
  if (items instanceof Fault) return items;
  const seen = new Set<string>();
  let reenableAfter: number | null = null;
  for (const item of items) {
    const word = item.text.toLowerCase();
    const at = { text: item.text, offset: item.offset };
    const wait = /^reenable-after=(.*)$/.exec(word);
    if (wait) {
      if (!seen.has('disable-source-ip')) {
        return new Fault('reenable-after must follow disable-source-ip in the same rule', at);
      }
      if (reenableAfter !== null) return new Fault('reenable-after is given twice', at);
      const ms = wait[1] === 'never' ? Number.POSITIVE_INFINITY : readInterval(wait[1]!);
      if (ms instanceof Fault) return new Fault(ms.message, { ...ms, ...at });
      reenableAfter = ms;
    } else if (ACTIONS.includes(word)) {
      seen.add(word);
    } else {
      return new Fault(`"${item.text}" is not an action`, { ...at, hint: `known are ${ACTIONS.join(', ')}` });
    }
  }
  if (seen.has('mode=normal') && seen.has('mode=backoff'))
    return new Fault('both modes in one rule', { text });
  if (seen.has('skip-mx') && seen.has('bounce-queue')) {
    return new Fault('skip-mx and bounce-queue exclude each other', { text });
  }
  return {
    mode: seen.has('mode=backoff') ? 'backoff' : seen.has('mode=normal') ? 'normal' : null,
    skipMx: seen.has('skip-mx'),
    bounceQueue: seen.has('bounce-queue'),
    bounceRcpt: seen.has('bounce-rcpt'),
    disableSourceIp: seen.has('disable-source-ip'),
    reenableAfter,
    deferQueue: seen.has('defer-queue'),
  };
}

/** A regex and the text after it. */
function regexAnd(text: string, what: string): { pattern: Pattern; rest: string; offset: number } | Fault {
  const token = regexToken(text);
  if (token instanceof Fault) return token;
  const pattern = compilePattern(token.source);
  if (pattern instanceof Fault) return pattern;
  const rest = text.slice(token.end).trim();
  if (!rest)
    return new Fault('argument missing', { offset: token.end, hint: `${what} must follow the regex` });
  return { pattern, rest, offset: text.length - rest.length };
}

export const replyRule: ValueType<ReplyRule> = {
  kind: 'rule',
  grammar:
    "REGEX ACTION {',' ACTION} ; ACTION = 'mode=normal' | 'mode=backoff' | 'skip-mx' | 'bounce-queue' | 'bounce-rcpt' | 'disable-source-ip' | 'reenable-after=' INTERVAL | 'defer-queue'",
  words: ACTIONS,
  parse({ text }) {
    const read = regexAnd(text, 'an action');
    if (read instanceof Fault) return read;
    const actions = readActions(read.rest, read.offset);
    return actions instanceof Fault ? actions : { pattern: read.pattern, actions };
  },
};

export interface BounceRule {
  readonly pattern: Pattern;
  readonly category: string;
}

export const bounceRule: ValueType<BounceRule> = {
  kind: 'rule',
  grammar: 'REGEX CATEGORY',
  parse({ text }) {
    const read = regexAnd(text, 'a category');
    if (read instanceof Fault) return read;
    const category = oneWord(read.rest);
    if (category instanceof Fault) {
      return new Fault(category.message, { ...category, offset: read.offset + (category.offset ?? 0) });
    }
    return { pattern: read.pattern, category: category.text };
  },
};

export interface MxRollup {
  /** A host name, or a name whose hosts below it are meant (`wildcard`). */
  readonly host: string;
  readonly wildcard: boolean;
  readonly queue: string;
  readonly byIp: boolean;
}

export const mxRule: ValueType<MxRollup> = {
  kind: 'rule',
  grammar: "{ HOST | '*.' DOMAIN } NAME'.rollup' ['rollup-by-ip']",
  words: ['rollup-by-ip'],
  parse({ text }) {
    const all = words(text);
    if (all instanceof Fault) return all;
    const [mx, queue, option, surplus] = all;
    if (!mx || !queue) return new Fault('argument missing', { hint: 'an MX name and a queue' });
    if ((option && option.text.toLowerCase() !== 'rollup-by-ip') || surplus) {
      return new Fault(`surplus argument "${(surplus ?? option)!.text}"`, {
        offset: (surplus ?? option)!.offset,
      });
    }
    const wildcard = mx.text.startsWith('*.');
    const host = canonicalDomain(wildcard ? mx.text.slice(2) : mx.text);
    if (!host) return new Fault(`"${mx.text}" is not a host or *.name`, { text: mx.text });
    const name = canonicalDomain(queue.text);
    if (!name?.endsWith('.rollup')) {
      return new Fault(`queue name "${queue.text}" does not end in .rollup`, {
        text: queue.text,
        offset: queue.offset,
      });
    }
    return { host, wildcard, queue: name, byIp: option !== undefined };
  },
};

/** One side of a rewrite rule: a part is null where any (left) or the same (right) text stands. */
export type RewriteSide =
  | { readonly kind: 'empty' }
  | { readonly kind: 'address'; readonly local: string | null; readonly domain: string | null };

function readSide(word: string): RewriteSide | Fault {
  if (word === '<>') return { kind: 'empty' };
  const bad = () =>
    new Fault(`"${word}" is not an address pattern`, { text: word, hint: 'write a@b, a@*, *@b, *@* or <>' });
  const at = word.lastIndexOf('@');
  if (at < 1) return bad();
  const [local, domain] = [word.slice(0, at), word.slice(at + 1)];
  if (local !== '*' && domain !== '*') {
    const read = readAddress(word);
    return read instanceof Fault ? read : { kind: 'address', local: read.local, domain: read.domain };
  }
  const canonical = domain === '*' ? null : canonicalDomain(domain);
  if (domain !== '*' && !canonical) return bad();
  return { kind: 'address', local: local === '*' ? null : local, domain: canonical };
}

export interface MailFromRewrite {
  readonly from: RewriteSide;
  readonly to: RewriteSide;
}

export const mailFromRewrite: ValueType<MailFromRewrite> = {
  kind: 'rule',
  grammar: "{ EMAIL | LP'@*' | '*@'DOM | '*@*' | '<>' } { EMAIL | LP'@*' | '*@'DOM | '<>' }",
  parse({ text }) {
    const two = twoWords(text);
    if (two instanceof Fault) return two;
    if (/[^\x00-\x7f]/.test(two[1])) return new Fault('the new address must be ASCII', { text: two[1] });
    const from = readSide(two[0]);
    if (from instanceof Fault) return from;
    const to = readSide(two[1]);
    if (to instanceof Fault) return to;
    if (to.kind === 'address' && to.local === null && to.domain === null) {
      return new Fault('*@* changes nothing', { text: two[1] });
    }
    if (from.kind === 'empty' && to.kind === 'address' && (to.local === null || to.domain === null)) {
      return new Fault('the empty address has no part that a wildcard could keep', { text: two[1] });
    }
    return { from, to };
  },
};

export interface FromDomainRewrite {
  readonly pattern: DomainPattern;
  readonly domain: string;
}

export const fromDomainRewrite: ValueType<FromDomainRewrite> = {
  kind: 'rule',
  grammar: 'DOMPAT DOMAIN',
  parse({ text }) {
    const two = twoWords(text);
    if (two instanceof Fault) return two;
    if (/[^\x00-\x7f]/.test(two[1])) return new Fault('the new domain must be ASCII', { text: two[1] });
    const pattern = readDomainPattern(two[0]);
    if (pattern instanceof Fault) return pattern;
    const domain = canonicalDomain(two[1]);
    return domain ? { pattern, domain } : new Fault(`"${two[1]}" is not a domain`, { text: two[1] });
  },
};

export interface SignalsRule {
  readonly pattern: DomainPattern;
  readonly send: boolean;
  readonly subaccount: number | null;
}

export const signalsRule: ValueType<SignalsRule> = {
  kind: 'rule',
  grammar: "DOMPAT { 'enable-signals' [',subaccount=' INT] | 'disable-signals' }",
  words: ['enable-signals', 'disable-signals'],
  parse({ text }) {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match)
      return new Fault('argument missing', {
        hint: 'a domain pattern and enable-signals or disable-signals',
      });
    const pattern = readDomainPattern(match[1]!);
    if (pattern instanceof Fault) return pattern;
    const items = listItems(match[2]!, text.length - match[2]!.length);
    if (items instanceof Fault) return items;
    const [action, option, surplus] = items;
    const word = action!.text.toLowerCase();
    if (word !== 'enable-signals' && word !== 'disable-signals') {
      return new Fault(`"${action!.text}" is not enable-signals or disable-signals`, {
        text: action!.text,
        offset: action!.offset,
      });
    }
    const send = word === 'enable-signals';
    if (surplus || (option && !send)) {
      const wrong = surplus ?? option!;
      return new Fault(`surplus argument "${wrong.text}"`, { text: wrong.text, offset: wrong.offset });
    }
    const subaccount = option ? readSubaccount(option.text) : null;
    return subaccount instanceof Fault ? subaccount : { pattern, send, subaccount };
  },
};
