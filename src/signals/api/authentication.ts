import type { FastifyReply, FastifyRequest } from 'fastify';
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

/** A hook that lets only callers with one of these grants pass; with none given, any known caller. */
export function requireGrant(accounts: Accounts, ...grants: readonly string[]) {
  return async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    const caller = await authenticate(accounts, request);
    if (grants.length > 0 && !grants.some((g) => caller.grants.has(g))) {
      throw new RequestError(403, 'Forbidden.');
    }
    request.caller = caller;
  };
}
