/** Ranges of time and the buckets they are cut into. */
import { two } from './format.ts';
import {
  clockMinutes,
  dayName,
  instantOf,
  isoDay,
  isoMinutes,
  monthName,
  offsetAt,
  wallAt,
  weekday,
} from './zone.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Ranges by name; the first kind is a length that ends now, the second is cut by the calendar of the zone. */
const lengths: Readonly<Record<string, number>> = {
  '1h': HOUR,
  '24h': DAY,
  '7d': 7 * DAY,
  '10d': 10 * DAY,
  '14d': 14 * DAY,
  '30d': 30 * DAY,
  '90d': 90 * DAY,
};
export const presets: readonly string[] = [...Object.keys(lengths), 'today', 'yesterday', 'week', 'month'];

export const steps = ['1min', '5min', '15min', 'hour', 'day', 'week', 'month'] as const;
export type Step = (typeof steps)[number];
export type StepChoice = 'auto' | Step;

interface StepRule {
  readonly ms: number;
  readonly from: number;
  readonly to: number;
}

/** Which steps a range allows, by its length (ui specification, section 8.4). Weeks and months by their shortest. */
const rules: Readonly<Record<Step, StepRule>> = {
  '1min': { ms: MINUTE, from: 0, to: DAY },
  '5min': { ms: 5 * MINUTE, from: 10 * MINUTE, to: DAY },
  '15min': { ms: 15 * MINUTE, from: 30 * MINUTE, to: 2 * DAY },
  hour: { ms: HOUR, from: 2 * HOUR, to: 30 * DAY },
  day: { ms: DAY, from: DAY, to: Number.POSITIVE_INFINITY },
  week: { ms: 7 * DAY, from: 7 * DAY, to: Number.POSITIVE_INFINITY },
  month: { ms: 28 * DAY, from: 30 * DAY, to: Number.POSITIVE_INFINITY },
};

export interface Range {
  /** First instant, milliseconds. */
  readonly from: number;
  /** End, excluded. */
  readonly to: number;
  /** Whether the range moves with the clock. */
  readonly endsNow: boolean;
}

const MOMENT = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,3})?)?(Z|[+-]\d\d:?\d\d)?)?$/;

/** An ISO 8601 moment; without an offset it is a reading of the clock in `zone`. Null when it is none. */
export function readMoment(text: string, zone: string): number | null {
  const m = MOMENT.exec(text.trim());
  if (!m) return null;
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map((v) => Number(v ?? 0));
  if (year! < 1990 || year! > 2200 || month! < 1 || month! > 12 || day! < 1 || day! > 31) return null;
  if (hour! > 24 || minute! > 59 || second! > 59) return null;
  const offset = m[7];
  if (!offset) return instantOf(zone, year!, month!, day!, hour, minute, second);
  const asUtc = Date.UTC(year!, month! - 1, day!, hour, minute, second);
  if (offset === 'Z') return asUtc;
  const ahead = (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2))) * MINUTE;
  return offset.startsWith('-') ? asUtc + ahead : asUtc - ahead;
}

/** Milliseconds as the address writes them: UTC, to the minute where that loses nothing. */
export function writeMoment(ms: number): string {
  const iso = new Date(ms).toISOString();
  if (ms % MINUTE === 0) return `${iso.slice(0, 16)}Z`;
  return ms % 1000 === 0 ? `${iso.slice(0, 19)}Z` : iso;
}

/** Whether `text` is a range: a preset, or `FROM..TO` with FROM before TO. */
export function isRange(text: string): boolean {
  return presets.includes(text) || absolute(text, 'UTC') !== null;
}

function absolute(text: string, zone: string): Range | null {
  const cut = text.indexOf('..');
  if (cut < 0) return null;
  const from = readMoment(text.slice(0, cut), zone);
  const to = readMoment(text.slice(cut + 2), zone);
  return from === null || to === null || from >= to ? null : { from, to, endsNow: false };
}

/** Resolves a range of the address. `text` must be one (see `isRange`); anything else counts as 24 hours. */
export function resolveRange(text: string, zone: string, now: number): Range {
  const length = lengths[text];
  if (length !== undefined) return { from: now - length, to: now, endsNow: true };
  const w = wallAt(now, zone);
  switch (text) {
    case 'today':
      return { from: instantOf(zone, w.year, w.month, w.day), to: now, endsNow: true };
    case 'yesterday':
      return {
        from: instantOf(zone, w.year, w.month, w.day - 1),
        to: instantOf(zone, w.year, w.month, w.day),
        endsNow: false,
      };
    case 'week':
      return { from: instantOf(zone, w.year, w.month, w.day - weekday(w)), to: now, endsNow: true };
    case 'month':
      return { from: instantOf(zone, w.year, w.month, 1), to: now, endsNow: true };
    default:
      return absolute(text, zone) ?? { from: now - DAY, to: now, endsNow: true };
  }
}

/** The step that `auto` stands for. */
export function autoStep(range: Range): Step {
  const length = range.to - range.from;
  if (length <= 8 * HOUR) return '1min';
  if (length <= 10 * DAY) return 'hour';
  return length <= 184 * DAY ? 'day' : 'month';
}

/** Steps that the range allows, finest first. */
export function allowedSteps(range: Range): Step[] {
  const length = range.to - range.from;
  return steps.filter((step) => length >= rules[step].from && length <= rules[step].to);
}

export interface Buckets {
  readonly step: Step;
  /** Days, weeks and months are cut in UTC whatever the reader's zone (the metrics API's rule). */
  readonly zone: string;
  /** First instant of the first bucket. */
  readonly from: number;
  /** End to ask for: never beyond now. */
  readonly to: number;
  readonly endsNow: boolean;
}

/**
 * Cuts a range into whole buckets. A range that ends now keeps its number of buckets, the last of them unfinished:
 * `24h` in hours is 24 buckets, not parts of 25.
 */
export function cutRange(text: string, choice: StepChoice, zone: string, now: number): Buckets {
  const range = resolveRange(text, zone, now);
  const allowed = allowedSteps(range);
  const step = choice !== 'auto' && allowed.includes(choice) ? choice : autoStep(range);
  const bucketZone = step === 'day' || step === 'week' || step === 'month' ? 'UTC' : zone;
  const first = bucketStart(range.from, step, bucketZone);
  const from =
    lengths[text] !== undefined && first < range.from ? nextBucket(first, step, bucketZone) : first;
  return {
    step,
    zone: bucketZone,
    from,
    to: Math.min(range.to, Math.max(now, from)),
    endsNow: range.endsNow,
  };
}

/** First instant of the bucket that holds `ms`. */
export function bucketStart(ms: number, step: Step, zone: string): number {
  if (step === 'week' || step === 'month') {
    const w = wallAt(ms, zone);
    return step === 'month'
      ? instantOf(zone, w.year, w.month, 1)
      : instantOf(zone, w.year, w.month, w.day - weekday(w));
  }
  const { ms: size } = rules[step];
  const offset = offsetAt(ms, zone);
  return Math.floor((ms + offset) / size) * size - offset;
}

/** First instant of the bucket after the one that starts at `start`. */
export function nextBucket(start: number, step: Step, zone: string): number {
  if (step === 'month') {
    const w = wallAt(start, zone);
    return instantOf(zone, w.year, w.month + 1, 1);
  }
  return start + rules[step].ms;
}

/** A bucket in words, with its zone: `Wed 7 Jan 14:00–15:00 UTC`. */
export function bucketName(start: number, step: Step, zone: string): string {
  const end = nextBucket(start, step, zone);
  switch (step) {
    case 'day':
      return `${dayName(start, zone)} ${wallAt(start, zone).year}, ${zone} day`;
    case 'week':
      return `week from ${dayName(start, zone)} ${wallAt(start, zone).year}, ${zone}`;
    case 'month':
      return `${monthName(start, zone)}, ${zone}`;
    default:
      return `${dayName(start, zone)} ${clockMinutes(start, zone)}–${clockMinutes(end, zone)} ${zone}`;
  }
}

/** A bucket in a table: its first moment. */
export function bucketCell(start: number, step: Step, zone: string): string {
  if (step === 'month') return isoDay(wallAt(start, zone)).slice(0, 7);
  return step === 'day' || step === 'week' ? isoDay(wallAt(start, zone)) : isoMinutes(start, zone);
}

/** How a step is spoken of: "per hour". */
export function stepName(step: Step): string {
  return (
    ({ '1min': 'minute', '5min': '5 minutes', '15min': '15 minutes' } as Record<string, string>)[step] ?? step
  );
}

/** A range in words: `the last 24 hours`, or its two ends. */
export function rangeName(text: string, zone: string, now: number): string {
  const known: Readonly<Record<string, string>> = {
    '1h': 'the last hour',
    '24h': 'the last 24 hours',
    '7d': 'the last 7 days',
    '10d': 'the last 10 days',
    '14d': 'the last 14 days',
    '30d': 'the last 30 days',
    '90d': 'the last 90 days',
    today: 'today',
    yesterday: 'yesterday',
    week: 'this week',
    month: 'this month',
  };
  const name = known[text];
  if (name) return name;
  const { from, to } = resolveRange(text, zone, now);
  return `${isoMinutes(from, zone)} to ${isoMinutes(to, zone)} ${zone}`;
}

/** When something happened, as a sentence goes on: `in the last hour`, `today`, `from … to …`. */
export function during(text: string, zone: string, now: number): string {
  const name = rangeName(text, zone, now);
  if (name.startsWith('the ')) return `in ${name}`;
  return /^\d/.test(name) ? `from ${name}` : name;
}

/** The range of the same length directly before (-1) or after (+1), as the address writes it. */
export function shiftRange(text: string, zone: string, now: number, direction: -1 | 1): string {
  const { from, to } = resolveRange(text, zone, now);
  const length = to - from;
  const start = Math.floor((from + direction * length) / MINUTE) * MINUTE;
  return `${writeMoment(start)}..${writeMoment(start + Math.round(length / MINUTE) * MINUTE)}`;
}

/**
 * A moment as people type it: `2026-01-05 14:00`, `14:00`, `yesterday 9am`, `-36h`, `now`. Null when it says none.
 */
export function typedMoment(text: string, zone: string, now: number): number | null {
  const given = text.trim().toLowerCase();
  if (given === 'now') return now;
  const ago = /^-(\d{1,5})\s*(min|m|h|d|w)$/.exec(given);
  if (ago) {
    const unit = { min: MINUTE, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }[ago[2] as 'm'];
    return now - Number(ago[1]) * unit;
  }
  const iso = readMoment(text.trim().toUpperCase(), zone);
  if (iso !== null) return iso;
  const m = /^(?:(today|yesterday)\b)?\s*(?:(\d{1,2})(?::(\d\d))?\s*(am|pm)?)?$/.exec(given);
  if (!m || given === '' || (!m[1] && !m[3] && !m[4])) return null;
  let hour = Number(m[2] ?? 0);
  if (m[4] && (hour < 1 || hour > 12)) return null;
  if (m[4] === 'pm' && hour < 12) hour += 12;
  if (m[4] === 'am' && hour === 12) hour = 0;
  const minute = Number(m[3] ?? 0);
  if (hour > 23 || minute > 59) return null;
  const w = wallAt(now, zone);
  return instantOf(zone, w.year, w.month, w.day - (m[1] === 'yesterday' ? 1 : 0), hour, minute);
}

/** A moment as the metrics API wants it: the reading of the clock in `zone`, to the minute. */
export function apiMoment(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${isoDay(w)}T${two(w.hour)}:${two(w.minute)}`;
}
