/** Makes what a set needs before its first start: password, keys, certificate, and the MTA's configuration. */
import { createPublicKey, generateKeyPair, randomBytes } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { makeSelfSignedCertificate } from '../smtp/self-signed.ts';
import { reason, writeFileDurably } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';
import type { Ports } from './ports.ts';

export interface DemoSecrets {
  /** Password of the submission user `demo`. */
  readonly password: string;
  /** Public half of the DKIM key, base64 DER, as a DNS record carries it. */
  readonly dkimPublicKey: string;
}

export const SUBMISSION_USER = 'demo';
export const DKIM_SELECTOR = 'posthorn';
export const SENDER_DOMAINS = ['brand.test', 'shop.test'] as const;

/** Certificate, DKIM key and password; made once per data folder and kept. */
export async function prepareSecrets(dataDir: string): Promise<DemoSecrets> {
  const dir = path.join(dataDir, 'mta');
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await madeOnce(path.join(dir, 'tls.pem'), async () => {
    const { key, cert } = await makeSelfSignedCertificate({
      names: ['mta.demo.test', 'localhost'],
      days: 3650,
    });
    return cert + key;
  });
  const dkim = await madeOnce(path.join(dir, 'dkim.pem'), async () => {
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
    return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  });
  // Hexadecimal: a password that begins with a dash would be an option to the programs it is handed to.
  const password = await madeOnce(path.join(dir, 'password'), async () => randomBytes(16).toString('hex'));
  const der = createPublicKey(dkim).export({ type: 'spki', format: 'der' });
  return { password, dkimPublicKey: der.toString('base64') };
}

/** A small secret file of mode 600: read if it is there, else made by `make`. */
export async function madeOnce(file: string, make: () => Promise<string>): Promise<string> {
  try {
    await access(file);
  } catch {
    await writeFileDurably(file, await make(), 0o600);
  }
  return await readFile(file, 'utf8');
}

/** The places that the example leaves open, written `@NAME@`. */
export type Places = Readonly<Record<string, string>>;

export function configurationPlaces(
  dataDir: string,
  ports: Ports,
  secrets: DemoSecrets,
  apiKey: string,
): Places {
  return {
    DATA: dataDir,
    DNS_PORT: String(ports.sinkDns),
    MANAGEMENT_PORT: String(ports.management),
    SUBMISSION_PORT: String(ports.submission),
    INBOUND_PORT: String(ports.inbound),
    SINK_PORT: String(ports.sinkSmtp),
    SIGNALS_PORT: String(ports.signals),
    TRACKER_PORT: String(ports.tracker),
    PASSWORD: secrets.password,
    API_KEY: apiKey,
  };
}

/** Fills the example configuration's places and writes it, mode 600, for it holds the password and the key. */
export async function writeConfiguration(example: string, target: string, places: Places): Promise<void> {
  let text: string;
  try {
    text = await readFile(example, 'utf8');
  } catch (error) {
    throw new UserError(`the example configuration ${example} cannot be read: ${reason(error)}`, {
      cause: error,
    });
  }
  const filled = text.replace(/@([A-Z_]+)@/g, (whole, name: string) => {
    if (!Object.hasOwn(places, name)) {
      // The comment at its head speaks of places as such.
      if (whole === '@…@') return whole;
      throw new UserError(`${example} has a place ${whole} that nothing fills`);
    }
    return places[name]!;
  });
  await writeFileDurably(target, filled, 0o600);
}
