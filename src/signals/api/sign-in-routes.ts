import { allGrants, subaccountGrants } from '../accounts/grants.ts';
import { SESSION_IDLE_MS } from '../accounts/sessions.ts';
import { MOST_PASSWORD } from '../accounts/users.ts';
import { choice } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { secretOf } from './authentication.ts';
import { arrayOf, type Call, type Endpoint, endpoint, nothing, objectSchema, results } from './endpoint.ts';
import { originOf } from './search-routes.ts';

const session = (token: string, refresh: string | null = null) => ({
  access_token: token,
  token_type: 'Bearer',
  expires_in: SESSION_IDLE_MS / 1000,
  ...(refresh === null ? {} : { refresh_token: refresh }),
});

const string = { type: 'string' } as const;
const sessionSchema = objectSchema({
  access_token: string,
  token_type: string,
  expires_in: { type: 'integer', description: 'Seconds without use after which it ends.' },
  refresh_token: { type: 'string', description: 'Makes further sessions for 14 days; if it was asked for.' },
});

function mayGuess({ services, request }: Call): void {
  if (services.signInFailures.isOver(request.ip)) throw new RequestError(429, 'Too many requests');
}

/** Signing in and out, and what the caller may do. */
export const signInEndpoints: readonly Endpoint[] = [
  // SparkPost's web interface signs in here: OAuth 2 form, answers without the usual envelope.
  endpoint({
    id: 'authenticate',
    method: 'POST',
    path: '/api/v1/authenticate',
    tag: 'Account',
    summary: 'Sign in by password or refresh token',
    description:
      'OAuth 2.0 (RFC 6749 sections 4.3 and 6): faults are 400 with `error` and `error_description`.',
    access: 'anyone',
    body: {
      form: true,
      schema: {
        type: 'object',
        required: ['grant_type'],
        properties: {
          grant_type: { type: 'string', maxLength: 64, description: '`password` or `refresh_token`.' },
          username: { type: 'string', maxLength: 256 },
          password: { type: 'string', maxLength: MOST_PASSWORD },
          rememberMe: { type: ['boolean', 'string'], description: '`true` asks for a refresh token.' },
          refresh_token: { type: 'string', maxLength: 256 },
        },
      },
      example: { grant_type: 'password', username: 'ada', password: 'a long sentence' },
    },
    good: { status: 200, description: 'A session.', schema: sessionSchema },
    async handle(call) {
      const { services, request, reply, body } = call;
      const refused = (error: string, description: string) =>
        reply.status(400).send({ error, error_description: description });
      const failed = (description: string) => {
        services.signInFailures.count(request.ip);
        return refused('invalid_grant', description);
      };
      switch (body.grant_type) {
        case 'password': {
          const { username, password, rememberMe } = body;
          if (username === undefined || password === undefined) {
            return refused('invalid_request', "'username' and 'password' are required");
          }
          mayGuess(call);
          const remember = String(rememberMe) === 'true';
          const begun = await services.accounts.signInByPassword(username, password, remember);
          return begun ? session(begun.token, begun.refresh) : failed('Invalid username or password');
        }
        case 'refresh_token': {
          if (body.refresh_token === undefined)
            return refused('invalid_request', "'refresh_token' is required");
          mayGuess(call);
          const renewed = await services.accounts.sessions.renew(body.refresh_token);
          return renewed ? session(renewed.token, body.refresh_token) : failed('Invalid refresh token');
        }
        default:
          return refused('unsupported_grant_type', 'The grants are password and refresh_token');
      }
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
      const { token, expires } = await services.accounts.sessions.createSignInToken('admin');
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
      const token = await services.accounts.sessions.redeemSignInToken(body.token);
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
        await services.accounts.sessions.end(secretOf(request.headers.authorization)!);
    },
  }),
];
