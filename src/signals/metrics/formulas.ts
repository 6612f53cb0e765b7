/**
 * Metrics that are worked out of others: what is divided, and by what. The API answers and sorts by this table, and the
 * web interface computes its rates from the same one, so it imports nothing. Over a range or a group both sides are
 * summed first; a rate is never a mean of rates.
 */
export interface Formula {
  /** Metric above the line. */
  readonly above: string;
  /** Metric below the line; 'seconds' is the length of the bucket or window. */
  readonly below: string;
  /** 100 makes a share per cent. */
  readonly times: number;
  /** Both sides in the same unit: 1000 where milliseconds become seconds. */
  readonly over: number;
  readonly unit: 'percent' | 'seconds' | 'bytes' | 'messages per second';
}

const percent = <Above extends string, Below extends string>(above: Above, below: Below) =>
  ({ above, below, times: 100, over: 1, unit: 'percent' }) as const;

export const formulas = {
  rejected_rate: percent('count_rejected', 'count_targeted'),
  admin_bounce_rate: percent('count_admin_bounce', 'count_targeted'),
  accepted_rate: percent('count_accepted', 'count_sent'),
  bounce_rate: percent('count_bounce', 'count_sent'),
  hard_bounce_rate: percent('count_hard_bounce', 'count_sent'),
  soft_bounce_rate: percent('count_soft_bounce', 'count_sent'),
  block_bounce_rate: percent('count_block_bounce', 'count_sent'),
  undetermined_bounce_rate: percent('count_undetermined_bounce', 'count_sent'),
  // SparkPost's report builder divides all delays; its delay report and documentation those of the first attempt.
  delayed_rate: percent('count_delayed_first', 'count_accepted'),
  deferral_rate: percent('count_delayed', 'count_attempts'),
  first_attempt_rate: percent('count_delivered_first', 'count_delivered'),
  expired_rate: percent('count_expired', 'count_sent'),
  tls_delivery_rate: percent('count_delivered_tls', 'count_delivered'),
  event_completeness: percent('count_resolved', 'count_injected_due'),
  avg_delivery_time_first: {
    above: 'total_delivery_time_first',
    below: 'count_delivered_first',
    times: 1,
    over: 1000,
    unit: 'seconds',
  },
  avg_delivery_time_subsequent: {
    above: 'total_delivery_time_subsequent',
    below: 'count_delivered_subsequent',
    times: 1,
    over: 1000,
    unit: 'seconds',
  },
  avg_msg_size: { above: 'total_msg_volume', below: 'count_delivered', times: 1, over: 1, unit: 'bytes' },
  delivery_rate_per_second: {
    above: 'count_delivered',
    below: 'seconds',
    times: 1,
    over: 1,
    unit: 'messages per second',
  },
  open_rate: percent('count_unique_confirmed_opened', 'count_accepted'),
  open_rate_approx: percent('count_unique_confirmed_opened', 'count_accepted'),
  open_rate_human: percent('count_nonprefetched_unique_confirmed_opened', 'count_accepted'),
  machine_open_share: percent('count_machine_rendered', 'count_rendered'),
  click_through_rate: percent('count_unique_clicked', 'count_accepted'),
  click_through_rate_approx: percent('count_unique_clicked', 'count_accepted'),
  click_through_rate_human: percent('count_nonprefetched_unique_clicked', 'count_accepted'),
  click_to_open_rate: percent(
    'count_nonprefetched_unique_clicked',
    'count_nonprefetched_unique_confirmed_opened',
  ),
  unsubscribe_rate: percent('count_unsubscribe', 'count_accepted'),
  spam_complaint_rate: percent('count_spam_complaint', 'count_accepted'),
} as const satisfies Readonly<Record<string, Formula>>;

/** The same over the metrics of batches (`ingest-metrics.ts`). */
export const ingestFormulas = {
  ingest_error_rate: percent('ingest_batches_failed', 'ingest_batches'),
} as const satisfies Readonly<Record<string, Formula>>;

export type FormulaName = keyof typeof formulas;

/**
 * The value of a formula; `null` where there is nothing to divide by. Below 0 is nothing too: accepted mail is, in a
 * bucket with more late bounces than deliveries.
 */
export function divided({ times, over }: Formula, above: number, below: number): number | null {
  return below > 0 ? (times * above) / (over * below) : null;
}
