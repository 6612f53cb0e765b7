import data from './parked-domains.json' with { type: 'json' };

const domains = new Set<string>(data.domains);
const hosts = new Set(data.hosts);

/** Whether a domain is held by a parking provider; `servers`: its MX and name servers, as far as they are known. */
export function isParkedDomain(domain: string, servers: readonly string[] = []): boolean {
  return domains.has(domain) || servers.some(isParkingHost);
}

function isParkingHost(host: string): boolean {
  const labels = host.toLowerCase().replace(/\.$/, '').split('.');
  for (let i = Math.max(0, labels.length - 4); i < labels.length - 1; i++) {
    if (hosts.has(labels.slice(i).join('.'))) return true;
  }
  return false;
}
