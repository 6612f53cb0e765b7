/** `check-spf-outbound` (delivery guide, D9.15): would the remote host find that we may send for this sender? */
import type { MxRecord, QueryType, Resolver } from '../../dns/index.ts';

export type SpfVerdict =
  | { readonly kind: 'send' }
  /** Ask again later. */
  | { readonly kind: 'later'; readonly text: string }
  | { readonly kind: 'bounce'; readonly text: string };

/** RFC 7208 section 4.6.4 asks for 20 seconds at least. */
const LONGEST_MS = 20_000;

/** `sender`: reverse-path, '' for the null sender, of which the EHLO name is looked at. */
export async function checkOwnSpf(
  resolver: Pick<Resolver, 'query'>,
  sender: string,
  ip: string,
  helo: string,
): Promise<SpfVerdict> {
  // Loaded when it is needed: the library is half of what the server would load at its start.
  const { spf } = await import('mailauth/lib/spf/index.js');
  const { status } = await spf({
    sender: sender || `postmaster@${helo}`,
    ip,
    helo,
    mta: helo,
    resolver: (name: string, type: string) => nodeStyle(resolver, name, type),
    maxElapsedTime: LONGEST_MS,
  });
  const text = `SPF ${status.result} for ${sender || helo} from ${ip}`;
  if (status.result === 'pass') return { kind: 'send' };
  return { kind: status.result === 'temperror' ? 'later' : 'bounce', text };
}

/** Our resolver in the manner of `dns.promises.resolve`, which the SPF library knows; its type names one of the forms. */
async function nodeStyle(resolver: Pick<Resolver, 'query'>, name: string, type: string): Promise<string[]> {
  const found = await resolver.query(name, type as QueryType);
  switch (found.kind) {
    case 'answer':
      if (type === 'TXT') return (found.records as string[]).map((text) => [text]) as unknown as string[];
      if (type !== 'MX') return [...(found.records as string[])];
      return (found.records as MxRecord[]).map(({ preference, exchange }) => ({
        priority: preference,
        exchange,
      })) as unknown as string[];
    case 'nxdomain':
      throw dnsError('ENOTFOUND', name);
    case 'nodata':
      throw dnsError('ENODATA', name);
    case 'failure':
      throw dnsError('ESERVFAIL', `${name}: ${found.reason}`);
  }
}

function dnsError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
