import { type Alias, type Config, canonicalDomain } from '../../config/index.ts';

/**
 * What a recipient stands for under `<aliases>` (delivery guide, section 19): the whole address before a bare local
 * part, which counts at local host names only, before `*@domain`; the first line of a kind. Targets are not looked up
 * again. The address itself when no alias is for it.
 */
export function aliasTargets(config: Config, address: string): readonly string[] {
  if (config.aliases.length === 0) return [address];
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
  return [address];
}
