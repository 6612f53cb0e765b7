/**
 * The catalogue of metrics that the pages show: what each is called, what it means, and which way is good. What a rate
 * divides is the API's own table. Everything that prints a figure asks here.
 */
import { divided, formulas } from '../../src/signals/metrics/formulas.ts';

/** Counts as the API names them. */
export type CountKey =
  | 'count_injected'
  | 'count_sent'
  | 'count_delivered'
  | 'count_accepted'
  | 'count_bounce'
  | 'count_inband_bounce'
  | 'count_outofband_bounce'
  | 'count_delayed'
  | 'count_rendered'
  | 'count_initial_rendered'
  | 'count_unique_confirmed_opened'
  | 'count_clicked'
  | 'count_unique_clicked'
  | 'count_spam_complaint'
  | 'count_unsubscribe';

/** A row of the API: counts by their key. A missing key counts as nothing asked, not as zero. */
export type Counts = Readonly<Partial<Record<CountKey, number>>>;

export type RateKey =
  | 'accepted_rate'
  | 'bounce_rate'
  | 'open_rate'
  | 'click_through_rate'
  | 'spam_complaint_rate'
  | 'unsubscribe_rate';

export type MetricKey = CountKey | RateKey;

interface Base {
  readonly key: MetricKey;
  readonly label: string;
  readonly definition: string;
  /** In words, for the reader. */
  readonly formula: string;
  readonly better: 'up' | 'down' | 'none';
}

export interface CountMetric extends Base {
  readonly key: CountKey;
  readonly unit: 'count';
  /** `distinct` counts are unique within their bucket only: they do not add up over time or groups. */
  readonly kind: 'sum' | 'distinct';
  /** Public names of the events that it counts, for the link to them. */
  readonly events: readonly string[];
}

export interface RateMetric extends Base {
  readonly key: RateKey;
  readonly unit: 'percent';
  readonly kind: 'ratio';
  readonly numerator: CountKey;
  readonly denominator: CountKey;
  /** Under this many in the denominator a rate is marked as drawn from few. */
  readonly minVolume: number;
}

export type Metric = CountMetric | RateMetric;

const opensAndClicks = ['open', 'initial_open', 'click', 'amp_open', 'amp_initial_open', 'amp_click'];

const all: readonly Metric[] = [
  {
    key: 'count_injected',
    label: 'Injected',
    definition: 'Recipients that the MTA took over and queued for delivery.',
    formula: 'injection events',
    better: 'none',
    unit: 'count',
    kind: 'sum',
    events: ['injection'],
  },
  {
    key: 'count_sent',
    label: 'Sent',
    definition: 'Mail that got a final answer from a delivery attempt: taken, or refused in the session.',
    formula: 'delivered + in-band bounces',
    better: 'none',
    unit: 'count',
    kind: 'sum',
    events: ['delivery', 'bounce'],
  },
  {
    key: 'count_delivered',
    label: 'Delivered',
    definition: 'Mail that a remote server took responsibility for.',
    formula: 'delivery events',
    better: 'up',
    unit: 'count',
    kind: 'sum',
    events: ['delivery'],
  },
  {
    key: 'count_accepted',
    label: 'Accepted',
    definition: 'Delivered mail that did not come back afterwards.',
    formula: 'delivered − out-of-band bounces',
    better: 'up',
    unit: 'count',
    kind: 'sum',
    events: ['delivery', 'out_of_band'],
  },
  {
    key: 'count_bounce',
    label: 'Bounces',
    definition:
      'Mail refused for good, in the session or later. Failures by the operator’s own rules are left out.',
    formula: 'in-band bounces + out-of-band bounces',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['bounce', 'out_of_band'],
  },
  {
    key: 'count_inband_bounce',
    label: 'In-band bounces',
    definition: 'Mail refused during the SMTP session.',
    formula: 'bounce events outside the admin classes',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['bounce'],
  },
  {
    key: 'count_outofband_bounce',
    label: 'Out-of-band bounces',
    definition: 'Mail that came back as a report after it had been taken.',
    formula: 'out-of-band events outside the admin classes',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['out_of_band'],
  },
  {
    key: 'count_delayed',
    label: 'Delays',
    definition: 'Temporary failures. One message can be delayed many times, and each time counts.',
    formula: 'delay events',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['delay'],
  },
  {
    key: 'count_rendered',
    label: 'Opens',
    definition:
      'Fetches of the tracking image at the foot of the message, each one counted, machines included.',
    formula: 'open events + AMP open events',
    better: 'none',
    unit: 'count',
    kind: 'sum',
    events: ['open', 'amp_open'],
  },
  {
    key: 'count_initial_rendered',
    label: 'Initial opens',
    definition: 'Fetches of the tracking image at the top of the message.',
    formula: 'initial open events + AMP initial open events',
    better: 'none',
    unit: 'count',
    kind: 'sum',
    events: ['initial_open', 'amp_initial_open'],
  },
  {
    key: 'count_unique_confirmed_opened',
    label: 'Unique confirmed opens',
    definition: 'Messages that were opened or had a link followed, each counted once per bucket of time.',
    formula: 'distinct messages among opens, initial opens and clicks',
    better: 'up',
    unit: 'count',
    kind: 'distinct',
    events: opensAndClicks,
  },
  {
    key: 'count_clicked',
    label: 'Clicks',
    definition: 'Tracked links followed, every time counted.',
    formula: 'click events + AMP click events',
    better: 'up',
    unit: 'count',
    kind: 'sum',
    events: ['click', 'amp_click'],
  },
  {
    key: 'count_unique_clicked',
    label: 'Unique clicks',
    definition: 'Messages with at least one tracked link followed, each counted once per bucket of time.',
    formula: 'distinct messages among clicks',
    better: 'up',
    unit: 'count',
    kind: 'distinct',
    events: ['click', 'amp_click'],
  },
  {
    key: 'count_spam_complaint',
    label: 'Spam complaints',
    definition: 'Reports received through feedback loops.',
    formula: 'spam complaint events',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['spam_complaint'],
  },
  {
    key: 'count_unsubscribe',
    label: 'Unsubscribes',
    definition: 'Requests to leave, made through the header or a marked link.',
    formula: 'list unsubscribe events + link unsubscribe events',
    better: 'down',
    unit: 'count',
    kind: 'sum',
    events: ['list_unsubscribe', 'link_unsubscribe'],
  },
  rate('accepted_rate', 'Accepted rate', 'up', {
    definition: 'Share of sent mail that was accepted and stayed accepted.',
    formula: 'accepted ÷ sent',
  }),
  rate('bounce_rate', 'Bounce rate', 'down', {
    definition: 'Share of sent mail that bounced.',
    formula: 'bounces ÷ sent',
  }),
  rate('open_rate', 'Open rate', 'up', {
    definition: 'Share of accepted mail opened or clicked at least once, machines included.',
    formula: 'unique confirmed opens ÷ accepted',
  }),
  rate('click_through_rate', 'Click-through rate', 'up', {
    definition: 'Share of accepted mail with at least one link followed.',
    formula: 'unique clicks ÷ accepted',
  }),
  rate('spam_complaint_rate', 'Complaint rate', 'down', {
    definition:
      'Share of accepted mail that drew a complaint. Providers count on mail in the inbox, so their figure is higher.',
    formula: 'spam complaints ÷ accepted',
  }),
  rate('unsubscribe_rate', 'Unsubscribe rate', 'down', {
    definition: 'Share of accepted mail that led to an unsubscribe.',
    formula: 'unsubscribes ÷ accepted',
  }),
];

function rate(
  key: RateKey,
  label: string,
  better: 'up' | 'down',
  text: { definition: string; formula: string },
): RateMetric {
  return {
    key,
    label,
    unit: 'percent',
    kind: 'ratio',
    numerator: formulas[key].above,
    denominator: formulas[key].below,
    better,
    minVolume: 100,
    ...text,
  };
}

const byKey: ReadonlyMap<MetricKey, Metric> = new Map(all.map((metric) => [metric.key, metric]));

export function metric(key: MetricKey): Metric {
  return byKey.get(key)!;
}

/** Value of a metric over a row of counts. Null where nothing was counted to divide by, or the count was not asked. */
export function metricValue(m: Metric, row: Counts): number | null {
  if (m.unit === 'count') return row[m.key] ?? null;
  const above = row[m.numerator];
  const below = row[m.denominator];
  return above === undefined || below === undefined ? null : divided(formulas[m.key], above, below);
}

/** The counts to ask for, so that each of `keys` can be computed. */
export function needed(keys: readonly MetricKey[]): CountKey[] {
  const found = new Set<CountKey>();
  for (const key of keys) {
    const m = metric(key);
    if (m.unit === 'count') found.add(m.key);
    else found.add(m.numerator).add(m.denominator);
  }
  return [...found];
}

/** Counts added up. Rates of the sum are rates over the range; distinct counts stay unique per bucket only. */
export function addUp(rows: readonly Counts[]): Counts {
  const sum: Partial<Record<CountKey, number>> = {};
  for (const row of rows) {
    for (const [key, value] of Object.entries(row) as [CountKey, number][])
      sum[key] = (sum[key] ?? 0) + value;
  }
  return sum;
}

/** Whether a rate rests on so few that it says little. */
export function isFew(m: Metric, row: Counts): boolean {
  return m.unit === 'percent' && (row[m.denominator] ?? 0) < m.minVolume;
}

/** 95 % interval (Wilson) of the rate n of N, in per cent. */
export function interval(n: number, of: number): { low: number; high: number } {
  if (of <= 0) return { low: 0, high: 100 };
  const z = 1.96;
  const p = Math.min(1, Math.max(0, n / of));
  const scale = 1 + (z * z) / of;
  const centre = (p + (z * z) / (2 * of)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / of + (z * z) / (4 * of * of));
  return { low: 100 * Math.max(0, centre - half), high: 100 * Math.min(1, centre + half) };
}

export interface Change {
  /** In points for rates, in per cent of the earlier value for counts. */
  readonly amount: number;
  readonly unit: 'points' | 'percent';
  readonly verdict: 'better' | 'worse' | 'same' | 'neutral';
}

/**
 * Whether a difference is no larger than chance makes (95 %): two shares by the pooled test of proportions, two
 * counts as Poisson. Such a difference is shown, but called neither better nor worse.
 */
function isChance(m: Metric, now: Counts, before: Counts): boolean {
  if (m.unit === 'count') {
    const a = now[m.key] ?? 0;
    const b = before[m.key] ?? 0;
    return Math.abs(a - b) < 1.96 * Math.sqrt(a + b);
  }
  const [n1, d1] = [now[m.numerator] ?? 0, now[m.denominator] ?? 0];
  const [n0, d0] = [before[m.numerator] ?? 0, before[m.denominator] ?? 0];
  const pooled = Math.min(1, Math.max(0, (n1 + n0) / (d1 + d0)));
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / d1 + 1 / d0));
  return Math.abs(n1 / d1 - n0 / d0) < 1.96 * deviation;
}

/** How a metric moved between two spans of equal length. Null where either has no value, or too few to tell. */
export function changeOf(m: Metric, now: Counts, before: Counts): Change | null {
  const value = metricValue(m, now);
  const earlier = metricValue(m, before);
  if (value === null || earlier === null || isFew(m, now) || isFew(m, before)) return null;
  if (m.unit === 'count' && earlier === 0) return null;
  const amount = m.unit === 'percent' ? value - earlier : (100 * (value - earlier)) / earlier;
  const unit = m.unit === 'percent' ? 'points' : 'percent';
  const least = m.unit === 'percent' ? 0.005 : 0.05;
  if (Math.abs(amount) < least) return { amount: 0, unit, verdict: 'same' };
  if (m.better === 'none' || isChance(m, now, before)) return { amount, unit, verdict: 'neutral' };
  return { amount, unit, verdict: amount > 0 === (m.better === 'up') ? 'better' : 'worse' };
}
