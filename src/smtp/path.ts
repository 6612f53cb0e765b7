/**
 * The arguments of MAIL and RCPT: RFC 5321 section 4.1.2, with the parameters of RFC 1870 (SIZE), 6152 (BODY),
 * 3461 (DSN), 4954 (AUTH) and 6531 (SMTPUTF8).
 */
import { isUtf8 } from 'node:buffer';

/** Where mail comes from or goes to, as the client spelled it; a source route is dropped (RFC 5321 appendix C). */
export interface Path {
  /** Without angle brackets; '' is the null reverse-path. Quotes of a quoted local part are kept. */
  readonly address: string;
  readonly localPart: string;
  /** As given, case kept; `[192.0.2.1]` for an address literal; '' when the address has none. */
  readonly domain: string;
  /** The address holds characters beyond ASCII, so the message needs SMTPUTF8. */
  readonly internationalized: boolean;
}

export interface MailParams {
  /** Bytes announced with SIZE; undefined when not given. */
  readonly size?: number;
  readonly body?: '7BIT' | '8BITMIME' | 'BINARYMIME';
  readonly smtputf8?: boolean;
  readonly ret?: 'FULL' | 'HDRS';
  /** Decoded from xtext. */
  readonly envid?: string;
  /** AUTH= of RFC 4954 section 5, decoded from xtext; '' for `<>`. */
  readonly auth?: string;
  /** Parameters that the session's options allow by name beyond these; upper-case keyword, value or ''. */
  readonly extra?: ReadonlyMap<string, string>;
}

export type Notify = 'NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY';

export interface RcptParams {
  readonly notify?: readonly Notify[];
  /** ORCPT: address type as given (`rfc822`, `utf-8`) and the address decoded from xtext. */
  readonly orcpt?: { readonly type: string; readonly address: string };
  readonly extra?: ReadonlyMap<string, string>;
}

export interface MailCommand extends Path {
  readonly params: MailParams;
}

export interface RcptCommand extends Path {
  readonly params: RcptParams;
}

/** Which parameters are known: what the session offered in its EHLO reply. */
export interface ParamRules {
  readonly size: boolean;
  readonly eightBitMime: boolean;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
  readonly auth: boolean;
  readonly binaryMime: boolean;
  /** Further keywords, upper case, handed on unread. */
  readonly extraMail: ReadonlySet<string>;
  readonly extraRcpt: ReadonlySet<string>;
  /** Take an address without `@domain` (the caller qualifies it); `postmaster` is always taken. */
  readonly unqualified: boolean;
}

/** What is wrong, in the three facts of a reply. */
export interface PathFault {
  readonly code: 501 | 553 | 555;
  readonly enhanced: string;
  readonly text: string;
}

/** RFC 5321 section 4.5.3.1 asks for 64, 255 and 256 at least; real addresses (VERP, SRS) go beyond the first. */
const LONGEST_LOCAL_PART = 256;
const LONGEST_DOMAIN = 255;
const MOST_PARAMS = 20;

const DOT_STRING = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.\u0080-\uffff]+$/;
const QUOTED_STRING = /^"(?:[ !#-[\]-~\u0080-\uffff]|\\[ -~])*"$/;
const LABEL = /^[A-Za-z0-9_\u0080-\uffff](?:[A-Za-z0-9_\-\u0080-\uffff]*[A-Za-z0-9_\u0080-\uffff])?$/;
const IPV4_LITERAL = /^\d{1,3}(?:\.\d{1,3}){3}$/;
const TAGGED_LITERAL = /^[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+$/;
const KEYWORD = /^[A-Za-z0-9][A-Za-z0-9-]*$/;
const NON_ASCII = /[^\u0000-\u007f]/;

const NO_PARAMS: MailParams & RcptParams = Object.freeze({});

/** Reads what follows `MAIL`: `FROM:<address> PARAM=value …`. */
export function parseMail(argument: string, rules: ParamRules): MailCommand | PathFault {
  const split = splitPath(argument, 'FROM:', '5.5.4');
  if ('code' in split) return split;
  const path = parseAddress(split.inside, true, rules.unqualified, '5.1.7');
  if ('code' in path) return path;
  const params = split.rest === '' ? NO_PARAMS : mailParams(split.rest, rules);
  if ('code' in params) return params;
  if (path.internationalized && !params.smtputf8) {
    return fault(553, '5.6.7', 'A sender address beyond ASCII needs the SMTPUTF8 parameter');
  }
  return { ...path, params };
}

/** Reads what follows `RCPT`: `TO:<address> PARAM=value …`. `smtputf8` tells whether MAIL asked for it. */
export function parseRcpt(argument: string, rules: ParamRules, smtputf8: boolean): RcptCommand | PathFault {
  const split = splitPath(argument, 'TO:', '5.1.3');
  if ('code' in split) return split;
  const path = parseAddress(split.inside, false, rules.unqualified, '5.1.3');
  if ('code' in path) return path;
  if (path.internationalized && !smtputf8) {
    return fault(553, '5.6.7', 'A recipient address beyond ASCII needs SMTPUTF8 on the MAIL command');
  }
  const params = split.rest === '' ? NO_PARAMS : rcptParams(split.rest, rules);
  if ('code' in params) return params;
  return { ...path, params };
}

export function isFault<T extends object>(value: T | PathFault): value is PathFault {
  return 'code' in value;
}

/** Whether it is the address of a RCPT that is wrong, its brackets included, and not the command around it. */
export function isAddressFault({ code, enhanced }: { code: number; enhanced?: string }): boolean {
  return code === 553 || (code === 501 && enhanced === '5.1.3');
}

const LONGEST_SHOWN = 320;

/** What stands for an address in the argument of a RCPT that is wrong, for a report about it. */
export function addressAsWritten(argument: string): string {
  const path = argument.slice(argument.indexOf(':') + 1).trim();
  const end = path.lastIndexOf('>');
  const text = end >= 0 ? path.slice(0, end) : path.split(' ', 1)[0]!;
  return (
    text
      .replace(/^</, '')
      .replace(/[^!-~\u00a0-\uffff]/g, '')
      .slice(0, LONGEST_SHOWN) || 'unknown'
  );
}

function fault(code: PathFault['code'], enhanced: string, text: string): PathFault {
  return { code, enhanced, text };
}

/** Finds the closing bracket; one inside a quoted local part does not count. `enhanced` is said of a wrong path. */
function splitPath(
  argument: string,
  keyword: string,
  enhanced: string,
): { inside: string; rest: string } | PathFault {
  const syntax = `Syntax: ${keyword}<address>`;
  if (argument.length < keyword.length || argument.slice(0, keyword.length).toUpperCase() !== keyword) {
    return fault(501, '5.5.4', syntax);
  }
  let at = keyword.length;
  // Many clients put a blank after the colon; nothing else can be meant.
  while (argument.charCodeAt(at) === 0x20) at++;
  if (argument.charCodeAt(at) !== 0x3c) return fault(501, enhanced, syntax);
  let end = argument.indexOf('>', at);
  const quote = argument.indexOf('"', at);
  if (quote !== -1 && quote < end) end = closingBracket(argument, at);
  if (end === -1) return fault(501, enhanced, syntax);
  const rest = argument.slice(end + 1);
  if (rest !== '' && rest.charCodeAt(0) !== 0x20)
    return fault(501, enhanced, 'A blank must follow the address');
  return { inside: argument.slice(at + 1, end), rest: rest.trim() };
}

function closingBracket(text: string, from: number): number {
  let quoted = false;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quoted && c === 0x5c) i++;
    else if (c === 0x22) quoted = !quoted;
    else if (c === 0x3e && !quoted) return i;
  }
  return -1;
}

/** One address without brackets. Exported for callers that take addresses from elsewhere than a session. */
export function parseAddress(
  given: string,
  nullAllowed: boolean,
  unqualifiedAllowed: boolean,
  enhanced: string,
): Path | PathFault {
  if (given === '') {
    return nullAllowed
      ? { address: '', localPart: '', domain: '', internationalized: false }
      : fault(553, enhanced, 'The null address can not receive mail');
  }
  const address = given.charCodeAt(0) === 0x40 ? withoutSourceRoute(given) : given;
  const at = address.charCodeAt(0) === 0x22 ? endOfQuoted(address) : address.indexOf('@');
  const localPart = at === -1 ? address : address.slice(0, at);
  const domain = at === -1 ? '' : address.slice(at + 1);
  if (!localPartIsValid(localPart)) return fault(553, enhanced, 'The local part of the address is not valid');
  if (at === -1) {
    if (!unqualifiedAllowed && localPart.toLowerCase() !== 'postmaster') {
      return fault(553, enhanced, 'The address has no domain');
    }
  } else if (!domainIsValid(domain)) {
    return fault(553, enhanced === '5.1.7' ? '5.1.7' : '5.1.2', 'The domain of the address is not valid');
  }
  return { address, localPart, domain, internationalized: NON_ASCII.test(address) };
}

function withoutSourceRoute(text: string): string {
  const colon = text.indexOf(':');
  if (colon === -1) return text;
  const hops = text.slice(0, colon).split(',');
  return hops.every((hop) => hop.startsWith('@') && domainIsValid(hop.slice(1)))
    ? text.slice(colon + 1)
    : text;
}

/** Index of the `@` after a quoted local part; -1 when there is none, so that the grammar refuses the rest. */
function endOfQuoted(text: string): number {
  for (let i = 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5c) i++;
    else if (c === 0x22) return text.charCodeAt(i + 1) === 0x40 ? i + 1 : -1;
  }
  return -1;
}

function localPartIsValid(text: string): boolean {
  if (text.length === 0 || text.length > LONGEST_LOCAL_PART) return false;
  if (text.charCodeAt(0) === 0x22) return QUOTED_STRING.test(text) && text.length > 1;
  // Empty atoms (`a..b`, `a.`) are against the grammar but exist at large providers; they do no harm here.
  return DOT_STRING.test(text);
}

/** A host name, internationalized or not, or an address literal in brackets. */
export function domainIsValid(text: string): boolean {
  if (text.length === 0 || text.length > LONGEST_DOMAIN) return false;
  if (text.charCodeAt(0) === 0x5b) {
    if (!text.endsWith(']')) return false;
    const inside = text.slice(1, -1);
    return IPV4_LITERAL.test(inside)
      ? inside.split('.').every((n) => Number(n) < 256)
      : TAGGED_LITERAL.test(inside);
  }
  const labels = text.split('.');
  return labels.every((label) => label.length <= 63 && LABEL.test(label));
}

type Pairs = { keyword: string; value: string | null }[];

function splitParams(text: string): Pairs | PathFault {
  const words = text.split(/ +/, MOST_PARAMS + 1);
  if (words.length > MOST_PARAMS) return fault(501, '5.5.4', 'Too many parameters');
  const pairs: Pairs = [];
  for (const word of words) {
    const equals = word.indexOf('=');
    const keyword = (equals === -1 ? word : word.slice(0, equals)).toUpperCase();
    if (!KEYWORD.test(keyword)) return fault(501, '5.5.4', 'Parameter syntax: KEYWORD=value');
    if (pairs.some((pair) => pair.keyword === keyword)) {
      return fault(501, '5.5.4', `Parameter ${keyword} is given twice`);
    }
    pairs.push({ keyword, value: equals === -1 ? null : word.slice(equals + 1) });
  }
  return pairs;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function mailParams(text: string, rules: ParamRules): MailParams | PathFault {
  const pairs = splitParams(text);
  if (!Array.isArray(pairs)) return pairs;
  const params: Mutable<MailParams> = {};
  let extra: Map<string, string> | undefined;
  for (const { keyword, value } of pairs) {
    if (keyword === 'SIZE' && rules.size) {
      if (value === null || !/^\d{1,20}$/.test(value)) return fault(501, '5.5.4', 'Syntax: SIZE=bytes');
      params.size = Number(value);
    } else if (keyword === 'BODY' && rules.eightBitMime) {
      const body = (value ?? '').toUpperCase();
      if (body !== '7BIT' && body !== '8BITMIME' && !(body === 'BINARYMIME' && rules.binaryMime)) {
        return fault(501, '5.5.4', 'BODY must be 7BIT or 8BITMIME');
      }
      params.body = body;
    } else if (keyword === 'SMTPUTF8' && rules.smtputf8) {
      if (value !== null) return fault(501, '5.5.4', 'SMTPUTF8 takes no value');
      params.smtputf8 = true;
    } else if (keyword === 'RET' && rules.dsn) {
      const ret = (value ?? '').toUpperCase();
      if (ret !== 'FULL' && ret !== 'HDRS') return fault(501, '5.5.4', 'RET must be FULL or HDRS');
      params.ret = ret;
    } else if (keyword === 'ENVID' && rules.dsn) {
      const envid = decodeXtext(value ?? '');
      if (envid === null || envid === '' || envid.length > 100 || !/^[\x20-\x7e]+$/.test(envid)) {
        return fault(501, '5.5.4', 'ENVID must be xtext of at most 100 characters');
      }
      params.envid = envid;
    } else if (keyword === 'AUTH' && rules.auth) {
      const auth = decodeXtext(value ?? '');
      if (!auth || auth.length > 500) return fault(501, '5.5.4', 'AUTH must be xtext or <>');
      params.auth = auth === '<>' ? '' : auth;
    } else if (rules.extraMail.has(keyword)) {
      extra ??= new Map();
      extra.set(keyword, value ?? '');
    } else {
      return fault(555, '5.5.4', `Parameter ${keyword.slice(0, 40)} is not known to MAIL`);
    }
  }
  if (extra) params.extra = extra;
  return params;
}

function rcptParams(text: string, rules: ParamRules): RcptParams | PathFault {
  const pairs = splitParams(text);
  if (!Array.isArray(pairs)) return pairs;
  const params: Mutable<RcptParams> = {};
  let extra: Map<string, string> | undefined;
  for (const { keyword, value } of pairs) {
    if (keyword === 'NOTIFY' && rules.dsn) {
      const notify = parseNotify(value ?? '');
      if (!notify) return fault(501, '5.5.4', 'NOTIFY must be NEVER or a list of SUCCESS, FAILURE, DELAY');
      params.notify = notify;
    } else if (keyword === 'ORCPT' && rules.dsn) {
      const semicolon = (value ?? '').indexOf(';');
      const type = (value ?? '').slice(0, Math.max(0, semicolon));
      const address = semicolon > 0 ? decodeOrcpt(type, value!.slice(semicolon + 1)) : null;
      if (!address || !KEYWORD.test(type) || address.length > 500 || /[\x00-\x1f\x7f-\x9f]/.test(address)) {
        return fault(501, '5.5.4', 'Syntax: ORCPT=type;address in xtext');
      }
      params.orcpt = { type, address };
    } else if (rules.extraRcpt.has(keyword)) {
      extra ??= new Map();
      extra.set(keyword, value ?? '');
    } else {
      return fault(555, '5.5.4', `Parameter ${keyword.slice(0, 40)} is not known to RCPT`);
    }
  }
  if (extra) params.extra = extra;
  return params;
}

function parseNotify(value: string): Notify[] | null {
  const found: Notify[] = [];
  for (const word of value.toUpperCase().split(',', 5)) {
    if (word !== 'NEVER' && word !== 'SUCCESS' && word !== 'FAILURE' && word !== 'DELAY') return null;
    if (found.includes(word)) return null;
    found.push(word);
  }
  return found.includes('NEVER') && found.length > 1 ? null : found;
}

/** RFC 3461 section 4: `+XX` stands for a character that may not stand for itself. Null when malformed. */
export function decodeXtext(text: string): string | null {
  if (/[\u0000-\u0020=\u007f]/.test(text)) return null;
  if (!text.includes('+')) return text;
  if (/\+(?![0-9A-F]{2})/.test(text)) return null;
  return text.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** An address of type utf-8 may come as octets in xtext; its own form, `\x{FC}` (RFC 6533), is passed on as it is. */
function decodeOrcpt(type: string, text: string): string | null {
  const decoded = decodeXtext(text);
  if (decoded === null || type.toLowerCase() !== 'utf-8' || !/^[\u0000-\u00ff]*$/.test(decoded))
    return decoded;
  const octets = Buffer.from(decoded, 'latin1');
  return isUtf8(octets) ? octets.toString('utf8') : decoded;
}

/** The value of ORCPT. What xtext cannot hold goes in the form of RFC 6533, which every host with DSN can read. */
export function encodeOrcpt({ type, address }: { readonly type: string; readonly address: string }): string {
  if (type.toLowerCase() !== 'utf-8' && !NON_ASCII.test(address)) {
    return `${type};${encodeXtext(address)}`;
  }
  const inHex = (c: string) => `\\x{${c.codePointAt(0)!.toString(16).toUpperCase().padStart(2, '0')}}`;
  return `utf-8;${address.replace(/[^!-~]|[+=]/gu, inHex)}`;
}

export function encodeXtext(text: string): string {
  return text.replace(
    /[^!-*,-<>-~]/g,
    (c) => `+${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
