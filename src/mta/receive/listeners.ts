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

export interface Listening {
  readonly address: string;
  readonly port: number;
  readonly server: SmtpServer;
}

/** Opens every listener of the configuration; all or none. */
export async function openListeners(
  config: Config,
  reception: Reception,
  clock: Clock,
  log: Log,
): Promise<Listening[]> {
  const opened: Listening[] = [];
  try {
    for (const listener of config.listeners) {
      const tls = await serverTls(config, listener);
      const server = createSmtpServer((endpoints) => reception.accept(endpoints, listener, tls), {
        clock,
        log,
      });
      const where = listener.origin
        ? `${listener.origin.file}:${listener.origin.line}`
        : 'the default listener';
      const port = await server.listen(listener.address, listener.port, `smtp-listener, ${where}`);
      opened.push({ address: listener.address, port, server });
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map(({ server }) => server.close(0)));
    throw error;
  }
}

const VERSIONS = [
  ['1.3', 'TLSv1.3'],
  ['1.2', 'TLSv1.2'],
  ['1.1', 'TLSv1.1'],
  ['1', 'TLSv1'],
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
  const allowed = VERSIONS.filter(([version]) =>
    config.global.get(`smtp-server-tls-allow-tlsv${version}`),
  ).map(([, name]) => name);
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
