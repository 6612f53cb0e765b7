import { type Accounts, type ApiKey, InvalidKeyRequest } from '../accounts/accounts.ts';
import { allGrants } from '../accounts/grants.ts';
import { text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { arrayOf, type Endpoint, endpoint, nothing, objectSchema, results } from './endpoint.ts';
import { subaccountHeader } from './register.ts';

const string = { type: 'string' } as const;

function shownKey(key: ApiKey) {
  const { subaccount_id, ...rest } = key;
  return subaccount_id > 0 ? { ...rest, subaccount_id } : rest;
}

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

/** API keys. */
export const keyEndpoints: readonly Endpoint[] = [
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
          username: caller.kind === 'session' ? caller.name : 'admin',
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
