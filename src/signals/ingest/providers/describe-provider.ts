import { domainToASCII } from 'node:url';
import type { Resolver } from '../../../dns/index.ts';
import { type ProviderTable, unknownProvider } from './provider-table.ts';
import { firstMailHost } from './providers.ts';

/** What ingest makes of a recipient's domain, and by which rule. */
export interface ProviderDescription {
  readonly domain: string;
  readonly provider: string;
  readonly key: string;
  readonly region: string;
  /** `null` when no rule says anything; `why` tells the reason then. */
  readonly rule: string | null;
  readonly file: string | null;
  readonly line: number | null;
  /** Where its mail goes, if that had to be asked: `null` when it was not, '' when there is none. */
  readonly mailHost: string | null;
  readonly why: string;
}

/** Tries one domain or address; without a resolver its name alone. */
export async function describeProvider(
  given: string,
  table: ProviderTable,
  resolver: Pick<Resolver, 'query'> | null,
): Promise<ProviderDescription> {
  const named = given.slice(given.lastIndexOf('@') + 1).replace(/\.$/, '');
  const domain = domainToASCII(named) || named.toLowerCase();
  let decision = table.ofDomain(domain);
  let mailHost: string | null = null;
  let why = 'no rule names this domain, and its mail host was not asked for';
  if (!decision && resolver) {
    const found = await firstMailHost(resolver, domain);
    mailHost = found?.host ?? null;
    if (!found) why = 'no rule names this domain, and no name server answered';
    else if (found.host === '') why = 'no rule names this domain, and it has no mail host';
    else {
      decision = table.ofMailHost(found.host);
      why = 'no rule names this domain or its mail host';
    }
  }
  const { name, key, region } = decision?.provider ?? unknownProvider;
  return {
    domain,
    provider: name,
    key,
    region,
    rule: decision?.rule ?? null,
    file: decision?.file ?? null,
    line: decision?.line ?? null,
    mailHost,
    why: decision ? '' : why,
  };
}
