/** Finds the hosts that a queue's mail goes to (delivery guide, section 9). */
import type { Settings, SmtpHost } from '../../config/index.ts';
import { type Resolver, resolveHost, resolveMailHosts } from '../../dns/index.ts';
import { statusTexts } from '../accounting/dsn-text.ts';

/** One address to connect to. */
export interface Destination {
  /** Host name, or the address itself for a literal. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export type Destinations =
  /** Best first; those of equal preference in an order that changes from call to call. */
  | { readonly kind: 'hosts'; readonly hosts: readonly Destination[] }
  | { readonly kind: 'permanent' | 'temporary'; readonly status: string; readonly text: string };

/** More than any real domain has; what a hostile zone lists beyond is not tried. */
const MOST_HOSTS = 50;

/** `turn` counts the calls for one queue: hosts of equal standing are rotated by it. */
export async function findDestinations(
  domain: string,
  settings: Settings<'domain'>,
  resolver: Resolver,
  turn: number,
): Promise<Destinations> {
  const port = settings.get('default-smtp-port');
  const configured = settings.get('smtp-hosts');
  if (configured) return await configuredHosts(configured, port, resolver, turn);
  if (domain.startsWith('[') && domain.endsWith(']')) {
    const address = domain.slice(1, -1).replace(/^IPv6:/i, '');
    return { kind: 'hosts', hosts: [{ name: address, address, port }] };
  }
  return await mailHosts(domain, port, resolver, turn);
}

async function mailHosts(
  domain: string,
  port: number,
  resolver: Resolver,
  turn: number,
): Promise<Destinations> {
  const found = await resolveMailHosts(resolver, domain);
  switch (found.kind) {
    case 'hosts': {
      const hosts: Destination[] = [];
      for (const group of found.groups) {
        for (const { name, addresses } of rotated(group.hosts, turn)) {
          for (const address of addresses) hosts.push({ name, address, port });
        }
      }
      return { kind: 'hosts', hosts: hosts.slice(0, MOST_HOSTS) };
    }
    case 'null-mx':
      return { kind: 'permanent', status: '5.1.10', text: 'recipient address has null MX' };
    case 'no-such-domain':
      return { kind: 'permanent', status: '5.1.2', text: statusTexts.noSuchDomain };
    case 'no-hosts':
      return { kind: 'permanent', status: '5.4.4', text: 'unable to route: no mail host has an address' };
    case 'failure':
      return { kind: 'temporary', status: '4.4.3', text: `directory server failure: ${found.reason}` };
  }
}

/** `smtp-hosts`: levels in order, the hosts of a level in rotation. A plain name is a host, not a mail domain. */
async function configuredHosts(
  levels: readonly (readonly SmtpHost[])[],
  defaultPort: number,
  resolver: Resolver,
  turn: number,
): Promise<Destinations> {
  const hosts: Destination[] = [];
  let failure = 'no configured host has an address';
  for (const level of levels) {
    for (const { kind, name, port } of rotated(level, turn)) {
      if (kind === 'ip') {
        hosts.push({ name, address: name, port: port ?? defaultPort });
        continue;
      }
      if (kind === 'lookup-mx') {
        const found = await mailHosts(name, port ?? defaultPort, resolver, turn);
        if (found.kind === 'hosts') hosts.push(...found.hosts);
        else failure = found.text;
        continue;
      }
      const found = await resolveHost(resolver, name);
      if (found.kind === 'addresses') {
        for (const address of found.addresses) hosts.push({ name, address, port: port ?? defaultPort });
      } else {
        failure = `${name}: ${found.reason}`;
      }
    }
  }
  // What an operator wrote is mended by an operator: until then the mail waits.
  if (hosts.length === 0) return { kind: 'temporary', status: '4.4.4', text: failure };
  return { kind: 'hosts', hosts: hosts.slice(0, MOST_HOSTS) };
}

/** The same things, beginning with another one on each turn. */
function rotated<T>(things: readonly T[], turn: number): readonly T[] {
  const first = turn % Math.max(1, things.length);
  return [...things.slice(first), ...things.slice(0, first)];
}
