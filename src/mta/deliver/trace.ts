/**
 * `pmta trace`: one connection of a queue and one message over it, told line by line as PowerMTA's logged sessions are
 * (management guide, 4.10): `>>>` is what was read from the peer, `<<<` what was written to it. What is secret in a
 * command was blotted out before it comes here.
 */
import { isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../system/clock.ts';
import { logTime, printable } from '../../system/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { ConnectionWatch } from './connection-log.ts';

export interface TraceOptions {
  /** Everything that goes over the wire too, in hexadecimal. */
  readonly data: boolean;
  /** How the queue's hosts were found. */
  readonly resolution: boolean;
  /** The only local address to be used; null for any. */
  readonly sourceIp: string | null;
}

/** A session's text is bounded: who traces a gigabyte wants its beginning. */
const MOST_LINES = 20_000;
const LONGEST_LINE = 2000;
/** Octets of the content that `data` writes. */
const MOST_DATA = 256 * 1024;

/** Takes down one run of a queue. */
export class Trace {
  readonly options: TraceOptions;
  readonly lines: string[] = [];
  readonly #clock: Clock;
  readonly #ended: () => void;
  #name = '';
  #begun = false;

  /** `ended`: the run is over. */
  constructor(options: TraceOptions, clock: Clock, ended: () => void) {
    this.options = options;
    this.#clock = clock;
    this.#ended = ended;
  }

  get begun(): boolean {
    return this.#begun;
  }

  begin(queue: Queue): void {
    this.#begun = true;
    this.#name = queue.name;
    this.say(`starting ${queue.name}`);
  }

  end(): void {
    this.say(`done ${this.#name}`);
    this.#ended();
  }

  resolved(text: string): void {
    if (this.options.resolution) this.say(text);
  }

  say(text: string): void {
    if (this.lines.length > MOST_LINES) return;
    const line =
      this.lines.length === MOST_LINES ? '(more is not shown)' : printable(text).slice(0, LONGEST_LINE);
    this.lines.push(`${logTime(this.#clock.now())} ${line}`);
  }

  /** Watches a connection to one host. */
  connection(peer: { readonly name: string; readonly address: string }): ConnectionTrace {
    return new ConnectionTrace(this, peer);
  }
}

export class ConnectionTrace implements ConnectionWatch {
  readonly #trace: Trace;
  readonly #peer: string;
  #unfinished = '';
  #in = 0;
  #out = 0;
  #dumped = 0;
  /** Until there is a connection, there is none to be closed. */
  #closed = true;

  constructor(trace: Trace, { name, address }: { readonly name: string; readonly address: string }) {
    this.#trace = trace;
    this.#peer = `${name} (${isIPv6(address) ? `[${address}]` : address})`;
  }

  connecting(heloName: string, source: string | null): void {
    this.#trace.say(`connecting from ${heloName} (${source ?? '0.0.0.0'}) to ${this.#peer}`);
  }

  connected(address: string, port: number): void {
    this.#closed = false;
    this.#in = 0;
    this.#out = 0;
    this.#unfinished = '';
    this.#trace.say(`connected from ${isIPv6(address) ? `[${address}]` : address}:${port}`);
  }

  failed(words: string): void {
    this.#trace.say(`failed ${this.#peer}: ${words}`);
  }

  read(piece: Buffer): void {
    this.#in += piece.length;
    if (this.#trace.options.data) this.#dump('>>> rd', piece);
    const lines = (this.#unfinished + piece.toString('utf8')).split('\n');
    this.#unfinished = lines.pop()!.slice(-LONGEST_LINE);
    for (const line of lines) this.#trace.say(`>>> ${line.replace(/\r$/, '')}`);
  }

  wrote(data: string | Buffer, shown: string): void {
    const bytes = Buffer.from(data as string);
    this.#out += bytes.length;
    if (this.#trace.options.data) this.#dump('<<< wr', bytes);
    for (const line of shown.split('\r\n')) if (line !== '') this.#trace.say(`<<< ${line}`);
  }

  secured(socket: TLSSocket): void {
    const cipher = socket.getCipher();
    const bits = /256|CHACHA20/.test(cipher?.standardName ?? cipher?.name ?? '') ? 256 : 128;
    this.#trace.say(`tls:${socket.getProtocol()} connected with ${bits}-bit ${cipher?.name}`);
    const certificate = socket.getPeerCertificate();
    const name = (of: object | undefined) =>
      Object.entries(of ?? {})
        .map(([key, value]) => `/${key}=${String(value)}`)
        .join('');
    const verified = socket.authorized ? 'yes' : 'no';
    this.#trace.say(
      `tls:Cert: ${name(certificate?.subject)}; issuer=${name(certificate?.issuer)}; verified=${verified}`,
    );
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#unfinished !== '') this.#trace.say(`>>> ${this.#unfinished}`);
    this.#trace.say(`closed ${this.#peer} in=${this.#in} out=${this.#out}`);
  }

  #dump(what: string, bytes: Buffer): void {
    const room = Math.max(0, MOST_DATA - this.#dumped);
    this.#dumped += bytes.length;
    if (room === 0) return;
    for (const line of hexLines(what, bytes.subarray(0, room))) this.#trace.say(line);
  }
}

/** `>>> rd N`, then 16 octets a line: 32 hexadecimal digits, a blank, and what of it can be printed. */
export function hexLines(what: string, bytes: Buffer): string[] {
  const lines = [`${what} ${bytes.length}`];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const text = row.toString('latin1').replace(/[^\u0020-\u007e]/g, '.');
    lines.push(`${row.toString('hex').toUpperCase().padEnd(32)} ${text}`);
  }
  return lines;
}

/** Traces that were asked for and wait for their queue's next connection. */
export class Traces {
  readonly #waiting = new Map<Queue, Trace>();

  /** False when this queue is being traced already. */
  ask(queue: Queue, trace: Trace): boolean {
    if (this.#waiting.has(queue)) return false;
    this.#waiting.set(queue, trace);
    return true;
  }

  withdraw(queue: Queue, trace: Trace): void {
    if (this.#waiting.get(queue) === trace) this.#waiting.delete(queue);
  }

  /** For a connection that is about to be opened: who watches it. */
  take(queue: Queue): Trace | null {
    const trace = this.#waiting.get(queue) ?? null;
    if (trace) {
      this.#waiting.delete(queue);
      trace.begin(queue);
    }
    return trace;
  }
}
