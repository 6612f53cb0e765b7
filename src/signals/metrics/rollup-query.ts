import type { Conditions } from '../search/conditions.ts';
import type { EventStore } from '../store/event-store.ts';
import { HALF_HOUR, type Span } from '../store/spans.ts';
import { type Dimension, dimensions } from '../store/tables/dimensions.ts';
import { uniques } from '../store/tables/metrics.ts';
import { sliceName } from '../store/tables/sealed.ts';
import type { Metric } from './definitions.ts';
import { hourShifts, type MetricsWindow } from './window.ts';

/**
 * How far after UTC's the hours of this window's zone begin, milliseconds, where the roll-ups have such hours; `null`
 * where they have not: in zones a quarter of an hour off, and where clocks change by half an hour.
 */
function hoursOf(window: MetricsWindow): 0 | typeof HALF_HOUR | null {
  const shifts = new Set(hourShifts(window).map(({ shift }) => shift));
  const [shift] = shifts;
  return shifts.size === 1 && (shift === 0 || shift === HALF_HOUR) ? shift : null;
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
  // Where clocks change by half an hour, the hour before the change and the one after it are two.
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

/**
 * SELECT of the metrics over a window under `conditions`: by unit of time (column `unit_start`), by a dimension (`k`),
 * or in one row. Counters are added up from minutes, hours and sealed days, whichever are the fewest rows; messages
 * that count once per unit are told apart where the day is not sealed.
 */
export function rollupQuery(
  store: EventStore,
  window: MetricsWindow,
  metrics: readonly Metric[],
  by: 'unit' | Dimension | null,
  conditions: Conditions,
): string {
  const used = new Set(conditions.columns);
  const key = by === 'unit' ? null : by;
  if (key) used.add(key);
  const shift = hoursOf(window);
  const finest = window.unit === 'minute' || shift === null ? 'minute' : window.unit;
  const isHalf = finest === 'hour' && shift === HALF_HOUR;
  const sums = sealedSums(isHalf ? 'half_hour' : window.unit === 'day' ? 'day' : 'hour', used);
  const spansOf = (unit: typeof finest) => {
    if (isHalf) return sums ? store.halfHourSpans(window) : store.spans(window, 'minute');
    const all = store.spans(window, unit);
    return sums ? all : { ...all, hours: [...all.hours, ...all.sealed], sealed: [] };
  };
  const spans = spansOf(finest);
  // A sum over the whole window does not ask in which unit its parts are.
  const sumSpans = by === 'unit' || isHalf ? spans : spansOf('hour');

  const filters = conditions.all;
  const unit = unitStart(window, conditions);
  const keys = [by === 'unit' ? `${unit} AS unit_start` : '', key ? `${key} AS k` : ''].filter(
    (k) => k !== '',
  );
  const names = [by === 'unit' ? 'unit_start' : '', key ? 'k' : ''].filter((n) => n !== '');
  const groupBy = (columns: readonly string[]) =>
    columns.length > 0 ? ` GROUP BY ${columns.join(', ')}` : '';
  const isUnique = (m: Metric) => m.kind === 'unique';

  const parts: string[] = [];
  const add = (from: string, over: readonly Span[], isSealed: boolean) => {
    if (over.length === 0) return;
    const isThere = (m: Metric) => m.kind === 'additive' || (isUnique(m) && isSealed && finest !== 'minute');
    const columns = metrics.map((m, i) => `toInt64(${isThere(m) ? `sum(${m.expression})` : '0'}) AS m${i}`);
    parts.push(
      `SELECT ${[...keys, 'toInt64(sum(events)) AS n', ...columns].join(', ')} FROM ${from}
       WHERE ${within(conditions, over)} AND ${filters}${groupBy(names)}`,
    );
  };
  add('metrics_minute', sumSpans.minutes, false);
  add('metrics_hour', sumSpans.hours, false);
  if (sums) add(sums, sumSpans.sealed, true);

  const counted = metrics.filter(isUnique).map((m) => uniques[m.expression]!);
  const looked = [...new Set(counted.flatMap((condition) => condition.match(/\b[a-z_]+(?= > 0)/g) ?? []))];
  const messages = (from: string, over: readonly Span[]) => {
    if (over.length === 0 || looked.length === 0) return;
    const columns = metrics.map((m, i) =>
      isUnique(m)
        ? `toInt64(countIf(${uniques[m.expression]!.replace(/\b[a-z_]+(?= > 0)/g, (name) => `sum_${name}`)})) AS m${i}`
        : `toInt64(0) AS m${i}`,
    );
    parts.push(
      `SELECT ${[...names, 'toInt64(0) AS n', ...columns].join(', ')} FROM (
         SELECT ${[by === 'unit' ? '' : `${unit} AS unit_start`, ...keys].filter((k) => k !== '').join(', ')}, message,
           ${looked.map((name) => `sum(${name}) AS sum_${name}`).join(', ')}
         FROM ${from} WHERE ${within(conditions, over)} AND ${filters}
         GROUP BY ${[...new Set(['unit_start', ...names])].join(', ')}, message)${groupBy(names)}`,
    );
  };
  messages('engagement', [...spans.minutes, ...spans.hours]);
  messages('strays', spans.sealed);
  if (metrics.some((m) => m.kind === 'reasons')) {
    const columns = metrics.map(
      (m, i) => `toInt64(${m.kind === 'reasons' ? `sumIf(events, ${m.expression})` : '0'}) AS m${i}`,
    );
    const which = metrics.filter((m) => m.kind === 'reasons').map((m) => `(${m.expression})`);
    parts.push(
      `SELECT ${[...keys, 'toInt64(0) AS n', ...columns].join(', ')} FROM reasons
       WHERE (${which.join(' OR ')}) AND ${within(conditions, [window])} AND ${filters}${groupBy(names)}`,
    );
  }
  const clicks = metrics.some((m) => m.kind === 'links') ? linkClicks(store, window, conditions) : null;
  if (clicks) {
    const columns = metrics.map(
      (m, i) => `toInt64(${m.kind === 'links' ? 'countIf(clicks > 0)' : '0'}) AS m${i}`,
    );
    parts.push(
      `SELECT ${[...names, 'toInt64(0) AS n', ...columns].join(', ')} FROM (
         SELECT ${[by === 'unit' ? '' : `${unit} AS unit_start`, ...keys].filter((k) => k !== '').join(', ')},
           message, link_name, sum(clicked) AS clicks
         FROM ${clicks}
         GROUP BY ${[...new Set(['unit_start', ...names])].join(', ')}, message, link_name)${groupBy(names)}`,
    );
  }

  const totals = metrics.map((m, i) => `sum(m${i}) AS ${m.name}`).join(', ');
  const from = `(${parts.join('\nUNION ALL\n') || nothing(names, metrics)})`;
  if (by === 'unit') {
    return `SELECT toUnixTimestamp(unit_start) AS unit_start, ${totals} FROM ${from} AS p GROUP BY p.unit_start ORDER BY p.unit_start`;
  }
  if (key) return `SELECT k, ${totals} FROM ${from} GROUP BY k HAVING sum(n) > 0`;
  return `SELECT ${totals} FROM ${from}`;
}

/** An empty window has no parts to add up. */
function nothing(names: readonly string[], metrics: readonly Metric[]): string {
  const columns = [
    ...names.map((n) => (n === 'k' ? "'' AS k" : 'toDateTime(0) AS unit_start')),
    'toInt64(0) AS n',
  ];
  return `SELECT ${[...columns, ...metrics.map((_, i) => `toInt64(0) AS m${i}`)].join(', ')} WHERE 0`;
}
