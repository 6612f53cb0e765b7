export const lowCardinality = 'LowCardinality(String)';

/** Columns that reports filter and group by, the same in `events` and in the roll-ups. */
export const dimensionColumns = {
  subaccount_id: 'UInt32',
  campaign_id: lowCardinality,
  template_id: lowCardinality,
  recipient_domain: lowCardinality,
  sending_domain: lowCardinality,
  sending_ip: lowCardinality,
  ip_pool: lowCardinality,
  mailbox_provider: lowCardinality,
  mailbox_provider_region: lowCardinality,
} as const;
export type Dimension = keyof typeof dimensionColumns;
export const dimensions = Object.keys(dimensionColumns) as readonly Dimension[];
