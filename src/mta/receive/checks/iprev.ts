/** The reverse DNS check (RFC 8601 section 3): the name that an address has must have that address. */
import { isIPv6 } from 'node:net';
import { canonicalIp, ipBytes } from '../../../config/index.ts';
import type { Lookups } from './lookups.ts';
import type { MethodResult } from './results-header.ts';

/** Names looked at of an address that has many (RFC 8601 names no number; RFC 7208 says 10 for the like). */
const MOST_NAMES = 10;
/** The question for the names, and one for each name. */
export const IPREV_LOOKUPS = 1 + MOST_NAMES;

export async function checkIprev(
  client: { readonly remoteAddress: string; readonly heloName: string },
  lookups: Lookups,
): Promise<Omit<MethodResult, 'trace'>> {
  const { remoteAddress, heloName } = client;
  const done = (result: string, comment: string): Omit<MethodResult, 'trace'> => ({
    method: 'iprev',
    result,
    comment,
    properties: [
      ['policy.iprev', remoteAddress],
      ['smtp.helo', heloName],
    ],
  });
  const ip = canonicalIp(remoteAddress);
  if (!ip) return done('permerror', 'the client has no address');
  let names: readonly unknown[];
  try {
    names = await lookups.resolve(reverseName(ip), 'PTR');
  } catch (error) {
    return isNone(error)
      ? done('permerror', 'the address has no name')
      : done('temperror', 'the name of the address could not be looked up');
  }
  const type = isIPv6(ip) ? 'AAAA' : 'A';
  let failed = false;
  for (const name of names.slice(0, MOST_NAMES) as readonly string[]) {
    try {
      const addresses = (await lookups.resolve(name, type)) as string[];
      if (addresses.some((address) => canonicalIp(address) === ip)) {
        const same = name.toLowerCase() === heloName.toLowerCase().replace(/\.$/, '');
        return done('pass', same ? name : `${name}, which is not what the client calls itself`);
      }
    } catch (error) {
      failed ||= !isNone(error);
    }
  }
  return failed
    ? done('temperror', 'an address of the name could not be looked up')
    : done('fail', 'no name of the address has this address');
}

function isNone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

/** `1.2.0.192.in-addr.arpa` (RFC 1035 section 3.5), `….ip6.arpa` (RFC 3596 section 2.5). */
function reverseName(ip: string): string {
  const bytes = [...ipBytes(ip)].reverse();
  if (bytes.length === 4) return `${bytes.join('.')}.in-addr.arpa`;
  const nibbles = bytes.flatMap((byte) => [byte & 0xf, byte >> 4]);
  return `${nibbles.map((nibble) => nibble.toString(16)).join('.')}.ip6.arpa`;
}
