import type { Facet } from '../sums.ts';
import type { Key } from './facts-query.ts';

/** A row of a report, as it is sent. */
export type Row = Readonly<Record<string, unknown>>;

/** What every report answers (the envelope of SparkPost's signals). */
export interface Report {
  readonly total_count: number;
  readonly data: readonly Row[];
}

/** The keys of a row: `sid` always, the facet's own name when there is a facet. */
export function keysOf(key: Key, facet: Facet | null): Row {
  return facet === null ? { sid: key.sid } : { sid: key.sid, [facet]: key.value };
}

/** Change against the week before as a fraction; `null` when either is missing or there is nothing to divide by. */
export function change(last: number | null, before: number | null): number | null {
  return last === null || before === null || before === 0 ? null : (last - before) / before;
}

/** A share; `null` of nothing. */
export function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
