import type { SecureContext } from 'node:tls';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { ContentRoom } from './content-room.ts';
import type { MailCommand, RcptCommand } from './path.ts';
import type { Reply } from './reply.ts';
import type { SmtpServerSession } from './server-session.ts';

export type SmtpExtension =
  | 'PIPELINING'
  | '8BITMIME'
  | 'SIZE'
  | 'ENHANCEDSTATUSCODES'
  | 'DSN'
  | 'SMTPUTF8'
  | 'CHUNKING'
  | 'STARTTLS'
  | 'AUTH';

export type AuthMechanism = 'PLAIN' | 'LOGIN' | 'CRAM-MD5';

export interface SmtpServerTimeouts {
  /** Milliseconds from one command's reply to the end of the next command's line. */
  readonly command: number;
  /** Milliseconds between two pieces of message content. */
  readonly data: number;
  /** Milliseconds for the whole content of one message, however steadily it drips. */
  readonly message: number;
  /** Milliseconds for a TLS handshake. */
  readonly handshake: number;
  /** Milliseconds that a client has to take our last reply and hang up. */
  readonly close: number;
}

export interface SmtpServerTls {
  /** Certificate, key and versions allowed; see `createSmtpSecureContext`. */
  readonly secureContext: SecureContext;
  /** Ask the client for a certificate; the handler judges it by `session.tls.clientCertificate`. */
  readonly requestCertificate?: boolean;
}

/** What a session offers and bears. `session.configure` changes any of it later, say once a user is known. */
export interface SmtpServerOptions {
  /** Named in the greeting, the EHLO reply and CRAM-MD5 challenges. */
  readonly hostName: string;
  /** Greeting text after the code; default `hostName ESMTP`. */
  readonly banner?: string | readonly string[];
  /** Named in EHLO and obeyed; STARTTLS needs `tls` and AUTH needs `authMechanisms` besides. */
  readonly extensions: ReadonlySet<SmtpExtension>;
  /** EHLO lines for commands that `onCommand` or parameters that `extraMailParams` add: `XMRG`. */
  readonly extraKeywords?: readonly string[];
  readonly extraMailParams?: ReadonlySet<string>;
  readonly extraRcptParams?: ReadonlySet<string>;
  /** Verbs, upper case, of `onCommand` whose argument may hold any octet above 127: one character per octet. */
  readonly octetVerbs?: ReadonlySet<string>;
  /** Bytes; Infinity shows as `SIZE 0` and is held at 512 MiB by this process's memory. */
  readonly maxMessageSize: number;
  /** Shared by the sessions of a server; a message that finds no room gets `452 4.3.1`. None: each has its own limit. */
  readonly contentRoom?: ContentRoom;
  /** Per transaction; more get `452 4.5.3`. */
  readonly maxRecipients: number;
  /** Bytes of one command line with its CRLF; RFC 5321 and its extensions need 2,048. */
  readonly maxCommandLine: number;
  /** Refused commands (5xx) before `421 4.7.0`. */
  readonly maxErrors: number;
  readonly timeouts: SmtpServerTimeouts;
  readonly tls?: SmtpServerTls;
  /** TLS before the greeting. */
  readonly immediateTls: boolean;
  /** Refuse MAIL with 530, and offer no AUTH, on a connection in clear (RFC 3207 section 4). */
  readonly requireTls: boolean;
  /** Refuse MAIL without a user. */
  readonly requireAuth: boolean;
  readonly authMechanisms: readonly AuthMechanism[];
  /** Offer no AUTH at all in clear. */
  readonly requireTlsBeforeAuth: boolean;
  /** Offer PLAIN and LOGIN in clear too. */
  readonly allowClearPasswords: boolean;
  /** A CR or LF outside a CRLF pair in message content: refuse the message, or take it as two odd characters. */
  readonly bareLineEnds: 'reject' | 'accept-as-data';
  /** Hand addresses without a domain to the handlers instead of refusing them. */
  readonly unqualifiedAddresses: boolean;
  /** Cut the connection where a 4xx reply would be sent. */
  readonly dropTransient?: boolean;
  /** Refuse MAIL before HELO or EHLO. */
  readonly requireHelo: boolean;
}

/**
 * A handler's verdict. Null or undefined is the session's own positive reply; a 2xx (354 for onData) accepts in the
 * given words; any other code refuses. `drop` cuts the connection without a word, `silent` accepts without a reply.
 */
export type Answer = Reply | 'drop' | 'silent' | null | undefined;
export type MaybeLater<T> = T | Promise<T>;

/** Sender and recipients as far as they were accepted. */
export interface Envelope {
  readonly from: MailCommand;
  readonly recipients: RcptCommand[];
}

export interface ReceivedMessage {
  readonly envelope: Envelope;
  /**
   * Dots unstuffed, each line ended by CRLF. May be a view of the socket's read buffer: it stays valid, but copy what
   * is kept long, for it holds the whole buffer.
   */
  readonly content: Buffer;
  /** When 354 was sent, or the first BDAT came: milliseconds since the epoch. */
  readonly startedAt: number;
}

export interface AuthenticatedUser {
  readonly user: string;
  readonly mechanism: AuthMechanism;
}

/** What `onCommand` makes of a verb that SMTP does not know. */
export type CommandAnswer =
  | Answer
  /** Not mine: 500. */
  | 'unknown'
  /**
   * Do as if MAIL had been given with this argument (XMRG); `success` words the positive reply, `accepted` is called
   * once the transaction is open.
   */
  | {
      readonly treatAs: 'MAIL';
      readonly argument: string;
      readonly success?: Reply;
      readonly accepted?: () => void;
    }
  /** Send `start` (a 354), collect content up to the final dot, hand it over. The transaction stays open. */
  | { readonly start: Reply; readonly collected: (content: Buffer) => MaybeLater<Answer> };

export type CloseReason = 'quit' | 'client-closed' | 'error' | 'timeout' | 'refused' | 'dropped' | 'shutdown';

/** Called strictly one after the other. A throw or rejection is logged and answered with `451 4.3.0`. */
export interface SmtpServerHandlers {
  /** Before the greeting: a 220 replaces it, 4xx or 5xx refuses the client. */
  onConnect?(session: SmtpServerSession): MaybeLater<Answer>;
  onEhlo?(name: string, session: SmtpServerSession): MaybeLater<Answer>;
  /** After a successful handshake, before EHLO comes again. */
  onTls?(session: SmtpServerSession): MaybeLater<void>;
  /** The clear password, compared here in constant time; null when there is no such user. */
  passwordOf?(user: string, session: SmtpServerSession): MaybeLater<string | null>;
  /** Takes the place of `passwordOf` for PLAIN and LOGIN, where passwords are kept hashed or anything goes. */
  checkPassword?(user: string, password: string, session: SmtpServerSession): MaybeLater<boolean>;
  /** Before an AUTH is gone into; an answer refuses it. */
  onAuthBegin?(session: SmtpServerSession): Reply | null;
  /** A password was wrong, or the user is not known. */
  onAuthFailed?(user: string, session: SmtpServerSession): void;
  /** The password was right; `session.user` is set when this accepts. */
  onAuth?(user: AuthenticatedUser, session: SmtpServerSession): MaybeLater<Answer>;
  onMail?(mail: MailCommand, session: SmtpServerSession): MaybeLater<Answer>;
  /** `session.envelope` holds the sender and the recipients accepted before this one. */
  onRcpt?(rcpt: RcptCommand, session: SmtpServerSession): MaybeLater<Answer>;
  /**
   * A RCPT that the protocol itself refuses (syntax, order, too many). An answer takes the place of that refusal; a
   * handler that answers 2xx has put what it wants of it into `session.envelope` itself.
   */
  onRcptFault?(fault: Reply, argument: string, session: SmtpServerSession): Answer;
  /** At DATA or the first BDAT, before content comes; at least one recipient was accepted. */
  onData?(envelope: Envelope, session: SmtpServerSession): MaybeLater<Answer>;
  /** A 2xx takes responsibility for the message. */
  onMessage(message: ReceivedMessage, session: SmtpServerSession): MaybeLater<Answer>;
  onCommand?(verb: string, argument: string, session: SmtpServerSession): MaybeLater<CommandAnswer>;
  /** An open transaction ended without a message: RSET, EHLO, refused content, lost connection. */
  onAbandoned?(envelope: Envelope, session: SmtpServerSession): void;
  onClose?(why: CloseReason, session: SmtpServerSession): void;
  /** Every line of the conversation, for a log; what is secret in it (AUTH) is already blotted out. */
  onLine?(direction: 'in' | 'out', line: string, session: SmtpServerSession): void;
}

export interface SmtpSessionTools {
  readonly clock: Clock;
  readonly log: Log;
}

export const DEFAULT_TIMEOUTS: SmtpServerTimeouts = {
  command: 300_000,
  data: 180_000,
  message: 3_600_000,
  handshake: 30_000,
  close: 5_000,
};

/** Everything that asks for no certificate and no password: what a receiving host on port 25 offers. */
export function smtpServerOptions(
  given: Partial<SmtpServerOptions> & { hostName: string },
): SmtpServerOptions {
  return {
    extensions: new Set<SmtpExtension>([
      'PIPELINING',
      '8BITMIME',
      'SIZE',
      'ENHANCEDSTATUSCODES',
      'DSN',
      'SMTPUTF8',
      'CHUNKING',
      'STARTTLS',
      'AUTH',
    ]),
    maxMessageSize: 50 * 1024 * 1024,
    maxRecipients: 1000,
    maxCommandLine: 4096,
    maxErrors: 20,
    timeouts: DEFAULT_TIMEOUTS,
    immediateTls: false,
    requireTls: false,
    requireAuth: false,
    authMechanisms: [],
    requireTlsBeforeAuth: false,
    allowClearPasswords: false,
    bareLineEnds: 'reject',
    unqualifiedAddresses: false,
    requireHelo: true,
    ...given,
  };
}
