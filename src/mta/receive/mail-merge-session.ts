/**
 * The state of one mail merge as its verbs build it: XMRG, XDFN, XPRT and XACK (delivery guide, section 17). SMTP
 * sessions and pickup files speak the same verbs, so what they mean stands here once; reading lines and collecting
 * content is the caller's.
 */
import { type Reply, reply } from '../../smtp/index.ts';

/** One part of a merge template. */
export interface MergePart {
  readonly number: number;
  /** Dots unstuffed, lines ended by CRLF. */
  readonly content: Buffer;
}

/** Merge variables of one recipient: names in lower case, reserved ones with their `*`. */
export type MergeVariables = ReadonlyMap<string, string>;

/** Reserved variables that a submitter may set (section 17, second table). */
export const SETTABLE_VARIABLES: ReadonlySet<string> = new Set([
  '*from',
  '*envid',
  '*vmta',
  '*jobid',
  '*parts',
  '*schedule',
  '*priority',
  '*subaccountid',
  '*custommessageid',
]);

const NO_VARIABLES: MergeVariables = new Map();

const LONGEST_NAME = 64;
const MOST_VARIABLES = 1_000;
/** Bytes of all names and values of one recipient. */
const MOST_VARIABLE_BYTES = 256 * 1024;
/** Bytes of all names and values of one submission: 50,000 recipients may not have 256 KiB each. */
const MOST_SUBMISSION_BYTES = 64 * 1024 * 1024;
/** What a variable takes beside its text. */
const BYTES_BESIDES = 100;
const MOST_PARTS = 1_000;
const LARGEST_PART_NUMBER = 999_999;
const LONGEST_PART_LIST = 10_000;

export const PART_OK = reply(250, '2.6.0', 'part ok');
export const MERGE_RECEIVED = reply(250, '2.6.0', 'message received');
export const SEND_PART = reply(354, '', 'send part');
export const MERGE_BEGUN = reply(250, '2.1.0', 'XMRG ok');
export const ACKNOWLEDGED = reply(250, '2.0.0', 'ok');
export const DEFINED = reply(250, '2.0.0', 'XDFN ok');

const syntax = (text: string): Reply => reply(501, '5.5.4', text);
const wrongOrder = (text: string): Reply => reply(503, '5.5.1', text);

/** A part number and whether the message ends with it. */
export interface PartStart {
  readonly number: number;
  readonly last: boolean;
}

export class MailMergeSession {
  /** Off after `XACK OFF`: RCPT and XDFN get no reply. Lasts as long as the connection or file. */
  acknowledge = true;
  /** A submission begun with XMRG is open. */
  merging = false;
  #variables = new Map<string, string>();
  #variableBytes = 0;
  /** Of recipients that have theirs already. */
  #spentBytes = 0;
  #parts: MergePart[] = [];
  #partBytes = 0;
  #numbers = new Set<number>();
  #error: Reply | null = null;
  readonly #mostBytes: number;

  /** `mostBytes`: the bound of all parts together, `max-message-size`. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get parts(): readonly MergePart[] {
    return this.#parts;
  }

  /** XACK; its own reply is always given. */
  xack(argument: string): Reply {
    const word = argument.trim().toUpperCase();
    if (word !== 'ON' && word !== 'OFF') return syntax('Syntax: XACK ON or XACK OFF');
    this.acknowledge = word === 'ON';
    return ACKNOWLEDGED;
  }

  /** MAIL and XMRG: whatever an earlier submission left is forgotten. */
  begin(merging: boolean): void {
    this.reset();
    this.merging = merging;
  }

  /** The submission ended or was given up; XACK stays as it is. */
  reset(): void {
    this.merging = false;
    this.#forgetVariables();
    this.#spentBytes = 0;
    this.#parts = [];
    this.#partBytes = 0;
    this.#numbers = new Set();
    this.#error = null;
  }

  /** XDFN: variables for the next RCPT; several add up. An error defines nothing. */
  xdfn(argument: string): Reply {
    if (!this.merging) return wrongOrder('Send XMRG first');
    const pairs = readDefinitions(argument);
    if (!Array.isArray(pairs)) return pairs;
    const added = new Set<string>();
    let bytes = this.#variableBytes;
    for (const [name, value] of pairs) {
      if (this.#variables.has(name) || added.has(name)) return syntax(`Variable ${name} is defined twice`);
      const wrong = wrongReserved(name, value);
      if (wrong) return wrong;
      added.add(name);
      bytes += name.length + Buffer.byteLength(value);
      // A range of nine characters is kept as thousands of numbers.
      if (name === '*parts') bytes += 8 * (readPartList(value)?.length ?? 0);
    }
    if (this.#variables.size + pairs.length > MOST_VARIABLES || bytes > MOST_VARIABLE_BYTES) {
      return reply(552, '5.3.4', 'Too many variables for one recipient');
    }
    if (this.#spentBytes + bytes > MOST_SUBMISSION_BYTES) {
      return reply(552, '5.3.4', 'Too many variables for one submission');
    }
    for (const [name, value] of pairs) this.#variables.set(name, value);
    this.#variableBytes = bytes;
    return DEFINED;
  }

  /** RCPT: its variables, which are spent by it whether the address is taken or not. */
  takeVariables(): MergeVariables {
    if (this.#variables.size === 0) return NO_VARIABLES;
    const taken = this.#variables;
    this.#spentBytes += this.#variableBytes + taken.size * BYTES_BESIDES;
    this.#forgetVariables();
    return taken;
  }

  /** XPRT: the part to collect now, or a refusal. */
  xprt(argument: string): PartStart | Reply {
    if (!this.merging) return wrongOrder('Send XMRG first');
    const match = /^(\d{1,10})(?: +(LAST))?$/i.exec(argument.trim());
    const number = Number(match?.[1] ?? 0);
    if (!match || number < 1 || number > LARGEST_PART_NUMBER) {
      return syntax(`Syntax: XPRT n [LAST], n from 1 to ${LARGEST_PART_NUMBER}`);
    }
    if (this.#numbers.has(number)) return syntax(`Part ${number} was sent already`);
    if (this.#numbers.size >= MOST_PARTS) return reply(552, '5.3.4', 'Too many parts');
    return { number, last: match[2] !== undefined };
  }

  /** The content of a part is here. Positive: `PART_OK`, or `MERGE_RECEIVED` when it was the last. */
  takePart(start: PartStart, content: Buffer): Reply {
    this.#partBytes += content.length;
    if (this.#partBytes > this.#mostBytes) return reply(552, '5.3.4', 'Message too big');
    this.#numbers.add(start.number);
    this.#parts.push({ number: start.number, content });
    if (start.last) this.#parts.sort((a, b) => a.number - b.number);
    return start.last ? MERGE_RECEIVED : PART_OK;
  }

  /**
   * What RCPT and XDFN get: their reply, or nothing under XACK OFF, where the first error of a submission is kept for
   * the next DATA, BDAT or XPRT (`keptError`) and errors outside one are dropped.
   */
  answer(given: Reply, insideSubmission: boolean): Reply | 'silent' {
    if (this.acknowledge) return given;
    if (insideSubmission && given.code >= 400) this.#error ??= given;
    return 'silent';
  }

  /** The error that XACK OFF held back: it cancels the submission. */
  get keptError(): Reply | null {
    return this.#error;
  }

  #forgetVariables(): void {
    this.#variables = new Map();
    this.#variableBytes = 0;
  }
}

/** `name=value {name=value}`; a value with blanks stands in double quotes, which it cannot hold itself. */
function readDefinitions(argument: string): [string, string][] | Reply {
  const pairs: [string, string][] = [];
  let at = 0;
  while (at < argument.length) {
    if (argument[at] === ' ' || argument[at] === '\t') {
      at++;
      continue;
    }
    const equals = argument.indexOf('=', at);
    const name = equals < 0 ? '' : argument.slice(at, equals).toLowerCase();
    if (name.length > LONGEST_NAME || !/^\*?[a-z][a-z0-9_]*$/.test(name)) {
      return syntax('Syntax: XDFN name=value; a name is a letter and then letters, digits and underscores');
    }
    if (pairs.length >= MOST_VARIABLES) return syntax('Too many variables in one XDFN');
    at = equals + 1;
    let end: number;
    if (argument[at] === '"') {
      end = argument.indexOf('"', at + 1);
      const next = argument[end + 1];
      if (end < 0 || (next !== undefined && next !== ' ' && next !== '\t')) {
        return syntax(`The quoted value of ${name} has no end, or something follows it`);
      }
      pairs.push([name, argument.slice(at + 1, end)]);
      at = end + 1;
    } else {
      end = at;
      while (end < argument.length && argument[end] !== ' ' && argument[end] !== '\t') end++;
      pairs.push([name, argument.slice(at, end)]);
      at = end;
    }
  }
  return pairs.length > 0 ? pairs : syntax('Syntax: XDFN name=value {name=value}');
}

function wrongReserved(name: string, value: string): Reply | null {
  if (!name.startsWith('*')) return null;
  if (!SETTABLE_VARIABLES.has(name)) return syntax(`${name} is reserved and cannot be set`);
  if (name === '*priority' && !(/^\d{1,3}$/.test(value) && Number(value) >= 1 && Number(value) <= 100)) {
    return syntax('*priority must be a number from 1 to 100');
  }
  if (name === '*parts' && readPartList(value) === null) {
    return syntax('*parts must be a list of part numbers and ranges: 1,3-5');
  }
  return null;
}

/** `*parts`: numbers and ranges in output order, `1,3,5-7`; null when malformed or longer than anybody needs. */
export function readPartList(text: string): number[] | null {
  if (text.length > LONGEST_PART_LIST) return null;
  const numbers: number[] = [];
  for (const item of text.split(',')) {
    const match = /^\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?$/.exec(item);
    if (!match) return null;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (from < 1 || to < from || numbers.length + to - from >= LONGEST_PART_LIST) return null;
    for (let n = from; n <= to; n++) numbers.push(n);
  }
  return numbers;
}
