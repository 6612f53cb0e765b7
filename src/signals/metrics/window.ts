import { badParameter } from '../request-error.ts';
import type { Query } from '../search/parameters.ts';
import { TimeZone } from './time-zone.ts';

export const precisions = ['1min', '5min', '15min', 'hour', '12hr', 'day', 'week', 'month'] as const;
export type Precision = (typeof precisions)[number];

/** Precisions of reports that are no time series. */
export const aggregatePrecisions = precisions.filter(
  (p): p is Precision => p !== '12hr' && p !== 'week' && p !== 'month',
);

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Longest window of an explicit precision (SparkPost API documentation, Metrics). */
const longest: Partial<Record<Precision, number>> = {
  '1min': DAY,
  '5min': DAY,
  '15min': 2 * DAY,
  hour: 31 * DAY,
  '12hr': 366 * DAY,
};

const step: Partial<Record<Precision, number>> = {
  '1min': MINUTE,
  '5min': 5 * MINUTE,
  '15min': 15 * MINUTE,
  hour: HOUR,
  '12hr': 12 * HOUR,
};

/** The stretch of time in which a message counts once in unique metrics. */
export type Unit = 'minute' | 'hour' | 'day';

export interface MetricsWindow {
  /** Rounded down to a bucket's beginning; milliseconds, inclusive. */
  readonly from: number;
  /** Rounded up to a bucket's end; exclusive. */
  readonly to: number;
  readonly precision: Precision;
  readonly unit: Unit;
  /** The zone that buckets and `ts` are in: the request's, UTC from a day up. */
  readonly zone: TimeZone;
}

const wallForm = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::\d\d(?:\.\d+)?)?Z?)?$/;

function wallTime(name: string, text: string): number {
  const match = wallForm.exec(text);
  if (match) {
    const [, year, month, day, hour = '00', minute = '00'] = match;
    const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00.000Z`);
    if (!Number.isNaN(at) && new Date(at - (at % DAY)).getUTCDate() === Number(day)) return at;
  }
  throw badParameter(name, 'must be a time such as 2024-03-05T10:00');
}

function bucketStart(wall: number, precision: Precision): number {
  const size = step[precision];
  if (size) return Math.floor(wall / size) * size;
  const day = Math.floor(wall / DAY) * DAY;
  if (precision === 'day') return day;
  const date = new Date(day);
  if (precision === 'week') return day - ((date.getUTCDay() + 6) % 7) * DAY;
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

function nextBucket(wall: number, precision: Precision): number {
  const size = step[precision];
  if (size) return wall + size;
  if (precision === 'day') return wall + DAY;
  if (precision === 'week') return wall + 7 * DAY;
  const date = new Date(wall);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

function unitOf(precision: Precision): Unit {
  if (precision === 'hour' || precision === '12hr') return 'hour';
  return step[precision] ? 'minute' : 'day';
}

/**
 * The window of a metrics request with SparkPost's rounding. Wall-clock times are in `timezone`; a day and longer is
 * computed in UTC. Without `precision` times are rounded to the minute, whatever the length. Throws `RequestError`.
 */
export function metricsWindow(query: Query, now: number, allowed: readonly Precision[]): MetricsWindow {
  const asked = query.get('precision');
  const precision = (asked ?? '1min') as Precision;
  if (!precisions.includes(precision) || (asked !== undefined && !allowed.includes(precision))) {
    throw badParameter('precision', `must be one of ${allowed.join(', ')}`);
  }
  const given = new TimeZone(query.get('timezone') ?? 'UTC');
  const unit = unitOf(precision);
  const zone = unit === 'day' ? new TimeZone('UTC') : given;
  const fromText = query.get('from');
  if (fromText === undefined) throw badParameter('from', 'is required');
  const toText = query.get('to');
  const from = zone.instantOf(wallTime('from', fromText));
  const to = toText === undefined ? now : zone.instantOf(wallTime('to', toText));
  if (to < from) throw badParameter('to', "must not be before 'from'");
  const limit = longest[precision];
  if (asked !== undefined && limit !== undefined && to - from > limit) {
    throw badParameter('precision', `${precision} takes windows of at most ${limit / HOUR} hours`);
  }
  const first = bucketStart(zone.wallOf(from), precision);
  let end = bucketStart(zone.wallOf(to), precision);
  const isWhole = end === zone.wallOf(to) && end > first;
  if (!isWhole) end = nextBucket(end, precision);
  return {
    from: zone.instantOf(first),
    to: zone.instantOf(end),
    precision,
    unit: asked === undefined && to - from > DAY ? 'hour' : unit,
    zone,
  };
}

/** Beginnings of all buckets of the window, ascending. */
export function bucketsOf(window: MetricsWindow): number[] {
  const { zone, precision } = window;
  const buckets: number[] = [];
  // Steps of fixed length up to an hour are made in real time, so that no bucket is lost when clocks change.
  const size = step[precision];
  if (size && size <= HOUR) {
    for (let at = window.from; at < window.to; at += size) buckets.push(at);
    return buckets;
  }
  for (let wall = zone.wallOf(window.from); ; wall = nextBucket(wall, precision)) {
    const at = zone.instantOf(wall);
    if (at >= window.to) return buckets;
    buckets.push(at);
  }
}
