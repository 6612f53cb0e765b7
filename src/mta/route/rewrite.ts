import type { Config, RewriteSide, Settings } from '../../config/index.ts';
import { canonicalDomain } from '../../config/index.ts';

/** The envelope sender after the source's `rewrite-list`; the first rule that fits decides. */
export function rewriteSender(config: Config, source: Settings<'source'>, sender: string): string {
  const name = source.get('rewrite-list');
  const list = name ? config.lists.rewriteLists.get(name.toLowerCase()) : undefined;
  if (!list) return sender;
  for (const { from, to } of list.mailFrom) {
    if (fits(from, sender)) return replaced(to, sender);
  }
  return sender;
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
