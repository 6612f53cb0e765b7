import type { FastifyRequest } from 'fastify';
import { type Accounts, type Caller, isValidIp } from '../accounts/accounts.ts';
import { RequestError } from '../request-error.ts';

/** The secret in an Authorization header: raw, as Basic user name, or after `Bearer`; `null` if there is none. */
export function secretOf(header: string | undefined): string | null {
  if (header === undefined || header.length > 1024) return null;
  const text = header.trim();
  const [, scheme = '', rest = ''] = /^(\S+)\s+(\S+)$/.exec(text) ?? [];
  switch (scheme.toLowerCase()) {
    case '':
      return text === '' || /\s/.test(text) ? null : text;
    case 'bearer':
      return rest;
    case 'basic': {
      const [name = ''] = Buffer.from(rest, 'base64').toString('utf8').split(':');
      return name === '' ? null : name;
    }
    default:
      return null;
  }
}

/** Finds out who asks. Throws `RequestError` 401 for nobody known and 403 for a key used from elsewhere. */
export async function authenticate(accounts: Accounts, request: FastifyRequest): Promise<Caller> {
  const secret = secretOf(request.headers.authorization);
  const caller = secret === null ? null : await accounts.identify(secret);
  if (!caller) throw new RequestError(401, 'Unauthorized.');
  if (!isValidIp(request.ip, caller.validIps)) throw new RequestError(403, 'Forbidden.');
  return caller;
}

/** Throws `RequestError` 403 if the caller holds none of these grants. */
export function requireGrant(caller: Caller, grants: readonly string[]): void {
  if (!grants.some((grant) => caller.grants.has(grant))) throw new RequestError(403, 'Forbidden.');
}
