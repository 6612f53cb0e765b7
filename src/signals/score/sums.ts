/** The cohorts of recipients, in the order of `cohort` numbers in the tables (from 1). */
export const cohorts = ['new', '14d', '90d', '365d', 'uneng'] as const;
export type Cohort = (typeof cohorts)[number];

/** What mail can draw, with the suffix that the reports give it. */
export const responses = ['eng', 'unsub', 'fbl'] as const;
export type Response = (typeof responses)[number];

/** Sums over the mails injected on a day. */
export const mailSums = [
  'injections',
  'tracked',
  'clear_addresses',
  'list_quality',
  'trap_recycled',
  'trap_typo',
  'trap_parked',
  ...cohorts.map((c) => `c_${c}` as const),
  ...responses.flatMap((r) => cohorts.map((c) => `c_${c}_${r}` as const)),
] as const;

/** Sums over other events of a day. */
export const eventSums = [
  'hard_bounces',
  'block_bounces',
  'other_bounces',
  'complaints',
  'unsubscribes',
  'suppressed',
  'delayed',
] as const;

/** Everything that is kept of a day for each set of facets. */
export const sums = [...mailSums, ...eventSums] as const;
export type SumName = (typeof sums)[number];
export type Sums = Readonly<Record<SumName, number>>;

/** What a day is broken down by, beside the subaccount. */
export const facets = ['campaign_id', 'ip_pool', 'mb_provider', 'sending_domain'] as const;
export type Facet = (typeof facets)[number];

export function totalOfCohorts(day: Sums, response?: Response): number {
  const suffix = response === undefined ? ('' as const) : (`_${response}` as const);
  return cohorts.reduce((sum, cohort) => sum + day[`c_${cohort}${suffix}`], 0);
}

export function trapHits(day: Sums): number {
  return day.trap_recycled + day.trap_typo + day.trap_parked;
}
