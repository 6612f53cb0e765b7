/**
 * DANE for SMTP (RFC 7672): whether the certificates that a host shows match what its zone says in TLSA records. The
 * records come from a validated answer only; without that this file is not asked.
 */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { checkServerIdentity, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { TlsaRecord } from '../../dns/index.ts';

const DANE_TA = 2;
const DANE_EE = 3;
const FULL = 0;
const SHA256 = 1;
const SHA512 = 2;

/** Certificates of a chain that are looked at; no real one has so many. */
const LONGEST_CHAIN = 10;
const MOST_RECORDS = 20;

/**
 * The records that can match anything. PKIX-TA and PKIX-EE (0, 1) mean nothing for SMTP (RFC 7672 section 3.1.3), nor
 * do selectors and matching types that nobody has defined, nor digests of the wrong length.
 */
export function usableRecords(records: readonly TlsaRecord[]): readonly TlsaRecord[] {
  return records.filter(isUsable).slice(0, MOST_RECORDS);
}

function isUsable({ usage, selector, matchingType, certificate }: TlsaRecord): boolean {
  if (usage !== DANE_TA && usage !== DANE_EE) return false;
  if (selector !== 0 && selector !== 1) return false;
  if (matchingType === SHA256) return certificate.length === 32;
  if (matchingType === SHA512) return certificate.length === 64;
  return matchingType === FULL && certificate.length > 0;
}

/**
 * Judges the chain of a host, its own certificate first. `names`: what the host may be called in its certificate when
 * a trust anchor vouches for it; DANE-EE needs neither name nor date (RFC 7672 section 3.1.1). Null when a record
 * matches, else why none does.
 */
export function daneFault(
  records: readonly TlsaRecord[],
  chain: readonly Buffer[],
  names: readonly string[],
  now: number,
): string | null {
  const certificates = chain.slice(0, LONGEST_CHAIN).flatMap(read);
  const leaf = certificates[0];
  if (!leaf || certificates.length < Math.min(chain.length, LONGEST_CHAIN)) {
    return 'the host shows no certificate that can be read';
  }
  if (records.some((record) => record.usage === DANE_EE && matches(record, leaf))) return null;
  const anchors = records.filter(({ usage }) => usage === DANE_TA);
  if (anchors.length === 0) return 'the certificate matches none of the TLSA records';
  const untrusted = anchorFault(anchors, certificates, now);
  if (untrusted) return untrusted;
  return isNamed(leaf, names) ? null : `the certificate is not for ${names.join(' or ')}`;
}

/** The chain that the peer of a connection showed, its own certificate first, each as DER. */
export function peerChain(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (at?.raw && chain.length < LONGEST_CHAIN) {
    chain.push(at.raw);
    // A self-signed certificate is its own issuer.
    if (at.issuerCertificate === at) break;
    at = at.issuerCertificate;
  }
  return chain;
}

/** Walks from the host's certificate up: each signs the one before, until one that a record names. */
function anchorFault(
  anchors: readonly TlsaRecord[],
  chain: readonly X509Certificate[],
  now: number,
): string | null {
  for (const [i, certificate] of chain.entries()) {
    if (!isInDate(certificate, now)) return 'a certificate of the chain is out of date';
    // The anchor need not be sent when the record holds all of it.
    if (anchors.some((record) => signs(record, certificate))) return null;
    const issuer = chain[i + 1];
    if (!issuer) break;
    if (!issuer.ca || !certificate.checkIssued(issuer) || !verifies(certificate, issuer.publicKey)) {
      return 'the certificates that the host shows are no chain';
    }
    if (anchors.some((record) => matches(record, issuer))) {
      return isInDate(issuer, now) ? null : 'the trust anchor is out of date';
    }
  }
  return 'the certificate matches none of the TLSA records';
}

/** Whether a record holds a whole anchor, certificate or key, and that has signed this certificate. */
function signs({ selector, matchingType, certificate: data }: TlsaRecord, child: X509Certificate): boolean {
  if (matchingType !== FULL) return false;
  if (selector === 1) {
    const key = readKey(data);
    return key !== null && verifies(child, key);
  }
  const [anchor] = read(data);
  return anchor?.ca === true && child.checkIssued(anchor) && verifies(child, anchor.publicKey);
}

function matches(record: TlsaRecord, certificate: X509Certificate): boolean {
  const bytes =
    record.selector === 0
      ? certificate.raw
      : (certificate.publicKey.export({ type: 'spki', format: 'der' }) as Buffer);
  return digest(bytes, record.matchingType).equals(record.certificate);
}

function digest(bytes: Buffer, matchingType: number): Buffer {
  if (matchingType === FULL) return bytes;
  return createHash(matchingType === SHA256 ? 'sha256' : 'sha512')
    .update(bytes)
    .digest();
}

function isNamed(leaf: X509Certificate, names: readonly string[]): boolean {
  const certificate = leaf.toLegacyObject();
  return names.some((name) => checkServerIdentity(name, certificate) === undefined);
}

function isInDate(certificate: X509Certificate, now: number): boolean {
  return certificate.validFromDate.getTime() <= now && now <= certificate.validToDate.getTime();
}

/** Bytes from outside: what they are not is found out by trying. */
function read(der: Buffer): X509Certificate[] {
  try {
    const certificate = new X509Certificate(der);
    // The key is read only when asked for, and may be of a kind that nobody knows.
    void certificate.publicKey;
    return [certificate];
  } catch {
    return [];
  }
}

function readKey(der: Buffer): KeyObject | null {
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

function verifies(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.verify(key);
  } catch {
    return false;
  }
}
