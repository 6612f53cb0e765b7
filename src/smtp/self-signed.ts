import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';

export interface SelfSignedOptions {
  /** DNS names and IP addresses for the subject alternative name; the first is the common name too. At least one. */
  readonly names: readonly string[];
  /** From five minutes before `now`, for clocks that differ a little. */
  readonly days: number;
  /** Milliseconds since the epoch; default the present. */
  readonly now?: number;
  /** PEM private key (EC P-256 or RSA) to certify; a new P-256 key when left out. */
  readonly key?: string;
}

/** PEM texts, for `createSmtpSecureContext`. */
export interface SelfSignedCertificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * A certificate for a server that has none yet: it encrypts, it proves nothing. X.509 version 3 (RFC 5280), fit for
 * TLS servers and their clients.
 */
export async function makeSelfSignedCertificate(options: SelfSignedOptions): Promise<SelfSignedCertificate> {
  const [commonName] = options.names;
  if (commonName === undefined) throw new Error('a certificate needs at least one name');
  const key = options.key ? createPrivateKey(options.key) : await newKey();
  const algorithm = signatureAlgorithm(key);
  const from = (options.now ?? Date.now()) - 300_000;
  const name = distinguishedName(commonName);
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    algorithm,
    name,
    sequence(time(from), time(from + options.days * 86_400_000)),
    name,
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    explicit(3, extensions(options.names)),
  );
  const certificate = sequence(body, algorithm, bitString(sign('sha256', body, key)));
  return {
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: pem('CERTIFICATE', certificate),
  };
}

async function newKey(): Promise<KeyObject> {
  const pair = await promisify(generateKeyPair)('ec', { namedCurve: 'prime256v1' });
  return pair.privateKey;
}

const OID = {
  commonName: [0x55, 0x04, 0x03],
  subjectAltName: [0x55, 0x1d, 0x11],
  basicConstraints: [0x55, 0x1d, 0x13],
  keyUsage: [0x55, 0x1d, 0x0f],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  serverAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
  clientAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  sha256WithRsa: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
} as const;

function signatureAlgorithm(key: KeyObject): Buffer {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return sequence(oid(OID.ecdsaWithSha256));
    case 'rsa':
      return sequence(oid(OID.sha256WithRsa), tagged(0x05, Buffer.alloc(0)));
    default:
      throw new Error(`a certificate can not be made for a key of type ${key.asymmetricKeyType}`);
  }
}

/** RFC 5280 allows 64 characters here; longer names stand in the alternative names alone. */
function distinguishedName(commonName: string): Buffer {
  const text = tagged(0x0c, Buffer.from(commonName.slice(0, 64), 'utf8'));
  return sequence(tagged(0x31, sequence(oid(OID.commonName), text)));
}

function extensions(names: readonly string[]): Buffer {
  const critical = tagged(0x01, Buffer.from([0xff]));
  const extension = (id: readonly number[], value: Buffer, isCritical: boolean) =>
    isCritical ? sequence(oid(id), critical, tagged(0x04, value)) : sequence(oid(id), tagged(0x04, value));
  return sequence(
    // Its own issuer, and so an authority to whoever chooses to trust it (`ca` of a test's client).
    extension(OID.basicConstraints, sequence(critical), true),
    // digitalSignature, keyEncipherment (RSA key exchange of TLS 1.2), keyCertSign.
    extension(OID.keyUsage, tagged(0x03, Buffer.from([2, 0b1010_0100])), true),
    extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth)), false),
    extension(OID.subjectAltName, sequence(...names.map(alternativeName)), false),
  );
}

function alternativeName(name: string): Buffer {
  const family = isIP(name);
  return family === 0
    ? tagged(0x82, Buffer.from(name, 'latin1'))
    : tagged(0x87, family === 4 ? ipv4Bytes(name) : ipv6Bytes(name));
}

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser writes an IPv4 tail as hexadecimal groups, so only those are left to read.
  const plain = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const right = tail === undefined ? [] : groups(tail);
  const left = groups(head);
  const zeros = new Array<string>(8 - left.length - right.length).fill('0');
  const bytes = Buffer.alloc(16);
  for (const [i, group] of [...left, ...zeros, ...right].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  }
  return bytes;
}

/** RFC 5280 section 4.1.2.2: positive, at most 20 bytes; the first byte is neither zero nor negative here. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

// DER (X.690)

function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  return Buffer.from([0x82, length >> 8, length & 0xff]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function explicit(number: number, content: Buffer): Buffer {
  return tagged(0xa0 | number, content);
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function bitString(bytes: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));
}

function oid(bytes: readonly number[]): Buffer {
  return tagged(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
function time(ms: number): Buffer {
  const digits = new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '');
  return Number(digits.slice(0, 4)) < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2), 'latin1'))
    : tagged(0x18, Buffer.from(digits, 'latin1'));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
