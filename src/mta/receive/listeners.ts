import { readFile } from 'node:fs/promises';
import type { Config, Listener } from '../../config/index.ts';
import {
  createSmtpSecureContext,
  createSmtpServer,
  type SmtpServer,
  type SmtpServerTls,
} from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';
import type { Reception } from './reception.ts';

/** What a listening address serves at present; a reload changes it for connections to come. */
interface Service {
  listener: Listener;
  tls: SmtpServerTls | undefined;
}

interface Listening {
  readonly address: string;
  readonly port: number;
  readonly server: SmtpServer;
  readonly service: Service;
}

/** Longest that sessions at an address that is no longer configured go on. */
const GRACE_MS = 30_000;

/** The listening addresses of the configuration in force. */
export class Listeners {
  readonly #reception: Reception;
  readonly #clock: Clock;
  readonly #log: Log;
  #open = new Map<string, Listening>();

  constructor(reception: Reception, clock: Clock, log: Log) {
    this.#reception = reception;
    this.#clock = clock;
    this.#log = log;
  }

  get addresses(): string[] {
    return [...this.#open.values()].map(({ address, port }) => `smtp://${address}:${port}`);
  }

  /**
   * Opens what the configuration names and is not open, gives the others their new settings and certificates, and
   * closes what is no longer named. When anything fails, nothing has changed. Sessions that are open go on as they
   * began.
   */
  async apply(config: Config): Promise<void> {
    const wanted = new Map<string, Service>();
    for (const listener of config.listeners) {
      wanted.set(`${listener.address}:${listener.port}`, {
        listener,
        tls: await serverTls(config, listener),
      });
    }
    const added = new Map<string, Listening>();
    try {
      for (const [key, service] of wanted) {
        if (!this.#open.has(key)) added.set(key, await this.#listen(service));
      }
    } catch (error) {
      await Promise.all([...added.values()].map(({ server }) => server.close(0)));
      throw error;
    }
    const kept = new Map<string, Listening>();
    for (const [key, listening] of this.#open) {
      const service = wanted.get(key);
      if (service) {
        Object.assign(listening.service, service);
        kept.set(key, listening);
      } else {
        void listening.server.close(GRACE_MS);
        this.#log.info(`no longer listening on ${key}`);
      }
    }
    this.#open = new Map([...kept, ...added]);
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ server }) => server.close(graceMs)));
  }

  async #listen(service: Service): Promise<Listening> {
    const { address, port, origin } = service.listener;
    const server = createSmtpServer(
      (endpoints) => this.#reception.accept(endpoints, service.listener, service.tls),
      { clock: this.#clock, log: this.#log },
      (peer) => this.#reception.isProxy(peer, service.listener),
    );
    const where = origin ? `${origin.file}:${origin.line}` : 'the default listener';
    const bound = await server.listen(address, port, `smtp-listener, ${where}`);
    return { address, port: bound, server, service };
  }
}

const VERSIONS = [
  ['smtp-server-tls-allow-tlsv1.3', 'TLSv1.3'],
  ['smtp-server-tls-allow-tlsv1.2', 'TLSv1.2'],
  ['smtp-server-tls-allow-tlsv1.1', 'TLSv1.1'],
  ['smtp-server-tls-allow-tlsv1', 'TLSv1'],
] as const;

/** Certificate and versions of a listener: its own, else the server's. */
async function serverTls(config: Config, listener: Listener): Promise<SmtpServerTls | undefined> {
  const own = listener.settings.get('tls-certificate');
  const certificate = own ?? config.global.get('smtp-server-tls-certificate');
  if (!certificate) return undefined;
  const origin = own
    ? listener.settings.origin('tls-certificate')
    : config.global.origin('smtp-server-tls-certificate');
  const where = origin ? `${origin.file}:${origin.line}` : 'the configuration';
  let pem: string;
  try {
    pem = await readFile(certificate.file, 'utf8');
  } catch (error) {
    throw new UserError(`${where}: the certificate ${certificate.file} cannot be read: ${reason(error)}`, {
      cause: error,
    });
  }
  const allowed = VERSIONS.filter(([name]) => config.global.get(name)).map(([, version]) => version);
  if (allowed.length === 0) {
    throw new UserError(`${where}: every TLS version is switched off, so the certificate can serve nobody`);
  }
  try {
    return {
      secureContext: createSmtpSecureContext({
        cert: pem,
        key: pem,
        passphrase: certificate.passPhrase ?? undefined,
        maxVersion: allowed[0],
        minVersion: allowed.at(-1),
      }),
    };
  } catch (error) {
    throw new UserError(
      `${where}: the certificate ${certificate.file} cannot be used: ${(error as Error).message}; it must hold the certificate and its private key in PEM`,
      { cause: error },
    );
  }
}
