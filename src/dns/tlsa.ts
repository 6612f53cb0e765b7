/**
 * TLSA records of a mail host as DANE for SMTP may use them (RFC 7672 sections 2.1 and 2.2): only what the name server
 * has validated counts, and "could not be found out" is kept apart from "there is none", because mail must not go out
 * unprotected in the first case.
 */
import type { Found, Resolver, TlsaRecord } from './resolver.ts';

export type TlsaFound =
  /** `base`: the name whose records these are; it is a name that the certificate may be for (section 3.2.2). */
  | { readonly kind: 'records'; readonly records: readonly TlsaRecord[]; readonly base: string }
  /** DANE does not apply: the host's address or the TLSA answer is not validated, or there are no records. */
  | { readonly kind: 'none'; readonly reason: 'insecure' | 'absent' }
  /** Not to be known now (a signature that does not hold looks like this too): the host counts as out of reach. */
  | { readonly kind: 'failure'; readonly reason: string };

/** More records than anybody publishes while changing keys; each is compared with a certificate. */
const MOST_RECORDS = 32;

export async function lookupTlsa(
  resolver: Pick<Resolver, 'query'>,
  host: string,
  port: number,
): Promise<TlsaFound> {
  const bases = await secureNames(resolver, host);
  if (bases.kind !== 'names') return bases;
  let reason: 'insecure' | 'absent' = 'absent';
  for (const base of bases.names) {
    const found = await resolver.query(`_${port}._tcp.${base}`, 'TLSA');
    if (found.kind === 'failure') return found;
    if (!found.authenticated) reason = 'insecure';
    else if (found.kind === 'answer') {
      return { kind: 'records', records: (found.records as TlsaRecord[]).slice(0, MOST_RECORDS), base };
    }
  }
  return { kind: 'none', reason };
}

type SecureNames =
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | Exclude<TlsaFound, { kind: 'records' }>;

/** The names under which TLSA records of this host may stand, best first (section 2.2.2 and 2.2.3). */
async function secureNames(resolver: Pick<Resolver, 'query'>, host: string): Promise<SecureNames> {
  const [four, six] = await Promise.all([resolver.query(host, 'A'), resolver.query(host, 'AAAA')]);
  const answers = [four, six].filter((found): found is Extract<Found, { kind: 'answer' }> => {
    return found.kind === 'answer';
  });
  const failed = [four, six].find((found) => found.kind === 'failure');
  if (answers.length === 0) {
    return failed?.kind === 'failure' ? failed : { kind: 'none', reason: 'absent' };
  }
  const own = host.replace(/\.$/, '').toLowerCase();
  if (answers.every(({ authenticated }) => authenticated)) {
    return { kind: 'names', names: [...new Set([answers[0]!.name, own])] };
  }
  // An alias that is itself validated may point into a zone that is not: then the records stand at the alias.
  if (answers.every(({ name }) => name === own)) return { kind: 'none', reason: 'insecure' };
  const alias = await resolver.query(host, 'CNAME');
  if (alias.kind === 'failure') return alias;
  if (alias.kind === 'answer' && alias.authenticated) return { kind: 'names', names: [own] };
  return { kind: 'none', reason: 'insecure' };
}
