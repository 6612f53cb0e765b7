import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ApiKey, InvalidKeyRequest, SESSION_IDLE_MS } from '../accounts/accounts.ts';
import { allGrants, subaccountGrants } from '../accounts/grants.ts';
import { CUSTOMER_ID } from '../ingest/normalise.ts';
import { badParameter, RequestError } from '../request-error.ts';
import { requireGrant, secretOf } from './authentication.ts';
import type { Services } from './context.ts';
import { originOf, queryOf } from './search-routes.ts';
import { Throttle } from './throttle.ts';

/** A field of a JSON or form body; `undefined` if the body is no object or has no such field of its own. */
function fieldOf(body: unknown, name: string): unknown {
  if (body instanceof Map) return body.get(name);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  return Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : undefined;
}

function textField(body: unknown, name: string): string {
  const value = fieldOf(body, name);
  if (value === undefined || value === null || value === '')
    throw new RequestError(400, `'${name}' is required`);
  if (typeof value !== 'string' || value.length > 4096) throw badParameter(name, 'must be a string');
  return value;
}

function textsField(body: unknown, name: string): string[] {
  const value = fieldOf(body, name) ?? [];
  if (!Array.isArray(value) || value.length > 500 || value.some((v) => typeof v !== 'string')) {
    throw badParameter(name, 'must be an array of strings');
  }
  return value as string[];
}

/** `X-MSYS-SUBACCOUNT`; 0 when absent. */
export function subaccountHeader(request: FastifyRequest): number {
  const text = request.headers['x-msys-subaccount'];
  if (text === undefined || text === '') return 0;
  if (typeof text !== 'string' || !/^\d{1,9}$/.test(text)) {
    throw new RequestError(400, 'X-MSYS-SUBACCOUNT must be a number');
  }
  return Number(text);
}

function shownKey(key: ApiKey) {
  const { subaccount_id, ...rest } = key;
  return subaccount_id > 0 ? { ...rest, subaccount_id } : rest;
}

const oauthError = (error: string, description: string) => ({ error, error_description: description });

/** Signing in, API keys, account. */
export function accountRoutes(app: FastifyInstance, { accounts, clock }: Services): void {
  const failures = new Throttle({ most: 10, windowMs: 60_000, now: clock.now });
  const session = (token: string) => ({
    access_token: token,
    token_type: 'Bearer',
    expires_in: SESSION_IDLE_MS / 1000,
  });

  // SparkPost's web interface signs in here: OAuth 2 form, answers without the usual envelope.
  app.post('/api/v1/authenticate', async (request, reply) => {
    if (fieldOf(request.body, 'grant_type') !== 'password') {
      return reply
        .status(400)
        .send(oauthError('unsupported_grant_type', 'Only the password grant is supported'));
    }
    const username = textField(request.body, 'username');
    const password = textField(request.body, 'password');
    if (failures.isOver(request.ip)) throw new RequestError(429, 'Too many requests');
    const token = await accounts.signInByPassword(username, password);
    if (token === null) {
      failures.count(request.ip);
      return reply.status(400).send(oauthError('invalid_grant', 'Invalid username or password'));
    }
    return session(token);
  });

  app.get('/api/v1/authenticate/grants', { onRequest: requireGrant(accounts) }, async (request) => {
    const role = queryOf(request).get('role');
    const held = request.caller!.grants;
    const keys = role === 'subaccount' ? subaccountGrants : allGrants;
    return { results: [...keys].filter((key) => held.has(key)).map((key) => ({ key })) };
  });

  // Ours: a link that signs its bearer in once, made by the holder of the first key.
  app.post('/api/v1/sign-in-links', { onRequest: requireGrant(accounts) }, async (request) => {
    if (!request.caller!.isAdmin) throw new RequestError(403, 'Forbidden.');
    const { token, expires } = await accounts.createSignInToken('admin');
    return {
      results: {
        url: `${originOf(request)}/sign-in#token=${token}`,
        token,
        expires: new Date(expires).toISOString(),
      },
    };
  });

  app.post('/api/v1/sign-in', async (request) => {
    if (failures.isOver(request.ip)) throw new RequestError(429, 'Too many requests');
    const token = await accounts.redeemSignInToken(textField(request.body, 'token'));
    if (token === null) {
      failures.count(request.ip);
      throw new RequestError(401, 'This sign-in link is unknown, used or too old; make a new one');
    }
    return { results: session(token) };
  });

  app.post('/api/v1/sign-out', { onRequest: requireGrant(accounts) }, async (request, reply) => {
    if (request.caller!.kind === 'session') await accounts.signOut(secretOf(request.headers.authorization)!);
    return reply.status(204).send();
  });

  app.get('/api/v1/account', { onRequest: requireGrant(accounts) }, async () => ({
    results: {
      customer_id: CUSTOMER_ID,
      company_name: 'Posthorn',
      status: 'active',
      created: null,
      options: {},
    },
  }));

  const onRequest = requireGrant(accounts, 'api_keys/manage');
  app.get('/api/v1/api-keys', { onRequest }, async () => ({
    results: (await accounts.listKeys()).map(shownKey),
  }));
  app.post('/api/v1/api-keys', { onRequest }, async (request) => {
    const { body } = request;
    const { grants } = request.caller!;
    const wanted = textsField(body, 'grants');
    const beyond = wanted.find((g) => allGrants.has(g) && !grants.has(g));
    // Otherwise a key could give itself what it was not given.
    if (beyond !== undefined) throw new RequestError(403, 'Forbidden.');
    try {
      const { key, document } = await accounts.createKey({
        label: textField(body, 'label'),
        grants: wanted,
        validIps: textsField(body, 'valid_ips'),
        subaccountId: subaccountHeader(request),
        username: 'admin',
      });
      const { id, label, short_key } = document;
      const href = `/api/v1/api-keys/${id}`;
      return { results: { id, key, short_key, label, link: { href } } };
    } catch (error) {
      if (!(error instanceof InvalidKeyRequest)) throw error;
      throw new RequestError(400, error.message, { details: { param: error.param } });
    }
  });
  app.get<{ Params: { id: string } }>('/api/v1/api-keys/:id', { onRequest }, async (request) => {
    const key = await accounts.getKey(request.params.id);
    if (!key) throw new RequestError(404, 'resource not found', { code: '1600' });
    return { results: shownKey(key) };
  });
  app.delete<{ Params: { id: string } }>('/api/v1/api-keys/:id', { onRequest }, async (request, reply) => {
    switch (await accounts.removeKey(request.params.id)) {
      case 'removed':
        return reply.status(204).send();
      case 'admin':
        throw new RequestError(409, 'The first key cannot be deleted', { code: '1602' });
      case 'unknown':
        throw new RequestError(404, 'resource not found', { code: '1600' });
    }
  });
}
