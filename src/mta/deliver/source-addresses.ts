import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Cidr, canonicalIp, cidrContains, ipBytes, type Vmta } from '../../config/index.ts';

export interface SourceAddress {
  readonly address: string;
  /** Name in EHLO. */
  readonly host: string;
}

/** The local addresses that VMTAs send from. Ranges mean those addresses in them that this host has. */
export class SourceAddresses {
  readonly #byVmta = new Map<string, { readonly of: Vmta; readonly addresses: readonly SourceAddress[] }>();

  /**
   * The addresses of a VMTA that reach a host of this family; 'system' when the VMTA names none, so that the operating
   * system chooses; empty when none of those it names can reach such a host or is this machine's. The scheduler says
   * which one's turn it is.
   */
  of(vmta: Vmta, family: 4 | 6): readonly SourceAddress[] | 'system' {
    if (vmta.sourceHosts.length === 0) return 'system';
    let known = this.#byVmta.get(vmta.name);
    if (known?.of !== vmta) {
      known = { of: vmta, addresses: vmta.sourceHosts.flatMap(({ cidr, host }) => expand(cidr, host)) };
      this.#byVmta.set(vmta.name, known);
    }
    return known.addresses.filter(({ address }) => isIP(address) === family);
  }
}

/** Whether a network is this one address. */
export function isSingleAddress(cidr: Cidr, address: string): boolean {
  if (cidr.bits !== cidr.bytes.length * 8) return false;
  const ip = canonicalIp(address);
  return ip !== null && cidrContains(cidr, ipBytes(ip));
}

function expand(cidr: Cidr, host: string): SourceAddress[] {
  if (cidr.bits === cidr.bytes.length * 8) {
    const address = canonicalIp(cidr.text);
    return address ? [{ address, host }] : [];
  }
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return own
    .map(({ address }) => canonicalIp(address))
    .filter((address) => address !== null)
    .filter((address) => address !== '127.0.0.1' && cidrContains(cidr, ipBytes(address)))
    .map((address) => ({ address, host }));
}
