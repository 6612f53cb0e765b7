/** What `pmtastats` prints, before it is text, HTML or JSON. */
export interface Report {
  /** What the report is about when there are several: `jobId spring31`; '' for the only one. */
  readonly about: string;
  readonly timeFrame: Table;
  readonly sections: readonly Section[];
}

export interface Section {
  /** Name of the statistic as on the command line. */
  readonly name: string;
  readonly tables: readonly Table[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  /** A sentence below the table. */
  readonly note?: string;
}

export interface Column {
  readonly name: string;
  readonly kind: Kind;
}

/** `kb` from bytes; `percent` from 0 to 100; `duration` from seconds; `rate` with one decimal; `moment` from seconds since the epoch. */
export type Kind = 'text' | 'count' | 'percent' | 'duration' | 'kb' | 'rate' | 'moment';

/** `null` is what cannot be said: an average of nothing. */
export type Cell = string | number | null;

/** Columns from `name: kind`. */
export function columns(kinds: Readonly<Record<string, Kind>>): Column[] {
  return Object.entries(kinds).map(([name, kind]) => ({ name, kind }));
}
