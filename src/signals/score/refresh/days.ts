/** Days are UTC, written `YYYY-MM-DD`, and compare as text. */
export type Day = string;

const DAY = 86_400_000;

export function dayOf(ms: number): Day {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The first instant of a day. */
export function startOf(day: Day): number {
  return Date.parse(`${day}T00:00:00Z`);
}

export function addDays(day: Day, n: number): Day {
  return dayOf(startOf(day) + n * DAY);
}

/** From `first` to `last`, both included; empty when `last` is before `first`. */
export function daysFrom(first: Day, last: Day): Day[] {
  const days: Day[] = [];
  for (let day = first; day <= last; day = addDays(day, 1)) days.push(day);
  return days;
}

/** The partition of a day in tables that are partitioned by it. */
export function partitionOf(day: Day): number {
  return Number(day.replaceAll('-', ''));
}

export function earliest(...days: readonly [Day, ...Day[]]): Day {
  return [...days].sort()[0]!;
}

export function latest(...days: readonly [Day, ...Day[]]): Day {
  return [...days].sort().at(-1)!;
}
