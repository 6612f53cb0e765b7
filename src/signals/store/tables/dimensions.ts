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
  vmta: lowCardinality,
  node: lowCardinality,
} as const;
export type Dimension = keyof typeof dimensionColumns;
export const dimensions = Object.keys(dimensionColumns) as readonly Dimension[];

/** Since version 6 of the schema. */
export const laterDimensions = ['vmta', 'node'] as const;
const firstDimensions = dimensions.filter((name) => !(laterDimensions as readonly string[]).includes(name));

/**
 * Sorting of a table by all dimensions, with columns before and behind those there were at first. The later ones stand
 * behind everything, since the key of a table that is there can only grow at its end.
 */
export const sortedBy = (before: readonly string[], behind: readonly string[] = []) => {
  const primaryKey = [...before, ...firstDimensions, ...behind];
  return { primaryKey, orderBy: [...primaryKey, ...laterDimensions] };
};

/** The VMTA of what was stored before there was a column for it: known where its name stood in for the address. */
export const vmtaBefore = (sendingIp: string) =>
  `if(isIPv4String(${sendingIp}) OR isIPv6String(${sendingIp}), '', ${sendingIp})`;
