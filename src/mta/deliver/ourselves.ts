import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Config, canonicalIp } from '../../config/index.ts';
import type { MailHost } from '../../dns/index.ts';

/**
 * Whether a connection to this host and port would reach one of our own listeners: by its address, or, behind
 * address translation, by its name. Another server on this machine, at a port that we do not listen on, is not us.
 */
export function isOurselves(
  config: Config,
  { name, addresses }: Pick<MailHost, 'name' | 'addresses'>,
  port: number,
): boolean {
  const listeners = config.listeners.filter((listener) => listener.port === port);
  if (listeners.length === 0) return false;
  if (config.isLocalDomain(name)) return true;
  const bound = new Set(listeners.map(({ address }) => canonicalIp(address) ?? address));
  return addresses.some((address) => {
    const ip = canonicalIp(address) ?? address;
    if (bound.has(ip)) return true;
    return bound.has(isIPv6(ip) ? '::' : '0.0.0.0') && isLocalAddress(ip);
  });
}

function isLocalAddress(ip: string): boolean {
  if (ip === '::1' || ip.startsWith('127.')) return true;
  return Object.values(networkInterfaces()).some((list) =>
    list?.some(({ address }) => canonicalIp(address) === ip),
  );
}
