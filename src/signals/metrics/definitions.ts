import { divided, type Formula, formulas, ingestFormulas } from './formulas.ts';

/**
 * Every count as an expression over the columns of a roll-up that has been summed per unit of time (SparkPost API
 * documentation, Metrics; definitions in its support articles). The names of the columns are those of `counters` and
 * `uniques` in the store's schema.
 */
const additive: Readonly<Record<string, string>> = {
  count_injected: 'injected',
  count_policy_rejection: 'policy_rejection',
  count_generation_failed: 'generation_failed',
  count_generation_rejection: 'generation_rejection',
  count_rejected: 'policy_rejection + generation_failed + generation_rejection',
  count_targeted: 'injected + policy_rejection + generation_failed + generation_rejection',
  count_delivered: 'delivered_first + delivered_subsequent',
  count_delivered_first: 'delivered_first',
  count_delivered_subsequent: 'delivered_subsequent',
  total_delivery_time_first: 'delivery_time_first',
  total_delivery_time_subsequent: 'delivery_time_subsequent',
  total_msg_volume: 'msg_volume',
  count_inband_bounce: 'inband_bounce',
  count_outofband_bounce: 'outofband_bounce',
  count_bounce: 'inband_bounce + outofband_bounce',
  count_hard_bounce: 'hard_bounce',
  count_soft_bounce: 'soft_bounce',
  count_block_bounce: 'block_bounce',
  count_undetermined_bounce: 'undetermined_bounce',
  count_admin_bounce: 'admin_bounce',
  count_sent: 'delivered_first + delivered_subsequent + inband_bounce',
  count_accepted: 'delivered_first + delivered_subsequent - outofband_bounce',
  count_delayed: 'delayed',
  count_delayed_first: 'delayed_first',
  count_spam_complaint: 'spam_complaint',
  count_unsubscribe: 'unsubscribe',
  count_rendered: 'rendered',
  count_initial_rendered: 'initial_rendered',
  count_clicked: 'clicked',
  count_nonprefetched_rendered: 'nonprefetched_rendered',
  count_nonprefetched_initial_rendered: 'nonprefetched_initial_rendered',
  // Ours: attempts that drew an answer, and opens by machines.
  count_attempts: 'delivered_first + delivered_subsequent + inband_bounce + delayed',
  count_machine_rendered: 'rendered - nonprefetched_rendered',
  count_delivered_tls: 'delivered_tls',
  count_list_unsubscribe: 'list_unsubscribe',
  count_link_unsubscribe: 'link_unsubscribe',
  signals_injections: 'injected',
};

const unique: Readonly<Record<string, string>> = {
  count_unique_rendered: 'unique_rendered',
  count_unique_initial_rendered: 'unique_initial_rendered',
  count_unique_confirmed_opened: 'unique_confirmed_opened',
  count_unique_clicked: 'unique_clicked',
  count_nonprefetched_unique_rendered: 'nonprefetched_unique_rendered',
  count_nonprefetched_unique_initial_rendered: 'nonprefetched_unique_initial_rendered',
  count_nonprefetched_unique_confirmed_opened: 'nonprefetched_unique_confirmed_opened',
  count_nonprefetched_unique_clicked: 'nonprefetched_unique_clicked',
};

/** Ours: the time, in seconds, within which so many of a hundred deliveries were made. */
const quantile: Readonly<Record<string, string>> = {
  p50_delivery_time: '50',
  p95_delivery_time: '95',
  p99_delivery_time: '99',
};

/** Ours: over injections that are due and what was found out about them (`store/completeness.ts`). */
const due: Readonly<Record<string, string>> = {
  count_injected_due: 'injected - repeated',
  count_unresolved: 'unresolved',
  count_resolved: 'injected - repeated - unresolved',
};

/** Ours, by a condition on the roll-up of reasons: mail given up because it stayed undelivered for too long. */
const reasoned: Readonly<Record<string, string>> = {
  count_expired: `type = 'bounce' AND bounce_class = 24`,
};

/** Clicks of which each link of a message counts once per unit of time. */
const links = ['count_raw_clicked'];

/** Approximate twins; ours are exact. */
const approximate = [
  'count_unique_rendered',
  'count_unique_initial_rendered',
  'count_unique_confirmed_opened',
  'count_unique_clicked',
  'count_nonprefetched_unique_rendered',
  'count_nonprefetched_unique_initial_rendered',
  'count_nonprefetched_unique_confirmed_opened',
];

/** Seed and panel data, which this service does not have: always 0. */
const absent = [
  'count_inbox_panel',
  'count_spam_panel',
  'count_inbox_seed',
  'count_spam_seed',
  'count_inbox_seed_private',
  'count_spam_seed_private',
  'count_inbox_seed_virtual',
  'count_spam_seed_virtual',
  'count_moved_to_inbox',
  'count_moved_to_spam',
];

export interface Metric {
  readonly name: string;
  readonly kind: 'additive' | 'unique' | 'quantile' | 'due' | 'links' | 'reasons' | 'absent';
  /**
   * Over columns of the roll-up; of a unique metric its column's name, of 'reasons' a condition, of a quantile its share
   * per cent, else 0.
   */
  readonly expression: string;
}

const byName = new Map<string, Metric>();
for (const [name, expression] of Object.entries(additive)) {
  byName.set(name, { name, kind: 'additive', expression });
}
for (const [name, expression] of Object.entries(unique)) {
  byName.set(name, { name, kind: 'unique', expression });
}
for (const [name, expression] of Object.entries(quantile)) {
  byName.set(name, { name, kind: 'quantile', expression });
}
for (const [name, expression] of Object.entries(due)) byName.set(name, { name, kind: 'due', expression });
for (const name of approximate) {
  byName.set(`${name}_approx`, { name: `${name}_approx`, kind: 'unique', expression: unique[name]! });
}
for (const [name, expression] of Object.entries(reasoned)) {
  byName.set(name, { name, kind: 'reasons', expression });
}
for (const name of links.flatMap((n) => [n, `${n}_approx`])) {
  byName.set(name, { name, kind: 'links', expression: '0' });
}
for (const name of absent) byName.set(name, { name, kind: 'absent', expression: '0' });

/** A metric as it can be asked for: a count, or a formula over counts. */
export interface Figure {
  readonly name: string;
  /** The counts that its value is made of. */
  readonly needs: readonly Metric[];
  /** Its value, by what it needs and the length of time that this is of; `null` where it has none. */
  value(count: (name: string) => number | null, seconds: number): number | null;
  /** What rows are sorted by, as SQL over columns named like the counts; `NULL` where there is no value. */
  readonly sql: string;
}

const figures = new Map<string, Figure>();
for (const [name, counted] of byName) {
  const nothing = counted.kind === 'quantile' ? null : 0;
  figures.set(name, { name, needs: [counted], value: (count) => count(name) ?? nothing, sql: name });
}
for (const [name, formula] of Object.entries<Formula>(formulas)) {
  const { above, below } = formula;
  const isPerTime = below === 'seconds';
  figures.set(name, {
    name,
    needs: (isPerTime ? [above] : [above, below]).map((n) => byName.get(n)!),
    value: (count, seconds) => divided(formula, count(above) ?? 0, isPerTime ? seconds : (count(below) ?? 0)),
    // All rows of an answer are of the same time, and the constants keep the order.
    sql: isPerTime ? above : `if(${below} > 0, ${above} / ${below}, NULL)`,
  });
}

/** The metric of this name, count or formula. */
export function figure(name: string): Figure | undefined {
  return figures.get(name);
}

export const metricNames: readonly string[] = [...figures.keys()];

/** Metrics of ingest: what is counted of the outcomes of batches, over the columns of `ingest_events`. */
export const ingestSums: Readonly<Record<string, string>> = {
  ingest_batches: 'count()',
  ingest_batches_failed: `countIf(type = 'error')`,
  ingest_events_accepted: 'sum(number_succeeded)',
  ingest_events_rejected: 'sum(number_failed)',
  ingest_events_duplicate: 'sum(number_duplicates)',
};

export const ingestMetricNames: readonly string[] = [
  ...Object.keys(ingestSums),
  ...Object.keys(ingestFormulas),
  'ingest_lag',
  'ingest_silence',
];
