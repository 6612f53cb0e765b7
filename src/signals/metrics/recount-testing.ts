/** Metrics counted the slow way: over the facts of a history, one pass per metric, time minute by minute. */
import type { Fact } from './facts-testing.ts';

export const categories: readonly (readonly [name: string, id: number, codes: readonly number[]])[] = [
  ['Hard', 1, [10, 30, 90]],
  ['Soft', 2, [20, 21, 22, 23, 24, 40, 60, 70, 100]],
  ['Block', 3, [50, 51, 52, 53, 54]],
  ['Admin', 4, [25, 80]],
  ['Undetermined', 0, [1]],
];

/** Category of a bounce class; codes that do not exist are undetermined. */
export function categoryOf(code: number | null): string {
  return categories.find(([, , codes]) => codes.includes(code ?? 1))?.[0] ?? 'Undetermined';
}

type Which = (fact: Fact) => boolean;

const is =
  (...types: string[]): Which =>
  (f) =>
    types.includes(f.type);
const failed = is('bounce', 'out_of_band');
const ofCategory =
  (name: string): Which =>
  (f) =>
    failed(f) && categoryOf(f.bounceClass) === name;
const delivered = is('delivery');
const inband: Which = (f) => f.type === 'bounce' && categoryOf(f.bounceClass) !== 'Admin';
const outOfBand: Which = (f) => f.type === 'out_of_band' && categoryOf(f.bounceClass) !== 'Admin';
const opened = is('open', 'amp_open');
const initial = is('initial_open', 'amp_initial_open');
const clicked = is('click', 'amp_click');
const human =
  (which: Which): Which =>
  (f) =>
    which(f) && !f.prefetched;
const confirmed: Which = (f) => opened(f) || initial(f) || clicked(f);
const confirmedByPeople = human(confirmed);
const first: Which = (f) => delivered(f) && f.retries === 0;
const later: Which = (f) => delivered(f) && f.retries > 0;

type Count = (facts: readonly Fact[], unitOf: (fact: Fact) => string) => number;

const number =
  (which: Which): Count =>
  (facts) =>
    facts.filter(which).length;
const sum =
  (which: Which, amount: (fact: Fact) => number): Count =>
  (facts) =>
    facts.filter(which).reduce((total, f) => total + amount(f), 0);
const plus =
  (...counts: Count[]): Count =>
  (facts, unitOf) =>
    counts.reduce((total, count) => total + count(facts, unitOf), 0);
const minus =
  (a: Count, b: Count): Count =>
  (facts, unitOf) =>
    a(facts, unitOf) - b(facts, unitOf);
/** A message counts once per unit of time. Ids of a sender's own choice are told apart by subaccount. */
const distinct =
  (which: Which, more: (fact: Fact) => string = () => ''): Count =>
  (facts, unitOf) =>
    new Set(facts.filter(which).map((f) => JSON.stringify([unitOf(f), f.subaccount, f.message, more(f)])))
      .size;

const sent = plus(number(delivered), number(inband));
const accepted = minus(number(delivered), number(outOfBand));
const clickedByPeople = distinct(human(clicked));
const deliveredByTls = number((f) => delivered(f) && f.tls);
const rejections = ['policy_rejection', 'generation_failure', 'generation_rejection'];

/** SparkPost's metrics, in the words of its documentation. */
export const counts: Readonly<Record<string, Count>> = {
  count_injected: number(is('injection')),
  count_policy_rejection: number(is('policy_rejection')),
  count_generation_failed: number(is('generation_failure')),
  count_generation_rejection: number(is('generation_rejection')),
  count_rejected: number(is(...rejections)),
  count_targeted: number(is('injection', ...rejections)),
  count_delivered: number(delivered),
  count_delivered_first: number(first),
  count_delivered_subsequent: number(later),
  total_delivery_time_first: sum(first, (f) => f.queueTime),
  total_delivery_time_subsequent: sum(later, (f) => f.queueTime),
  total_msg_volume: sum(delivered, (f) => f.size),
  count_inband_bounce: number(inband),
  count_outofband_bounce: number(outOfBand),
  count_bounce: plus(number(inband), number(outOfBand)),
  count_hard_bounce: number(ofCategory('Hard')),
  count_soft_bounce: number(ofCategory('Soft')),
  count_block_bounce: number(ofCategory('Block')),
  count_undetermined_bounce: number(ofCategory('Undetermined')),
  count_admin_bounce: number(ofCategory('Admin')),
  count_sent: sent,
  count_accepted: accepted,
  count_delayed: number(is('delay')),
  count_delayed_first: number((f) => f.type === 'delay' && f.retries === 0),
  count_spam_complaint: number(is('spam_complaint')),
  count_unsubscribe: number(is('list_unsubscribe', 'link_unsubscribe')),
  count_rendered: number(opened),
  count_initial_rendered: number(initial),
  count_clicked: number(clicked),
  count_nonprefetched_rendered: number(human(opened)),
  count_nonprefetched_initial_rendered: number(human(initial)),
  count_attempts: plus(number(delivered), number(inband), number(is('delay'))),
  count_expired: number((f) => f.type === 'bounce' && f.bounceClass === 24),
  count_machine_rendered: number((f) => opened(f) && f.prefetched),
  count_raw_clicked: distinct(
    (f) => clicked(f) && f.link !== '',
    (f) => f.link,
  ),
  count_unique_rendered: distinct(opened),
  count_unique_initial_rendered: distinct(initial),
  count_unique_confirmed_opened: distinct(confirmed),
  count_unique_clicked: distinct(clicked),
  count_nonprefetched_unique_rendered: distinct(human(opened)),
  count_nonprefetched_unique_initial_rendered: distinct(human(initial)),
  count_nonprefetched_unique_confirmed_opened: distinct(confirmedByPeople),
  count_nonprefetched_unique_clicked: clickedByPeople,
  count_delivered_tls: deliveredByTls,
  count_list_unsubscribe: number(is('list_unsubscribe')),
  count_link_unsubscribe: number(is('link_unsubscribe')),
  signals_injections: number(is('injection')),
  count_injected_due: number((f) => f.end !== undefined),
  count_unresolved: number((f) => f.end === 'unknown'),
  count_resolved: number((f) => f.end === 'known'),
};

/** Rates and means, in the words of the catalogue: what is divided, by what; percent unless it says so. */
const quotients: Readonly<
  Record<string, readonly [above: Count, below: Count, unit?: (q: number) => number]>
> = {
  rejected_rate: [number(is(...rejections)), number(is('injection', ...rejections))],
  admin_bounce_rate: [number(ofCategory('Admin')), number(is('injection', ...rejections))],
  accepted_rate: [accepted, sent],
  bounce_rate: [plus(number(inband), number(outOfBand)), sent],
  hard_bounce_rate: [number(ofCategory('Hard')), sent],
  soft_bounce_rate: [number(ofCategory('Soft')), sent],
  block_bounce_rate: [number(ofCategory('Block')), sent],
  undetermined_bounce_rate: [number(ofCategory('Undetermined')), sent],
  delayed_rate: [number((f) => f.type === 'delay' && f.retries === 0), accepted],
  deferral_rate: [number(is('delay')), plus(sent, number(is('delay')))],
  first_attempt_rate: [number(first), number(delivered)],
  expired_rate: [number((f) => f.type === 'bounce' && f.bounceClass === 24), sent],
  avg_delivery_time_first: [sum(first, (f) => f.queueTime), number(first), (q) => q / 1000],
  avg_delivery_time_subsequent: [sum(later, (f) => f.queueTime), number(later), (q) => q / 1000],
  avg_msg_size: [sum(delivered, (f) => f.size), number(delivered), (q) => q],
  open_rate: [distinct(confirmed), accepted],
  open_rate_human: [distinct(confirmedByPeople), accepted],
  machine_open_share: [number((f) => opened(f) && f.prefetched), number(opened)],
  click_through_rate: [distinct(clicked), accepted],
  click_through_rate_human: [clickedByPeople, accepted],
  click_to_open_rate: [clickedByPeople, distinct(confirmedByPeople)],
  tls_delivery_rate: [deliveredByTls, number(delivered)],
  event_completeness: [number((f) => f.end === 'known'), number((f) => f.end !== undefined)],
  unsubscribe_rate: [number(is('list_unsubscribe', 'link_unsubscribe')), accepted],
  spam_complaint_rate: [number(is('spam_complaint')), accepted],
};

/** The time, in seconds, that so many of a hundred deliveries took at most; `null` without one. */
const deliveryTimes: Readonly<Record<string, number>> = {
  p50_delivery_time: 50,
  p95_delivery_time: 95,
  p99_delivery_time: 99,
};
function deliveryTime(percent: number, facts: readonly Fact[]): number | null {
  const times = facts
    .filter(delivered)
    .map((f) => f.queueTime)
    .sort((a, b) => a - b);
  const time = times[Math.ceil((percent * times.length) / 100) - 1];
  return time === undefined ? null : time / 1000;
}

/** How far, relatively, an answer may be off; all others are exact. */
export function tolerance(metric: string): number {
  return metric in deliveryTimes ? 1 / 128 : 1e-12;
}

/** Nobody measures these here. */
const withoutData = /^count_(?:inbox|spam)_(?:panel|seed)|^count_moved_to_/;

/**
 * The metric over these facts, which are of so many seconds; `unitOf` names the unit of time in which a message counts
 * once. `null` where there is nothing to divide by.
 */
export function recount(
  metric: string,
  facts: readonly Fact[],
  unitOf: (fact: Fact) => string,
  seconds: number,
): number | null {
  if (withoutData.test(metric)) return 0;
  if (metric === 'delivery_rate_per_second') return facts.filter(delivered).length / seconds;
  const percent = deliveryTimes[metric];
  if (percent !== undefined) return deliveryTime(percent, facts);
  const exact = metric.replace(/_approx$/, '');
  const quotient = quotients[exact];
  if (quotient) {
    const [above, below, unit = (q: number) => 100 * q] = quotient;
    const divisor = below(facts, unitOf);
    return divisor <= 0 ? null : unit(above(facts, unitOf) / divisor);
  }
  const count = counts[exact];
  if (!count) throw new Error(`the recount knows no ${metric}`);
  return count(facts, unitOf);
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

interface Wall {
  /** `2026-03-29T03:00`. */
  readonly wall: string;
  /** `+02:00`. */
  readonly offset: string;
}

const walls = new Map<string, Wall>();
const formats = new Map<string, Intl.DateTimeFormat>();

/** What the clocks on the walls of a zone show, by its own formatter. */
function wallAt(zone: string, minute: number): Wall {
  const key = `${zone} ${minute}`;
  const known = walls.get(key);
  if (known) return known;
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat('sv-SE', {
      timeZone: zone,
      dateStyle: 'short',
      timeStyle: 'medium',
      hourCycle: 'h23',
    });
  formats.set(zone, format);
  const wall = format.format(minute).replace(' ', 'T').slice(0, 16);
  const ahead = (Date.parse(`${wall}Z`) - minute) / MINUTE;
  const two = (n: number) => String(n).padStart(2, '0');
  const size = Math.abs(ahead);
  const offset = `${ahead < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  const found = { wall, offset };
  walls.set(key, found);
  return found;
}

/** The beginning of the bucket on the wall: `2026-03-29T03:07` at 5min is `2026-03-29T03:05`. */
function floor(wall: string, precision: string): string {
  const at = new Date(`${wall}:00Z`);
  const sizes: Record<string, number> = {
    '1min': 1,
    '5min': 5,
    '15min': 15,
    hour: 60,
    '12hr': 720,
    day: 1440,
  };
  const size = sizes[precision];
  if (size)
    return new Date(Math.floor(at.getTime() / (size * MINUTE)) * size * MINUTE).toISOString().slice(0, 16);
  const days = precision === 'week' ? (at.getUTCDay() + 6) % 7 : at.getUTCDate() - 1;
  at.setUTCDate(at.getUTCDate() - days);
  return `${at.toISOString().slice(0, 10)}T00:00`;
}

export interface Bucket {
  /** As in answers: `2026-03-29T03:00:00+02:00`. */
  readonly ts: string;
  /** Minutes since the epoch that are in it. */
  readonly minutes: Set<number>;
}

interface WallBucket extends Bucket {
  readonly firstWall: string;
  lastWall: string;
}

const calendars = new Map<string, WallBucket[]>();

/** Every bucket of a zone around a time, minute by minute: a new one where the wall's bucket or the offset changes. */
function calendar(zone: string, precision: string, around: number) {
  const key = `${zone} ${precision} ${around}`;
  const known = calendars.get(key);
  if (known) return known;
  const isFine = ['1min', '5min', '15min', 'hour'].includes(precision);
  const effective = isFine ? zone : 'UTC';
  const buckets: WallBucket[] = [];
  let label = '';
  const [back, ahead] = isFine ? [12, 7] : [70, 40];
  for (let minute = around - back * DAY; minute < around + ahead * DAY; minute += MINUTE) {
    const { wall, offset } =
      effective === 'UTC'
        ? { wall: new Date(minute).toISOString().slice(0, 16), offset: '+00:00' }
        : wallAt(effective, minute);
    const here = floor(wall, precision) + (isFine ? offset : '');
    if (here !== label) {
      buckets.push({ ts: `${wall}:00${offset}`, minutes: new Set(), firstWall: wall, lastWall: wall });
    }
    label = here;
    buckets.at(-1)!.minutes.add(minute / MINUTE);
    const bucket = buckets.at(-1)!;
    if (wall > bucket.lastWall) bucket.lastWall = wall;
  }
  calendars.set(key, buckets);
  return buckets;
}

/**
 * All buckets of a window. Its times are what a wall clock in `zone` shows for the first time, but in UTC where buckets
 * are longer than an hour. The bucket that `to` begins is out, unless there is no other.
 */
export function bucketsBetween(
  from: string,
  to: string,
  precision: string,
  zone: string,
  around: number,
): Bucket[] {
  const all = calendar(zone, precision, around);
  const at = (wall: string) => all.findIndex((b) => b.lastWall >= wall);
  const first = at(from);
  const last = at(to);
  const isBorder = all[last]!.firstWall >= to;
  return all.slice(first, isBorder && last > first ? last : last + 1);
}

/** The unit of time in which a message counts once, for `recount`. */
export function unitOf(precision: string, buckets: readonly Bucket[]): (fact: Fact) => string {
  if (precision.endsWith('min')) return (f) => String(Math.floor(f.at / MINUTE));
  if (precision === '12hr') return (f) => new Date(f.at).toISOString().slice(0, 13);
  if (precision !== 'hour') return (f) => new Date(f.at).toISOString().slice(0, 10);
  return (f) => buckets.find((b) => b.minutes.has(Math.floor(f.at / MINUTE)))?.ts ?? '';
}

/** The facts in a bucket. */
export function inside(bucket: Bucket, facts: readonly Fact[]): Fact[] {
  return facts.filter((f) => bucket.minutes.has(Math.floor(f.at / MINUTE)));
}
