import type { Window } from '../../spool/stored-message.ts';

const MOST_WINDOWS = 100;
const LONGEST = 8 * 1024;
const TIME = /^(\d{4})-(\d{2})-(\d{2}) +(\d{2}):(\d{2}):(\d{2})$/;

/**
 * The windows of X-Schedule and `*schedule`: `START / END {, START / END}`, times as `YYYY-MM-DD HH:MM:SS` in the
 * server's time (unverified), blanks optional (section 16). Earliest first. Null when malformed.
 */
export function parseSchedule(text: string): Window[] | null {
  if (text.length > LONGEST) return null;
  const windows: Window[] = [];
  for (const item of text.split(',')) {
    const [start, end, more] = item.split('/').map((time) => readTime(time.trim()));
    if (start === undefined || start === null || end === undefined || end === null || more !== undefined)
      return null;
    if (end <= start || windows.length >= MOST_WINDOWS) return null;
    windows.push({ start, end });
  }
  return windows.sort((a, b) => a.start - b.start);
}

function readTime(text: string): number | null {
  const match = TIME.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const time = new Date(year, month - 1, day, hour, minute, second);
  // 31 February would become a day of March.
  const same = time.getMonth() === month - 1 && time.getDate() === day;
  return same && hour < 24 && minute < 60 && second < 60 ? time.getTime() : null;
}
