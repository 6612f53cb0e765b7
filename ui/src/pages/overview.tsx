import type { Bucket } from '../api.ts';
import { metricsQuery } from '../api.ts';
import { Chart } from '../components/chart.tsx';
import { DroppedNotice, Notice } from '../components/notices.tsx';
import { ScopeBar } from '../components/scope-bar.tsx';
import { Empty, Loaded, Skeleton } from '../components/states.tsx';
import { Tile } from '../components/tile.tsx';
import { useLive } from '../live.ts';
import { addUp, type Counts, type MetricKey, metric, needed } from '../metrics.ts';
import { type Buckets, cutRange, DAY, nextBucket, rangeName, writeMoment } from '../range.ts';
import { useResource } from '../resource.ts';
import { now } from '../router.ts';
import { type Part, sentences } from '../sentences.ts';
import { unfinishedFrom, withGaps } from '../series.ts';
import { api } from '../session.ts';
import { useView, type ViewState } from '../use-view.ts';
import { eventsHref, overviewSpec, typeFilters } from '../views.ts';
import { words } from '../words.ts';
import { Campaigns } from './campaigns.tsx';

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
const lines: readonly MetricKey[] = [
  'count_injected',
  'count_delivered',
  'count_bounce',
  'count_rendered',
  'count_clicked',
];
const asked = needed([...tiles, ...lines, 'open_rate', 'click_through_rate']);

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
  const key = JSON.stringify([metricsQuery(asked, buckets), before && metricsQuery(asked, before)]);
  const figures = useResource<Figures>(key, async (signal) => {
    const [whole, series, earlier] = await Promise.all([
      api.peek().metrics(asked, buckets, signal),
      api.peek().timeSeries(asked, buckets, signal),
      before && before.to > before.from ? api.peek().timeSeries(asked, before, signal) : null,
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
      <Loaded from={figures} grant="metrics/view" skeleton={<OverviewSkeleton />}>
        {(value) => <Report value={value} state={state} buckets={buckets} />}
      </Loaded>
      <Campaigns state={state} buckets={buckets} />
    </>
  );
}

function Report({ value, state, buckets }: { value: Figures; state: ViewState; buckets: Buckets }) {
  const { view, change } = state;
  const { step, zone } = buckets;
  const range = rangeName(view.t, view.tz, now.value);
  const { whole, earlier } = value;
  const series = value.series.filter((bucket) => bucket.start < buckets.to);
  const starts = series.map((bucket) => bucket.start);
  const finished = unfinishedFrom(starts, step, zone, now.value);
  const done = addUp(series.slice(0, finished).map((bucket) => bucket.counts));
  const then =
    earlier && finished > 0 ? addUp(earlier.slice(0, finished).map((bucket) => bucket.counts)) : null;
  const versus = view.vs === 'week' ? 'a week earlier' : 'the time before';

  if (!asked.some((key) => (whole[key] ?? 0) > 0)) {
    return (
      <section class="panel">
        <Empty title={words.overview.empty(range)}>
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
        {sentences(whole, done, then, range, versus).map((sentence) => (
          <div key={sentence.lead}>
            <dt>{sentence.lead}</dt>
            <dd>
              {sentence.parts.map((part, i) => (
                <Clause key={i} part={part} t={view.t} tz={view.tz} />
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
              earlier={(earlier ?? []).map((bucket) => bucket.counts)}
              finished={finished}
              href={eventsHref({ t: view.t, tz: view.tz, f: typeFilters(types) })}
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
        lines={lines.map((key) => ({
          key,
          label: metric(key).label,
          values: withGaps(
            starts,
            series.map((bucket) => bucket.counts[key as keyof Counts] ?? null),
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
          return eventsHref({ t: bucketRange(index, index), tz: view.tz, f: typeFilters(types) });
        }}
      />
    </>
  );
}

function Clause({ part, t, tz }: { part: Part; t: string; tz: string }) {
  if (typeof part === 'string') return <>{part}</>;
  return <a href={eventsHref({ t, tz, f: typeFilters(part.types) })}>{part.figure}</a>;
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
