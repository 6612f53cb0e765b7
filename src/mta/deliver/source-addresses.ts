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

  /** The next address of a VMTA; null when the operating system is to choose. */
  next(vmta: Vmta): SourceAddress | null {
    let known = this.#byVmta.get(vmta.name);
    if (known?.of !== vmta) {
      known = { of: vmta, addresses: vmta.sourceHosts.flatMap(({ cidr, host }) => expand(cidr, host)) };
      this.#byVmta.set(vmta.name, known);
    }
    const { addresses } = known;
    if (addresses.length === 0) return null;
    const turn = this.#turns.get(vmta.name) ?? 0;
    this.#turns.set(vmta.name, (turn + 1) % addresses.length);
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
