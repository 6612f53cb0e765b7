/** The batch form of a pickup file: the commands of one SMTP or mail merge submission (delivery guide, D18.4). */
import { isUtf8 } from 'node:buffer';
import {
  addressAsWritten,
  isAddressFault,
  isFault,
  type MailCommand,
  type ParamRules,
  type PathFault,
  parseMail,
  parseRcpt,
  type RcptCommand,
  type Reply,
  reply,
} from '../../../smtp/index.ts';
import type { NotifyRequest } from '../../../spool/stored-message.ts';
import { MailMergeSession } from '../mail-merge-session.ts';
import type { SubmittedRecipient } from '../submission.ts';
import { bad, type FileRules, type PickupContent } from './pickup-content.ts';

const LF = 0x0a;
const FIRST_COMMAND = /^(?:HELO|EHLO|MAIL|XACK|XMRG)(?:[ \t\r\n]|$)/i;
/** XDFN lines of many variables; SMTP itself has less. */
const LONGEST_LINE = 65_536;
const END_OF_DATA = Buffer.from('\r\n.\r\n', 'latin1');
const STUFFED = Buffer.from('\r\n.', 'latin1');
const DOT = 0x2e;

/** Whether the file begins as the batch form does. */
export function isBsmtpFile(content: Buffer): boolean {
  return FIRST_COMMAND.test(content.toString('latin1', 0, 8));
}

/** `content` has CRLF line ends. */
export function parseBsmtpFile(content: Buffer, rules: FileRules): PickupContent {
  return new BatchReader(content, rules).read();
}

/** What stops the reading: a sentence about the file. */
class BadFile extends Error {}

class BatchReader {
  readonly #content: Buffer;
  readonly #rules: FileRules;
  readonly #params: ParamRules;
  readonly #session: MailMergeSession;
  readonly #recipients: SubmittedRecipient[] = [];
  #at = 0;
  #line = 0;
  #heloName = '';
  #mail: MailCommand | null = null;
  #body: Buffer | null = null;
  #complete = false;

  constructor(content: Buffer, rules: FileRules) {
    this.#content = content;
    this.#rules = rules;
    this.#session = new MailMergeSession(rules.mostBytes);
    this.#params = {
      ...{ size: true, eightBitMime: true, smtputf8: true, dsn: true, auth: true, binaryMime: false },
      extraMail: new Set(['VERP']),
      extraRcpt: new Set(),
      unqualified: rules.unqualified,
    };
  }

  read(): PickupContent {
    try {
      for (let line = this.#nextLine(); line !== null; line = this.#nextLine()) this.#command(line);
      if (!this.#complete) throw new BadFile('it ends before the message does');
    } catch (error) {
      if (!(error instanceof BadFile)) throw error;
      return bad(this.#line > 0 ? `line ${this.#line}: ${error.message}` : error.message);
    }
    const { address, params } = this.#mail!;
    return {
      kind: 'message',
      heloName: this.#heloName,
      sender: {
        address,
        envId: params.envid ?? '',
        returnContent: params.ret === 'FULL' ? 'full' : params.ret === 'HDRS' ? 'headers' : '',
        eightBit: params.body === '8BITMIME',
        smtpUtf8: params.smtputf8 ?? false,
        verp: params.extra?.has('VERP') ?? false,
      },
      jobId: '',
      recipients: this.#recipients,
      merge: this.#session.merging,
      parts: this.#body ? [{ number: 1, content: this.#body }] : this.#session.parts,
    };
  }

  #nextLine(): Buffer | null {
    if (this.#at >= this.#content.length) return null;
    this.#line++;
    const end = this.#content.indexOf(LF, this.#at);
    const next = end < 0 ? this.#content.length : end + 1;
    if (next - this.#at > LONGEST_LINE) throw new BadFile(`a command of more than ${LONGEST_LINE} bytes`);
    const line = this.#content.subarray(this.#at, end < 0 ? next : Math.max(this.#at, end - 1));
    this.#at = next;
    return line;
  }

  #command(line: Buffer): void {
    const text = line.toString(isUtf8(line) ? 'utf8' : 'latin1').trimEnd();
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text))
      throw new BadFile('a control character in a command');
    const [, verb = '', argument = ''] = /^(\S*)[ \t]*(.*)$/.exec(text)!;
    if (this.#complete) {
      // Writers of batches end them like sessions.
      if (text !== '' && verb.toUpperCase() !== 'QUIT') throw new BadFile('something follows the submission');
      return;
    }
    switch (verb.toUpperCase()) {
      case 'HELO':
      case 'EHLO':
        if (argument === '' || argument.length > 255) throw new BadFile('that is no host name');
        if (this.#mail) throw new BadFile('HELO and EHLO come before MAIL');
        this.#heloName = argument;
        return;
      case 'XACK':
        this.#must(this.#session.xack(argument));
        return;
      case 'MAIL':
      case 'XMRG':
        this.#begin(argument, verb.toUpperCase() === 'XMRG');
        return;
      case 'XDFN':
        // Values are octets: no encoding is applied to them.
        this.#bear(this.#session.xdfn(line.toString('latin1').slice(5)));
        return;
      case 'RCPT':
        this.#rcpt(argument);
        return;
      case 'DATA':
        this.#data(argument);
        return;
      case 'XPRT':
        this.#part(argument);
        return;
      default:
        throw new BadFile(`"${verb.slice(0, 40)}" is not one of the commands of such a file`);
    }
  }

  #must(answer: Reply | PathFault): void {
    if (answer.code >= 400) throw new BadFile(`${answer.code} ${answer.text}`);
  }

  /** An error counts at once, or under XACK OFF when content comes. */
  #bear(answer: Reply): void {
    const said = this.#session.answer(answer, this.#mail !== null);
    if (said !== 'silent') this.#must(said);
  }

  #begin(argument: string, merging: boolean): void {
    if (this.#mail) throw new BadFile('one file holds one submission');
    const mail = parseMail(argument, this.#params);
    if (isFault(mail)) throw new BadFile(`${mail.code} ${mail.text}`);
    this.#mail = mail;
    this.#session.begin(merging);
  }

  #rcpt(argument: string): void {
    const mail = this.#mail;
    if (!mail) throw new BadFile('RCPT before MAIL or XMRG');
    if (this.#session.parts.length > 0) throw new BadFile('RCPT after XPRT');
    const variables = this.#session.takeVariables();
    if (this.#recipients.length >= this.#rules.mostRecipients) {
      throw new BadFile(`more than ${this.#rules.mostRecipients} recipients`);
    }
    const rcpt = parseRcpt(argument, this.#params, mail.params.smtputf8 === true);
    if (!isFault(rcpt)) {
      const fault = this.#rules.suppressed?.(rcpt.address) ?? null;
      // Section 19: refused while reading, or under XACK OFF bounced.
      if (fault && this.#session.acknowledge) this.#must(reply(fault.code, fault.enhanced, fault.text));
      const refusal = fault && this.#rules.refusal(fault);
      this.#recipients.push({ ...accepted(rcpt), variables, refusal });
      return;
    }
    // D18.5: with XACK OFF a wrong address costs its recipient, any other error the file.
    if (isAddressFault(rcpt) && !this.#session.acknowledge) {
      const address = addressAsWritten(argument);
      const refusal = this.#rules.refusal(rcpt);
      this.#recipients.push({ address, originalRecipient: '', notify: [], variables, refusal });
    } else this.#bear(reply(rcpt.code, rcpt.enhanced, rcpt.text));
  }

  /** Recipients are there, and nothing that was kept back cancels the submission. */
  #mayHaveContent(): void {
    if (!this.#mail) throw new BadFile('content before MAIL or XMRG');
    const { keptError } = this.#session;
    if (keptError) this.#must(keptError);
    if (this.#recipients.length === 0) throw new BadFile('content without a recipient');
  }

  #data(argument: string): void {
    this.#mayHaveContent();
    if (argument !== '') throw new BadFile('DATA takes no argument');
    if (this.#session.merging) throw new BadFile('after XMRG content comes with XPRT');
    const body = this.#untilDot();
    if (body.length > this.#rules.mostBytes) throw new BadFile(`more than ${this.#rules.mostBytes} bytes`);
    this.#body = body;
    this.#complete = true;
  }

  #part(argument: string): void {
    this.#mayHaveContent();
    const start = this.#session.xprt(argument);
    if ('code' in start) this.#must(start);
    else {
      this.#must(this.#session.takePart(start, this.#untilDot()));
      this.#complete = start.last;
    }
  }

  /** The lines up to the one dot, without the dots that were put before others. */
  #untilDot(): Buffer {
    const content = this.#content;
    const start = this.#at;
    let end: number;
    if (content.toString('latin1', start, start + 3) === '.\r\n') {
      end = start;
      this.#at = start + 3;
    } else {
      // The last line of a file often has no end.
      let found = content.indexOf(END_OF_DATA, start);
      if (found < 0 && content.toString('latin1', Math.max(start, content.length - 3)) === '\r\n.') {
        found = content.length - 3;
      }
      if (found < 0) throw new BadFile('the content has no end');
      end = found + 2;
      this.#at = Math.min(content.length, found + END_OF_DATA.length);
    }
    return withoutStuffing(content.subarray(start, end));
  }
}

function accepted(rcpt: RcptCommand): Omit<SubmittedRecipient, 'variables'> {
  return {
    address: rcpt.address,
    originalRecipient: rcpt.params.orcpt?.address ?? '',
    notify: (rcpt.params.notify ?? []).map((word) => word.toLowerCase() as NotifyRequest['notify'][number]),
    refusal: null,
  };
}

function withoutStuffing(content: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = content[0] === DOT ? 1 : 0;
  for (let at = content.indexOf(STUFFED, from); at !== -1; at = content.indexOf(STUFFED, at + 3)) {
    pieces.push(content.subarray(from, at + 2));
    from = at + 3;
  }
  if (pieces.length === 0) return content.subarray(from);
  pieces.push(content.subarray(from));
  return Buffer.concat(pieces);
}
