import * as format from '../format.ts';
import { count, percent, short } from '../format.ts';
import {
  type Change,
  type Counts,
  changeOf,
  interval,
  isFew,
  type Metric,
  metric,
  metricValue,
} from '../metrics.ts';
import { words } from '../words.ts';
import { Define } from './define.tsx';
import { Strip } from './strip.tsx';

/** One figure: its value, how it moved, its denominator, and a strip of the range. */
export function Tile({
  of,
  whole,
  done,
  before,
  buckets,
  earlier,
  finished,
  href,
  align,
}: {
  of: Metric;
  /** The whole range. */
  whole: Counts;
  /** Its finished buckets, and as many before: what can be compared. */
  done: Counts;
  before: Counts | null;
  buckets: readonly (Counts | null)[];
  earlier: readonly (Counts | null)[];
  finished: number;
  href: string;
  align?: 'start' | 'end';
}) {
  const value = metricValue(of, whole);
  const few = isFew(of, whole) && value !== null;
  const change = before ? changeOf(of, done, before) : null;
  const series = (rows: readonly (Counts | null)[]) => rows.map((row) => (row ? metricValue(of, row) : null));
  return (
    <section class="tile" aria-label={of.label} data-metric={of.key}>
      <h2>
        {of.label}
        <Define of={of} align={align ?? 'start'} />
      </h2>
      <p class={`value${few ? ' few' : ''}`}>
        <a href={href} title={of.unit === 'count' ? count(value) : undefined}>
          {of.unit === 'count' ? short(value) : percent(value)}
        </a>
      </p>
      <p class="foot">
        {change && (
          <>
            <ChangeText change={change} />
            <br />
          </>
        )}
        <Below of={of} whole={whole} few={few} />
      </p>
      <Strip values={series(buckets)} ghost={series(earlier)} finished={finished} />
    </section>
  );
}

function Below({ of, whole, few }: { of: Metric; whole: Counts; few: boolean }) {
  if (of.unit === 'count') {
    const share = of.key === 'count_injected' ? null : shareText(of.key, whole);
    return <span>{share ?? '\u00a0'}</span>;
  }
  const n = whole[of.numerator] ?? 0;
  const total = whole[of.denominator] ?? 0;
  const range = few ? interval(n, total) : null;
  return (
    <span title={range ? `95 % interval: ${percent(range.low)} to ${percent(range.high)}` : undefined}>
      {`${short(n)} of ${short(total)} ${metric(of.denominator).label.toLowerCase()}`}
      {few && ` · ${words.chart.few}`}
    </span>
  );
}

/** What stands under a count: its share of what it came from. */
function shareText(key: string, whole: Counts): string | null {
  const of = (n: number | undefined, d: number | undefined, what: string) =>
    n !== undefined && d ? `${percent((100 * n) / d)} of ${what}` : null;
  if (key === 'count_delivered') return of(whole.count_delivered, whole.count_injected, 'injected');
  if (key === 'count_delayed') return of(whole.count_delayed, whole.count_injected, 'injected');
  if (key === 'count_rendered') return openText(whole);
  if (key === 'count_clicked') return clickText(whole);
  return null;
}

function openText(whole: Counts): string | null {
  const rate = metricValue(metric('open_rate'), whole);
  return rate === null ? null : `open rate ${percent(rate)}`;
}

function clickText(whole: Counts): string | null {
  const rate = metricValue(metric('click_through_rate'), whole);
  return rate === null ? null : `click-through ${percent(rate)}`;
}

export function ChangeText({ change }: { change: Change }) {
  const amount = change.unit === 'points' ? format.points(change.amount) : format.change(change.amount);
  if (change.verdict === 'same') return <span>no change</span>;
  if (change.verdict === 'neutral') return <span>{amount}</span>;
  return (
    <span class={change.verdict === 'better' ? 'good' : 'bad'}>
      {amount} · {change.verdict}
    </span>
  );
}
