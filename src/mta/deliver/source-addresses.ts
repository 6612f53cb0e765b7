import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Cidr, canonicalIp, cidrContains, ipBytes, type Vmta } from '../../config/index.ts';

export interface SourceAddress {
  readonly address: string;
  /** Name in EHLO. */
  readonly host: string;
}

/** The local addresses that VMTAs send from, in rotation. Ranges mean those addresses in them that this host has. */
export class SourceAddresses {
  readonly #byVmta = new Map<string, { readonly of: Vmta; readonly addresses: readonly SourceAddress[] }>();
  readonly #turns = new Map<string, number>();

  /**
   * The next address of a VMTA for a host of this family; 'system' when the VMTA names none, so that the operating
   * system chooses; null when none of those it names can reach such a host or is this machine's.
   */
  next(vmta: Vmta, family: 4 | 6): SourceAddress | 'system' | null {
    if (vmta.sourceHosts.length === 0) return 'system';
    let known = this.#byVmta.get(vmta.name);
    if (known?.of !== vmta) {
      known = { of: vmta, addresses: vmta.sourceHosts.flatMap(({ cidr, host }) => expand(cidr, host)) };
      this.#byVmta.set(vmta.name, known);
    }
    const addresses = known.addresses.filter(({ address }) => isIP(address) === family);
    if (addresses.length === 0) return null;
    const key = `${family} ${vmta.name}`;
    const turn = this.#turns.get(key) ?? 0;
    this.#turns.set(key, (turn + 1) % addresses.length);
    return addresses[turn % addresses.length]!;
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
