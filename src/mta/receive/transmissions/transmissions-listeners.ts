import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { ApiListener, Config } from '../../../config/index.ts';
import { listen } from '../../../system/listen.ts';
import { UserError } from '../../../system/user-error.ts';
import { serverTlsOptions } from '../server-tls.ts';
import type { TransmissionsLog } from './transmissions-log.ts';

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Listening {
  readonly address: string;
  readonly port: number;
  readonly server: Server;
}

const MOST_CONNECTIONS = 1_000;
/** A body of the largest size over a slow line. */
const REQUEST_MS = 300_000;
const HEADERS_MS = 15_000;
const IDLE_MS = 75_000;
const MOST_HEADER_BYTES = 16 * 1024;

/** The HTTPS addresses of the Transmissions API in the configuration in force. */
export class TransmissionsListeners {
  readonly #handle: Handle;
  readonly #log: TransmissionsLog;
  #open = new Map<string, Listening>();

  constructor(handle: Handle, log: TransmissionsLog) {
    this.#handle = handle;
    this.#log = log;
  }

  get addresses(): string[] {
    return [...this.#open.values()].map(({ address, port }) => `https://${address}:${port}`);
  }

  /** As `Listeners.apply`: opens, changes certificates, closes; when anything fails nothing has changed. */
  async apply(config: Config): Promise<void> {
    const wanted = new Map<string, { listener: ApiListener; tls: SecureContextOptions }>();
    for (const listener of this.#enabled(config)) {
      const tls = await tlsOptions(listener, config);
      wanted.set(`${listener.address}:${listener.port}`, { listener, tls });
    }
    const added = new Map<string, Listening>();
    try {
      for (const [key, { listener, tls }] of wanted) {
        if (!this.#open.has(key)) added.set(key, await this.#listen(listener, tls));
      }
    } catch (error) {
      await Promise.all([...added.values()].map(({ server }) => closed(server, 0)));
      throw error;
    }
    const kept = new Map<string, Listening>();
    for (const [key, listening] of this.#open) {
      const service = wanted.get(key);
      if (service) {
        listening.server.setSecureContext(service.tls);
        kept.set(key, listening);
      } else {
        void closed(listening.server, REQUEST_MS);
        this.#log.log.info(`no longer listening on ${key}`);
      }
    }
    this.#open = new Map([...kept, ...added]);
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ server }) => closed(server, graceMs)));
  }

  #enabled(config: Config): readonly ApiListener[] {
    if (config.apiListeners.length === 0) return [];
    if ((config.transmissionsApi?.get('api-key') ?? []).length > 0) return config.apiListeners;
    this.#log.log.warn('the Transmissions API is off: <transmissions-api> names no api-key');
    return [];
  }

  async #listen(listener: ApiListener, tls: SecureContextOptions): Promise<Listening> {
    const { address, port, origin } = listener;
    const server = createServer(
      {
        ...tls,
        requestCert: tls.ca !== undefined,
        rejectUnauthorized: false,
        maxHeaderSize: MOST_HEADER_BYTES,
        requestTimeout: REQUEST_MS,
        headersTimeout: HEADERS_MS,
      },
      (request, response) => void this.#handle(request, response),
    );
    server.keepAliveTimeout = IDLE_MS;
    server.maxConnections = MOST_CONNECTIONS;
    // The key in the request says who it is. A certificate is asked for where there are authorities to judge it by, and
    // one that they do not know is worse than none.
    server.on('secureConnection', (socket: TLSSocket) => {
      this.#log.connected(socket);
      if (socket.authorized || !socket.getPeerX509Certificate()) return;
      this.#log.log.warn('connection cut: the certificate of the client is not good', {
        client: socket.remoteAddress,
        reason: String(socket.authorizationError),
      });
      socket.destroy();
    });
    server.on('tlsClientError', (error, socket) => this.#log.tlsFailed(error, socket));
    const where = `transmissions-api-listener, ${origin.file}:${origin.line}`;
    return { address, port: await listen(server, address, port, where), server };
  }
}

/** Lets requests in hand be answered, then cuts what is left. */
async function closed(server: Server, graceMs: number): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}

async function tlsOptions({ settings, origin }: ApiListener, config: Config): Promise<SecureContextOptions> {
  const options = await serverTlsOptions(settings, origin, config.global);
  if (options) return options;
  throw new UserError(`${origin.file}:${origin.line}: the Transmissions API needs a tls-certificate`);
}
