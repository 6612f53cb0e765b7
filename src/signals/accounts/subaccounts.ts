import { choice, integer, list, type Parameter, text, type WholeNumber } from '../parameter.ts';
import { badParameter } from '../request-error.ts';
import { integerOf, numbersOf, type Query } from '../search/parameters.ts';

/**
 * A subaccount as SparkPost shows one. There is no directory of them yet: an id that events or keys have named is a
 * subaccount, so that none is hidden (PowerMTA user guide 10.1.2: they need not be created first).
 */
export interface Subaccount {
  readonly id: number;
  readonly name: string;
  readonly status: 'active';
  readonly compliance_status: 'active';
}

export const subaccountOf = (id: number): Subaccount => ({
  id,
  name: `Subaccount ${id}`,
  status: 'active',
  compliance_status: 'active',
});

const perPage: WholeNumber = { default: 25, minimum: 1, maximum: 100 };
const statuses = ['active', 'suspended', 'terminated'];
const sortKeys = ['created_at', 'updated_at', 'id', 'name'];
const orders = ['desc', 'asc'];

/** Those that make the answer a page; without any of them it is the whole list. */
const paging: readonly Parameter[] = [
  text('cursor', 'Place to go on from; `initial` is the beginning.', 'initial'),
  integer('per_page', 'Subaccounts of one page.', perPage),
  choice('sort_by', 'What they are sorted by; all but `name` is the id here.', sortKeys, {
    default: 'created_at',
  }),
  choice('order', 'Direction.', orders, { default: 'desc' }),
  text('ip_pool', 'Those held to this IP pool; there are none here.', 'promo'),
  choice('status', 'Those of this status.', statuses),
  text('name', 'Text that the name contains, in any letter case.', 'sub'),
  list('ids', 'Ids, separated by commas.', '1,2'),
];

export const subaccountParameters: readonly Parameter[] = [
  ...paging,
  choice('option', 'Those that have this option; it is an addition that nobody has here.', [
    'deliverability',
  ]),
];

/** `GET /v1/subaccounts` (SparkPost API documentation, Subaccounts): what the query asks of all `ids`. */
export function subaccountPage(ids: readonly number[], query: Query, path: string) {
  const all = query.has('option') ? [] : ids.map(subaccountOf);
  if (!paging.some(({ name }) => query.has(name))) return { results: sorted(all, query) };
  const wantedIds = numbersOf(query, 'ids');
  const name = query.get('name')?.toLowerCase();
  const status = query.get('status');
  const found = all.filter(
    (s) =>
      !query.has('ip_pool') &&
      (status === undefined || s.status === status) &&
      (name === undefined || s.name.toLowerCase().includes(name)) &&
      (wantedIds === null || wantedIds.includes(s.id)),
  );
  const size = integerOf(query, 'per_page', perPage);
  const from = startOf(query);
  const shown = sorted(found, query).slice(from, from + size);
  const isLast = from + size >= found.length;
  const links = isLast ? {} : { next: next(query, path, from + size) };
  return { results: shown, total_count: found.length, links };
}

function sorted(subaccounts: readonly Subaccount[], query: Query): Subaccount[] {
  const sign = query.get('order') === 'asc' ? 1 : -1;
  const byName = query.get('sort_by') === 'name';
  // The one who came first has the lower number, as far as anyone knows.
  return [...subaccounts].sort(
    (a, b) => sign * (byName ? a.name.localeCompare(b.name, 'en', { numeric: true }) : a.id - b.id),
  );
}

function startOf(query: Query): number {
  const cursor = query.get('cursor') ?? 'initial';
  if (cursor === 'initial') return 0;
  const from = /^[\w-]{1,16}$/.test(cursor)
    ? Number(Buffer.from(cursor, 'base64url').toString('latin1'))
    : -1;
  if (!Number.isSafeInteger(from) || from < 0) {
    throw badParameter('cursor', 'is not one that this service has given');
  }
  return from;
}

function next(query: Query, path: string, from: number): string {
  const parameters = new URLSearchParams([...query].filter(([name]) => name !== 'cursor'));
  parameters.set('cursor', Buffer.from(String(from)).toString('base64url'));
  return `${path}?${parameters}`;
}
