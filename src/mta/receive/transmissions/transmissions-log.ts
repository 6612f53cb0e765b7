import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Config } from '../../../config/index.ts';
import type { Log } from '../../../system/log.ts';

/** Characters of a body that `log-data` writes; what follows is only counted. */
const MOST_DATA = 64 * 1024;

/**
 * What of requests and connections is logged: `log-requests`, `log-tls` and `log-data` of `<transmissions-api>`, and
 * the `log-…` of `<source {transmissions-api}>`, where an operator who knows sources looks for them. Never the keys.
 */
export class TransmissionsLog {
  readonly log: Log;
  readonly #config: () => Config;

  constructor(config: () => Config, log: Log) {
    this.#config = config;
    this.log = log;
  }

  connected(socket: TLSSocket): void {
    const { remoteAddress: client, remotePort: port } = socket;
    if (this.#source.get('log-connections')) {
      this.log.info('connection opened', { client, port });
      socket.once('close', () => this.log.info('connection closed', { client, port }));
    }
    if (!this.#tls) return;
    this.log.info('TLS on', {
      client,
      port,
      protocol: socket.getProtocol(),
      cipher: socket.getCipher()?.name,
    });
  }

  /** A handshake that fails is told in any case. */
  tlsFailed(error: Error, socket: TLSSocket): void {
    this.log.info(`TLS failed: ${error.message}`, { client: socket.remoteAddress });
  }

  answered({ method, url, socket }: IncomingMessage, status: number, text: string): void {
    const client = socket.remoteAddress;
    const api = this.#config().transmissionsApi;
    if (api?.get('log-requests') || this.#source.get('log-commands')) {
      this.log.info(`${method} ${url?.slice(0, 200)}`, { client, status });
    }
    if (this.#data) this.log.info('we answer', { client, status, body: text.slice(0, MOST_DATA) });
  }

  /** Everything that a client sent with its request. */
  body(body: Buffer, client: string): void {
    if (!this.#data) return;
    const text = body.toString('utf8', 0, MOST_DATA);
    // A private key in the message is nothing for a log, nor is what follows it worth the search for its end.
    const key = text.search(/x-dkim-key/i);
    const shown = key < 0 ? text : `${text.slice(0, key)}(a private key, and what follows it)`;
    this.log.info('client sends', { client, bytes: body.length, body: shown });
  }

  get #source() {
    return this.#config().sourceFor({ clientIp: null, reserved: '{transmissions-api}' });
  }

  get #tls(): boolean {
    return (this.#config().transmissionsApi?.get('log-tls') ?? false) || this.#source.get('log-tls');
  }

  get #data(): boolean {
    return (this.#config().transmissionsApi?.get('log-data') ?? false) || this.#source.get('log-data');
  }
}
