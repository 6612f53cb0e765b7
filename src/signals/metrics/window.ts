import { badParameter } from '../request-error.ts';
import { altered, parseInstant, type Query } from '../search/parameters.ts';
import { TimeZone } from './time-zone.ts';

export const precisions = ['1min', '5min', '15min', 'hour', '12hr', 'day', 'week', 'month'] as const;
export type Precision = (typeof precisions)[number];

/** Precisions of reports that are no time series. */
export const aggregatePrecisions = precisions.filter(
  (p): p is Precision => p !== '12hr' && p !== 'week' && p !== 'month',
);

const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const QUARTER = 15 * MINUTE;

interface Bucketing {
  /** Milliseconds; `null` where the calendar decides. */
  readonly size: number | null;
  /** Longest window that may ask for it (SparkPost API documentation, Metrics), milliseconds. */
  readonly longest: number;
  readonly unit: Unit;
}

/** The stretch of time in which a message counts once in unique metrics. */
export type Unit = 'minute' | 'hour' | 'day';

const none = Number.POSITIVE_INFINITY;

const bucketings: Readonly<Record<Precision, Bucketing>> = {
  '1min': { size: MINUTE, longest: DAY, unit: 'minute' },
  '5min': { size: 5 * MINUTE, longest: DAY, unit: 'minute' },
  '15min': { size: QUARTER, longest: 2 * DAY, unit: 'minute' },
  hour: { size: HOUR, longest: 31 * DAY, unit: 'hour' },
  '12hr': { size: 12 * HOUR, longest: none, unit: 'hour' },
  day: { size: DAY, longest: none, unit: 'day' },
  week: { size: null, longest: none, unit: 'day' },
  month: { size: null, longest: none, unit: 'day' },
};

/** Rows that a time series may have: 32 years of days. */
const MOST_BUCKETS = 12_000;

export interface MetricsWindow {
  /** Rounded down to a bucket's beginning; milliseconds, inclusive. */
  readonly from: number;
  /** Rounded up to a bucket's end; exclusive. */
  readonly to: number;
  readonly precision: Precision;
  readonly unit: Unit;
  /** The zone that buckets and `ts` are in: the request's, UTC for buckets longer than an hour. */
  readonly zone: TimeZone;
}

interface Bucket {
  readonly start: number;
  readonly end: number;
}

const floorTo = (ms: number, size: number) => Math.floor(ms / size) * size;

/**
 * The bucket that an instant is in. Up to an hour a bucket is a stretch of real time in which the wall clock shows the
 * same bucket and the zone keeps its offset: an hour that comes twice makes two buckets, and where clocks change by
 * half an hour there is a shorter one.
 */
function bucketAt(zone: TimeZone, instant: number, precision: Precision): Bucket {
  const { size } = bucketings[precision];
  if (size === null) return calendarBucket(instant, precision);
  if (size > HOUR) {
    const start = floorTo(instant, size);
    return { start, end: start + size };
  }
  const wall = zone.wallOf(instant);
  let start = instant - (wall - floorTo(wall, size));
  let end = start + size;
  if (size <= QUARTER) return { start, end };
  // Offsets change on quarters of an hour, so only buckets longer than that can have a change within.
  for (let at = floorTo(start, QUARTER) + QUARTER; at < end; at += QUARTER) {
    if (zone.offsetAt(at) === zone.offsetAt(at - QUARTER)) continue;
    if (at > instant) end = at;
    else start = at;
  }
  return { start, end };
}

function calendarBucket(instant: number, precision: Precision): Bucket {
  const day = floorTo(instant, DAY);
  const date = new Date(day);
  if (precision === 'week') {
    const start = day - ((date.getUTCDay() + 6) % 7) * DAY;
    return { start, end: start + 7 * DAY };
  }
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return { start: utcMonth(year, month), end: utcMonth(year, month + 1) };
}

/** `Date.UTC` takes years below 100 for those of the last century. */
function utcMonth(year: number, month: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month, 1);
  return date.getTime();
}

/** A time that names its own zone is an instant; one that does not is what the clocks of the window's zone show. */
function instantOf(name: string, text: string, zone: TimeZone): number {
  const at = parseInstant(text);
  if (at === null) throw badParameter(name, 'must be a time such as 2024-03-05T10:00');
  const hasZone = /T.*(?:Z|[+-]\d\d:?\d\d| \d\d:?\d\d)$/.test(text);
  return hasZone ? at : zone.instantOf(at);
}

/**
 * The window of a metrics request with SparkPost's rounding. Wall-clock times are in `timezone`; buckets longer than
 * an hour are computed in UTC. Without `precision` the window may have any length, and is rounded to the minute.
 * Throws `RequestError`.
 */
export function metricsWindow(query: Query, now: number, allowed: readonly Precision[]): MetricsWindow {
  const asked = query.get('precision');
  const precision = (asked ?? '1min') as Precision;
  if (!precisions.includes(precision) || (asked !== undefined && !allowed.includes(precision))) {
    throw badParameter('precision', `must be one of ${allowed.join(', ')}`);
  }
  const given = new TimeZone(query.get('timezone') ?? 'UTC');
  const { size, longest, unit } = bucketings[precision];
  const zone = size !== null && size <= HOUR ? given : new TimeZone('UTC');
  const fromText = query.get('from');
  if (fromText === undefined) throw badParameter('from', 'is required');
  const toText = query.get('to');
  const from = instantOf('from', fromText, zone);
  const to = toText === undefined ? now : instantOf('to', toText, zone);
  if (to < from) throw badParameter('to', "must not be before 'from'");
  // A month of hours stays one when clocks go back within it.
  const length = Math.min(to - from, zone.wallOf(to) - zone.wallOf(from));
  if (asked !== undefined && length > longest) {
    throw badParameter('precision', `${precision} takes windows of at most ${longest / HOUR} hours`);
  }
  const first = bucketAt(zone, from, precision);
  const last = bucketAt(zone, to, precision);
  const end = to === last.start && to > first.start ? to : last.end;
  return { from: first.start, to: end, precision, unit, zone };
}

/** The same for a time series, which without `precision` takes the finest that its length allows. */
export function seriesWindow(query: Query, now: number): MetricsWindow {
  if (query.has('precision')) return metricsWindow(query, now, precisions);
  const rough = metricsWindow(query, now, precisions);
  const length = rough.to - rough.from;
  const precision = precisions.find((p) => p !== '5min' && length <= bucketings[p].longest)!;
  return metricsWindow(
    altered(query, 'precision', precision === '12hr' ? 'day' : precision),
    now,
    precisions,
  );
}

/** Beginnings of all buckets of the window, ascending. Throws `RequestError` if they are too many. */
export function bucketsOf(window: MetricsWindow): number[] {
  const { zone, precision } = window;
  const buckets: number[] = [];
  for (let at = window.from; at < window.to; at = bucketAt(zone, at, precision).end) {
    if (buckets.length >= MOST_BUCKETS) {
      throw badParameter('precision', `${precision} gives more than ${MOST_BUCKETS} rows for this window`);
    }
    buckets.push(at);
  }
  return buckets;
}

/**
 * Where and by how much the zone's hours lie beside UTC's within the window: each holds from `from` on. Clocks that
 * change within an hour part it in two, so there one more begins, even where both lie beside UTC's in the same way.
 */
export function hourShifts(window: MetricsWindow): { readonly from: number; readonly shift: number }[] {
  const { zone } = window;
  const shiftAt = (at: number) => ((zone.offsetAt(at) % HOUR) + HOUR) % HOUR;
  const shifts = [{ from: window.from, shift: shiftAt(window.from) }];
  for (let day = window.from; day < window.to; day += DAY) {
    const end = Math.min(day + DAY, window.to - 1);
    if (zone.offsetAt(day) === zone.offsetAt(end)) continue;
    for (let at = floorTo(day, QUARTER) + QUARTER; at <= end; at += QUARTER) {
      if (zone.offsetAt(at) === zone.offsetAt(at - QUARTER)) continue;
      const shift = shiftAt(at);
      const isWithinHour = (at + shift) % HOUR !== 0;
      if (shift !== shifts.at(-1)!.shift || isWithinHour) shifts.push({ from: at, shift });
    }
  }
  return shifts;
}
