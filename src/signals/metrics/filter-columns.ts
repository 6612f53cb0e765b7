import type { Dimension } from '../store/tables/dimensions.ts';

/** Filter parameter → column. */
export const filterColumns: ReadonlyMap<string, Dimension> = new Map([
  ['domains', 'recipient_domain'],
  ['campaigns', 'campaign_id'],
  ['templates', 'template_id'],
  ['sending_ips', 'sending_ip'],
  ['ip_pools', 'ip_pool'],
  ['vmtas', 'vmta'],
  ['nodes', 'node'],
  ['sending_domains', 'sending_domain'],
  ['mailbox_providers', 'mailbox_provider'],
  ['mailbox_provider_regions', 'mailbox_provider_region'],
]);

/** Names of domains are the same in any letter case; they are stored in lower case. */
export function asStored(column: Dimension, value: string): string {
  return column === 'recipient_domain' || column === 'sending_domain' ? value.toLowerCase() : value;
}
