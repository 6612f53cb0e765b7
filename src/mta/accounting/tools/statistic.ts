import type { AcctRecord } from './read-records.ts';
import type { Table } from './report.ts';
import type { NameBudget } from './tally.ts';

/** A delivery or a bounce, with what statistics ask for. */
export interface Ended {
  readonly record: AcctRecord;
  readonly delivered: boolean;
  /** Seconds since the epoch; `null` where the file does not say. */
  readonly at: number | null;
  readonly queuedAt: number | null;
  /** Domain of the recipient, lower case. */
  readonly domain: string;
  /** Bytes; 0 where the file does not say, as in bounces. */
  readonly size: number;
}

/** One of the statistics of the guide's section 11.4, while it counts. */
export interface Statistic {
  add(ended: Ended): void;
  tables(): Table[];
}

/** Options of a statistic by name; switches have ''. */
export type StatisticOptions = ReadonlyMap<string, string>;

export interface StatisticKind {
  /** Options that take a value, and the value when they are not given. */
  readonly values: Readonly<Record<string, string>>;
  readonly switches: readonly string[];
  make(options: StatisticOptions, budget: NameBudget): Statistic;
}

/** Part of a whole in percent; `null` of nothing. */
export function percent(part: number, whole: number): number | null {
  return whole === 0 ? null : (100 * part) / whole;
}

/** Average and longest time from reception to delivery. */
export class DeliveryTime {
  recipients = 0;
  #seconds = 0;
  #longest = 0;

  add({ delivered, at, queuedAt }: Ended): void {
    if (!delivered || at === null || queuedAt === null) return;
    const seconds = Math.max(0, at - queuedAt);
    this.recipients++;
    this.#seconds += seconds;
    this.#longest = Math.max(this.#longest, seconds);
  }

  get average(): number | null {
    return this.recipients === 0 ? null : this.#seconds / this.recipients;
  }

  get longest(): number | null {
    return this.recipients === 0 ? null : this.#longest;
  }
}
