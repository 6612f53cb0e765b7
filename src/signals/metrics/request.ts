import type { Query } from '../search/parameters.ts';
import type { EventStore } from '../store/event-store.ts';

/** A question for metrics. */
export interface MetricsRequest {
  readonly store: EventStore;
  readonly query: Query;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The subaccount whose key asks: it sees its own alone. 0 sees all. */
  readonly onlySubaccount: number;
  /** Rows of the `watched-domain` report. */
  readonly watchedDomains: readonly string[];
}
