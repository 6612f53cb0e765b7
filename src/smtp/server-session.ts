import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import type { MailCommand, ParamRules } from './path.ts';
import { isFault, parseMail, parseRcpt } from './path.ts';
import { formatReply, type Reply, reply } from './reply.ts';
import {
  type AuthExchange,
  type AuthStep,
  createAuthExchange,
  MAX_AUTH_LINE,
  verifyCredentials,
} from './server-auth.ts';
import { IncomingChunk, IncomingContent, LARGEST_MESSAGE } from './server-content.ts';
import { ehloLines, mechanismsOffered, paramRules } from './server-offer.ts';
import * as say from './server-replies.ts';
import type {
  Answer,
  CloseReason,
  CommandAnswer,
  Envelope,
  SmtpServerHandlers,
  SmtpServerOptions,
  SmtpSessionTools,
} from './server-types.ts';
import { ServerWire } from './server-wire.ts';

const CR = 0x0d;

/** A wrong password weighs as much as this many wrong commands. */
const AUTH_FAILURE_WEIGHT = 5;

const PLAIN = /^[ -~]*$/;
const CONTROLS = /[\u0000-\u001f\u007f]/;
const CONTROLS_BUT_TAB = /[\u0000-\u0008\u000a-\u001f\u007f]/;
const RCPT = /^RCPT /i;

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

/** `greet`: nothing said yet. `command`, `auth`: a line is awaited. `data`, `chunk`: content is awaited. */
type State = 'greet' | 'command' | 'auth' | 'data' | 'chunk';

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

  readonly #wire: ServerWire;
  readonly #handlers: SmtpServerHandlers;
  readonly #tools: SmtpSessionTools;
  #options: SmtpServerOptions;
  #rules: ParamRules;
  #enhanced: boolean;
  #state: State = 'greet';
  #greetingRefused = false;
  #stopping = false;
  #errors = 0;
  #rcptTried = false;
  #exchange: AuthExchange | null = null;
  #content: IncomingContent | null = null;
  #chunk: IncomingChunk | null = null;

  constructor(
    socket: Socket,
    options: SmtpServerOptions,
    handlers: SmtpServerHandlers,
    tools: Partial<SmtpSessionTools> & { endpoints?: Endpoints },
  ) {
    this.#options = options;
    this.#handlers = handlers;
    this.#tools = { clock: tools.clock ?? systemClock, log: tools.log ?? silentLog };
    this.remoteAddress = tools.endpoints?.remoteAddress ?? plainAddress(socket.remoteAddress);
    this.remotePort = tools.endpoints?.remotePort ?? socket.remotePort ?? 0;
    this.localAddress = tools.endpoints?.localAddress ?? plainAddress(socket.localAddress);
    this.localPort = tools.endpoints?.localPort ?? socket.localPort ?? 0;
    this.#rules = paramRules(options);
    this.#enhanced = options.extensions.has('ENHANCEDSTATUSCODES');
    const owner = {
      step: () => this.#step(),
      patience: (progress: boolean) => this.#patience(progress),
      timedOut: () => this.#say(say.TIMED_OUT, 'timeout'),
      handlerFailed: (error: unknown) => this.#handlerFailed(error),
      over: () => this.#abandon(),
      closed: (why: CloseReason) => this.#handlers.onClose?.(why, this),
    };
    this.#wire = new ServerWire(socket, owner, this.#tools, this.remoteAddress, options.timeouts.close);
    if (!options.immediateTls) {
      this.#wire.listen();
      this.#greet();
      return;
    }
    if (!options.tls) throw new Error('an SMTP session with immediateTls needs options.tls');
    this.#wire.secure(options.tls, options.timeouts.handshake, (secured) => this.#secured(secured, false));
  }

  get options(): SmtpServerOptions {
    return this.#options;
  }

  get closed(): boolean {
    return this.#wire.isClosed;
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
    this.#content?.release();
    this.#content = null;
    this.#rcptTried = false;
  }

  /**
   * `421` and the end: at once when the client owes us a command, else as soon as the message or handler in progress
   * is done.
   */
  stop(): void {
    this.#stopping = true;
    if (this.#wire.isSecuring) this.destroy('shutdown');
    else if (this.#state !== 'data' && this.#state !== 'chunk') this.#wire.run();
  }

  /** Cuts the connection now. */
  destroy(why: CloseReason = 'shutdown'): void {
    this.#wire.destroy(why);
  }

  // Input

  #step(): boolean {
    switch (this.#state) {
      case 'command':
      case 'auth':
        if (!this.#stopping) return this.#stepLine();
        this.#say(say.SHUTTING_DOWN, 'shutdown');
        return false;
      case 'data':
        if (!this.#content!.readUntilDot(this.#wire)) return false;
        this.#state = 'command';
        this.#contentDone(this.#content!);
        return true;
      case 'chunk':
        if (!this.#chunk!.read(this.#wire, this.#content)) return false;
        this.#state = 'command';
        this.#chunkDone(this.#chunk!);
        return true;
      case 'greet':
        return false;
    }
  }

  #stepLine(): boolean {
    const line = this.#wire.takeLine(this.#state === 'auth' ? MAX_AUTH_LINE : this.#options.maxCommandLine);
    if (line === 'incomplete') return false;
    if (line === 'too long') {
      this.#say(say.LINE_TOO_LONG, 'error');
      return false;
    }
    const end = line.length - 2;
    const text = line[end] === CR ? line.toString('latin1', 0, end) : null;
    if (text !== null) this.#handlers.onLine?.('in', withoutSecret(text, this.#state === 'auth'), this);
    if (text === null) this.#fault(say.BAD_LINE);
    else if (this.#state === 'command') this.#commandLine(text, line);
    else if (CONTROLS.test(text)) this.#fault(say.BAD_LINE);
    else this.#authLine(text);
    return true;
  }

  #commandLine(text: string, line: Buffer): void {
    const command = PLAIN.test(text) ? text : this.#readOctets(text, line);
    if (typeof command === 'string') this.#command(command);
    // The caller is told of it too: it may take a recipient that is wrong, or want nothing said.
    else if (RCPT.test(text) && !this.#greetingRefused) this.#rcpt(text.slice(5).trim(), say.ADDRESS_IS_TEXT);
    else this.#fault(command);
  }

  /** A command beyond printable ASCII, or why it is none. */
  #readOctets(text: string, line: Buffer): string | Reply {
    const { octetVerbs } = this.#options;
    if (octetVerbs?.has(text.split(' ', 1)[0]!.toUpperCase())) {
      return CONTROLS_BUT_TAB.test(text) ? say.BAD_LINE : text;
    }
    if (CONTROLS.test(text)) return say.BAD_LINE;
    return this.#rules.smtputf8 && isUtf8(line) ? line.toString('utf8', 0, line.length - 2) : say.NOT_ASCII;
  }

  #patience(progress: boolean): number | null {
    const { timeouts } = this.#options;
    if (this.#state !== 'data' && this.#state !== 'chunk') return progress ? timeouts.command : null;
    const now = this.#tools.clock.now();
    const since = this.#content?.startedAt ?? this.#chunk?.startedAt ?? now;
    return Math.min(timeouts.data, since + timeouts.message - now);
  }

  // Output

  /** Queues a reply; `why` tells that the connection ends with it. */
  #say(reply: Reply, why?: CloseReason): undefined {
    if (this.#options.dropTransient && reply.code >= 400 && reply.code < 500) return void this.#wire.drop();
    this.#write(reply);
    if (why) this.#wire.finish(why);
    else if (reply.close || reply.code === 421) this.#wire.finish('refused');
  }

  /** A command refused by the protocol itself. */
  #fault(reply: Reply, weight = 1): undefined {
    this.#errors += weight;
    if (this.#errors < this.#options.maxErrors) return this.#say(reply);
    this.#write(reply);
    this.#say(say.TOO_MANY_ERRORS, 'error');
  }

  #write(reply: Reply): void {
    const lines = formatReply(reply, this.#enhanced);
    this.#wire.write(lines);
    if (!this.#handlers.onLine) return;
    for (const line of lines.slice(0, -2).split('\r\n')) this.#handlers.onLine('out', line, this);
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
      this.#wire.drop();
      return false;
    }
    this.#say(answer);
    return Math.floor(answer.code / 100) === accepts && !this.#wire.isOver;
  }

  #logFailure(error: unknown): void {
    this.#tools.log.error('handler failed', {
      client: this.remoteAddress,
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }

  #handlerFailed(error: unknown): undefined {
    this.#logFailure(error);
    if (this.#state === 'greet') this.#say(say.INTERNAL_ERROR, 'error');
    else this.#say(say.INTERNAL_ERROR);
  }

  // Greeting and TLS

  #greet(): undefined {
    const { banner, hostName } = this.#options;
    this.#wire.ask(
      () => this.#handlers.onConnect?.(this),
      (answer) => {
        this.#greetingRefused = !this.#answered(answer, { code: 220, text: banner ?? `${hostName} ESMTP` });
        this.#expectCommand();
      },
    );
  }

  #expectCommand(): void {
    this.#state = 'command';
    this.#wire.progressed();
    this.#wire.run();
  }

  #startTls(argument: string): undefined {
    const { tls, extensions, timeouts } = this.#options;
    if (!tls || !extensions.has('STARTTLS')) return this.#fault(say.NOT_IMPLEMENTED);
    if (this.tls) return this.#fault(say.TLS_ALREADY);
    if (argument !== '') return this.#fault(say.NO_ARGUMENT);
    this.#abandon();
    this.#say(say.READY_FOR_TLS);
    this.#wire.upgrade(tls, timeouts.handshake, (secured) => this.#secured(secured, true));
  }

  /** RFC 3207 section 4.2: what was said in clear is forgotten. */
  #secured(secured: TLSSocket, greeted: boolean): undefined {
    this.tls = { protocol: secured.getProtocol() ?? '', cipher: secured.getCipher()?.name ?? '' };
    this.heloName = '';
    this.esmtp = false;
    this.user = null;
    this.#state = 'greet';
    this.#wire.listen();
    this.#wire.ask(
      () => this.#handlers.onTls?.(this),
      () => (greeted ? this.#expectCommand() : this.#greet()),
    );
  }

  /** The client's certificate, when `requestCertificate` was set and it gave one. */
  get clientCertificate(): {
    verified: boolean;
    reason: string;
    subject: string;
    /** SHA-256, in OpenSSL's way of writing. */
    fingerprint: string;
  } | null {
    const { socket } = this.#wire;
    if (!(socket instanceof TLSSocket)) return null;
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) return null;
    // Node judges the certificate in its own TLS server only, not where a socket is upgraded; this is how it does.
    const { _handle: handle } = socket as unknown as { _handle?: { verifyError(): Error | null } };
    const error = handle ? handle.verifyError() : new Error('the connection is closed');
    return {
      verified: error === null,
      reason: error?.message ?? '',
      subject: certificate.subject,
      fingerprint: certificate.fingerprint256,
    };
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
        return this.#say(reply(221, '2.0.0', `${this.#options.hostName} closing connection`), 'quit');
      case 'STARTTLS':
        return this.#startTls(argument);
      case 'AUTH':
        return this.#auth(argument);
      case 'VRFY':
        return argument === '' ? this.#fault(say.ARGUMENT_MISSING) : this.#say(say.VERIFY);
      case 'HELP':
        return this.#say(say.HELP);
      case 'PROXY':
        // A proxy that this server does not know: its mail would count as its own, whoever the client is.
        if (this.heloName === '') return this.#say(say.NO_PROXY);
        return this.#extension(verb, argument);
      case 'EXPN':
        return this.#fault(say.NOT_IMPLEMENTED);
      default:
        return this.#extension(verb, argument);
    }
  }

  #extension(verb: string, argument: string): undefined {
    const { onCommand } = this.#handlers;
    if (!onCommand || !/^[A-Z0-9]{1,32}$/.test(verb)) return this.#fault(say.UNKNOWN_COMMAND);
    this.#wire.ask(
      () => onCommand.call(this.#handlers, verb, argument, this),
      (answer: CommandAnswer) => {
        if (answer === 'unknown') this.#fault(say.UNKNOWN_COMMAND);
        else if (answer && typeof answer === 'object' && 'treatAs' in answer) {
          this.#mail(answer.argument, answer.success ?? say.SENDER_OK, answer.accepted);
        } else if (answer && typeof answer === 'object' && 'start' in answer) {
          this.#say(answer.start);
          if (!this.#wire.isOver) this.#collect(answer.collected);
        } else this.#answered(answer, say.OK);
      },
    );
  }

  #helo(name: string, esmtp: boolean): undefined {
    if (name === '') return this.#fault(say.ARGUMENT_MISSING);
    if (name.length > 255 || name.includes(' ')) return this.#fault(say.BAD_HELO);
    this.#wire.ask(
      () => this.#handlers.onEhlo?.(name, this),
      (answer) => {
        const greeting: Reply = esmtp
          ? { code: 250, text: ehloLines(this.#options, this.tls !== null) }
          : { code: 250, text: this.#options.hostName };
        if (!this.#answered(answer, greeting)) return;
        this.#abandon();
        this.heloName = name;
        this.esmtp = esmtp;
      },
    );
  }

  #mail(argument: string, success: Reply, accepted?: () => void): undefined {
    const { requireHelo, requireTls, requireAuth, maxMessageSize } = this.#options;
    if (requireHelo && this.heloName === '') return this.#fault(say.HELO_FIRST);
    if (requireTls && !this.tls) return this.#fault(say.TLS_FIRST);
    if (requireAuth && this.user === null) return this.#fault(say.AUTH_FIRST);
    if (this.envelope) return this.#fault(say.MAIL_TWICE);
    const mail = parseMail(argument, this.#rules);
    if (isFault(mail)) return this.#fault(mail);
    if (mail.params.size !== undefined && mail.params.size > maxMessageSize) return this.#say(say.TOO_BIG);
    const { onMail } = this.#handlers;
    if (!onMail) return this.#mailAccepted(mail, null, success, accepted);
    this.#wire.ask(
      () => onMail.call(this.#handlers, mail, this),
      (answer) => this.#mailAccepted(mail, answer, success, accepted),
    );
  }

  #mailAccepted(mail: MailCommand, answer: Answer, success: Reply, accepted?: () => void): undefined {
    if (!this.#answered(answer, success)) return;
    this.envelope = { from: mail, recipients: [] };
    this.#rcptTried = false;
    accepted?.();
  }

  #rcpt(argument: string, unreadable?: Reply): undefined {
    const envelope = this.envelope;
    const refuse = (fault: Reply, saying: () => undefined): undefined => {
      const answer = this.#handlers.onRcptFault?.(fault, argument, this);
      if (answer) this.#answered(answer, fault);
      else saying();
    };
    const fault = (found: Reply) => refuse(found, () => this.#fault(found));
    if (!envelope) return fault(say.MAIL_FIRST);
    if (this.#content) return fault(say.WRONG_ORDER);
    this.#rcptTried = true;
    // Before the syntax, because a handler may take what is malformed too.
    if (envelope.recipients.length >= this.#options.maxRecipients) {
      return refuse(say.TOO_MANY_RECIPIENTS, () => this.#say(say.TOO_MANY_RECIPIENTS));
    }
    if (unreadable) return fault(unreadable);
    const rcpt = parseRcpt(argument, this.#rules, envelope.from.params.smtputf8 === true);
    if (isFault(rcpt)) return fault(rcpt);
    const { onRcpt } = this.#handlers;
    if (!onRcpt) {
      envelope.recipients.push(rcpt);
      return this.#say(say.RECIPIENT_OK);
    }
    this.#wire.ask(
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
    if (this.#content) return this.#fault(say.WRONG_ORDER);
    const envelope = this.envelope!;
    this.#wire.ask(
      () => this.#handlers.onData?.(envelope, this),
      (answer) => {
        if (this.#answered(answer, say.START_MAIL, 3)) this.#collect(null);
      },
    );
  }

  #collect(collected: IncomingContent['collected']): void {
    this.#content = new IncomingContent(this.#options, this.#tools.clock.now(), collected);
    this.#state = 'data';
  }

  /** RFC 3030. */
  #bdat(argument: string): undefined {
    const match = /^(\d{1,15})( +LAST)?$/i.exec(argument);
    // Without a length nobody knows where the next command begins.
    if (!match) return this.#say(say.BAD_BDAT, 'error');
    const chunk = new IncomingChunk(Number(match[1]), match[2] !== undefined, this.#tools.clock.now());
    // Nobody is to be made to read what nobody can send; and unread, it cannot be told from commands.
    if (chunk.size > LARGEST_MESSAGE) return this.#say(say.TOO_BIG, 'error');
    this.#chunk = chunk;
    chunk.refusal = this.#options.extensions.has('CHUNKING') ? this.#whyNoContent() : say.NOT_IMPLEMENTED;
    this.#state = 'chunk';
    if (chunk.refusal || this.#content) return;
    const envelope = this.envelope!;
    this.#wire.ask(
      () => this.#handlers.onData?.(envelope, this),
      (answer) => {
        if (answer === 'drop') this.#wire.drop();
        else if (answer && answer !== 'silent' && answer.code >= 400) chunk.refusal = answer;
        else this.#content = new IncomingContent(this.#options, this.#tools.clock.now());
      },
      (error) => {
        // Said when the chunk is through: its bytes must not be taken for commands.
        chunk.refusal = say.INTERNAL_ERROR;
        this.#logFailure(error);
      },
    );
  }

  #chunkDone(chunk: IncomingChunk): undefined {
    this.#chunk = null;
    if (chunk.refusal) {
      this.#abandon();
      return this.#fault(chunk.refusal);
    }
    const content = this.#content!;
    if (chunk.isLast || content.overflowed) this.#contentDone(content);
    else this.#say(reply(250, '2.0.0', `${chunk.size} bytes received`));
  }

  /** All content is there, or too much of it. */
  #contentDone(incoming: IncomingContent): undefined {
    this.#content = null;
    const content = incoming.judge(this.#options);
    if (!Buffer.isBuffer(content)) {
      incoming.release();
      this.#tools.log.info('message refused', {
        client: this.remoteAddress,
        bytes: incoming.received,
        reason: String(content.text),
      });
      this.#abandon();
      return this.#say(content);
    }
    const { collected, startedAt } = incoming;
    if (collected) {
      return this.#wire.ask(
        () => incoming.heldUntil(() => collected(content)),
        (answer) => void this.#answered(answer, say.OK),
      );
    }
    const envelope = this.envelope!;
    this.endTransaction();
    this.#wire.ask(
      () => incoming.heldUntil(() => this.#handlers.onMessage({ envelope, content, startedAt }, this)),
      (answer) => void this.#answered(answer, say.MESSAGE_OK),
    );
  }

  /** Forgets the open transaction, if there is one. */
  #abandon(): void {
    const envelope = this.envelope;
    this.endTransaction();
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
    if (!mechanismsOffered(this.#options, this.tls !== null).includes(mechanism))
      return this.#fault(say.ENCRYPTION_NEEDED);
    const refusal = this.#handlers.onAuthBegin?.(this) ?? null;
    if (refusal) return this.#fault(refusal);
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
    this.#wire.ask(
      () => verifyCredentials(credentials, this.#handlers, this),
      (right) => {
        if (!right) {
          this.#tools.log.info('authentication failed', {
            client: this.remoteAddress,
            user: credentials.user,
            mechanism: credentials.mechanism,
          });
          this.#handlers.onAuthFailed?.(credentials.user, this);
          return this.#fault(say.AUTH_FAILED, AUTH_FAILURE_WEIGHT);
        }
        const { user, mechanism } = credentials;
        this.#wire.ask(
          () => this.#handlers.onAuth?.({ user, mechanism }, this),
          (answer) => {
            if (this.#answered(answer, say.AUTHENTICATED)) this.user = user;
          },
        );
      },
    );
  }
}

/** A line as it may be written into a log: responses to AUTH are passwords, in a thin disguise at best. */
function withoutSecret(line: string, response: boolean): string {
  if (response) return '(secret)';
  return line.replace(/^(AUTH +\S+) +.*$/i, '$1 (secret)');
}

/** An IPv4 client of a socket that listens on both families shows as `::ffff:192.0.2.1`. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
