import type { Caller } from '../accounts/accounts.ts';
import { subaccountOf, subaccountPage, subaccountParameters } from '../accounts/subaccounts.ts';
import type { User } from '../accounts/users.ts';
import { CUSTOMER_ID } from '../ingest/normalise.ts';
import { summary } from '../metrics/deliverability.ts';
import { choice, text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import type { Services } from './context.ts';
import { arrayOf, type Call, type Endpoint, endpoint, objectSchema, results } from './endpoint.ts';

const string = { type: 'string' } as const;
const number = { type: 'integer' } as const;
const missing = () => new RequestError(404, 'resource not found', { code: '1600' });

/** What the account, or the subaccount of the caller, has sent since this day and this month began, UTC. */
async function usageOf({ store, clock, watchedDomains }: Services, { subaccountId }: Caller) {
  const now = new Date(clock.now());
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const since = async (start: Date, end: Date) => {
    const query = new Map([
      ['metrics', 'count_injected'],
      ['from', start.toISOString().slice(0, 16)],
    ]);
    const row = await summary({
      store,
      query,
      now: clock.now(),
      onlySubaccount: subaccountId,
      watchedDomains,
    });
    return { start: start.toISOString(), end: end.toISOString(), used: Number(row.count_injected) };
  };
  const day = new Date(Date.UTC(year, month, now.getUTCDate()));
  return {
    timestamp: now.toISOString(),
    day: await since(day, new Date(day.getTime() + 86_400_000)),
    month: await since(new Date(Date.UTC(year, month, 1)), new Date(Date.UTC(year, month + 1, 1))),
  };
}

const span = objectSchema({ start: string, end: string, used: number });
const usageSchema = objectSchema({ timestamp: string, day: span, month: span });

const account: readonly Endpoint[] = [
  endpoint({
    id: 'getAccount',
    method: 'GET',
    path: '/api/v1/account',
    tag: 'Account',
    summary: 'The account',
    access: 'caller',
    parameters: [choice('include', 'Adds what has been sent.', ['usage'])],
    good: results(
      'The account.',
      objectSchema({
        customer_id: number,
        company_name: string,
        status: string,
        created: string,
        subscription: objectSchema(),
        support: objectSchema(),
        features: arrayOf(objectSchema()),
        options: objectSchema(),
        usage: usageSchema,
      }),
    ),
    async handle({ services, query, caller }) {
      const [first] = await services.accounts.listKeys();
      return {
        results: {
          customer_id: CUSTOMER_ID,
          company_name: 'Posthorn',
          status: 'active',
          created: first?.created_at ?? null,
          // Nothing here is bought, so nothing is missing and nobody is asked to buy.
          subscription: { code: 'self-hosted', name: 'Self-hosted', type: 'active', self_serve: false },
          support: { phone: false, online: false },
          features: [],
          options: {
            smtp_tracking_default: false,
            rest_tracking_default: false,
            transactional_unsub: false,
            transactional_default: false,
            initial_open_pixel_tracking: false,
            click_tracking: false,
            allow_events_ingest: true,
          },
          ...(query.get('include') === 'usage' ? { usage: await usageOf(services, caller) } : {}),
        },
      };
    },
  }),
  endpoint({
    id: 'getUsage',
    method: 'GET',
    path: '/api/v1/usage',
    tag: 'Account',
    summary: 'What has been sent today and this month',
    access: ['usage/view'],
    good: results('Messages, by days and months of UTC.', objectSchema({ messaging: usageSchema })),
    async handle({ services, caller }) {
      const messaging = await usageOf(services, caller);
      return { results: { messaging: { ...messaging, last_usage_date: messaging.timestamp } } };
    },
  }),
];

const shownUser = (user: User) => ({
  username: user.username,
  email: user.email ?? '',
  first_name: user.first_name ?? '',
  last_name: user.last_name ?? '',
  access_level: user.access_level,
  created: user.created ?? null,
  last_login: user.last_login ?? null,
  email_verified: true,
  is_sso: false,
  tfa_enabled: false,
  options: {},
});

const userSchema = objectSchema({
  username: string,
  email: string,
  first_name: string,
  last_name: string,
  access_level: { type: 'string', enum: ['admin', 'reporting'] },
  created: { type: ['string', 'null'] },
  last_login: { type: ['string', 'null'] },
});

const nameParameter = text('name', 'Name of the user.', 'admin', { in: 'path' });

/** The user of the address: oneself, or anyone for who may manage users. */
async function userOf({ services, caller, path }: Call): Promise<User> {
  const name = path('name');
  const isOwn = caller.kind === 'session' && caller.name === name;
  if (!isOwn && !caller.grants.has('users/manage')) throw new RequestError(403, 'Forbidden.');
  const user = await services.accounts.users.get(name);
  if (!user) throw missing();
  return user;
}

const users: readonly Endpoint[] = [
  endpoint({
    id: 'listUsers',
    method: 'GET',
    path: '/api/v1/users',
    tag: 'Account',
    summary: 'List the users',
    access: ['users/manage'],
    good: results('All users.', arrayOf(userSchema)),
    async handle({ services }) {
      return { results: (await services.accounts.users.list()).map(shownUser) };
    },
  }),
  endpoint({
    id: 'getUser',
    method: 'GET',
    path: '/api/v1/users/{name}',
    tag: 'Account',
    summary: 'One user',
    access: 'caller',
    parameters: [nameParameter],
    good: results('The user.', userSchema),
    faults: [403, 404],
    handle: async (call) => ({ results: shownUser(await userOf(call)) }),
  }),
  endpoint({
    id: 'getTwoFactor',
    method: 'GET',
    path: '/api/v1/users/{name}/two-factor',
    tag: 'Account',
    summary: 'Whether the user signs in with a second factor',
    description: 'Nobody does: there is none yet.',
    access: 'caller',
    parameters: [nameParameter],
    good: results(
      'Its state.',
      objectSchema({ enabled: { type: 'boolean' }, required: { type: 'boolean' } }),
    ),
    faults: [403, 404],
    async handle(call) {
      const { username } = await userOf(call);
      return { results: { username, enabled: false, required: false } };
    },
  }),
];

const access = ['subaccount/view', 'subaccount/manage'];
const subaccountSchema = objectSchema({
  id: number,
  name: string,
  status: string,
  compliance_status: string,
});

const subaccounts: readonly Endpoint[] = [
  endpoint({
    id: 'listSubaccounts',
    method: 'GET',
    path: '/api/v1/subaccounts',
    tag: 'Account',
    summary: 'List the subaccounts',
    description:
      'Those that events or keys have named. A page of them when any parameter but `option` is given, else all.',
    access,
    parameters: subaccountParameters,
    good: {
      status: 200,
      description: 'Subaccounts.',
      schema: objectSchema({
        results: arrayOf(subaccountSchema),
        total_count: number,
        links: objectSchema({ next: string }),
      }),
    },
    async handle({ services, query }) {
      return subaccountPage(await services.subaccountIds(), query, '/api/v1/subaccounts');
    },
  }),
  endpoint({
    id: 'countSubaccounts',
    method: 'GET',
    path: '/api/v1/subaccounts/summary',
    tag: 'Account',
    summary: 'How many subaccounts there are',
    access,
    good: results('Their number.', objectSchema({ total: number })),
    handle: async ({ services }) => ({ results: { total: (await services.subaccountIds()).length } }),
  }),
  endpoint({
    id: 'getSubaccount',
    method: 'GET',
    path: '/api/v1/subaccounts/{id}',
    tag: 'Account',
    summary: 'One subaccount',
    access,
    parameters: [text('id', 'Its id.', '12', { in: 'path' })],
    good: results('The subaccount.', subaccountSchema),
    faults: [404],
    async handle({ services, path }) {
      const id = (await services.subaccountIds()).find((known) => String(known) === path('id'));
      if (id === undefined) throw missing();
      return { results: subaccountOf(id) };
    },
  }),
];

/** The account, its usage, users and subaccounts. */
export const accountEndpoints: readonly Endpoint[] = [...account, ...users, ...subaccounts];
