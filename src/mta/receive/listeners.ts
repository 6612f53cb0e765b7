import type { Config, Listener } from '../../config/index.ts';
import { createSmtpSecureContext, createSmtpServer, type SmtpServer } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { ListenerTls, Reception } from './reception.ts';
import { serverTlsOptions, userCertificates } from './server-tls.ts';

/** Who decides about connections, and counts them. */
export type Sessions = Pick<Reception, 'accept' | 'isProxy' | 'openSessions' | 'mostSessions'>;

/** What a listening address serves at present; a reload changes it for connections to come. */
interface Service {
  listener: Listener;
  tls: ListenerTls | undefined;
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
  readonly #reception: Sessions;
  readonly #clock: Clock;
  readonly #log: Log;
  #open = new Map<string, Listening>();

  constructor(reception: Sessions, clock: Clock, log: Log) {
    this.#reception = reception;
    this.#clock = clock;
    this.#log = log;
  }

  get openSessions(): number {
    return this.#reception.openSessions;
  }

  get mostSessions(): number {
    return this.#reception.mostSessions;
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
    const users = await userCertificates(config);
    for (const listener of config.listeners) {
      wanted.set(`${listener.address}:${listener.port}`, {
        listener,
        tls: await listenerTls(config, listener, users),
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

/** Clients are asked for a certificate when there is somebody to judge it: authorities, or users known by theirs. */
async function listenerTls(
  config: Config,
  { settings, origin }: Listener,
  users: ReadonlyMap<string, string>,
): Promise<ListenerTls | undefined> {
  const options = await serverTlsOptions(settings, origin, config.global);
  if (!options) return undefined;
  return {
    secureContext: createSmtpSecureContext(options),
    requestCertificate: options.ca !== undefined || users.size > 0,
    users,
  };
}
