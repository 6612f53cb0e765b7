/** Wall clocks: instants to and from the reading of a clock in a named time zone. */
import { two } from './format.ts';

const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether the platform knows the zone (an IANA name, or `UTC`). */
export function knownZone(zone: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/.test(zone)) return false;
  try {
    format(zone);
    return true;
  } catch {
    return false;
  }
}

function format(zone: string): Intl.DateTimeFormat {
  let found = formats.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    formats.set(zone, found);
  }
  return found;
}

export interface Wall {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** What a clock in `zone` shows at the instant `ms`. */
export function wallAt(ms: number, zone: string): Wall {
  if (zone === 'UTC') {
    const d = new Date(ms);
    return {
      year: d.getUTCFullYear(),
      month: d.getUTCMonth() + 1,
      day: d.getUTCDate(),
      hour: d.getUTCHours(),
      minute: d.getUTCMinutes(),
      second: d.getUTCSeconds(),
    };
  }
  const parts = new Map(
    format(zone)
      .formatToParts(ms)
      .map((p) => [p.type, Number(p.value)]),
  );
  const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? 0;
  return {
    year: part('year'),
    month: part('month'),
    day: part('day'),
    hour: part('hour'),
    minute: part('minute'),
    second: part('second'),
  };
}

/** Milliseconds by which `zone` is ahead of UTC at the instant `ms`. */
export function offsetAt(ms: number, zone: string): number {
  if (zone === 'UTC') return 0;
  const w = wallAt(ms, zone);
  const asUtc = Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute, w.second);
  return asUtc - Math.floor(ms / 1000) * 1000;
}

/**
 * The instant at which a clock in `zone` shows the given reading. Months and days may overflow (day 0 is the day
 * before the first). A reading that a change of the clock skips gives the instant after the gap.
 */
export function instantOf(
  zone: string,
  year: number,
  month: number,
  day: number,
  hour = 0,
  minute = 0,
  second = 0,
): number {
  const asUtc = Date.UTC(year, month - 1, day, hour, minute, second);
  const first = asUtc - offsetAt(asUtc, zone);
  return asUtc - offsetAt(first, zone);
}

/** Day of the week, 0 is Monday. */
export function weekday(w: Wall): number {
  return (new Date(Date.UTC(w.year, w.month - 1, w.day)).getUTCDay() + 6) % 7;
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `2026-01-05 14:03:20` in the zone. */
export function isoSeconds(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${isoDay(w)} ${two(w.hour)}:${two(w.minute)}:${two(w.second)}`;
}

/** `2026-01-05 14:03` in the zone. */
export function isoMinutes(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${isoDay(w)} ${two(w.hour)}:${two(w.minute)}`;
}

export function isoDay(w: Wall): string {
  return `${String(w.year).padStart(4, '0')}-${two(w.month)}-${two(w.day)}`;
}

/** `14:03` in the zone. */
export function clockMinutes(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${two(w.hour)}:${two(w.minute)}`;
}

/** `14:03:20` in the zone. */
export function clockSeconds(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${two(w.hour)}:${two(w.minute)}:${two(w.second)}`;
}

/** `Wed 7 Jan` in the zone. */
export function dayName(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${DAYS[weekday(w)]} ${w.day} ${MONTHS[w.month - 1]}`;
}

/** `7 Jan` in the zone. */
export function dayOfMonth(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${w.day} ${MONTHS[w.month - 1]}`;
}

/** `Jan 2026` in the zone. */
export function monthName(ms: number, zone: string): string {
  const w = wallAt(ms, zone);
  return `${MONTHS[w.month - 1]} ${w.year}`;
}
