/** What of a connection to a host is logged under its queue's `log-connections`, `log-commands`, `log-tls`, `log-data`. */
import type { TLSSocket } from 'node:tls';
import type { Settings } from '../../config/index.ts';
import type { WireObserver } from '../../smtp/index.ts';
import type { Log } from '../../system/log.ts';

/** Octets of content between two replies that `log-data` writes; what follows is only counted. */
const MOST_DATA = 64 * 1024;
const LONGEST_LINE = 1000;

/** One attempt at a host, watched from its beginning to its end. */
export interface ConnectionWatch extends WireObserver {
  /** `source`: null when the system chooses. */
  connecting(heloName: string, source: string | null): void;
  failed(words: string): void;
}

/** Tells each of several watchers; null when there is none. */
export function watchers(all: readonly (ConnectionWatch | null)[]): ConnectionWatch | null {
  const [first, ...others] = all.filter((one) => one !== null);
  if (!first || others.length === 0) return first ?? null;
  const each = (tell: (one: ConnectionWatch) => void) => [first, ...others].forEach(tell);
  return {
    connecting: (heloName, source) => each((one) => one.connecting(heloName, source)),
    failed: (words) => each((one) => one.failed(words)),
    connected: (address, port) => each((one) => one.connected(address, port)),
    read: (piece) => each((one) => one.read(piece)),
    wrote: (data, shown) => each((one) => one.wrote(data, shown)),
    secured: (socket) => each((one) => one.secured(socket)),
    closed: () => each((one) => one.closed()),
  };
}

/** Null when the queue logs nothing, so that it pays nothing for it. */
export function connectionLog(
  log: Log,
  settings: Settings<'domain'>,
  queue: string,
  peer: { readonly name: string; readonly address: string },
): ConnectionWatch | null {
  const data = settings.get('log-data');
  const wanted = {
    connections: settings.get('log-connections'),
    commands: settings.get('log-commands') || data,
    tls: settings.get('log-tls'),
    data,
  };
  if (!Object.values(wanted).includes(true)) return null;
  return new ConnectionLog(log, wanted, { queue, host: `${peer.name} (${peer.address})` });
}

type Wanted = { readonly [what in 'connections' | 'commands' | 'tls' | 'data']: boolean };

class ConnectionLog implements ConnectionWatch {
  readonly #log: Log;
  readonly #wanted: Wanted;
  #where: { readonly queue: string; readonly host: string; readonly port?: number };
  #unfinished = '';
  #sent = 0;
  #open = false;

  constructor(log: Log, wanted: Wanted, where: { queue: string; host: string }) {
    this.#log = log;
    this.#wanted = wanted;
    this.#where = where;
  }

  connecting(heloName: string, source: string | null): void {
    if (this.#wanted.connections) this.#say('connecting', { as: heloName, from: source ?? 'any address' });
  }

  connected(address: string, port: number): void {
    this.#open = true;
    this.#unfinished = '';
    // Tells the connections of a queue apart.
    this.#where = { ...this.#where, port };
    if (this.#wanted.connections) this.#say('connected', { local: address });
  }

  failed(words: string): void {
    if (this.#wanted.connections) this.#say('connection failed', { why: words });
  }

  read(piece: Buffer): void {
    this.#endOfContent();
    if (!this.#wanted.commands) return;
    const lines = (this.#unfinished + piece.toString('utf8')).split('\n');
    this.#unfinished = lines.pop()!.slice(-LONGEST_LINE);
    for (const line of lines) this.#line('host says', line.replace(/\r$/, ''));
  }

  wrote(data: string | Buffer, shown: string): void {
    if (this.#wanted.commands) {
      for (const line of shown.split('\r\n')) if (line !== '') this.#line('we say', line);
    }
    // Text holds commands only; content comes in buffers, behind a command or by itself.
    if (!this.#wanted.data || typeof data === 'string') return;
    const octets = data.subarray(Buffer.byteLength(shown));
    if (octets.length === 0) return;
    const room = Math.max(0, MOST_DATA - this.#sent);
    this.#sent += octets.length;
    if (room === 0) return;
    for (const line of octets.toString('latin1', 0, room).split('\r\n')) this.#line('we send', line);
  }

  secured(socket: TLSSocket): void {
    if (!this.#wanted.tls) return;
    this.#say('TLS on', {
      protocol: socket.getProtocol() ?? '',
      cipher: socket.getCipher()?.name ?? '',
      verified: socket.authorized ? 'yes' : 'no',
    });
  }

  closed(): void {
    this.#endOfContent();
    if (this.#open && this.#wanted.connections) this.#say('connection closed', {});
    this.#open = false;
  }

  #endOfContent(): void {
    if (this.#sent > MOST_DATA) this.#say('we send more, not logged', { bytes: this.#sent - MOST_DATA });
    this.#sent = 0;
  }

  #line(what: string, line: string): void {
    this.#say(what, { line: line.slice(0, LONGEST_LINE) });
  }

  #say(what: string, more: Record<string, string | number>): void {
    this.#log.info(what, { ...this.#where, ...more });
  }
}
