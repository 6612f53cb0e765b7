import { accountingTime } from '../values.ts';

/** Fields whose values are moments. */
export const timeFields: ReadonlySet<string> = new Set(['timelogged', 'timequeued', 'timefirstattempt']);

const iso = accountingTime(true);
const ISO = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:([+-])(\d\d):?(\d\d)|Z)?$/;

/** Seconds since the epoch, of a time in either form that accounting files have; `null` if it is none. */
export function secondsOf(text: string): number | null {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const match = ISO.exec(text);
  if (!match) return null;
  const [, year, month, day, hour, minute, second, sign, offsetHours, offsetMinutes] = match;
  const parts = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  parts[1] -= 1;
  // Without an offset it is local time, as everything in the file.
  if (sign === undefined && !text.endsWith('Z')) return new Date(...parts).getTime() / 1000;
  const offset = sign === undefined ? 0 : Number(offsetHours) * 3600 + Number(offsetMinutes) * 60;
  return Date.UTC(...parts) / 1000 - (sign === '-' ? -offset : offset);
}

/** A time in the form of `iso-times yes`; a text that is no time stays as it is. */
export function isoTime(text: string): string {
  return /^\d{1,12}$/.test(text) ? iso(Number(text) * 1000) : text;
}

/** Local date and time of a moment, without offset: `2031-04-07 09:12:44`. */
export function localTime(seconds: number): string {
  return iso(seconds * 1000).slice(0, 19);
}

/** Seconds of a period like `1d12h30m`; `null` if it is none. */
export function periodSeconds(text: string): number | null {
  const match = /^(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?$/.exec(text);
  if (!match || text === '') return null;
  const [weeks, days, hours, minutes, seconds] = match.slice(1).map((n) => Number(n ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds;
}
