import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { hasBareLineEnd, MessageCollector, removeStuffing } from './message-data.ts';
import type { MailCommand, ParamRules } from './path.ts';
import { isFault, parseMail, parseRcpt } from './path.ts';
import { formatReply, type Reply, reply } from './reply.ts';
import {
  type AuthExchange,
  type AuthStep,
  type Credentials,
  createAuthExchange,
  MAX_AUTH_LINE,
} from './server-auth.ts';
import * as say from './server-replies.ts';
import type {
  Answer,
  AuthMechanism,
  CloseReason,
  CommandAnswer,
  Envelope,
  MaybeLater,
  SmtpServerHandlers,
  SmtpServerOptions,
  SmtpSessionTools,
} from './server-types.ts';

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;

/** Commands waiting behind a slow handler; above this the socket is paused. */
const MOST_PENDING_INPUT = 65_536;
/** Replies waiting for a client that does not read; above this its commands wait too. */
const MOST_PENDING_OUTPUT = 262_144;
/** Replies of a batch go out together, but not later than this when one of its handlers takes long. */
const LONGEST_HELD_REPLY_MS = 200;
/** What one message may take of this process when the options set no limit. */
const LARGEST_MESSAGE = 512 * 1024 * 1024;
/** A wrong password weighs as much as this many wrong commands. */
const AUTH_FAILURE_WEIGHT = 5;

const NON_ASCII = /[\u0080-\u00ff]/;
const CONTROLS = /[\u0000-\u001f\u007f]/;

export interface SessionTls {
  /** `TLSv1.3`. */
  readonly protocol: string;
  /** OpenSSL's name. */
  readonly cipher: string;
}

/** Where a connection comes from and goes to; given from outside when a proxy stands between. */
export interface Endpoints {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/**
 * `greet`: nothing said yet. `command`, `auth`: a line is awaited. `data`, `bdat`: content is awaited. `tls`: the
 * handshake runs. `closing`: the last reply is on its way. `closed`: the socket is gone.
 */
type State = 'greet' | 'command' | 'auth' | 'data' | 'bdat' | 'tls' | 'closing' | 'closed';

/** Serves one connection from the greeting to its end; needs nothing from the caller but the handlers. */
export function createSmtpSession(
  socket: Socket,
  options: SmtpServerOptions,
  handlers: SmtpServerHandlers,
  tools: Partial<SmtpSessionTools> & { endpoints?: Endpoints } = {},
): SmtpServerSession {
  return new SmtpServerSession(socket, options, handlers, tools);
}

export class SmtpServerSession implements Endpoints {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Argument of the latest HELO or EHLO; '' before it and after STARTTLS. */
  heloName = '';
  /** The client said EHLO. */
  esmtp = false;
  tls: SessionTls | null = null;
  /** Authenticated user, null if none. */
  user: string | null = null;
  /** The open transaction, null between transactions. */
  envelope: Envelope | null = null;
  /** A place for the caller's own facts about this session. */
  context: unknown = undefined;

  #socket: Socket;
  #options: SmtpServerOptions;
  readonly #handlers: SmtpServerHandlers;
  readonly #tools: SmtpSessionTools;
  #rules: ParamRules;
  #enhanced: boolean;
  #state: State = 'greet';
  /** A handler has not answered yet: nothing more is read from the input until it does. */
  #busy = false;
  #greetingRefused = false;
  #stopping = false;
  #inputEnded = false;
  #input: Buffer = EMPTY;
  #at = 0;
  /** Where to look on for the end of an unfinished line. */
  #scanned = 0;
  #out = '';
  #progress = false;
  #errors = 0;
  #rcptTried = false;
  #exchange: AuthExchange | null = null;
  #collector: MessageCollector | null = null;
  #collected: ((content: Buffer) => MaybeLater<Answer>) | null = null;
  #chunkLeft = 0;
  #chunkIsLast = false;
  #chunkSize = 0;
  #chunkReply: Reply | null = null;
  #startedAt = 0;
  #deadline = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelHeld: (() => void) | null = null;
  #closeReason: CloseReason | null = null;

  constructor(
    socket: Socket,
    options: SmtpServerOptions,
    handlers: SmtpServerHandlers,
    tools: Partial<SmtpSessionTools> & { endpoints?: Endpoints },
  ) {
    this.#socket = socket;
    this.#options = options;
    this.#handlers = handlers;
    this.#tools = { clock: tools.clock ?? systemClock, log: tools.log ?? silentLog };
    this.remoteAddress = tools.endpoints?.remoteAddress ?? plainAddress(socket.remoteAddress);
    this.remotePort = tools.endpoints?.remotePort ?? socket.remotePort ?? 0;
    this.localAddress = tools.endpoints?.localAddress ?? plainAddress(socket.localAddress);
    this.localPort = tools.endpoints?.localPort ?? socket.localPort ?? 0;
    this.#rules = paramRules(options);
    this.#enhanced = options.extensions.has('ENHANCEDSTATUSCODES');
    socket.setNoDelay(true);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    if (options.immediateTls) this.#wrap(socket, false);
    else {
      this.#listen();
      this.#greet();
    }
  }

  get options(): SmtpServerOptions {
    return this.#options;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Changes what the session offers and bears from the next command on. TLS modes already passed stay as they are. */
  configure(change: Partial<SmtpServerOptions>): void {
    this.#options = { ...this.#options, ...change };
    this.#rules = paramRules(this.#options);
    this.#enhanced = this.#options.extensions.has('ENHANCEDSTATUSCODES');
  }

  /** Ends the open transaction, as RSET does; for handlers of extension commands. */
  endTransaction(): void {
    this.envelope = null;
    this.#collector = null;
    this.#rcptTried = false;
  }

  /**
   * `421` and the end: at once when the client owes us a command, else as soon as the message or handler in progress
   * is done.
   */
  stop(): void {
    this.#stopping = true;
    if (this.#state === 'tls') this.destroy('shutdown');
    else if (this.#state !== 'data' && this.#state !== 'bdat') this.#run();
  }

  /** Cuts the connection now. */
  destroy(why: CloseReason = 'shutdown'): void {
    this.#closeReason ??= why;
    this.#socket.destroy();
    // 'close' comes in a later turn; until then no handler may be called and no timer may fire.
    this.#ended();
  }

  // Input

  #listen(): void {
    this.#socket.on('data', this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('drain', this.#onDrain);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === 'closing' || this.#state === 'closed' || this.#state === 'tls') return;
    if (this.#at >= this.#input.length) {
      this.#input = chunk;
      this.#at = 0;
      this.#scanned = 0;
    } else {
      this.#scanned -= this.#at;
      this.#input = Buffer.concat([this.#input.subarray(this.#at), chunk]);
      this.#at = 0;
    }
    if (this.#busy || this.#socket.writableLength > MOST_PENDING_OUTPUT) {
      if (this.#input.length - this.#at > MOST_PENDING_INPUT) this.#socket.pause();
      return;
    }
    this.#run();
  };

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    if (!this.#busy) this.#run();
  };

  readonly #onDrain = (): void => {
    if (!this.#busy) this.#run();
  };

  readonly #onError = (error: Error): void => {
    this.#tools.log.info('connection failed', { client: this.remoteAddress, reason: error.message });
    this.#closeReason ??= 'error';
  };

  readonly #onClose = (): void => {
    this.#closeReason ??= this.#state === 'tls' ? 'error' : 'client-closed';
    this.#ended();
  };

  #ended(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#cancelHeld?.();
    this.#cancelHeld = null;
    this.#input = EMPTY;
    this.#abandon();
    this.#handlers.onClose?.(this.#closeReason ?? 'client-closed', this);
  }

  /** Does whatever the input allows, then sends all replies in one write. */
  #run(): void {
    while (!this.#busy && this.#step()) this.#progress = true;
    if (this.#state === 'closed' || this.#state === 'closing' || this.#state === 'tls') return;
    if (this.#busy) {
      this.#deadline = Number.POSITIVE_INFINITY;
      if (this.#out !== '') this.#cancelHeld ??= this.#tools.clock.after(LONGEST_HELD_REPLY_MS, this.#flush);
      return;
    }
    this.#flush();
    if (this.#inputEnded) {
      this.#finish('client-closed');
      return;
    }
    this.#setDeadline();
    if (this.#socket.isPaused() && this.#socket.writableLength <= MOST_PENDING_OUTPUT) this.#socket.resume();
  }

  /** One command line or piece of content; false when more input is needed. */
  #step(): boolean {
    switch (this.#state) {
      case 'command':
      case 'auth':
        if (this.#stopping) {
          this.#say(say.SHUTTING_DOWN, 'shutdown');
          return false;
        }
        if (this.#out.length > MOST_PENDING_OUTPUT) this.#flush();
        if (this.#socket.writableLength > MOST_PENDING_OUTPUT) return false;
        return this.#stepLine();
      case 'data':
        return this.#stepData();
      case 'bdat':
        return this.#stepChunk();
      default:
        return false;
    }
  }

  #stepLine(): boolean {
    const input = this.#input;
    const start = this.#at;
    const end = input.indexOf(LF, Math.max(this.#scanned, start));
    const limit = this.#state === 'auth' ? MAX_AUTH_LINE : this.#options.maxCommandLine;
    if (end === -1 ? input.length - start > limit : end - start >= limit) {
      this.#say(say.LINE_TOO_LONG, 'error');
      return false;
    }
    if (end === -1) {
      this.#scanned = input.length;
      return false;
    }
    this.#at = end + 1;
    this.#scanned = end + 1;
    const complete = end > start && input[end - 1] === CR;
    const line = input.toString('latin1', start, complete ? end - 1 : end);
    if (!complete || CONTROLS.test(line)) this.#fault(say.BAD_LINE);
    else if (this.#state === 'auth') this.#authLine(line);
    else if (!NON_ASCII.test(line)) this.#command(line);
    else if (this.#rules.smtputf8 && isUtf8(input.subarray(start, end))) {
      this.#command(input.toString('utf8', start, end - 1));
    } else this.#fault(say.NOT_ASCII);
    return true;
  }

  // Output

  /** Queues a reply; `why` tells that the connection ends with it. */
  #say(reply: Reply, why?: CloseReason): undefined {
    this.#out += formatReply(reply, this.#enhanced);
    if (why) this.#finish(why);
    else if (reply.close || reply.code === 421) this.#finish('refused');
  }

  /** A command refused by the protocol itself. */
  #fault(reply: Reply, weight = 1): undefined {
    this.#errors += weight;
    if (this.#errors >= this.#options.maxErrors) {
      this.#out += formatReply(reply, this.#enhanced);
      this.#say(say.TOO_MANY_ERRORS, 'error');
    } else this.#say(reply);
  }

  readonly #flush = (): void => {
    this.#cancelHeld?.();
    this.#cancelHeld = null;
    if (this.#out === '') return;
    const out = this.#out;
    this.#out = '';
    if (this.#socket.writable) this.#socket.write(out);
  };

  /** Sends what is queued and hangs up, reading on for a while so that a reset does not swallow the last reply. */
  #finish(why: CloseReason): undefined {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#closeReason ??= why;
    this.#flush();
    this.#state = 'closing';
    this.#input = EMPTY;
    this.#at = 0;
    this.#abandon();
    this.#socket.end();
    this.#socket.resume();
    this.#armTimer(this.#options.timeouts.close);
  }

  /**
   * Writes a handler's refusal or approval; true when it approved. `accepts` is the class of code that means yes:
   * 2, or 3 at DATA.
   */
  #answered(answer: Answer, fallback: Reply, accepts = 2): boolean {
    if (answer === null || answer === undefined) {
      this.#say(fallback);
      return true;
    }
    if (answer === 'silent') return true;
    if (answer === 'drop') {
      this.#closeReason ??= 'dropped';
      this.#flush();
      this.#socket.destroySoon();
      this.#ended();
      return false;
    }
    this.#say(answer);
    return Math.floor(answer.code / 100) === accepts && !this.#isOver();
  }

  #isOver(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }

  /** Calls a handler and goes on with what it says, at once or when it comes. */
  #ask<T>(call: () => MaybeLater<T>, then: (value: T) => void): undefined {
    let value: MaybeLater<T>;
    try {
      value = call();
    } catch (error) {
      this.#handlerFailed(error);
      return;
    }
    if (!(value instanceof Promise)) {
      then(value);
      return;
    }
    this.#busy = true;
    value.then(
      (result) => {
        this.#busy = false;
        if (this.#isOver()) return;
        then(result);
        this.#progress = true;
        this.#run();
      },
      (error: unknown) => {
        this.#busy = false;
        if (this.#isOver()) return;
        this.#handlerFailed(error);
        this.#run();
      },
    );
  }

  #handlerFailed(error: unknown): undefined {
    this.#tools.log.error('handler failed', {
      client: this.remoteAddress,
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    if (this.#state === 'greet') this.#say(say.INTERNAL_ERROR, 'error');
    else this.#say(say.INTERNAL_ERROR);
  }

  // Time

  #setDeadline(): void {
    const { timeouts } = this.#options;
    if (this.#state === 'data' || this.#state === 'bdat') {
      const now = this.#tools.clock.now();
      this.#armTimer(Math.min(timeouts.data, this.#startedAt + timeouts.message - now));
    } else if (this.#progress) this.#armTimer(timeouts.command);
    this.#progress = false;
  }

  /**
   * The deadline moves with every command, the timer only when it has fired too early: setting one for each command
   * would cost more than reading it.
   */
  #armTimer(ms: number): void {
    this.#deadline = this.#tools.clock.now() + ms;
    if (this.#cancelTimer && this.#timerAt <= this.#deadline) return;
    this.#cancelTimer?.();
    this.#timerAt = this.#deadline;
    this.#cancelTimer = this.#tools.clock.after(ms, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#cancelTimer = null;
    if (this.#state === 'closed') return;
    const left = this.#deadline - this.#tools.clock.now();
    if (left > 0) {
      if (left !== Number.POSITIVE_INFINITY) this.#armTimer(left);
      return;
    }
    if (this.#state === 'closing' || this.#state === 'tls') this.destroy('timeout');
    else this.#say(say.TIMED_OUT, 'timeout');
  };

  // Greeting and TLS

  #greet(): undefined {
    const { banner, hostName } = this.#options;
    this.#ask(
      () => this.#handlers.onConnect?.(this),
      (answer) => {
        this.#greetingRefused = !this.#answered(answer, { code: 220, text: banner ?? `${hostName} ESMTP` });
        if (this.#isOver()) return;
        this.#state = 'command';
        this.#progress = true;
        if (!this.#busy) this.#run();
      },
    );
  }

  #startTls(argument: string): undefined {
    if (!this.#options.tls || !this.#options.extensions.has('STARTTLS')) this.#fault(say.NOT_IMPLEMENTED);
    else if (this.tls) this.#fault(say.TLS_ALREADY);
    else if (argument !== '') this.#fault(say.NO_ARGUMENT);
    else {
      // Whatever was sent along with STARTTLS came in clear, maybe from somebody between (CVE-2011-0411).
      this.#input = EMPTY;
      this.#at = 0;
      this.#scanned = 0;
      this.#state = 'tls';
      const socket = this.#socket;
      socket.removeListener('data', this.#onData);
      socket.removeListener('end', this.#onEnd);
      socket.removeListener('drain', this.#onDrain);
      socket.pause();
      this.#abandon();
      const out = this.#out + formatReply(say.READY_FOR_TLS, this.#enhanced);
      this.#out = '';
      this.#armTimer(this.#options.timeouts.handshake);
      socket.write(out, () => {
        if (this.#state !== 'tls') return;
        // Bytes that the socket read meanwhile were in clear as well.
        while (socket.read() !== null);
        this.#wrap(socket, true);
      });
    }
  }

  #wrap(raw: Socket, greeted: boolean): void {
    const tls = this.#options.tls;
    if (!tls) throw new Error('an SMTP session with immediateTls needs options.tls');
    this.#state = 'tls';
    this.#armTimer(this.#options.timeouts.handshake);
    const secured = new TLSSocket(raw, {
      isServer: true,
      secureContext: tls.secureContext,
      requestCert: tls.requestCertificate === true,
      rejectUnauthorized: false,
    });
    raw.removeListener('close', this.#onClose);
    secured.on('error', this.#onError);
    secured.on('_tlsError', this.#onError);
    secured.on('close', this.#onClose);
    this.#socket = secured;
    secured.once('secure', () => {
      if (this.#state !== 'tls') return;
      this.tls = { protocol: secured.getProtocol() ?? '', cipher: secured.getCipher()?.name ?? '' };
      this.heloName = '';
      this.esmtp = false;
      this.user = null;
      this.#state = 'greet';
      this.#listen();
      this.#ask(
        () => this.#handlers.onTls?.(this),
        () => {
          if (!greeted) return this.#greet();
          this.#state = 'command';
          this.#progress = true;
          this.#run();
        },
      );
    });
  }

  /** The client's certificate, when `requestCertificate` was set and it gave one. */
  get clientCertificate(): { verified: boolean; reason: string; subject: string } | null {
    if (!(this.#socket instanceof TLSSocket)) return null;
    const certificate = this.#socket.getPeerX509Certificate();
    if (!certificate) return null;
    // Node judges the certificate in its own TLS server only, not where a socket is upgraded; this is how it does.
    const { _handle: handle } = this.#socket as unknown as { _handle?: { verifyError(): Error | null } };
    const error = handle ? handle.verifyError() : new Error('the connection is closed');
    return { verified: error === null, reason: error?.message ?? '', subject: certificate.subject };
  }

  // Commands

  #command(line: string): undefined {
    const blank = line.indexOf(' ');
    const verb = (blank === -1 ? line : line.slice(0, blank)).toUpperCase();
    const argument = blank === -1 ? '' : line.slice(blank + 1).trim();
    if (this.#greetingRefused && verb !== 'QUIT') return this.#fault(say.GREETING_REFUSED);
    switch (verb) {
      case 'MAIL':
        return this.#mail(argument, say.SENDER_OK);
      case 'RCPT':
        return this.#rcpt(argument);
      case 'DATA':
        return this.#data(argument);
      case 'BDAT':
        return this.#bdat(argument);
      case 'EHLO':
      case 'HELO':
        return this.#helo(argument, verb === 'EHLO');
      case 'RSET':
        if (argument !== '') return this.#fault(say.NO_ARGUMENT);
        this.#abandon();
        return this.#say(say.RESET);
      case 'NOOP':
        return this.#say(say.OK);
      case 'QUIT':
        if (argument !== '') return this.#fault(say.NO_ARGUMENT);
        this.#closeReason ??= 'quit';
        return this.#say(reply(221, '2.0.0', `${this.#options.hostName} closing connection`), 'quit');
      case 'STARTTLS':
        return this.#startTls(argument);
      case 'AUTH':
        return this.#auth(argument);
      case 'VRFY':
        return argument === '' ? this.#fault(say.ARGUMENT_MISSING) : this.#say(say.VERIFY);
      case 'HELP':
        return this.#say(say.HELP);
      case 'EXPN':
        return this.#fault(say.NOT_IMPLEMENTED);
      default:
        return this.#extension(verb, argument);
    }
  }

  #extension(verb: string, argument: string): undefined {
    const { onCommand } = this.#handlers;
    if (!onCommand || !/^[A-Z0-9]{1,32}$/.test(verb)) return this.#fault(say.UNKNOWN_COMMAND);
    this.#ask(
      () => onCommand.call(this.#handlers, verb, argument, this),
      (answer: CommandAnswer) => {
        if (answer === 'unknown') this.#fault(say.UNKNOWN_COMMAND);
        else if (answer && typeof answer === 'object' && 'treatAs' in answer) {
          this.#mail(answer.argument, answer.success ?? say.SENDER_OK);
        } else if (answer && typeof answer === 'object' && 'start' in answer) {
          this.#say(answer.start);
          if (!this.#isOver()) this.#collect(answer.collected);
        } else this.#answered(answer, say.OK);
      },
    );
  }

  #helo(name: string, esmtp: boolean): undefined {
    if (name === '') return this.#fault(say.ARGUMENT_MISSING);
    if (name.length > 255 || name.includes(' ')) return this.#fault(say.BAD_HELO);
    this.#ask(
      () => this.#handlers.onEhlo?.(name, this),
      (answer) => {
        const greeting: Reply = esmtp
          ? { code: 250, text: this.#ehloLines() }
          : { code: 250, text: this.#options.hostName };
        if (!this.#answered(answer, greeting)) return;
        this.#abandon();
        this.heloName = name;
        this.esmtp = esmtp;
      },
    );
  }

  #ehloLines(): string[] {
    const { extensions, hostName, maxMessageSize, extraKeywords } = this.#options;
    const lines = [hostName];
    if (extensions.has('PIPELINING')) lines.push('PIPELINING');
    if (extensions.has('SIZE')) lines.push(`SIZE ${Number.isFinite(maxMessageSize) ? maxMessageSize : 0}`);
    if (extensions.has('8BITMIME')) lines.push('8BITMIME');
    if (extensions.has('STARTTLS') && this.#options.tls && !this.tls) lines.push('STARTTLS');
    const mechanisms = this.#mechanisms();
    if (mechanisms.length > 0) lines.push(`AUTH ${mechanisms.join(' ')}`);
    if (extensions.has('ENHANCEDSTATUSCODES')) lines.push('ENHANCEDSTATUSCODES');
    if (extensions.has('DSN')) lines.push('DSN');
    if (extensions.has('SMTPUTF8')) lines.push('SMTPUTF8');
    if (extensions.has('CHUNKING')) lines.push('CHUNKING');
    return extraKeywords ? [...lines, ...extraKeywords] : lines;
  }

  /** What AUTH may be tried with on this connection as it is now. */
  #mechanisms(): AuthMechanism[] {
    const { extensions, authMechanisms, requireTlsBeforeAuth, requireTls, allowClearPasswords } =
      this.#options;
    if (!extensions.has('AUTH')) return [];
    if (this.tls) return [...authMechanisms];
    if (requireTlsBeforeAuth || requireTls) return [];
    return authMechanisms.filter((mechanism) => mechanism === 'CRAM-MD5' || allowClearPasswords);
  }

  #mail(argument: string, success: Reply): undefined {
    const { requireHelo, requireTls, requireAuth, maxMessageSize } = this.#options;
    if (requireHelo && this.heloName === '') return this.#fault(say.HELO_FIRST);
    if (requireTls && !this.tls) return this.#fault(say.TLS_FIRST);
    if (requireAuth && this.user === null) return this.#fault(say.AUTH_FIRST);
    if (this.envelope) return this.#fault(say.MAIL_TWICE);
    const mail = parseMail(argument, this.#rules);
    if (isFault(mail)) return this.#fault(mail);
    if (mail.params.size !== undefined && mail.params.size > maxMessageSize) return this.#say(say.TOO_BIG);
    const { onMail } = this.#handlers;
    if (!onMail) return this.#mailAccepted(mail, null, success);
    this.#ask(
      () => onMail.call(this.#handlers, mail, this),
      (answer) => this.#mailAccepted(mail, answer, success),
    );
  }

  #mailAccepted(mail: MailCommand, answer: Answer, success: Reply): undefined {
    if (!this.#answered(answer, success)) return;
    this.envelope = { from: mail, recipients: [] };
    this.#rcptTried = false;
  }

  #rcpt(argument: string): undefined {
    const envelope = this.envelope;
    if (!envelope) return this.#fault(say.MAIL_FIRST);
    if (this.#collector) return this.#fault(say.WRONG_ORDER);
    this.#rcptTried = true;
    const rcpt = parseRcpt(argument, this.#rules, envelope.from.params.smtputf8 === true);
    if (isFault(rcpt)) return this.#fault(rcpt);
    if (envelope.recipients.length >= this.#options.maxRecipients) return this.#say(say.TOO_MANY_RECIPIENTS);
    const { onRcpt } = this.#handlers;
    if (!onRcpt) {
      envelope.recipients.push(rcpt);
      return this.#say(say.RECIPIENT_OK);
    }
    this.#ask(
      () => onRcpt.call(this.#handlers, rcpt, this),
      (answer) => {
        if (this.#answered(answer, say.RECIPIENT_OK)) envelope.recipients.push(rcpt);
      },
    );
  }

  // Content

  #whyNoContent(): Reply | null {
    if (!this.envelope) return say.MAIL_FIRST;
    if (this.envelope.recipients.length > 0) return null;
    return this.#rcptTried ? say.NO_VALID_RECIPIENTS : say.RCPT_FIRST;
  }

  #data(argument: string): undefined {
    if (argument !== '') return this.#fault(say.NO_ARGUMENT);
    const why = this.#whyNoContent();
    if (why) return this.#fault(why);
    if (this.#collector) return this.#fault(say.WRONG_ORDER);
    const envelope = this.envelope!;
    this.#ask(
      () => this.#handlers.onData?.(envelope, this),
      (answer) => {
        if (this.#answered(answer, say.START_MAIL, 3)) this.#collect(null);
      },
    );
  }

  #newCollector(): MessageCollector {
    this.#startedAt = this.#tools.clock.now();
    const limit = Math.min(this.#options.maxMessageSize, LARGEST_MESSAGE);
    // Stuffed dots do not count (RFC 1870 section 5), so a little more than the limit is held until they are off.
    return new MessageCollector(limit + (limit >> 5) + 1024);
  }

  #collect(collected: ((content: Buffer) => MaybeLater<Answer>) | null): void {
    this.#collector = this.#newCollector();
    this.#collected = collected;
    this.#state = 'data';
  }

  #stepData(): boolean {
    const input = this.#input;
    if (this.#at >= input.length) return false;
    const collector = this.#collector!;
    const end = collector.pushUntilDot(input, this.#at);
    if (end === -1) {
      this.#input = EMPTY;
      this.#at = 0;
      this.#scanned = 0;
      return false;
    }
    this.#at = end;
    this.#scanned = end;
    this.#state = 'command';
    const content = collector.overflowed ? null : collector.contentUntilDot();
    this.#contentDone(content, collector.received, true);
    return true;
  }

  /** All content is there; null when it was too much to keep. */
  #contentDone(raw: Buffer | null, received: number, stuffed: boolean): undefined {
    const collected = this.#collected;
    this.#collector = null;
    this.#collected = null;
    let refusal: Reply | null = null;
    let content = raw;
    if (content === null) refusal = say.TOO_BIG;
    else if (this.#options.bareLineEnds === 'reject' && hasBareLineEnd(content)) refusal = say.BARE_LINE_END;
    else {
      if (stuffed) content = removeStuffing(content);
      if (content.length > this.#options.maxMessageSize) refusal = say.TOO_BIG;
    }
    if (refusal) {
      this.#tools.log.info('message refused', {
        client: this.remoteAddress,
        bytes: received,
        reason: String(refusal.text),
      });
      this.#abandon();
      return this.#say(refusal);
    }
    const envelope = this.envelope!;
    const message = { envelope, content: content!, startedAt: this.#startedAt };
    if (collected)
      return this.#ask(
        () => collected(content!),
        (answer) => void this.#answered(answer, say.OK),
      );
    this.#ask(
      () => {
        this.envelope = null;
        return this.#handlers.onMessage(message, this);
      },
      (answer) => {
        this.#answered(answer, say.MESSAGE_OK);
      },
    );
  }

  /** RFC 3030: the chunk's bytes follow the line at once, so they are read even when they are not wanted. */
  #bdat(argument: string): undefined {
    const match = /^(\d{1,15})( +LAST)?$/i.exec(argument);
    // Without a length nobody knows where the next command begins.
    if (!match) return this.#say(say.BAD_BDAT, 'error');
    this.#chunkLeft = this.#chunkSize = Number(match[1]);
    this.#chunkIsLast = match[2] !== undefined;
    this.#chunkReply = null;
    if (!this.#collector) this.#startedAt = this.#tools.clock.now();
    const why = this.#options.extensions.has('CHUNKING') ? this.#whyNoContent() : say.NOT_IMPLEMENTED;
    if (why || this.#collector) {
      this.#chunkReply = why;
      this.#state = 'bdat';
      return;
    }
    const envelope = this.envelope!;
    this.#ask(
      () => this.#handlers.onData?.(envelope, this),
      (answer) => {
        if (answer && typeof answer === 'object' && answer.code < 400) answer = null;
        if (answer === null || answer === undefined || answer === 'silent')
          this.#collector = this.#newCollector();
        else if (answer === 'drop') return void this.#answered(answer, say.OK);
        else this.#chunkReply = answer;
        this.#state = 'bdat';
      },
    );
  }

  #stepChunk(): boolean {
    const available = Math.min(this.#chunkLeft, this.#input.length - this.#at);
    if (available === 0 && this.#chunkLeft > 0) return false;
    if (available > 0) {
      if (!this.#chunkReply) this.#collector!.push(this.#input.subarray(this.#at, this.#at + available));
      this.#at += available;
      this.#scanned = this.#at;
      this.#chunkLeft -= available;
      if (this.#chunkLeft > 0) return false;
    }
    this.#state = 'command';
    const collector = this.#collector;
    if (this.#chunkReply) {
      this.#fault(this.#chunkReply);
      this.#chunkReply = null;
      if (!this.#isOver()) this.#abandon();
    } else if (!this.#chunkIsLast && !collector!.overflowed) {
      this.#say(reply(250, '2.0.0', `${this.#chunkSize} bytes received`));
    } else {
      this.#contentDone(collector!.overflowed ? null : collector!.content(), collector!.received, false);
    }
    return true;
  }

  /** Forgets the open transaction, if there is one. */
  #abandon(): void {
    const envelope = this.envelope;
    this.endTransaction();
    this.#collected = null;
    if (envelope) this.#handlers.onAbandoned?.(envelope, this);
  }

  // AUTH

  #auth(argument: string): undefined {
    const { authMechanisms, extensions } = this.#options;
    if (!extensions.has('AUTH') || authMechanisms.length === 0) return this.#fault(say.NOT_IMPLEMENTED);
    if (!this.esmtp) return this.#fault(say.EHLO_FIRST);
    if (this.user !== null) return this.#fault(say.AUTH_ALREADY);
    if (this.envelope) return this.#fault(say.AUTH_DURING_MAIL);
    const [name = '', initial, more] = argument.split(/ +/, 3);
    const mechanism = authMechanisms.find((m) => m === name.toUpperCase());
    if (more !== undefined || name === '') return this.#fault(say.BAD_AUTH_ARGUMENT);
    if (!mechanism) return this.#fault(say.UNKNOWN_MECHANISM);
    if (!this.#mechanisms().includes(mechanism)) return this.#fault(say.ENCRYPTION_NEEDED);
    this.#exchange = createAuthExchange(mechanism, this.#options.hostName);
    this.#authStep(this.#exchange.begin(initial));
  }

  #authLine(line: string): undefined {
    this.#state = 'command';
    if (line === '*') {
      this.#exchange = null;
      this.#fault(say.AUTH_CANCELLED);
    } else this.#authStep(this.#exchange!.next(line));
  }

  #authStep(step: AuthStep): undefined {
    if ('challenge' in step) {
      this.#state = 'auth';
      return this.#say({ code: 334, text: step.challenge });
    }
    this.#exchange = null;
    if ('malformed' in step) return this.#fault(say.BAD_AUTH_RESPONSE);
    const { credentials } = step;
    this.#ask(
      () => this.#verify(credentials),
      (right) => {
        if (!right) {
          this.#tools.log.info('authentication failed', {
            client: this.remoteAddress,
            user: credentials.user,
            mechanism: credentials.mechanism,
          });
          return this.#fault(say.AUTH_FAILED, AUTH_FAILURE_WEIGHT);
        }
        const { user, mechanism } = credentials;
        this.#ask(
          () => this.#handlers.onAuth?.({ user, mechanism }, this),
          (answer) => {
            if (this.#answered(answer, say.AUTHENTICATED)) this.user = user;
          },
        );
      },
    );
  }

  #verify(credentials: Credentials): MaybeLater<boolean> {
    const { checkPassword, passwordOf } = this.#handlers;
    if (checkPassword && credentials.password !== null) {
      return checkPassword.call(this.#handlers, credentials.user, credentials.password, this);
    }
    const password = passwordOf?.call(this.#handlers, credentials.user, this) ?? null;
    return password instanceof Promise
      ? password.then((p) => verdict(p, credentials))
      : verdict(password, credentials);
  }
}

/** An unknown user costs the same time as a wrong password. */
function verdict(password: string | null, credentials: Credentials): boolean {
  const matches = credentials.matches(password ?? '\u0000');
  return password !== null && matches;
}

const NO_KEYWORDS: ReadonlySet<string> = new Set();

function paramRules(options: SmtpServerOptions): ParamRules {
  const { extensions } = options;
  return {
    size: extensions.has('SIZE'),
    eightBitMime: extensions.has('8BITMIME'),
    binaryMime: false,
    smtputf8: extensions.has('SMTPUTF8'),
    dsn: extensions.has('DSN'),
    auth: extensions.has('AUTH') && options.authMechanisms.length > 0,
    extraMail: options.extraMailParams ?? NO_KEYWORDS,
    extraRcpt: options.extraRcptParams ?? NO_KEYWORDS,
    unqualified: options.unqualifiedAddresses,
  };
}

/** An IPv4 client of a socket that listens on both families shows as `::ffff:192.0.2.1`. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
