import type { Socket } from 'node:net';
import type { SecureContext, SecureVersion, TLSSocket } from 'node:tls';
import type { Clock } from '../system/clock.ts';
import type { SmtpClient } from './client.ts';
import type { MailParams, RcptParams } from './path.ts';
import type { SmtpReply } from './reply-reader.ts';
import type { AuthMechanism } from './server-types.ts';

/** All in milliseconds (RFC 5321 section 4.5.3.2). */
export interface SmtpClientTimeouts {
  readonly connect: number;
  readonly greeting: number;
  /** EHLO, MAIL, RCPT, AUTH, RSET: each reply. */
  readonly command: number;
  /** DATA until its 354. */
  readonly data: number;
  /** Each block of content leaving this host. */
  readonly dataBlock: number;
  /** The final dot until its reply. */
  readonly dataEnd: number;
  readonly handshake: number;
  /** From the first line of a reply to its last. */
  readonly restOfReply: number;
  readonly quit: number;
}

export const DEFAULT_CLIENT_TIMEOUTS: SmtpClientTimeouts = {
  connect: 120_000,
  greeting: 300_000,
  command: 300_000,
  data: 120_000,
  dataBlock: 180_000,
  dataEnd: 600_000,
  handshake: 60_000,
  restOfReply: 300_000,
  quit: 5_000,
};

export interface SmtpClientTls {
  /**
   * `opportunistic`: STARTTLS when offered; when it fails, in clear, on a new connection where the old one is spoilt.
   * `require`: fail without it. `immediate`: TLS before the greeting.
   */
  readonly mode: 'no' | 'opportunistic' | 'require' | 'immediate';
  /** Name for SNI and for the certificate; an IP address is not sent. */
  readonly servername?: string;
  /**
   * `authority`: the certificate must be trusted (`ca` or the system's roots), whatever its name. `chain`: it must be
   * for `servername` too.
   */
  readonly verify?: 'no' | 'authority' | 'chain';
  /** A further judgement of the peer (DANE); words when it is refused. */
  readonly check?: (socket: TLSSocket) => string | null;
  /** Made once and shared by many connections; without it the next four make one for each. */
  readonly secureContext?: SecureContext;
  /** A session to resume, and where to keep those that the server offers for later. */
  readonly session?: Buffer;
  readonly onSession?: (session: Buffer) => void;
  readonly minVersion?: SecureVersion;
  readonly maxVersion?: SecureVersion;
  readonly ciphers?: string;
  readonly ca?: string | Buffer | (string | Buffer)[];
}

export interface SmtpClientAuth {
  readonly user: string;
  readonly password: string;
  /** In order of preference; default CRAM-MD5, PLAIN, LOGIN. */
  readonly mechanisms?: readonly AuthMechanism[];
  /** Send PLAIN and LOGIN without TLS too. */
  readonly allowClear?: boolean;
}

export interface ConnectOptions {
  /** IP address (a name is resolved by the system, without MX). */
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
  readonly heloName: string;
  readonly timeouts?: Partial<SmtpClientTimeouts>;
  readonly tls?: SmtpClientTls;
  readonly auth?: SmtpClientAuth;
  /** Upper-case EHLO keywords to treat as not offered: PIPELINING, CHUNKING, 8BITMIME, DSN, SMTPUTF8. */
  readonly ignore?: ReadonlySet<string>;
  /** Sent before anything else: the line of the PROXY protocol. */
  readonly preamble?: string;
  /** Opens the connection in place of net.connect; the socket may still be connecting. */
  readonly openSocket?: (options: { host: string; port: number; localAddress?: string }) => Socket;
  /** Ends the connection whenever it fires; what is under way fails with `EABORTED`. */
  readonly signal?: AbortSignal;
  readonly observer?: WireObserver;
  readonly clock?: Clock;
}

/** Sees what goes over a connection, inside TLS, for traces. It may not throw, and it may not be slow. */
export interface WireObserver {
  connected(localAddress: string, localPort: number): void;
  read(piece: Buffer): void;
  /** `shown`: the commands in it; '' for content. Of what is secret, `data` too is only what may be shown. */
  wrote(data: string | Buffer, shown: string): void;
  secured(socket: TLSSocket): void;
  /** However the connection ended. A second connection may follow, when the first was spoilt by its TLS handshake. */
  closed(): void;
}

export type ConnectStage = 'connect' | 'greeting' | 'ehlo' | 'starttls' | 'auth';

export type ConnectResult =
  | { readonly ok: true; readonly client: SmtpClient }
  | {
      readonly ok: false;
      readonly stage: ConnectStage;
      /** What the server said, when it refused in words. */
      readonly reply: SmtpReply | null;
      /** What went wrong, in words; '' when `reply` says it. */
      readonly error: string;
      /** The system's code or one of ours; '' when `reply` says it. */
      readonly code: string;
      readonly facts: ConnectionFacts;
    };

/** What is known about a connection, as far as it got. */
export interface ConnectionFacts {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly greeting: SmtpReply | null;
  /** Lines of the latest EHLO reply without the first, in the server's order: `SIZE 1000`. */
  readonly keywords: readonly string[];
  readonly tls: { readonly protocol: string; readonly cipher: string } | null;
  /** Why TLS was tried and given up for clear text; '' otherwise. */
  readonly tlsFailure: string;
  /** Mechanism used; '' when not authenticated. */
  readonly authMechanism: string;
  /** Milliseconds each phase took; 0 for one that did not happen. */
  readonly timings: {
    readonly connect: number;
    readonly greeting: number;
    readonly ehlo: number;
    readonly tls: number;
    readonly auth: number;
  };
}

export interface OutgoingMessage {
  /** Reverse-path without brackets; '' is the null sender. */
  readonly from: string;
  readonly params?: MailParams;
  readonly recipients: readonly { readonly address: string; readonly params?: RcptParams }[];
  /** Every line ends with CRLF (a missing last one is added); dots not stuffed. Not changed, not kept. */
  readonly content: Buffer;
  /** Report a missing 8BITMIME as `needs` instead of leaving the BODY parameter out. */
  readonly require8BitMime?: boolean;
  /** Send the final dot in a segment of its own, for firewalls that count on it. */
  readonly separateDot?: boolean;
}

/** Where a transaction was when the connection was lost. At `final` the server may have taken the message. */
export type SendStage = 'mail' | 'rcpt' | 'data' | 'content' | 'final';

export interface SendResult {
  /** Something that the message needs and the server does not offer; nothing was sent then. */
  readonly needs: 'SMTPUTF8' | '8BITMIME' | 'SIZE' | null;
  readonly mail: SmtpReply | null;
  /** One for each recipient in order; null for those that got no reply. */
  readonly recipients: readonly (SmtpReply | null)[];
  /** The reply to the content, or to DATA when that was refused; null when it came to neither. */
  readonly data: SmtpReply | null;
  readonly lost: { readonly stage: SendStage; readonly error: string; readonly code: string } | null;
  /** Bytes of content sent, stuffed dots and final dot included. */
  readonly bytes: number;
  /** Milliseconds until the last envelope reply, and from there to the final reply. */
  readonly timings: { readonly envelope: number; readonly content: number };
}

/** Whether the server took the message for the recipient at `index`. */
export function wasAccepted(result: SendResult, index: number): boolean {
  const rcpt = result.recipients[index];
  return positive(rcpt) && positive(result.data);
}

export function positive(reply: SmtpReply | null | undefined): boolean {
  return reply !== null && reply !== undefined && reply.code >= 200 && reply.code < 300;
}
