import { isUtf8 } from 'node:buffer';
import { printable } from '../system/log.ts';

/** One reply as a server sent it (RFC 5321 section 4.2). */
export interface SmtpReply {
  /** 200 to 599; where the lines disagree, the last one's. */
  readonly code: number;
  /**
   * `5.1.1`, '' when no line begins with one (RFC 2034). Of several lines the first counts that has one of the code's
   * class: not every host repeats it in each, and lines may disagree as codes do.
   */
  readonly enhanced: string;
  /**
   * Text of each line after the code, the enhanced code still in front. UTF-8 where valid, else Latin-1; tabs as
   * blanks, other controls and direction marks as `\xNN`, because it goes into records, logs and terminals.
   */
  readonly lines: readonly string[];
}

/** Code and text in one line: `550 5.1.1 no such user here`; the lines' texts joined by one blank. */
export function replyText(reply: SmtpReply): string {
  return `${reply.code} ${reply.lines.join(' ')}`;
}

/** RFC 5321 allows 512; real refusals with links in them go beyond. */
const LONGEST_LINE = 8192;
const MOST_LINES = 100;
/** Characters of all lines of a reply. A thousand recipients may get one each. */
const LONGEST_REPLY = 32_768;
const LF = 0x0a;
const CR = 0x0d;
const BLANK = 0x20;
const HYPHEN = 0x2d;
const ZERO = 0x30;
const EMPTY = Buffer.alloc(0);

const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/;
const NON_ASCII = /[\u0080-\u00ff]/;

/** Turns what a server sends, however it is cut into pieces, into replies. */
export class ReplyReader {
  /** Complete replies not yet taken, oldest first. */
  readonly replies: SmtpReply[] = [];
  #rest: Buffer = EMPTY;
  #lines: string[] = [];
  #length = 0;

  /** Something of an unfinished reply is here. */
  get midway(): boolean {
    return this.#rest.length > 0 || this.#lines.length > 0;
  }

  /** A line of a reply is here, and its last one is not. */
  get withinReply(): boolean {
    return this.#lines.length > 0;
  }

  /** Takes the next piece, which is read and not kept; returns in words what makes it no SMTP, null when all is well. */
  push(piece: Buffer): string | null {
    const input = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    let from = 0;
    for (let end = input.indexOf(LF); end !== -1; end = input.indexOf(LF, from)) {
      // The CR is not insisted on: what one line is stays clear without it.
      const stop = end > from && input[end - 1] === CR ? end - 1 : end;
      if (stop - from > LONGEST_LINE) return 'the reply has a line that is too long';
      const fault = this.#line(textOf(input, from, stop));
      if (fault) return fault;
      from = end + 1;
    }
    this.#rest = from === input.length ? EMPTY : Buffer.from(input.subarray(from));
    return this.#rest.length > LONGEST_LINE ? 'the reply has a line that is too long' : null;
  }

  #line(text: string): string | null {
    const code = codeOf(text);
    if (code === 0) return `the reply is not SMTP: ${printable(text.slice(0, 100))}`;
    this.#lines.push(printable(text.slice(4).replaceAll('\t', ' ')));
    this.#length += text.length;
    if (this.#length > LONGEST_REPLY) return 'the reply is too long';
    if (text.charCodeAt(3) === HYPHEN) {
      return this.#lines.length >= MOST_LINES ? 'the reply has too many lines' : null;
    }
    const lines = this.#lines;
    this.#lines = [];
    this.#length = 0;
    this.replies.push({ code, enhanced: enhancedOf(lines, text[0]!), lines });
    return null;
  }
}

/** 200 to 599, followed by a blank, a hyphen or nothing; 0 when the line begins with no such code. */
function codeOf(text: string): number {
  const next = text.charCodeAt(3);
  if (text.length !== 3 && next !== BLANK && next !== HYPHEN) return 0;
  let code = 0;
  for (let i = 0; i < 3; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return 0;
    code = code * 10 + digit;
  }
  return code >= 200 && code < 600 ? code : 0;
}

function enhancedOf(lines: readonly string[], itsClass: string): string {
  let other = '';
  for (const line of lines) {
    const found = ENHANCED.exec(line)?.[1];
    if (found?.[0] === itsClass) return found!;
    other ||= found ?? '';
  }
  return other;
}

function textOf(input: Buffer, from: number, to: number): string {
  const text = input.toString('latin1', from, to);
  return NON_ASCII.test(text) && isUtf8(input.subarray(from, to)) ? input.toString('utf8', from, to) : text;
}
