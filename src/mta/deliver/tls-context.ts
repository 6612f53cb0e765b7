/** The TLS settings of a queue as contexts that many connections share. */
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import type { Settings } from '../../config/index.ts';
import { createSmtpClientContext } from '../../smtp/index.ts';

/** Suites of TLS 1.3, which the directive's OpenSSL list cannot name. */
const TLS13 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';

interface Contexts {
  readonly configured: SecureContext;
  readonly strict: SecureContext;
}

export class TlsContexts {
  readonly #bySettings = new WeakMap<Settings<'domain'>, Contexts>();

  /** As the directives say. Throws with the file's name when a file or the cipher list cannot be used. */
  configured(settings: Settings<'domain'>): SecureContext {
    return this.#of(settings).configured;
  }

  /** For DANE and MTA-STS: TLS 1.2 and later, the platform's authorities, whatever the directives say. */
  strict(settings: Settings<'domain'>): SecureContext {
    return this.#of(settings).strict;
  }

  #of(settings: Settings<'domain'>): Contexts {
    let contexts = this.#bySettings.get(settings);
    if (!contexts) {
      const client = clientCertificate(settings);
      contexts = {
        configured: createSmtpClientContext({ ...configuredOptions(settings), ...client }),
        strict: createSmtpClientContext(client),
      };
      this.#bySettings.set(settings, contexts);
    }
    return contexts;
  }
}

function configuredOptions(settings: Settings<'domain'>): SecureContextOptions {
  const v1 = settings.get('smtp-tls-allow-tlsv1');
  const v11 = settings.get('smtp-tls-allow-tlsv1.1');
  const v12 = settings.get('smtp-tls-allow-tlsv1.2');
  const list = settings.get('smtp-tls-ciphers');
  const caFile = settings.get('smtp-tls-ca-file');
  // The library takes TLS 1.0 and 1.1 at security level 0 only; what they would get instead is clear text.
  const level = (v1 || v11) && !/@SECLEVEL/i.test(list) ? ':@SECLEVEL=0' : '';
  return {
    minVersion: v1 ? 'TLSv1' : v11 ? 'TLSv1.1' : v12 ? 'TLSv1.2' : 'TLSv1.3',
    ciphers: `${TLS13}:${list}:!aNULL:!eNULL${level}`,
    secureOptions: (v11 ? 0 : constants.SSL_OP_NO_TLSv1_1) | (v12 ? 0 : constants.SSL_OP_NO_TLSv1_2),
    ...(caFile ? { ca: readPem(caFile, 'smtp-tls-ca-file') } : {}),
  };
}

/** Certificate and key stand in one file. */
function clientCertificate(settings: Settings<'domain'>): SecureContextOptions {
  const file = settings.get('smtp-client-certificate');
  if (!file) return {};
  const pem = readPem(file, 'smtp-client-certificate');
  return { cert: pem, key: pem };
}

function readPem(file: string, directive: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`${directive} ${file} cannot be read: ${(error as Error).message}`);
  }
}
