/** Where mail for a domain goes: RFC 5321 section 5.1, null MX of RFC 7505. */
import { type MxRecord, queryName, type Resolver } from './resolver.ts';

export interface MailHost {
  readonly name: string;
  /** IPv4 first. */
  readonly addresses: readonly string[];
}

export type MailRoute =
  /**
   * Groups of equal preference, the lowest first; within one, in the answer's order: the caller rotates.
   * `implicit`: there was no MX, the domain itself is the host.
   */
  | {
      readonly kind: 'hosts';
      readonly groups: readonly { readonly preference: number; readonly hosts: readonly MailHost[] }[];
      readonly implicit: boolean;
    }
  | { readonly kind: 'null-mx' }
  | { readonly kind: 'no-such-domain' }
  /** Neither an MX host nor the domain has an address. */
  | { readonly kind: 'no-hosts' }
  | { readonly kind: 'failure'; readonly reason: string };

export type HostAddresses =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'failure'; readonly reason: string };

export type AddressFamily = 'ipv4' | 'ipv6';

/** Hosts beyond these are not looked at; no real domain has so many. */
const MOST_MX = 20;
const MOST_ADDRESSES = 20;

const BOTH: readonly AddressFamily[] = ['ipv4', 'ipv6'];

/** Hosts without an address in `families` are left out. */
export async function resolveMailHosts(
  resolver: Resolver,
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
    const host = { name: domain, addresses: own.addresses };
    return { kind: 'hosts', groups: [{ preference: 0, hosts: [host] }], implicit: true };
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
    group.push({ name: exchange, addresses: host.addresses });
    groups.set(preference, group);
  }
  if (groups.size > 0) {
    return {
      kind: 'hosts',
      groups: [...groups].map(([preference, hosts]) => ({ preference, hosts })),
      implicit: false,
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
  resolver: Resolver,
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
  const addresses = found.flatMap((one) => (one.kind === 'answer' ? (one.records as string[]) : []));
  if (addresses.length > 0) return { kind: 'addresses', addresses: addresses.slice(0, MOST_ADDRESSES) };
  for (const one of found) {
    if (one.kind === 'failure') return { kind: 'failure', reason: one.reason };
  }
  return { kind: 'none', reason: 'it has no address' };
}
