import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { reason } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';

/** A private key ready to sign with. The KeyObject is parsed once: parsing PEM costs more than an Ed25519 signature. */
export interface SigningKey {
  readonly type: 'rsa' | 'ed25519';
  readonly key: KeyObject;
}

/** RFC 8301 section 3.2: verifiers do not accept shorter RSA keys. */
const FEWEST_BITS = 1024;
/** OpenSSL takes seconds over absurd keys, and one can come in a header field. */
const MOST_BITS = 8192;
const LONGEST_PEM = 16 * 1024;

/**
 * Reads a private key from PEM (PKCS #8 or PKCS #1, RSA or Ed25519). Blanks stand for line ends, as they do when the
 * key comes in a folded header field. Returns what is wrong with it as a text without any of the key in it.
 */
export function readSigningKey(pem: string): SigningKey | string {
  if (pem.length > LONGEST_PEM) return 'it is longer than any key';
  const match = /-----BEGIN ((?:RSA )?PRIVATE KEY)-----([A-Za-z0-9+/=\s]+)-----END \1-----/.exec(pem);
  if (!match) {
    return /BEGIN ENCRYPTED/.test(pem)
      ? 'it is encrypted; remove its passphrase'
      : 'it holds no PEM block "PRIVATE KEY" or "RSA PRIVATE KEY"';
  }
  const lines = match[2]!.replace(/\s+/g, '').match(/.{1,64}/g) ?? [];
  let key: KeyObject;
  try {
    key = createPrivateKey(`-----BEGIN ${match[1]}-----\n${lines.join('\n')}\n-----END ${match[1]}-----\n`);
  } catch {
    return 'its PEM block cannot be decoded';
  }
  if (key.asymmetricKeyType === 'ed25519') return { type: 'ed25519', key };
  if (key.asymmetricKeyType !== 'rsa')
    return `${key.asymmetricKeyType} keys cannot sign DKIM; use RSA or Ed25519`;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < FEWEST_BITS) return `it has ${bits} bits; verifiers ignore RSA keys below ${FEWEST_BITS}`;
  if (bits > MOST_BITS) return `it has ${bits} bits; more than ${MOST_BITS} are too slow to sign with`;
  return { type: 'rsa', key };
}

/** Loads a key file; `where` names the line of configuration that asks for it. Throws `UserError`. */
export async function loadSigningKey(file: string, where: string): Promise<SigningKey> {
  let pem: string;
  try {
    pem = await readFile(file, 'latin1');
  } catch (error) {
    throw new UserError(`${where}: the DKIM key ${file} cannot be read: ${reason(error)}`, { cause: error });
  }
  const key = readSigningKey(pem);
  if (typeof key === 'string') throw new UserError(`${where}: the DKIM key ${file} cannot be used: ${key}`);
  return key;
}
