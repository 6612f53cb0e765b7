/** Where mail for a domain goes: RFC 5321 section 5.1, null MX of RFC 7505. */
import { queryName } from './answers.ts';
import type { Found, MxRecord, Resolver } from './resolver.ts';

export interface MailHost {
  readonly name: string;
  /** IPv4 first. */
  readonly addresses: readonly string[];
  /** The name server validated every one of these addresses with DNSSEC. */
  readonly authenticated: boolean;
}

export type MailRoute =
  /**
   * Groups of equal preference, the lowest first; within one, in the answer's order: the caller rotates.
   * `implicit`: there was no MX, the domain itself is the host. `authenticated`: the name server validated with DNSSEC
   * which hosts these are (the MX records, or that there is none); RFC 7672 section 2.2.1 needs it to trust their names.
   */
  | {
      readonly kind: 'hosts';
      readonly groups: readonly { readonly preference: number; readonly hosts: readonly MailHost[] }[];
      readonly implicit: boolean;
      readonly authenticated: boolean;
    }
  | { readonly kind: 'null-mx' }
  | { readonly kind: 'no-such-domain' }
  /** Neither an MX host nor the domain has an address. */
  | { readonly kind: 'no-hosts' }
  | { readonly kind: 'failure'; readonly reason: string };

export type HostAddresses =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[]; readonly authenticated: boolean }
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'failure'; readonly reason: string };

export type AddressFamily = 'ipv4' | 'ipv6';

/** Hosts beyond these are not looked at; no real domain has so many. */
const MOST_MX = 20;
const MOST_ADDRESSES = 20;

const BOTH: readonly AddressFamily[] = ['ipv4', 'ipv6'];

/** Hosts without an address in `families` are left out. */
export async function resolveMailHosts(
  resolver: Pick<Resolver, 'query'>,
  domain: string,
  families: readonly AddressFamily[] = BOTH,
): Promise<MailRoute> {
  const mx = await resolver.query(domain, 'MX');
  if (mx.kind === 'failure') return mx;
  if (mx.kind === 'nxdomain') return { kind: 'no-such-domain' };
  if (mx.kind === 'nodata') {
    const own = await resolveHost(resolver, domain, families);
    if (own.kind === 'failure') return own;
    if (own.kind === 'none') return { kind: 'no-hosts' };
    const host = { name: domain, addresses: own.addresses, authenticated: own.authenticated };
    const groups = [{ preference: 0, hosts: [host] }];
    return { kind: 'hosts', groups, implicit: true, authenticated: mx.authenticated };
  }
  const records = mx.records as readonly MxRecord[];
  if (records.every(({ exchange }) => exchange === '')) return { kind: 'null-mx' };
  const chosen = distinct(records.toSorted((a, b) => a.preference - b.preference));
  const found = await Promise.all(chosen.map(({ exchange }) => resolveHost(resolver, exchange, families)));
  const groups = new Map<number, MailHost[]>();
  for (const [i, { preference, exchange }] of chosen.entries()) {
    const host = found[i]!;
    if (host.kind !== 'addresses') continue;
    const group = groups.get(preference) ?? [];
    group.push({ name: exchange, addresses: host.addresses, authenticated: host.authenticated });
    groups.set(preference, group);
  }
  if (groups.size > 0) {
    return {
      kind: 'hosts',
      groups: [...groups].map(([preference, hosts]) => ({ preference, hosts })),
      implicit: false,
      authenticated: mx.authenticated,
    };
  }
  // A host whose address could not be asked for may have one: that is no reason to bounce.
  return found.find((host) => host.kind === 'failure') ?? { kind: 'no-hosts' };
}

/** Each host once, at its lowest preference. The root among other records means nothing (RFC 7505 section 3). */
function distinct(records: readonly MxRecord[]): MxRecord[] {
  const seen = new Set<string>();
  const chosen: MxRecord[] = [];
  for (const record of records) {
    if (record.exchange === '' || seen.has(record.exchange)) continue;
    seen.add(record.exchange);
    chosen.push(record);
    if (chosen.length === MOST_MX) break;
  }
  return chosen;
}

/** IPv4 and then IPv6 addresses of a host. */
export async function resolveHost(
  resolver: Pick<Resolver, 'query'>,
  name: string,
  families: readonly AddressFamily[] = BOTH,
): Promise<HostAddresses> {
  // An MX that names something else will not do so later either.
  if (queryName(name) === null) return { kind: 'none', reason: 'it is no host name' };
  const types = [
    ...(families.includes('ipv4') ? (['A'] as const) : []),
    ...(families.includes('ipv6') ? (['AAAA'] as const) : []),
  ];
  const found = await Promise.all(types.map((type) => resolver.query(name, type)));
  const answers = found.filter((one): one is Extract<Found, { kind: 'answer' }> => one.kind === 'answer');
  if (answers.length > 0) {
    return {
      kind: 'addresses',
      addresses: answers.flatMap(({ records }) => records as string[]).slice(0, MOST_ADDRESSES),
      authenticated: answers.every(({ authenticated }) => authenticated),
    };
  }
  for (const one of found) {
    if (one.kind === 'failure') return { kind: 'failure', reason: one.reason };
  }
  return { kind: 'none', reason: 'it has no address' };
}

type HostGroups = Extract<MailRoute, { kind: 'hosts' }>['groups'];

export type AfterOurselves =
  /** Hosts that are nearer to the recipients than we are; all of them when we are not in the list. */
  | { readonly kind: 'hosts'; readonly groups: HostGroups; readonly ourselves: MailHost | null }
  /** We are the best host: sending would bring the mail back to us. */
  | { readonly kind: 'loop'; readonly ourselves: MailHost };

/**
 * Leaves out the hosts that are no nearer than we are (RFC 5321 section 5.1): a backup MX hands mail to better hosts
 * only, and the best MX hands it to nobody.
 */
export function nearerThanOurselves(groups: HostGroups, isOurs: (host: MailHost) => boolean): AfterOurselves {
  const nearer: HostGroups[number][] = [];
  for (const group of groups) {
    const ourselves = group.hosts.find(isOurs);
    if (!ourselves) nearer.push(group);
    else if (nearer.length === 0) return { kind: 'loop', ourselves };
    else return { kind: 'hosts', groups: nearer, ourselves };
  }
  return { kind: 'hosts', groups: nearer, ourselves: null };
}
