/** Finds the hosts that a queue's mail goes to (delivery guide, section 9). */
import type { Settings, SmtpHost } from '../../config/index.ts';
import {
  type MailHost,
  nearerThanOurselves,
  type Resolver,
  resolveHost,
  resolveMailHosts,
} from '../../dns/index.ts';
import { statusTexts } from '../accounting/dsn-text.ts';

/** One address to connect to. */
export interface Destination {
  /** Host name, or the address itself for a literal. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Nobody can have put this name in place of another: the operator wrote it, or DNSSEC vouches for it (RFC 7672). */
  readonly nameIsTrusted: boolean;
  /** The mail domain whose MX it is; '' for a host that the operator named. */
  readonly mailDomain: string;
}

export type Destinations =
  /**
   * Best first; those of equal preference in an order that changes from call to call. `implicit`: there is no MX and
   * the domain's own address stands for one.
   */
  | { readonly kind: 'hosts'; readonly hosts: readonly Destination[]; readonly implicit: boolean }
  | { readonly kind: 'permanent' | 'temporary'; readonly status: string; readonly text: string };

export interface DestinationsRequest {
  readonly domain: string;
  readonly settings: Settings<'domain'>;
  /** Hosts of one level that stand in for a look-up of the domain (MX roll-up); `smtp-hosts` goes before them. */
  readonly hosts?: readonly string[] | null;
  readonly resolver: Resolver;
  /** Counts the calls for one queue: hosts of equal standing are rotated by it. */
  readonly turn: number;
  /** Whether connecting to this host would be talking to ourselves. */
  readonly isOurs: (host: Pick<MailHost, 'name' | 'addresses'>, port: number) => boolean;
}

/** More than any real domain has; what a hostile zone lists beyond is not tried. */
const MOST_HOSTS = 50;

export async function findDestinations(request: DestinationsRequest): Promise<Destinations> {
  const { domain, settings } = request;
  const port = settings.get('default-smtp-port');
  const listed = request.hosts?.map((name): SmtpHost => ({ kind: 'host', name, port: null }));
  const configured = settings.get('smtp-hosts') ?? (listed ? [listed] : null);
  if (configured) return await configuredHosts(configured, port, request);
  if (domain.startsWith('[') && domain.endsWith(']')) {
    const address = domain.slice(1, -1).replace(/^IPv6:/i, '');
    const host = { name: address, address, port, nameIsTrusted: false, mailDomain: '' };
    if (request.isOurs({ name: address, addresses: [address] }, port)) return loop(address);
    return { kind: 'hosts', hosts: [host], implicit: false };
  }
  return await mailHosts(domain, port, request);
}

function loop(host: string): Destinations {
  return { kind: 'permanent', status: '5.4.6', text: `mail loops back to myself: ${host} is this host` };
}

async function mailHosts(
  domain: string,
  port: number,
  { resolver, turn, isOurs }: DestinationsRequest,
): Promise<Destinations> {
  const found = await resolveMailHosts(resolver, domain);
  switch (found.kind) {
    case 'hosts': {
      const nearer = nearerThanOurselves(found.groups, (host) => isOurs(host, port));
      if (nearer.kind === 'loop') return loop(nearer.ourselves.name);
      const hosts: Destination[] = [];
      const { implicit, authenticated } = found;
      for (const group of nearer.groups) {
        for (const { name, addresses } of rotated(group.hosts, turn)) {
          for (const address of addresses) {
            hosts.push({ name, address, port, nameIsTrusted: authenticated, mailDomain: domain });
          }
        }
      }
      return { kind: 'hosts', hosts: hosts.slice(0, MOST_HOSTS), implicit };
    }
    case 'null-mx':
      return { kind: 'permanent', status: '5.1.10', text: 'recipient address has null MX' };
    case 'no-such-domain':
      return { kind: 'permanent', status: '5.1.2', text: statusTexts.noSuchDomain };
    case 'no-hosts':
      return { kind: 'permanent', status: '5.4.4', text: 'unable to route: no mail host has an address' };
    case 'failure':
      return {
        kind: 'temporary',
        status: '4.4.3',
        text: `StatusDnsQueryFailed resolving ${domain}: ${found.reason}`,
      };
  }
}

/** `smtp-hosts`: levels in order, the hosts of a level in rotation. A plain name is a host, not a mail domain. */
async function configuredHosts(
  levels: readonly (readonly SmtpHost[])[],
  defaultPort: number,
  request: DestinationsRequest,
): Promise<Destinations> {
  const hosts: Destination[] = [];
  let failure = 'no configured host has an address';
  for (const level of levels) {
    for (const { kind, name, port: given } of rotated(level, request.turn)) {
      const port = given ?? defaultPort;
      const known = { name, port, nameIsTrusted: kind === 'host', mailDomain: '' };
      if (kind === 'ip') {
        hosts.push({ ...known, address: name });
        continue;
      }
      if (kind === 'lookup-mx') {
        const found = await mailHosts(name, port, request);
        if (found.kind === 'hosts') hosts.push(...found.hosts);
        else failure = `${name}: ${found.text}`;
        continue;
      }
      const found = await resolveHost(request.resolver, name);
      if (found.kind === 'addresses') {
        for (const address of found.addresses) hosts.push({ ...known, address });
      } else {
        failure = `${name}: ${found.reason}`;
      }
    }
  }
  // What an operator wrote is mended by an operator: until then the mail waits.
  if (hosts.length === 0) return { kind: 'temporary', status: '4.4.4', text: failure };
  return { kind: 'hosts', hosts: hosts.slice(0, MOST_HOSTS), implicit: false };
}

/** The same things, beginning with another one on each turn. */
function rotated<T>(things: readonly T[], turn: number): readonly T[] {
  const first = turn % Math.max(1, things.length);
  return [...things.slice(first), ...things.slice(0, first)];
}
