import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Deadline } from '../system/deadline.ts';
import { atTurnEnd } from '../system/event-loop.ts';
import type { CloseReason, MaybeLater, SmtpServerTls, SmtpSessionTools } from './server-types.ts';
import { takeInput } from './socket-input.ts';

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;

/** Input waiting behind a slow handler; above this the socket is paused. */
const MOST_PENDING_INPUT = 65_536;
/** Replies waiting for a client that does not read; above this its commands wait too. */
const MOST_PENDING_OUTPUT = 262_144;
/** Replies of a batch go out together, but not later than this when one of its handlers takes long. */
const LONGEST_HELD_REPLY_MS = 200;

/** What a wire needs of the session that it carries. */
export interface WireOwner {
  /** Does one thing with the input: a line, a piece of content. False when it needs more input for that. */
  step(): boolean;
  /** Milliseconds to wait for input from now; null leaves the limit where it was. `progress`: a step was done. */
  patience(progress: boolean): number | null;
  timedOut(): void;
  handlerFailed(error: unknown): void;
  /** The connection is gone, or on its way: nothing more is asked or said. Called once. */
  over(): void;
  closed(why: CloseReason): void;
}

/**
 * `open`: input is taken. `securing`: a handshake is to come or under way. `closing`: the last reply is on its way.
 * `closed`: the socket is gone.
 */
type Phase = 'open' | 'securing' | 'closing' | 'closed';

/**
 * One server connection below the protocol: input in order and never without bound, replies gathered into few
 * writes, handlers one at a time, time limits, TLS, and an end that does not swallow the last reply.
 */
export class ServerWire {
  readonly #owner: WireOwner;
  readonly #tools: SmtpSessionTools;
  readonly #client: string;
  readonly #deadline: Deadline;
  readonly #closeMs: number;
  #socket: Socket;
  #phase: Phase = 'open';
  /** Input from `at` on has not been used. */
  #input: Buffer = EMPTY;
  #at = 0;
  /** Where to look on for the end of an unfinished line. */
  #scanned = 0;
  #inputEnded = false;
  #stopInput: (() => void) | null = null;
  /** A handler has not answered yet: nothing more is read from the input until it does. */
  #busy = false;
  #progress = false;
  #out = '';
  #cancelHeld: (() => void) | null = null;
  #closeReason: CloseReason | null = null;

  /** `client` names the peer in the log; `closeMs` is how long it may take to hang up after us. */
  constructor(socket: Socket, owner: WireOwner, tools: SmtpSessionTools, client: string, closeMs: number) {
    this.#socket = socket;
    this.#owner = owner;
    this.#tools = tools;
    this.#client = client;
    this.#closeMs = closeMs;
    this.#deadline = new Deadline(tools.clock, this.#timedOut);
    socket.setNoDelay(true);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Nothing more can be said. */
  get isOver(): boolean {
    return this.#phase === 'closing' || this.#phase === 'closed';
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  get isSecuring(): boolean {
    return this.#phase === 'securing';
  }

  // Input

  /** Begins to take input. */
  listen(): void {
    this.#phase = 'open';
    this.#stopInput = takeInput(this.#socket, this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('drain', this.#onDrain);
  }

  #unlisten(): void {
    this.#stopInput?.();
    this.#socket.removeListener('end', this.#onEnd);
    this.#socket.removeListener('drain', this.#onDrain);
  }

  readonly #onData = (piece: Buffer): void => {
    if (this.#phase !== 'open') return;
    if (this.#at >= this.#input.length) {
      this.#input = piece;
      this.#scanned = 0;
    } else {
      this.#scanned -= this.#at;
      this.#input = Buffer.concat([this.#input.subarray(this.#at), piece]);
    }
    this.#at = 0;
    if (this.#busy || this.#socket.writableLength > MOST_PENDING_OUTPUT) {
      if (this.#input.length > MOST_PENDING_INPUT) this.#socket.pause();
    } else this.run();
    // The piece is lent: what is left of it is kept elsewhere.
    if (this.#input !== piece) return;
    this.#scanned -= this.#at;
    this.#input = Buffer.from(piece.subarray(this.#at));
    this.#at = 0;
  };

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    if (!this.#busy) this.run();
  };

  readonly #onDrain = (): void => {
    if (!this.#busy) this.run();
  };

  /** Bytes that are here and unused. */
  get available(): number {
    return this.#input.length - this.#at;
  }

  /** The next line with its LF, or what is wrong: it is not complete yet, or longer than `limit` bytes. */
  takeLine(limit: number): Buffer | 'incomplete' | 'too long' {
    const start = this.#at;
    const end = this.#input.indexOf(LF, this.#scanned);
    if (end === -1) {
      this.#scanned = this.#input.length;
      return this.#input.length - start > limit ? 'too long' : 'incomplete';
    }
    if (end - start >= limit) return 'too long';
    const line = this.#input.subarray(start, end + 1);
    this.#use(end + 1);
    return line;
  }

  /** Gives all unused input to `read`, which returns where in it the rest begins. */
  takePiece(read: (input: Buffer, from: number) => number): void {
    this.#use(read(this.#input, this.#at));
  }

  #use(to: number): void {
    this.#at = to;
    this.#scanned = to;
    // Content that was handed on must not be held by the buffer that it came in.
    if (to >= this.#input.length) this.#forgetInput();
  }

  #forgetInput(): void {
    this.#input = EMPTY;
    this.#at = 0;
    this.#scanned = 0;
  }

  /** Does whatever the input allows; all replies go out in one write at the end of this turn. */
  run(): void {
    while (!this.#busy && this.#phase === 'open' && this.#mayStep() && this.#owner.step()) {
      this.#progress = true;
    }
    if (this.#phase !== 'open') return;
    if (this.#busy) {
      this.#deadline.lift();
      if (this.#out !== '') this.#cancelHeld ??= this.#tools.clock.after(LONGEST_HELD_REPLY_MS, this.#flush);
      return;
    }
    if (this.#out !== '') atTurnEnd(this.#flush);
    if (this.#inputEnded) {
      this.finish('client-closed');
      return;
    }
    const patience = this.#owner.patience(this.#progress);
    this.#progress = false;
    if (patience !== null) this.#deadline.set(patience);
    if (this.#socket.isPaused() && this.#socket.writableLength <= MOST_PENDING_OUTPUT) this.#socket.resume();
  }

  #mayStep(): boolean {
    if (this.#out.length > MOST_PENDING_OUTPUT) this.#flush();
    return this.#socket.writableLength <= MOST_PENDING_OUTPUT;
  }

  /** A time limit begins anew with whatever comes next. */
  progressed(): void {
    this.#progress = true;
  }

  // Handlers

  /** Calls a handler and goes on with what it says, at once or when it comes; with `failed` when it throws. */
  ask<T>(
    call: () => MaybeLater<T>,
    then: (value: T) => void,
    failed: (error: unknown) => void = (error) => this.#owner.handlerFailed(error),
  ): undefined {
    let value: MaybeLater<T>;
    try {
      value = call();
    } catch (error) {
      failed(error);
      return;
    }
    if (!(value instanceof Promise)) {
      then(value);
      return;
    }
    this.#busy = true;
    const goOn = (after: () => void) => {
      this.#busy = false;
      if (this.isOver) return;
      after();
      this.#progress = true;
      this.run();
    };
    value.then(
      (result) => goOn(() => then(result)),
      (error: unknown) => goOn(() => failed(error)),
    );
  }

  // Output

  /** Queues reply lines for the next write. */
  write(lines: string): void {
    this.#out += lines;
  }

  readonly #flush = (): void => {
    this.#cancelHeld?.();
    this.#cancelHeld = null;
    if (this.#out === '') return;
    const out = this.#out;
    this.#out = '';
    if (this.#socket.writable) this.#socket.write(out);
  };

  // Time

  readonly #timedOut = (): void => {
    if (this.#phase === 'open') this.#owner.timedOut();
    else this.destroy('timeout');
  };

  // TLS

  /**
   * Sends what is queued and then puts TLS over the connection; whatever came in clear until then is forgotten
   * (CVE-2011-0411). Input is taken again after `then` calls `listen`.
   */
  upgrade(tls: SmtpServerTls, timeoutMs: number, then: (secured: TLSSocket) => void): void {
    const socket = this.#socket;
    this.#forgetInput();
    this.#phase = 'securing';
    this.#unlisten();
    const out = this.#out;
    this.#out = '';
    this.#cancelHeld?.();
    this.#cancelHeld = null;
    this.#deadline.set(timeoutMs);
    socket.write(out, () => {
      if (this.#phase !== 'securing') return;
      // Bytes that the socket read meanwhile were in clear as well.
      while (socket.read() !== null);
      this.secure(tls, timeoutMs, then);
    });
  }

  /** Puts TLS over the connection at once. */
  secure(tls: SmtpServerTls, timeoutMs: number, then: (secured: TLSSocket) => void): void {
    const raw = this.#socket;
    this.#phase = 'securing';
    this.#deadline.set(timeoutMs);
    const secured = new TLSSocket(raw, {
      isServer: true,
      secureContext: tls.secureContext,
      requestCert: tls.requestCertificate === true,
      rejectUnauthorized: false,
    });
    raw.removeListener('close', this.#onClose);
    secured.on('error', this.#onError);
    secured.on('_tlsError', this.#onTlsError);
    secured.on('close', this.#onClose);
    this.#socket = secured;
    secured.once('secure', () => {
      // A client that asks for handshake after handshake would have us work for nothing.
      secured.disableRenegotiation();
      if (this.#phase === 'securing') then(secured);
    });
  }

  // The end

  /**
   * Sends what is queued and hangs up, reading on for a while so that a reset does not swallow the last reply. A client
   * that has said QUIT and nothing after it sends no more that could cause one.
   */
  finish(why: CloseReason): void {
    if (this.isOver) return;
    this.#closeReason ??= why;
    const parting = why === 'quit' && this.available === 0;
    this.#flush();
    this.#phase = 'closing';
    this.#forgetInput();
    this.#owner.over();
    this.#deadline.set(this.#closeMs);
    if (parting) {
      // The system has the reply: it sends what it has before it hangs up. TLS has a farewell of its own.
      if (this.#socket.writableLength === 0 && !(this.#socket instanceof TLSSocket)) this.#socket.destroy();
      else this.#socket.destroySoon();
      return;
    }
    this.#socket.end();
    this.#socket.resume();
  }

  /** Cuts the connection once the replies before are out. */
  drop(): void {
    if (this.#phase === 'closed') return;
    this.#flush();
    this.#socket.destroySoon();
    this.#ended('dropped');
  }

  /** Cuts the connection now. */
  destroy(why: CloseReason): void {
    this.#socket.destroy();
    // 'close' comes in a later turn; until then no handler may be called and no timer may fire.
    this.#ended(why);
  }

  readonly #onError = (error: Error): void => {
    // Many clients cut the connection after QUIT instead of closing it.
    if (this.isOver) return;
    this.#tools.log.info('connection failed', { client: this.#client, reason: error.message });
    this.#closeReason ??= 'error';
  };

  /** Node tells of TLS that went wrong, or of a renegotiation, and leaves the connection open outside its own server. */
  readonly #onTlsError = (error: Error): void => {
    this.#onError(error);
    this.destroy('error');
  };

  readonly #onClose = (): void => this.#ended(this.#phase === 'securing' ? 'error' : 'client-closed');

  #ended(why: CloseReason): void {
    if (this.#phase === 'closed') return;
    const wasOver = this.isOver;
    this.#phase = 'closed';
    this.#closeReason ??= why;
    this.#deadline.stop();
    this.#cancelHeld?.();
    this.#cancelHeld = null;
    this.#forgetInput();
    if (!wasOver) this.#owner.over();
    this.#owner.closed(this.#closeReason);
  }
}
