/** What a listening address does about TLS: its certificate, versions, ciphers and whom it asks for a certificate. */
import { constants, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Config, Origin, Settings } from '../../config/index.ts';
import { reason } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';

/** Suites of TLS 1.3, which `tls-ciphers` cannot name. */
const TLS13 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';

type ListenerSettings = Settings<'smtp-listener'> | Settings<'transmissions-api-listener'>;

/** As `node:tls` takes it; with `ca` when clients are asked for a certificate. UserError when a file cannot be used. */
export async function serverTlsOptions(
  listener: ListenerSettings,
  listenerOrigin: Origin | null,
  global: Config['global'],
): Promise<SecureContextOptions | null> {
  const settings = listener as Settings<'smtp-listener'>;
  const certificate = settings.get('tls-certificate');
  if (!certificate) return null;
  const where = place(settings.origin('tls-certificate') ?? listenerOrigin);
  const pem = await readPem(certificate.file, 'certificate', where);
  const caFile = settings.get('tls-ca-file');
  const ca = caFile ? await readPem(caFile, 'tls-ca-file', place(settings.origin('tls-ca-file'))) : undefined;
  const options: SecureContextOptions = {
    cert: pem,
    key: pem,
    passphrase: certificate.passPhrase ?? undefined,
    ...versions(settings, global, where),
    ...(ca === undefined ? {} : { ca }),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    const ciphers = /cipher/i.test((error as Error).message);
    throw new UserError(
      ciphers
        ? `${place(settings.origin('tls-ciphers'))}: the cipher list cannot be used: ${(error as Error).message}`
        : `${where}: the certificate ${certificate.file} cannot be used: ${(error as Error).message}; it must hold the certificate and its private key in PEM`,
      { cause: error },
    );
  }
  return options;
}

function versions(
  settings: Settings<'smtp-listener'>,
  global: Config['global'],
  where: string,
): SecureContextOptions {
  const v1 = settings.get('tls-allow-tlsv1');
  const v11 = settings.get('tls-allow-tlsv1.1');
  const v12 = settings.get('tls-allow-tlsv1.2');
  const v13 = global.get('smtp-server-tls-allow-tlsv1.3');
  if (!v1 && !v11 && !v12 && !v13) {
    throw new UserError(`${where}: every TLS version is switched off, so the certificate can serve nobody`);
  }
  const list = settings.get('tls-ciphers') ?? '';
  // The library takes TLS 1.0 and 1.1 at security level 0 only; what those clients would use instead is clear text.
  const level = (v1 || v11) && !/@SECLEVEL/i.test(list) ? ':@SECLEVEL=0' : '';
  return {
    minVersion: v1 ? 'TLSv1' : v11 ? 'TLSv1.1' : v12 ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: v13 ? 'TLSv1.3' : v12 ? 'TLSv1.2' : v11 ? 'TLSv1.1' : 'TLSv1',
    ciphers: `${global.get('smtp-server-tls-v1.3-ciphersuites') || TLS13}:${list}:!aNULL:!eNULL${level}`,
    // Between the lowest and the highest there may be one that is switched off.
    secureOptions: (v11 ? 0 : constants.SSL_OP_NO_TLSv1_1) | (v12 ? 0 : constants.SSL_OP_NO_TLSv1_2),
    honorCipherOrder: true,
  };
}

/** Users who sign in by their certificate (`authentication-method certificate`): SHA-256 of it → their name. */
export async function userCertificates(config: Config): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const [name, { settings }] of config.users) {
    if (settings.get('authentication-method') !== 'certificate') continue;
    const where = place(settings.origin('authentication-method'));
    const file = settings.get('tls-certificate');
    if (!file)
      throw new UserError(`${where}: smtp-user ${name} signs in by certificate and has no tls-certificate`);
    const pem = await readPem(file, 'tls-certificate', place(settings.origin('tls-certificate')));
    try {
      found.set(new X509Certificate(pem).fingerprint256, name);
    } catch (error) {
      throw new UserError(`${where}: ${file} holds no certificate in PEM: ${reason(error)}`, {
        cause: error,
      });
    }
  }
  return found;
}

function place(origin: Origin | null): string {
  return origin ? `${origin.file}:${origin.line}` : 'the configuration';
}

async function readPem(file: string, what: string, where: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`${where}: the ${what} ${file} cannot be read: ${reason(error)}`, { cause: error });
  }
}
