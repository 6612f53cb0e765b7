import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock } from '../system/clock.ts';
import { Deadline } from '../system/deadline.ts';
import { atTurnEnd } from '../system/event-loop.ts';
import type { SmtpClientTls, WireObserver } from './client-types.ts';
import { ReplyReader, type SmtpReply } from './reply-reader.ts';
import { takeInput } from './socket-input.ts';

/** Why a connection is of no more use. */
export interface WireFault {
  /** In words: `connection refused`. */
  readonly error: string;
  /** The system's code, or one of ours: `ETIMEDOUT`, `ECLOSED`, `EPROTOCOL`, `EABORTED`. */
  readonly code: string;
}

/** More replies than commands: nobody knows any more which belongs to which. */
const MOST_UNASKED_REPLIES = 20;

const HERE = Promise.resolve();

/** A socket that speaks in replies: waits for a number of them, with a time limit that each reply renews. */
export class Wire {
  readonly #deadline: Deadline;
  #socket: Socket;
  #reader = new ReplyReader();
  #stopInput: (() => void) | null = null;
  #fault: WireFault | null = null;
  readonly #restOfReplyMs: number;
  readonly #observer: WireObserver | undefined;
  #wanted = 0;
  #timeoutMs = 0;
  /** The rest of a reply has a time limit of its own, which begins with its first line and is not renewed. */
  #restAwaited = false;
  #wake: (() => void) | null = null;

  /** `restOfReplyMs`: from the first line of a reply to its last. */
  constructor(socket: Socket, clock: Clock, restOfReplyMs: number, observer?: WireObserver) {
    this.#restOfReplyMs = restOfReplyMs;
    this.#observer = observer;
    this.#deadline = new Deadline(clock, () => this.fail({ error: 'timeout', code: 'ETIMEDOUT' }));
    this.#socket = socket;
    this.#listen();
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Set once the connection is of no more use. */
  get fault(): WireFault | null {
    return this.#fault;
  }

  /** Replies that are here and not yet taken. */
  get pending(): readonly SmtpReply[] {
    return this.#reader.replies;
  }

  take(): SmtpReply | null {
    return this.#reader.replies.shift() ?? null;
  }

  #listen(): void {
    this.#stopInput = takeInput(this.#socket, this.#onData);
    this.#socket.on('error', this.#onError);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('close', this.#onEnd);
  }

  readonly #onData = (piece: Buffer): void => {
    if (this.#fault) return;
    this.#observer?.read(piece);
    const before = this.#reader.replies.length;
    const wrong = this.#reader.push(piece);
    const now = this.#reader.replies.length;
    if (wrong) this.fail({ error: wrong, code: 'EPROTOCOL' });
    else if (now > this.#wanted + MOST_UNASKED_REPLIES) {
      this.fail({ error: 'more replies than commands', code: 'EPROTOCOL' });
    } else if (this.#wake) {
      if (now >= this.#wanted) this.#wakeUp();
      else this.#renewDeadline(now > before);
    }
  };

  #renewDeadline(replied: boolean): void {
    if (replied) {
      this.#restAwaited = false;
      this.#deadline.set(this.#timeoutMs);
    }
    if (this.#restAwaited || !this.#reader.withinReply) return;
    this.#restAwaited = true;
    this.#deadline.set(this.#restOfReplyMs);
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.fail({ error: systemErrorWords(error), code: error.code ?? 'EUNKNOWN' });
  };

  readonly #onEnd = (): void => {
    this.fail({ error: 'connection closed by the remote host', code: 'ECLOSED' });
  };

  /** Ends the connection; the first reason stays. */
  fail(fault: WireFault): void {
    if (this.#fault) return;
    this.#fault = fault;
    this.#observer?.closed();
    this.#socket.destroy();
    this.#deadline.stop();
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    this.#deadline.lift();
    wake?.();
  }

  /** `shown`: what of it a trace shows as commands; with `secret` in place of all of it. */
  write(data: string | Buffer, shown = typeof data === 'string' ? data : '', secret = false): void {
    if (this.#fault) return;
    this.#observer?.wrote(secret ? shown : data, shown);
    this.#socket.write(data);
  }

  /** Writes commands whose replies are waited for: at the end of this turn, with those of other connections. */
  ask(commands: string): void {
    if (this.#fault) return;
    this.#observer?.wrote(commands, commands);
    atTurnEnd(() => {
      if (!this.#fault) this.#socket.write(commands);
    });
  }

  /** Writes pieces in one turn to the system, uncopied: in one segment where they fit in one. */
  writeTogether(pieces: readonly Buffer[]): void {
    this.#socket.cork();
    for (const piece of pieces) this.write(piece);
    this.#socket.uncork();
  }

  /**
   * Waits until `count` replies are here, or the connection failed; each must come within `timeoutMs` of the one
   * before. Look at `pending` and `fault` then: replies that came before a failure are still there.
   */
  expect(count: number, timeoutMs: number): Promise<void> {
    this.#wanted = count;
    return this.#fault || this.#reader.replies.length >= count ? HERE : this.#until(timeoutMs);
  }

  /** Waits until `begin` calls back, a reply comes, the time is over or the connection failed. */
  async during(begin: (done: () => void) => void, timeoutMs: number): Promise<void> {
    if (this.#fault) return;
    this.#wanted = this.#reader.replies.length + 1;
    const waiting = this.#until(timeoutMs);
    const mine = this.#wake;
    begin(() => {
      // A callback that comes after a reply did must not end the next wait.
      if (this.#wake === mine) this.#wakeUp();
    });
    await waiting;
  }

  #until(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timeoutMs = timeoutMs;
      this.#restAwaited = this.#reader.withinReply;
      this.#deadline.set(timeoutMs);
    });
  }

  /**
   * Writes a large piece in blocks, each of which must leave within `timeoutMs`. False when not all of it was
   * written, because the connection failed or the server spoke before its turn.
   */
  async writeBlocks(content: Buffer, blockSize: number, timeoutMs: number): Promise<boolean> {
    for (let at = 0; at < content.length; at += blockSize) {
      const block = content.subarray(at, at + blockSize);
      this.#observer?.wrote(block, '');
      await this.during((done) => this.#socket.write(block, done), timeoutMs);
      if (this.#fault || this.pending.length > 0) return false;
    }
    return true;
  }

  /** Waits until everything written has left this process. */
  async flushed(timeoutMs: number): Promise<void> {
    if (this.#socket.writableLength > 0) {
      await this.during((done) => this.#socket.write('', done), timeoutMs);
    }
  }

  /** Puts TLS over the connection; null when it stands, else what went wrong (the connection is lost then). */
  async secure(tls: SmtpClientTls, timeoutMs: number): Promise<WireFault | null> {
    const raw = this.#socket;
    if (this.#reader.midway || this.#reader.replies.length > 0) {
      // Sent in clear, meant to be taken for the first replies inside TLS.
      this.fail({ error: 'data came before the TLS handshake', code: 'EPROTOCOL' });
      return this.#fault;
    }
    this.#stopInput?.();
    raw.removeListener('end', this.#onEnd);
    raw.removeListener('close', this.#onEnd);
    const secured: TLSSocket = connectTls({
      socket: raw,
      servername: tls.servername && isIP(tls.servername) === 0 ? tls.servername : undefined,
      secureContext: tls.secureContext,
      session: tls.session,
      minVersion: tls.secureContext ? undefined : (tls.minVersion ?? 'TLSv1.2'),
      maxVersion: tls.secureContext ? undefined : tls.maxVersion,
      ciphers: tls.secureContext ? undefined : tls.ciphers,
      ca: tls.secureContext ? undefined : tls.ca,
      rejectUnauthorized: false,
      // The name is checked below, by address too when there is no name to send.
      checkServerIdentity: () => undefined,
    });
    if (tls.onSession) secured.on('session', tls.onSession);
    this.#socket = secured;
    this.#listen();
    await this.during((done) => secured.once('secureConnect', done), timeoutMs);
    if (this.#fault) return this.#fault;
    this.#observer?.secured(secured);
    const why = verifyFault(secured, tls) ?? tls.check?.(secured) ?? null;
    if (why) this.fail({ error: why, code: 'ECERTIFICATE' });
    return this.#fault;
  }

  /** Says goodbye without waiting for an answer. */
  end(): void {
    if (this.#fault) return;
    this.#fault = { error: 'connection closed', code: 'ECLOSED' };
    this.#observer?.closed();
    this.#deadline.stop();
    this.#socket.end();
    this.#socket.destroySoon();
  }
}

function verifyFault(socket: TLSSocket, { verify, servername }: SmtpClientTls): string | null {
  if (verify === undefined || verify === 'no') return null;
  if (!socket.authorized) return `the certificate is not trusted: ${String(socket.authorizationError)}`;
  if (verify === 'authority') return null;
  const wrong = checkServerIdentity(servername ?? '', socket.getPeerCertificate());
  return wrong ? `the certificate is for another host: ${wrong.message}` : null;
}

/** The texts that operators know from their logs and that patterns over them look for. */
export function systemErrorWords(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ECONNRESET':
      return 'connection reset by peer';
    case 'ETIMEDOUT':
      return 'connection timed out';
    case 'EHOSTUNREACH':
      return 'no route to host';
    case 'ENETUNREACH':
      return 'network is unreachable';
    case 'EPIPE':
      return 'broken pipe';
    case 'EADDRNOTAVAIL':
      return 'cannot assign requested address';
    case 'EADDRINUSE':
      return 'address already in use';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    default:
      return error.message;
  }
}
