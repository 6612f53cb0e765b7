import { type Alias, type Config, canonicalDomain } from '../../config/index.ts';

/**
 * What a recipient stands for under `<aliases>` (delivery guide, section 19): the whole address before a bare local
 * part, which counts at local host names only, before `*@domain`; the first line of a kind. Targets are not looked up
 * again. Without an alias, mail for `postmaster` and `abuse` of this host goes to those whom `postmaster` names. The
 * address itself when nothing is for it.
 */
export function aliasTargets(config: Config, address: string): readonly string[] {
  const postmasters = config.global.get('postmaster');
  if (config.aliases.length === 0 && postmasters.length === 0) return [address];
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at).toLowerCase();
  const given = address.slice(at + 1);
  const domain = canonicalDomain(given) ?? given.toLowerCase();
  const matches = ({ from }: Alias): boolean => {
    switch (from.kind) {
      case 'address':
        return from.address.toLowerCase() === `${local}@${domain}`;
      case 'local-part':
        return from.local.toLowerCase() === local && config.isLocalDomain(given);
      case 'domain':
        return from.domain === domain;
    }
  };
  for (const kind of ['address', 'local-part', 'domain'] as const) {
    const found = config.aliases.find((alias) => alias.from.kind === kind && matches(alias));
    if (found) return found.to;
  }
  if (ROLES.has(local) && postmasters.length > 0 && config.isLocalDomain(given)) return postmasters;
  return [address];
}

/** Mailboxes of this host that go to the `postmaster` (RFC 5321 section 4.5.1, RFC 2142). */
const ROLES: ReadonlySet<string> = new Set(['postmaster', 'abuse']);
