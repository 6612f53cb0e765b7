/** DNS as mail needs it: a resolver with a cache, the way to a domain's mail hosts, and a small server. */

export type { DnsServerAddress, Reply as DnsAnswer } from './exchange.ts';
export {
  type AddressFamily,
  type AfterOurselves,
  type HostAddresses,
  type MailHost,
  type MailRoute,
  nearerThanOurselves,
  resolveHost,
  resolveMailHosts,
} from './mail-route.ts';
export { createStsPolicies, type StsFound, type StsOptions, type StsPolicies } from './mta-sts.ts';
export { type Precache, type PrecachedDomain, readPrecachedDomains, startPrecache } from './precache.ts';
export {
  type AskedServer,
  createResolver,
  type Found,
  type MxRecord,
  type QueryType,
  type RecordData,
  type Resolver,
  type ResolverOptions,
  type TlsaRecord,
} from './resolver.ts';
export {
  createDnsServer,
  type DnsQuestion,
  type DnsReply,
  type DnsServer,
  type DnsServerOptions,
} from './server.ts';
export { type StsPolicy, stsAllows } from './sts-policy.ts';
export type { TlsaFound } from './tlsa.ts';
