/** Where mail for a domain goes: RFC 5321 section 5.1, null MX of RFC 7505. */
import type { MxRecord, Resolver } from './resolver.ts';

export interface MailHost {
  readonly name: string;
  readonly addresses: readonly string[];
}

export type MailRoute =
  /** Groups of equal preference, the lowest first. `implicit`: there was no MX, the domain itself is the host. */
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

/** Hosts beyond these are not looked at; no real domain has so many. */
const MOST_MX = 20;
const MOST_ADDRESSES = 20;

export async function resolveMailHosts(resolver: Resolver, domain: string): Promise<MailRoute> {
  const mx = await resolver.query(domain, 'MX');
  if (mx.kind === 'failure') return mx;
  if (mx.kind === 'nxdomain') return { kind: 'no-such-domain' };
  if (mx.kind === 'nodata') {
    const own = await resolveHost(resolver, domain);
    if (own.kind === 'failure') return { kind: 'failure', reason: own.reason };
    if (own.kind === 'none') return { kind: 'no-hosts' };
    return {
      kind: 'hosts',
      groups: [{ preference: 0, hosts: [{ name: domain, addresses: own.addresses }] }],
      implicit: true,
    };
  }
  const records = (mx.records as readonly MxRecord[]).toSorted((a, b) => a.preference - b.preference);
  if (records.length === 1 && records[0]!.exchange === '') return { kind: 'null-mx' };
  const groups = new Map<number, MailHost[]>();
  let failure: string | null = null;
  for (const { preference, exchange } of records.slice(0, MOST_MX)) {
    if (exchange === '') continue;
    const found = await resolveHost(resolver, exchange);
    if (found.kind === 'failure') failure = found.reason;
    if (found.kind !== 'addresses') continue;
    const group = groups.get(preference) ?? [];
    group.push({ name: exchange, addresses: found.addresses });
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
  return failure === null ? { kind: 'no-hosts' } : { kind: 'failure', reason: failure };
}

/** IPv4 and then IPv6 addresses of a host. */
export async function resolveHost(resolver: Resolver, name: string): Promise<HostAddresses> {
  const [four, six] = await Promise.all([resolver.query(name, 'A'), resolver.query(name, 'AAAA')]);
  const addresses = [four, six].flatMap((found) =>
    found.kind === 'answer' ? (found.records as string[]) : [],
  );
  if (addresses.length > 0) return { kind: 'addresses', addresses: addresses.slice(0, MOST_ADDRESSES) };
  for (const found of [four, six]) {
    if (found.kind === 'failure') return { kind: 'failure', reason: found.reason };
  }
  return { kind: 'none', reason: 'it has no address' };
}
