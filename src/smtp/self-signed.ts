/**
 * Makes a certificate that a server signs for itself, so that STARTTLS works before anybody has bought one.
 * X.509 v3 (RFC 5280) in the little DER that it needs: no package that is kept does just this.
 */
import { generateKeyPair, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import ipaddr from 'ipaddr.js';

export interface SelfSigned {
  /** PKCS #8 PEM. */
  readonly key: string;
  readonly cert: string;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const BOOLEAN = 0x01;

/** An RSA-2048 key and its certificate for host names and IP addresses; the first is the common name. */
export async function makeSelfSignedCertificate(wanted: {
  readonly names: readonly string[];
  readonly days: number;
  readonly now?: number;
}): Promise<SelfSigned> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const now = wanted.now ?? Date.now();
  const der = certificate(
    wanted.names,
    publicKey,
    privateKey,
    now - 86_400_000,
    now + wanted.days * 86_400_000,
  );
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}

function certificate(
  names: readonly string[],
  publicKey: KeyObject,
  privateKey: KeyObject,
  from: number,
  to: number,
): Buffer {
  // sha256WithRSAEncryption
  const algorithm = der(SEQUENCE, oid('1.2.840.113549.1.1.11'), der(NULL));
  const name = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, oid('2.5.4.3'), der(UTF8_STRING, Buffer.from(names[0]!)))),
  );
  const serial = randomBytes(16);
  // Positive, and never with a leading zero octet to spare.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = der(
    SEQUENCE,
    tagged(0, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, serial),
    algorithm,
    name,
    der(SEQUENCE, time(from), time(to)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, der(SEQUENCE, basicConstraints(), subjectAltName(names))),
  );
  const signature = sign('sha256', body, privateKey);
  return der(SEQUENCE, body, algorithm, der(BIT_STRING, Buffer.from([0]), signature));
}

function basicConstraints(): Buffer {
  const isCa = der(SEQUENCE, der(BOOLEAN, Buffer.from([0xff])));
  return der(SEQUENCE, oid('2.5.29.19'), der(BOOLEAN, Buffer.from([0xff])), der(OCTET_STRING, isCa));
}

function subjectAltName(names: readonly string[]): Buffer {
  const general = names.map((name) =>
    isIP(name) === 0
      ? der(0x82, Buffer.from(name, 'latin1'))
      : der(0x87, Buffer.from(ipaddr.parse(name).toByteArray())),
  );
  return der(SEQUENCE, oid('2.5.29.17'), der(OCTET_STRING, der(SEQUENCE, ...general)));
}

/** UTCTime to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return Number(text.slice(0, 4)) < 2050
    ? der(UTC_TIME, Buffer.from(text.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(text));
}

function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number) as [number, number, ...number[]];
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const septets = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) septets.unshift((left & 0x7f) | 0x80);
    bytes.push(...septets);
  }
  return der(OBJECT, Buffer.from(bytes));
}

function tagged(number: number, content: Buffer): Buffer {
  return der(0xa0 + number, content);
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
