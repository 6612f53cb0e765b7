import type { Accounts, ApiKey } from '../accounts/accounts.ts';
import { InvalidKeyRequest, SESSION_IDLE_MS } from '../accounts/accounts.ts';
import { allGrants, subaccountGrants } from '../accounts/grants.ts';
import { CUSTOMER_ID } from '../ingest/normalise.ts';
import { choice, text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { secretOf } from './authentication.ts';
import { arrayOf, type Call, type Endpoint, endpoint, nothing, objectSchema, results } from './endpoint.ts';
import { subaccountHeader } from './register.ts';
import { originOf } from './search-routes.ts';

function shownKey(key: ApiKey) {
  const { subaccount_id, ...rest } = key;
  return subaccount_id > 0 ? { ...rest, subaccount_id } : rest;
}

const session = (token: string) => ({
  access_token: token,
  token_type: 'Bearer',
  expires_in: SESSION_IDLE_MS / 1000,
});

const oauthError = (error: string, description: string) => ({ error, error_description: description });

const string = { type: 'string' } as const;
const sessionSchema = objectSchema({
  access_token: string,
  token_type: string,
  expires_in: { type: 'integer', description: 'Seconds without use after which it ends.' },
});

function mayGuess({ services, request }: Call): void {
  if (services.signInFailures.isOver(request.ip)) throw new RequestError(429, 'Too many requests');
}

/** Signing in. */
const signingIn: readonly Endpoint[] = [
  // SparkPost's web interface signs in here: OAuth 2 form, answers without the usual envelope.
  endpoint({
    id: 'authenticate',
    method: 'POST',
    path: '/api/v1/authenticate',
    tag: 'Account',
    summary: 'Sign in by password',
    description: 'OAuth 2.0 (RFC 6749 section 4.3): faults are 400 with `error` and `error_description`.',
    access: 'anyone',
    body: {
      form: true,
      schema: {
        type: 'object',
        required: ['grant_type'],
        properties: {
          grant_type: { type: 'string', maxLength: 64, description: '`password`.' },
          username: { type: 'string', maxLength: 256 },
          password: { type: 'string', maxLength: 1024 },
        },
      },
      example: { grant_type: 'password', username: 'ada', password: 'a long sentence' },
    },
    good: { status: 200, description: 'A session.', schema: sessionSchema },
    async handle(call) {
      const { services, request, reply, body } = call;
      if (body.grant_type !== 'password') {
        return reply
          .status(400)
          .send(oauthError('unsupported_grant_type', 'Only the password grant is supported'));
      }
      if (body.username === undefined || body.password === undefined) {
        return reply
          .status(400)
          .send(oauthError('invalid_request', "'username' and 'password' are required"));
      }
      mayGuess(call);
      const token = await services.accounts.signInByPassword(body.username, body.password);
      if (token === null) {
        services.signInFailures.count(request.ip);
        return reply.status(400).send(oauthError('invalid_grant', 'Invalid username or password'));
      }
      return session(token);
    },
  }),
  endpoint({
    id: 'getGrants',
    method: 'GET',
    path: '/api/v1/authenticate/grants',
    tag: 'Account',
    summary: 'List the grants of the caller',
    access: 'caller',
    parameters: [
      choice('role', 'With `subaccount`, those that a key of a subaccount may hold.', ['subaccount']),
    ],
    good: results('The grants.', arrayOf(objectSchema({ key: string })), [{ key: 'metrics/view' }]),
    async handle({ query, caller }) {
      const keys = query.get('role') === 'subaccount' ? subaccountGrants : allGrants;
      return { results: [...keys].filter((key) => caller.grants.has(key)).map((key) => ({ key })) };
    },
  }),
  // Ours: a link that signs its bearer in once, made by the holder of the first key.
  endpoint({
    id: 'createSignInLink',
    method: 'POST',
    path: '/api/v1/sign-in-links',
    tag: 'Account',
    summary: 'Make a link that signs its bearer in once',
    description: 'Only the first key may.',
    access: 'caller',
    good: results('The link.', objectSchema({ url: string, token: string, expires: string })),
    faults: [403],
    async handle({ services, request, caller }) {
      if (!caller.isAdmin) throw new RequestError(403, 'Forbidden.');
      const { token, expires } = await services.accounts.createSignInToken('admin');
      const url = `${originOf(request)}/sign-in#token=${token}`;
      return { results: { url, token, expires: new Date(expires).toISOString() } };
    },
  }),
  endpoint({
    id: 'signIn',
    method: 'POST',
    path: '/api/v1/sign-in',
    tag: 'Account',
    summary: 'Sign in by link',
    access: 'anyone',
    body: {
      schema: {
        type: 'object',
        required: ['token'],
        properties: { token: { type: 'string', maxLength: 4096 } },
      },
      example: { token: 'from the link' },
    },
    good: results('A session.', sessionSchema),
    faults: [401],
    async handle(call) {
      const { services, request, body } = call;
      mayGuess(call);
      const token = await services.accounts.redeemSignInToken(body.token);
      if (token === null) {
        services.signInFailures.count(request.ip);
        throw new RequestError(401, 'This sign-in link is unknown, used or too old; make a new one');
      }
      return { results: session(token) };
    },
  }),
  endpoint({
    id: 'signOut',
    method: 'POST',
    path: '/api/v1/sign-out',
    tag: 'Account',
    summary: 'End the session',
    access: 'caller',
    good: nothing,
    async handle({ services, request, caller }) {
      if (caller.kind === 'session')
        await services.accounts.signOut(secretOf(request.headers.authorization)!);
    },
  }),
];

const account: readonly Endpoint[] = [
  endpoint({
    id: 'getAccount',
    method: 'GET',
    path: '/api/v1/account',
    tag: 'Account',
    summary: 'The account',
    access: 'caller',
    good: results('The account.', objectSchema()),
    async handle() {
      return {
        results: {
          customer_id: CUSTOMER_ID,
          company_name: 'Posthorn',
          status: 'active',
          created: null,
          options: {},
        },
      };
    },
  }),
];

const access = ['api_keys/manage'];
const idParameter = text('id', 'Id of the key.', 'admin', { in: 'path' });
const keySchema = objectSchema({
  id: string,
  label: string,
  short_key: { type: 'string', description: 'First four digits.' },
  grants: arrayOf(string),
  valid_ips: arrayOf(string),
  username: string,
  created_at: string,
  subaccount_id: { type: 'integer', description: 'Not there for keys of the primary account.' },
});
const texts = { type: 'array', maxItems: 500, items: { type: 'string', maxLength: 256 } } as const;

async function keyOf(accounts: Accounts, id: string): Promise<ApiKey> {
  const key = await accounts.getKey(id);
  if (!key) throw new RequestError(404, 'resource not found', { code: '1600' });
  return key;
}

const keys: readonly Endpoint[] = [
  endpoint({
    id: 'listApiKeys',
    method: 'GET',
    path: '/api/v1/api-keys',
    tag: 'Account',
    summary: 'List the API keys',
    access,
    good: results('All keys, those of subaccounts too.', arrayOf(keySchema)),
    async handle({ services }) {
      return { results: (await services.accounts.listKeys()).map(shownKey) };
    },
  }),
  endpoint({
    id: 'createApiKey',
    method: 'POST',
    path: '/api/v1/api-keys',
    tag: 'Account',
    summary: 'Make an API key',
    description: 'The key is shown this once. Nobody can give a grant that he does not hold.',
    access,
    parameters: [subaccountHeader],
    body: {
      schema: {
        type: 'object',
        required: ['label', 'grants'],
        properties: {
          label: { type: 'string', maxLength: 1024 },
          grants: texts,
          valid_ips: { ...texts, description: 'Addresses and networks that may use it; none: all.' },
        },
      },
      example: { label: 'mta 1', grants: ['events/ingest'], valid_ips: ['192.0.2.0/24'] },
    },
    good: results(
      'The key.',
      objectSchema({
        id: string,
        key: string,
        short_key: string,
        label: string,
        link: objectSchema({ href: string }),
      }),
    ),
    faults: [403],
    async handle({ services, body, caller, subaccount }) {
      // Otherwise a key could give itself what it was not given.
      if (body.grants.some((g) => allGrants.has(g) && !caller.grants.has(g))) {
        throw new RequestError(403, 'Forbidden.');
      }
      try {
        const { key, document } = await services.accounts.createKey({
          label: body.label,
          grants: body.grants,
          validIps: body.valid_ips ?? [],
          subaccountId: subaccount ?? 0,
          username: 'admin',
        });
        const { id, label, short_key } = document;
        return { results: { id, key, short_key, label, link: { href: `/api/v1/api-keys/${id}` } } };
      } catch (error) {
        if (!(error instanceof InvalidKeyRequest)) throw error;
        throw new RequestError(400, error.message, { details: { param: error.param } });
      }
    },
  }),
  endpoint({
    id: 'getApiKey',
    method: 'GET',
    path: '/api/v1/api-keys/{id}',
    tag: 'Account',
    summary: 'One API key',
    access,
    parameters: [idParameter],
    good: results('The key.', keySchema),
    faults: [404],
    async handle({ services, path }) {
      return { results: shownKey(await keyOf(services.accounts, path('id'))) };
    },
  }),
  endpoint({
    id: 'deleteApiKey',
    method: 'DELETE',
    path: '/api/v1/api-keys/{id}',
    tag: 'Account',
    summary: 'Delete an API key',
    access,
    parameters: [idParameter],
    good: nothing,
    faults: [404, 409],
    async handle({ services, path }) {
      switch (await services.accounts.removeKey(path('id'))) {
        case 'removed':
          return;
        case 'admin':
          throw new RequestError(409, 'The first key cannot be deleted', { code: '1602' });
        case 'unknown':
          throw new RequestError(404, 'resource not found', { code: '1600' });
      }
    },
  }),
];

/** Signing in, API keys, account. */
export const accountEndpoints: readonly Endpoint[] = [...signingIn, ...account, ...keys];
