import { connect as connectTcp } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import { systemClock } from '../system/clock.ts';
import { SmtpClient } from './client.ts';
import { chooseMechanism, firstAuthLine, nextAuthLine } from './client-auth.ts';
import {
  type ConnectionFacts,
  type ConnectOptions,
  type ConnectResult,
  type ConnectStage,
  DEFAULT_CLIENT_TIMEOUTS,
  positive,
  type SmtpClientTimeouts,
} from './client-types.ts';
import { Wire, type WireFault } from './client-wire.ts';
import type { SmtpReply } from './reply-reader.ts';
import { plainAddress } from './server-session.ts';

type Failure = { stage: ConnectStage; reply: SmtpReply | null; fault: WireFault | null };
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Opens a connection and brings it to where mail can be sent: greeting, EHLO, STARTTLS, AUTH. Never throws for what
 * the network or the server does.
 */
export async function connectSmtp(options: ConnectOptions): Promise<ConnectResult> {
  const first = new Connecting(options, '');
  const failure = await first.run();
  if (!failure) return { ok: true, client: first.client() };
  if (options.tls?.mode === 'opportunistic' && failure.stage === 'starttls' && !options.signal?.aborted) {
    // The handshake spoilt the connection, and mail in clear is better than none when TLS is only wished for.
    const inClear = { ...options, tls: { ...options.tls, mode: 'no' as const } };
    const second = new Connecting(inClear, failure.fault?.error ?? 'STARTTLS failed');
    const again = await second.run();
    return again ? second.failed(again) : { ok: true, client: second.client() };
  }
  return first.failed(failure);
}

class Connecting {
  readonly #options: ConnectOptions;
  readonly #timeouts: SmtpClientTimeouts;
  readonly #wire: Wire;
  readonly #facts: Mutable<ConnectionFacts>;
  readonly #timings = { connect: 0, greeting: 0, ehlo: 0, tls: 0, auth: 0 };
  #keywords = new Map<string, string>();

  constructor(options: ConnectOptions, tlsFailure: string) {
    this.#options = options;
    this.#timeouts = { ...DEFAULT_CLIENT_TIMEOUTS, ...options.timeouts };
    const { host, port, localAddress, signal, observer } = options;
    const open = options.openSocket ?? ((to) => connectTcp({ ...to, noDelay: true }));
    const socket = open({ host, port, localAddress });
    this.#wire = new Wire(socket, this.#clock, this.#timeouts.restOfReply, observer);
    if (signal) {
      const abort = () => this.#wire.fail({ error: 'aborted', code: 'EABORTED' });
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort);
      socket.once('close', () => signal.removeEventListener('abort', abort));
    }
    this.#facts = {
      remoteAddress: host,
      remotePort: port,
      localAddress: localAddress ?? '',
      localPort: 0,
      greeting: null,
      keywords: [],
      tls: null,
      tlsFailure,
      authMechanism: '',
      timings: this.#timings,
    };
  }

  get #clock() {
    return this.#options.clock ?? systemClock;
  }

  client(): SmtpClient {
    return new SmtpClient(this.#wire, this.#clock, this.#timeouts, this.#facts, this.#keywords);
  }

  failed({ stage, reply, fault }: Failure): ConnectResult {
    const { error, code } = fault ?? { error: '', code: '' };
    return { ok: false, stage, reply, error, code, facts: this.#facts };
  }

  /** Null when the connection stands. */
  async run(): Promise<Failure | null> {
    const failure = await this.#phases();
    if (failure) {
      this.#wire.write('QUIT\r\n');
      this.#wire.end();
    }
    return failure;
  }

  async #phases(): Promise<Failure | null> {
    const { tls, auth, preamble } = this.#options;
    const unreachable = await this.#timed('connect', () => this.#connected());
    if (unreachable) return unreachable;
    if (preamble) this.#wire.write(preamble);
    if (tls?.mode === 'immediate') {
      const failure = await this.#secure();
      if (failure) return failure;
    }
    const silent = await this.#timed('greeting', () => this.#greeting());
    if (silent) return silent;
    const refused = await this.#timed('ehlo', () => this.#hello());
    if (refused) return refused;
    if (tls?.mode === 'require' || tls?.mode === 'opportunistic') {
      const failure = await this.#startTls();
      if (failure) return failure;
    }
    const unauthenticated = auth ? await this.#timed('auth', () => this.#authenticate(auth)) : null;
    // The last reply may have come together with what made the connection useless.
    return unauthenticated ?? (this.#wire.fault && { stage: 'ehlo', reply: null, fault: this.#wire.fault });
  }

  async #timed<T>(phase: keyof ConnectionFacts['timings'], run: () => Promise<T>): Promise<T> {
    const start = this.#clock.now();
    try {
      return await run();
    } finally {
      this.#timings[phase] += this.#clock.now() - start;
    }
  }

  async #connected(): Promise<Failure | null> {
    const { socket } = this.#wire;
    if (socket.connecting) {
      await this.#wire.during((done) => socket.once('connect', done), this.#timeouts.connect);
    }
    const fault = this.#wire.fault;
    if (fault) {
      const timedOut = fault.code === 'ETIMEDOUT' ? { ...fault, error: 'connection timed out' } : fault;
      return { stage: 'connect', reply: null, fault: timedOut };
    }
    this.#facts.remoteAddress = plainAddress(socket.remoteAddress) || this.#facts.remoteAddress;
    this.#facts.remotePort = socket.remotePort ?? this.#facts.remotePort;
    this.#facts.localAddress = plainAddress(socket.localAddress) || this.#facts.localAddress;
    this.#facts.localPort = socket.localPort ?? 0;
    this.#options.observer?.connected(this.#facts.localAddress, this.#facts.localPort);
    return null;
  }

  async #greeting(): Promise<Failure | null> {
    await this.#wire.expect(1, this.#timeouts.greeting);
    const reply = this.#wire.take();
    this.#facts.greeting = reply;
    return reply?.code === 220 ? null : this.#refusal('greeting', reply);
  }

  async #hello(): Promise<Failure | null> {
    const reply = await this.#command(`EHLO ${this.#options.heloName}\r\n`);
    if (positive(reply)) {
      this.#learn(reply!);
      return null;
    }
    // A server from before 1995, or behind a firewall that thinks so.
    if (reply === null || ![500, 501, 502, 504].includes(reply.code)) return this.#refusal('ehlo', reply);
    const second = await this.#command(`HELO ${this.#options.heloName}\r\n`);
    return positive(second) ? null : this.#refusal('ehlo', second);
  }

  #learn(reply: SmtpReply): void {
    const keywords = reply.lines.slice(1);
    this.#facts.keywords = keywords;
    this.#keywords = new Map();
    for (const line of keywords) {
      // `AUTH=LOGIN` is how servers spelled it before RFC 2554.
      const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*))?$/.exec(line.trim());
      if (!match) continue;
      const keyword = match[1]!.toUpperCase();
      if (this.#options.ignore?.has(keyword) || this.#keywords.has(keyword)) continue;
      this.#keywords.set(keyword, match[2]?.trim() ?? '');
    }
  }

  async #startTls(): Promise<Failure | null> {
    const required = this.#options.tls!.mode === 'require';
    if (!this.#keywords.has('STARTTLS')) {
      const fault = { error: 'the remote host does not offer STARTTLS', code: 'ENOTLS' };
      return required ? { stage: 'starttls', reply: null, fault } : null;
    }
    const reply = await this.#command('STARTTLS\r\n');
    if (reply === null) return this.#refusal('starttls', reply);
    if (reply.code !== 220) {
      if (required) return this.#refusal('starttls', reply);
      this.#facts.tlsFailure = `STARTTLS refused: ${reply.code} ${reply.lines.join(' ')}`;
      return null;
    }
    return (await this.#secure()) ?? (await this.#timed('ehlo', () => this.#hello()));
  }

  async #secure(): Promise<Failure | null> {
    const fault = await this.#timed('tls', () =>
      this.#wire.secure(this.#options.tls!, this.#timeouts.handshake),
    );
    if (fault) {
      return {
        stage: 'starttls',
        reply: null,
        fault: { ...fault, error: `TLS handshake failed: ${fault.error}` },
      };
    }
    const { socket } = this.#wire;
    if (socket instanceof TLSSocket) {
      this.#facts.tls = { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher()?.name ?? '' };
    }
    return null;
  }

  async #authenticate(auth: NonNullable<ConnectOptions['auth']>): Promise<Failure | null> {
    const mechanism = chooseMechanism(auth, this.#keywords.get('AUTH'), this.#facts.tls !== null);
    if (typeof mechanism !== 'string') {
      return { stage: 'auth', reply: null, fault: { error: mechanism.error, code: 'ENOAUTH' } };
    }
    this.#facts.authMechanism = mechanism;
    let reply = await this.#command(firstAuthLine(mechanism, auth), `AUTH ${mechanism} ***\r\n`);
    for (let step = 0; reply?.code === 334; step++) {
      const answer = nextAuthLine(mechanism, auth, reply.lines[0] ?? '', step);
      if (answer === null && step > 3) break;
      reply = await this.#command(answer ?? '*\r\n', answer === null ? undefined : '***\r\n');
    }
    return positive(reply) ? null : this.#refusal('auth', reply);
  }

  /** `shown`: what a trace may show in place of secrets. */
  async #command(line: string, shown?: string): Promise<SmtpReply | null> {
    if (this.#wire.pending.length > 0) {
      this.#wire.fail({ error: 'the server said more than was asked', code: 'EPROTOCOL' });
      return null;
    }
    this.#wire.write(line, shown ?? line, shown !== undefined);
    await this.#wire.expect(1, this.#timeouts.command);
    return this.#wire.take();
  }

  /** A refusal in words, or the loss of the connection. */
  #refusal(stage: ConnectStage, reply: SmtpReply | null): Failure {
    return { stage, reply, fault: reply ? null : this.#wire.fault };
  }
}

/** What many connections of one policy can share; TLS 1.2 and later unless told otherwise. */
export function createSmtpClientContext(given: SecureContextOptions = {}): SecureContext {
  return createSecureContext({ minVersion: 'TLSv1.2', ...given });
}
