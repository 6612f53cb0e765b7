import type { Conditions } from '../search/conditions.ts';
import type { EventStore } from '../store/event-store.ts';
import { HALF_HOUR, type Span, type Spans } from '../store/spans.ts';
import { type Dimension, dimensions } from '../store/tables/dimensions.ts';
import { timeOfClass, timesType, uniques } from '../store/tables/metrics.ts';
import { sliceName } from '../store/tables/sealed.ts';
import type { Metric } from './definitions.ts';
import { hourShifts, type MetricsWindow } from './window.ts';

/**
 * How far after UTC's the hours of this window's zone begin, milliseconds, where the roll-ups have such hours; `null`
 * where they have not: in zones a quarter of an hour off, and where clocks change by half an hour or within one.
 */
function hoursOf(window: MetricsWindow): 0 | typeof HALF_HOUR | null {
  const [first, ...later] = hourShifts(window);
  const { shift } = first!;
  return later.length === 0 && (shift === 0 || shift === HALF_HOUR) ? shift : null;
}

/** The beginning of the unit that a roll-up's row is in, as an expression. */
function unitStart(window: MetricsWindow, conditions: Conditions): string {
  if (window.unit === 'minute') return 't';
  if (window.unit === 'day') return `toStartOfDay(t, 'UTC')`;
  const [first, ...later] = hourShifts(window).map(({ from, shift }) => ({
    from: timeOf(conditions, from),
    hour:
      shift === 0 ? `toStartOfHour(t, 'UTC')` : `toStartOfHour(t + ${shift / 1000}, 'UTC') - ${shift / 1000}`,
  }));
  // Where clocks change by half an hour or within one, the hour before the change and the one after it are two.
  return later.reduce(
    (before, s) => `if(t < ${s.from}, ${before}, greatest(${s.from}, ${s.hour}))`,
    first!.hour,
  );
}

/** A time as the engine takes it, whose times go from 1970 to 2106. */
function timeOf(conditions: Conditions, ms: number): string {
  const seconds = Math.min(Math.max(Math.ceil(ms / 1000), 0), 2 ** 32 - 1);
  return `toDateTime(${conditions.bind('UInt32', seconds)}, 'UTC')`;
}

/** Times within one of these spans. */
export function within(conditions: Conditions, spans: readonly Span[]): string {
  const one = ({ from, to }: Span) => `(t >= ${timeOf(conditions, from)} AND t < ${timeOf(conditions, to)})`;
  return `(${spans.map(one).join(' OR ')})`;
}

/** The sealed sums by all dimensions together. */
const allDimensions = { half_hour: null, hour: 'metrics_sealed_hour', day: 'metrics_day' } as const;

/** The sealed sums that have these dimensions, as something to select from; `null` where none have them. */
export function sealedSums(unit: 'half_hour' | 'hour' | 'day', used: ReadonlySet<string>): string | null {
  const columns = dimensions.filter((name) => name !== 'subaccount_id' && used.has(name));
  const [first = null] = columns;
  if (columns.length > 1) return allDimensions[unit];
  const slice = sliceName(first, used.has('subaccount_id'));
  return `(SELECT *${first ? `, value AS ${first}` : ''} FROM slices_${unit} WHERE dimension = '${slice}')`;
}

/**
 * Clicks on links within a window under `conditions`, as something to select from: rows like those of `engagement`, from
 * the day's own table where it is sealed. `null` where the window is empty.
 */
export function linkClicks(store: EventStore, window: Span, conditions: Conditions): string | null {
  const filters = conditions.all;
  const { minutes, hours, sealed } = store.spans(window, 'hour');
  const selects = [
    { from: 'engagement', spans: [...minutes, ...hours] },
    { from: 'link_clicks', spans: sealed },
  ].flatMap(({ from, spans }) =>
    spans.length === 0
      ? []
      : [`SELECT * FROM ${from} WHERE ${within(conditions, spans)} AND link_name != '' AND ${filters}`],
  );
  return selects.length === 0 ? null : `(${selects.join(' UNION ALL ')})`;
}

/** What the rows of an answer are by: stretches of time, of which these are the beginnings, or a dimension. */
export type By = { readonly buckets: readonly number[] } | Dimension | null;

const isUnique = (m: Metric) => m.kind === 'unique';
const NO_TIMES = `CAST(map(), '${timesType}')`;

/**
 * SELECT of the metrics over a window under `conditions`: by stretches of time (column `bucket`, seconds since the
 * epoch), by a dimension (`k`), or in one row. Counters are added up from minutes, hours and sealed days, whichever are
 * the fewest rows; messages that count once per unit are told apart where the day is not sealed.
 */
export function rollupQuery(
  store: EventStore,
  window: MetricsWindow,
  metrics: readonly Metric[],
  by: By,
  conditions: Conditions,
): string {
  const used = new Set(conditions.columns);
  const key = typeof by === 'string' ? by : null;
  const buckets = by !== null && typeof by === 'object' ? by.buckets : null;
  if (key) used.add(key);
  const shift = hoursOf(window);
  const finest = window.unit === 'minute' || shift === null ? 'minute' : window.unit;
  const isHalf = finest === 'hour' && shift === HALF_HOUR;
  /** The sealed sums of a unit, and how they and the others cover a window. */
  const covering = (unit: 'hour' | 'day') => {
    const sums = sealedSums(isHalf ? 'half_hour' : unit, used);
    const spansOf = (over: Span, finest: 'minute' | 'hour' | 'day') => {
      if (isHalf) return sums ? store.halfHourSpans(over) : store.spans(over, 'minute');
      const all = store.spans(over, finest);
      return sums ? all : { ...all, hours: [...all.hours, ...all.sealed], sealed: [] };
    };
    return { sums, spansOf };
  };
  const { sums, spansOf } = covering(window.unit === 'day' ? 'day' : 'hour');
  const spans = spansOf(window, finest);
  // A sum over the whole window does not ask in which unit its parts are.
  const sumSpans = buckets || isHalf ? spans : spansOf(window, 'hour');

  const filters = conditions.all;
  const unit = unitStart(window, conditions);
  const keys = [buckets ? `${unit} AS unit_start` : '', key ? `${key} AS k` : ''].filter((k) => k !== '');
  const names = [buckets ? 'unit_start' : '', key ? 'k' : ''].filter((n) => n !== '');
  const groupBy = (columns: readonly string[]) =>
    columns.length > 0 ? ` GROUP BY ${columns.join(', ')}` : '';
  const isTimed = metrics.some((m) => m.kind === 'quantile');

  const parts: string[] = [];
  /** A part of the sum: `of` says what it adds to a metric, `null` nothing. */
  const part = (
    n: string,
    columns: readonly string[],
    of: (metric: Metric) => string | null,
    rest: string,
    times = NO_TIMES,
  ) => {
    const values = metrics.map((m, i) => `toInt64(${of(m) ?? '0'}) AS m${i}`);
    const all = [...columns, `toInt64(${n}) AS n`, ...values, ...(isTimed ? [`${times} AS times`] : [])];
    parts.push(`SELECT ${all.join(', ')} ${rest}${groupBy(names)}`);
  };
  const where = (over: readonly Span[]) => `WHERE ${within(conditions, over)} AND ${filters}`;

  const add = (from: string, over: readonly Span[], isSealed: boolean) => {
    if (over.length === 0) return;
    const isThere = (m: Metric) => m.kind === 'additive' || (isUnique(m) && isSealed && finest !== 'minute');
    const of = (m: Metric) => (isThere(m) ? `sum(${m.expression})` : null);
    part('sum(events)', keys, of, `FROM ${from} ${where(over)}`, 'sumMap(delivery_times)');
  };
  add('metrics_minute', sumSpans.minutes, false);
  add('metrics_hour', sumSpans.hours, false);
  if (sums) add(sums, sumSpans.sealed, true);

  const counted = metrics.filter(isUnique).map((m) => uniques[m.expression]!);
  const looked = [...new Set(counted.flatMap((condition) => condition.match(/\b[a-z_]+(?= > 0)/g) ?? []))];
  /** Rows of a unit of time, one for each of what counts once in it. */
  const once = (columns: readonly string[], rest: string) => {
    const all = [buckets ? '' : `${unit} AS unit_start`, ...keys].filter((k) => k !== '');
    return `SELECT ${[...all, ...columns].join(', ')} ${rest}
         GROUP BY ${[...new Set(['unit_start', ...names])].join(', ')}, message`;
  };
  const messages = (from: string, over: readonly Span[]) => {
    if (over.length === 0 || looked.length === 0) return;
    const of = (m: Metric) =>
      isUnique(m)
        ? `countIf(${uniques[m.expression]!.replace(/\b[a-z_]+(?= > 0)/g, (name) => `sum_${name}`)})`
        : null;
    const sums = looked.map((name) => `sum(${name}) AS sum_${name}`);
    part('0', names, of, `FROM (${once(['message', ...sums], `FROM ${from} ${where(over)}`)})`);
  };
  messages('engagement', [...spans.minutes, ...spans.hours]);
  messages('strays', spans.sealed);

  if (metrics.some((m) => m.kind === 'reasons')) {
    const which = metrics.filter((m) => m.kind === 'reasons').map((m) => `(${m.expression})`);
    const of = (m: Metric) => (m.kind === 'reasons' ? `sumIf(events, ${m.expression})` : null);
    part('0', keys, of, `FROM reasons ${where([window])} AND (${which.join(' OR ')})`);
  }

  const clicks = metrics.some((m) => m.kind === 'links') ? linkClicks(store, window, conditions) : null;
  if (clicks) {
    const of = (m: Metric) => (m.kind === 'links' ? 'countIf(clicks > 0)' : null);
    const each = once(['message', 'link_name', 'sum(clicked) AS clicks'], `FROM ${clicks}`);
    part('0', names, of, `FROM (${each}, link_name)`);
  }

  const due = metrics.some((m) => m.kind === 'due') ? store.completeness.due(window) : [];
  if (due.length > 0) {
    // What is due ends at an hour, of which sums of whole days know nothing.
    const { sums, spansOf } = covering('hour');
    const all = due.map((span) => spansOf(span, finest === 'minute' && buckets ? 'minute' : 'hour'));
    const of = (m: Metric) => (m.kind === 'due' ? `sum(${m.expression})` : null);
    const addDue = (from: string, over: readonly Span[]) => {
      if (over.length > 0) part('0', keys, of, `FROM ${from} ${where(over)}`);
    };
    const injections = (from: string) => `(SELECT *, 0 AS repeated, 0 AS unresolved FROM ${from})`;
    const over = (of: keyof Spans) => all.flatMap((spans) => spans[of]);
    addDue(injections('metrics_minute'), over('minutes'));
    addDue(injections('metrics_hour'), over('hours'));
    if (sums) addDue(injections(sums), over('sealed'));
    addDue('(SELECT *, 0 AS injected FROM unresolved)', due);
  }

  const totals = metrics.map((m, i) => (m.kind === 'quantile' ? quantileOf(m.expression) : `sum(m${i})`));
  const shown = metrics.map((m, i) => `${totals[i]} AS ${m.name}`).join(', ');
  const from = `(${parts.join('\nUNION ALL\n') || nothing(names, metrics)})`;
  if (buckets) {
    // In the statement itself: a request line has no room for thousands of parameters.
    const starts = buckets.map((at) => Math.min(Math.max(Math.ceil(at / 1000), 0), 2 ** 32 - 1));
    return `SELECT roundDown(toUnixTimestamp(unit_start), CAST([${starts.join()}], 'Array(UInt32)')) AS bucket, ${shown} FROM ${from} GROUP BY bucket`;
  }
  if (key) return `SELECT k, ${shown} FROM ${from} GROUP BY k HAVING sum(n) > 0`;
  return `SELECT ${shown} FROM ${from}`;
}

/** An empty window has no parts to add up. */
function nothing(names: readonly string[], metrics: readonly Metric[]): string {
  const columns = [
    ...names.map((n) => (n === 'k' ? "'' AS k" : 'toDateTime(0) AS unit_start')),
    'toInt64(0) AS n',
    `${NO_TIMES} AS times`,
  ];
  return `SELECT ${[...columns, ...metrics.map((_, i) => `toInt64(0) AS m${i}`)].join(', ')} WHERE 0`;
}

/**
 * Of the delivery times of all rows, the smallest that so many of a hundred are no longer than, in seconds, as near as
 * their classes tell it; NULL where there is none.
 */
function quantileOf(percent: string): string {
  const classes = 'arraySort(arrayZip(mapKeys(sumMap(times)), mapValues(sumMap(times))))';
  const upTo = `arrayCumSum(c -> c.2, ${classes})`;
  const rank = `intDiv(${percent} * ${upTo}[-1] + 99, 100)`;
  const found = `${classes}[arrayFirstIndex(n -> n >= ${rank}, ${upTo})].1`;
  return `if(length(${classes}) > 0, ${timeOfClass(found)} / 1000, NULL)`;
}
