/** Rewrite lists (delivery guide, section 19): of a source, of a VMTA or of its pool. */
import { type Config, canonicalDomain, matchesDomain, type RewriteSide } from '../../config/index.ts';

/** The envelope sender after a `rewrite-list`; the first rule that fits decides. */
export function rewriteSender(config: Config, list: string | null, sender: string): string {
  for (const { from, to } of listNamed(config, list)?.mailFrom ?? []) {
    if (fits(from, sender)) return replaced(to, sender);
  }
  return sender;
}

/** The domain that a `rewrite-list` puts into From in the place of this one; null when it leaves it. */
export function rewriteFromDomain(config: Config, list: string | null, domain: string): string | null {
  const canonical = canonicalDomain(domain) ?? domain.toLowerCase();
  for (const rule of listNamed(config, list)?.fromDomain ?? []) {
    if (matchesDomain(rule.pattern, canonical)) return rule.domain;
  }
  return null;
}

function listNamed(config: Config, name: string | null) {
  return name ? config.lists.rewriteLists.get(name.toLowerCase()) : undefined;
}

function fits(side: RewriteSide, address: string): boolean {
  if (side.kind === 'empty') return address === '';
  if (address === '') return false;
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at);
  const domain = canonicalDomain(address.slice(at + 1)) ?? address.slice(at + 1).toLowerCase();
  return (
    (side.local === null || side.local.toLowerCase() === local.toLowerCase()) &&
    (side.domain === null || side.domain.toLowerCase() === domain)
  );
}

function replaced(side: RewriteSide, address: string): string {
  if (side.kind === 'empty') return '';
  const at = address.lastIndexOf('@');
  return `${side.local ?? address.slice(0, at)}@${side.domain ?? address.slice(at + 1)}`;
}
