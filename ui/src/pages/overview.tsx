import type { View } from '../address.ts';
import type { Bucket, Scope } from '../api.ts';
import { metricsQuery } from '../api.ts';
import { Chart } from '../components/chart.tsx';
import { Chips } from '../components/chips.tsx';
import { DroppedNotice, Notice } from '../components/notices.tsx';
import { ScopeBar } from '../components/scope-bar.tsx';
import { Empty, Loaded, Skeleton } from '../components/states.tsx';
import { Tile } from '../components/tile.tsx';
import { useLive } from '../live.ts';
import { addUp, type CountKey, type Counts, type MetricKey, metric, needed } from '../metrics.ts';
import { type Buckets, cutRange, DAY, during, nextBucket, rangeName, writeMoment } from '../range.ts';
import { useResource } from '../resource.ts';
import { now } from '../router.ts';
import { type Part, sentences } from '../sentences.ts';
import { unfinishedFrom, withGaps } from '../series.ts';
import { api } from '../session.ts';
import { useView, type ViewState } from '../use-view.ts';
import { eventsHref, overviewSpec, typeFilters } from '../views.ts';
import { words } from '../words.ts';
import { Campaigns, campaignCounts } from './campaigns.tsx';

const tiles: readonly MetricKey[] = [
  'count_injected',
  'accepted_rate',
  'bounce_rate',
  'count_delayed',
  'count_delivered',
  'count_rendered',
  'count_clicked',
  'spam_complaint_rate',
];
/** Lines of the chart, each with its colour and dash. */
const lines: readonly (readonly [CountKey, number])[] = [
  ['count_injected', 1],
  ['count_delivered', 3],
  ['count_bounce', 6],
  ['count_rendered', 4],
  ['count_clicked', 5],
];
const asked = [
  ...new Set([
    ...needed([...tiles, ...lines.map(([key]) => key), 'open_rate', 'click_through_rate']),
    ...campaignCounts,
  ]),
];

/** Everything that the tiles and the chart need of one range. */
interface Figures {
  readonly whole: Counts;
  readonly series: readonly Bucket[];
  readonly earlier: readonly Bucket[] | null;
}

/** The same stretch of time earlier, as many finished buckets as the range has; null when nothing is compared. */
function comparison(buckets: Buckets, vs: string): Buckets | null {
  if (vs === 'none' || buckets.step === 'month') return null;
  const length = buckets.to - buckets.from;
  const step = nextBucket(0, buckets.step, 'UTC') - 0;
  // Whole buckets back, so that each meets one of the same size.
  const back = vs === 'week' ? Math.ceil(length / (7 * DAY)) * 7 * DAY : Math.ceil(length / step) * step;
  const from = buckets.from - back;
  return { ...buckets, from, to: from + Math.floor(length / step) * step };
}

/** One look: does mail flow, is it accepted, is it wanted. */
export function Overview() {
  const state = useView(overviewSpec);
  const { view } = state;
  useLive(cutRange(view.t, view.step, view.tz, now.value).endsNow ? view.live : 'off');

  const buckets = cutRange(view.t, view.step, view.tz, now.value);
  const before = comparison(buckets, view.vs);
  const scope: Scope = { buckets, filters: view.f };
  const then: Scope | null = before && before.to > before.from ? { buckets: before, filters: view.f } : null;
  const key = JSON.stringify([metricsQuery(asked, scope), then && metricsQuery(asked, then)]);
  const figures = useResource<Figures>(key, async (signal) => {
    const [whole, series, earlier] = await Promise.all([
      api.peek().metrics(asked, scope, signal),
      api.peek().timeSeries(asked, scope, signal),
      then ? api.peek().timeSeries(asked, then, signal) : null,
    ]);
    if (!whole.ok) return whole;
    if (!series.ok) return series;
    // Without the earlier time the page still says all but the change.
    const value = { whole: whole.value, series: series.value, earlier: earlier?.ok ? earlier.value : null };
    return { ok: true, value };
  });

  return (
    <>
      <ScopeBar state={state} spec={overviewSpec} />
      <DroppedNotice dropped={state.dropped} />
      {view.f.length > 0 && (
        <div class="filters">
          <Chips filters={view.f} onChange={(f) => state.change({ f, page: 1 })} />
        </div>
      )}
      <Loaded from={figures} grant="metrics/view" skeleton={<OverviewSkeleton />}>
        {(value) => <Report value={value} state={state} buckets={buckets} />}
      </Loaded>
      <Campaigns state={state} scope={scope} whole={figures.stale ? undefined : figures.value?.whole} />
    </>
  );
}

/** Sum of the earlier time over as many buckets as are finished now; null when nothing was counted then. */
function comparable(earlier: readonly Bucket[] | null, finished: number): Counts | null {
  if (!earlier || finished === 0) return null;
  const sum = addUp(earlier.slice(0, finished).map((bucket) => bucket.counts));
  return Object.values(sum).some((value) => value > 0) ? sum : null;
}

function Report({ value, state, buckets }: { value: Figures; state: ViewState; buckets: Buckets }) {
  const { view, change } = state;
  const { step, zone } = buckets;
  const range = rangeName(view.t, view.tz, now.value);
  const within = during(view.t, view.tz, now.value);
  const { whole, earlier } = value;
  const series = value.series.filter((bucket) => bucket.start < buckets.to);
  const starts = series.map((bucket) => bucket.start);
  const finished = unfinishedFrom(starts, step, zone, now.value);
  const done = addUp(series.slice(0, finished).map((bucket) => bucket.counts));
  const then = comparable(earlier, finished);
  const versus = view.vs === 'week' ? 'a week earlier' : 'the time before';

  if (!asked.some((key) => (whole[key] ?? 0) > 0)) {
    return (
      <section class="panel">
        <Empty title={words.overview.empty(within)}>
          <p>{words.overview.emptyText}</p>
          <div class="actions">
            {['7d', '30d']
              .filter((t) => t !== view.t)
              .map((t) => (
                <button key={t} type="button" class="button" onClick={() => change({ t, step: 'auto' })}>
                  {rangeName(t, view.tz, now.value)}
                </button>
              ))}
          </div>
        </Empty>
      </section>
    );
  }

  const busy = series.filter((bucket) => (bucket.counts.count_injected ?? 0) > 0).length;
  const lastOnly = busy === 1 && (series.at(-1)?.counts.count_injected ?? 0) > 0 && step !== '1min';
  const gaps = series.map((bucket) => (bucket.start > now.value ? null : bucket.counts));
  const bucketRange = (first: number, last: number) =>
    `${writeMoment(starts[first]!)}..${writeMoment(nextBucket(starts[last]!, step, zone))}`;
  return (
    <>
      {lastOnly && (
        <Notice info>
          {words.overview.lastBucket}
          <button type="button" class="button small" onClick={() => change({ t: '1h', step: 'auto' })}>
            {words.overview.showHour}
          </button>
        </Notice>
      )}
      <dl class="sentences">
        {sentences(whole, done, then, within, versus).map((sentence) => (
          <div key={sentence.lead}>
            <dt>{sentence.lead}</dt>
            <dd>
              {sentence.parts.map((part, i) => (
                <Clause key={i} part={part} view={view} />
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <div class="tiles">
        {tiles.map((key, i) => {
          const of = metric(key);
          const counted = of.unit === 'count' ? of : metric(of.numerator);
          const types = counted.unit === 'count' ? counted.events : [];
          return (
            <Tile
              key={key}
              of={of}
              whole={whole}
              done={done}
              before={then}
              buckets={gaps}
              earlier={then ? (earlier ?? []).map((bucket) => bucket.counts) : []}
              finished={finished}
              href={eventsHref({ t: view.t, tz: view.tz, f: [...view.f, ...typeFilters(types)] })}
              align={i % 2 === 1 ? 'end' : 'start'}
            />
          );
        })}
      </div>
      <Chart
        id="traffic"
        title={words.chart.traffic}
        range={range}
        starts={starts}
        lines={lines.map(([key, style]) => ({
          key,
          style,
          label: metric(key).label,
          values: withGaps(
            starts,
            series.map((bucket) => bucket.counts[key] ?? null),
            now.value,
          ),
        }))}
        finished={finished}
        step={step}
        zone={zone}
        hidden={view.hide}
        log={view.y === 'log'}
        onHidden={(hide) => change({ hide }, { replace: true })}
        onLog={(log) => change({ y: log ? 'log' : 'lin' }, { replace: true })}
        onStretch={(first, last) =>
          change({ t: bucketRange(first, last), step: 'auto', page: 1 }, { state: { zoomed: true } })
        }
        eventsOf={(index, key) => {
          const of = key ? metric(key as MetricKey) : null;
          const types = of?.unit === 'count' ? of.events : [];
          return eventsHref({
            t: bucketRange(index, index),
            tz: view.tz,
            f: [...view.f, ...typeFilters(types)],
          });
        }}
      />
    </>
  );
}

function Clause({ part, view }: { part: Part; view: View }) {
  if (typeof part === 'string') return <>{part}</>;
  return (
    <a href={eventsHref({ t: view.t, tz: view.tz, f: [...view.f, ...typeFilters(part.types)] })}>
      {part.figure}
    </a>
  );
}

function OverviewSkeleton() {
  return (
    <>
      <div class="tiles">
        {tiles.map((key) => (
          <Skeleton key={key} kind="tile" />
        ))}
      </div>
      <Skeleton kind="chart" />
    </>
  );
}
