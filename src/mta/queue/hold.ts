import type { Origin } from '../../config/index.ts';

/** A number from the configuration together with the line that set it, so that a hold can name its cause. */
export interface Limit {
  readonly directive: string;
  /** Infinity: no limit. */
  readonly value: number;
  /** For rates: `value` so many in this many milliseconds. */
  readonly perMs?: number;
  /** null: the directive's default. */
  readonly origin: Origin | null;
}

export type HoldKind =
  /** No new work: the server is stopping. */
  | 'shutting-down'
  /** An operator paused the queue, or the job. */
  | 'paused'
  | 'job-paused'
  /** Every source address of the queue is disabled for it. */
  | 'sources-disabled'
  /** Recipients whose X-Schedule window is not open. */
  | 'outside-schedule'
  /** The queue failed and waits; single recipients were refused temporarily and wait. */
  | 'queue-retry'
  | 'recipient-retry'
  /** Rates: recipients, bytes, connections opened; the least time between two connections. */
  | 'message-rate'
  | 'data-volume-rate'
  | 'connect-rate'
  | 'rampup-interval'
  /** Numbers of connections: of the queue, its VMTA, the server; from a local address, to a host, to an address. */
  | 'queue-connections'
  | 'vmta-connections'
  | 'server-connections'
  | 'source-connections'
  | 'host-connections'
  | 'address-connections'
  /** Nothing forbids it; it is on its way. */
  | 'opening-connection'
  | 'in-delivery'
  | 'next-in-line';

/**
 * Why something waits: which limit binds, where it stands, when it may free, what would change it.
 * Everything that keeps a message waiting is one of these; `pmta explain` and the web interface print them.
 */
export interface HoldReason {
  readonly kind: HoldKind;
  /** The limit that binds; null where none does (a connection is being opened, an operator paused the queue). */
  readonly limit: Limit | null;
  /** The limit's present value: connections open, messages sent in the period … */
  readonly current: number;
  /** Milliseconds since the epoch when it frees by itself; null when that depends on events. */
  readonly freesAt: number | null;
  /** What would change it, for the operator. */
  readonly remedy: string;
}

/** One line for logs and text output. */
export function describeHold(hold: HoldReason, now: number): string {
  const where = hold.limit?.origin
    ? ` (${hold.limit.origin.file}:${hold.limit.origin.line})`
    : hold.limit
      ? ' (default)'
      : '';
  const per = hold.limit?.perMs === undefined ? '' : ` per ${hold.limit.perMs / 1000} s`;
  const limit = hold.limit ? `${hold.limit.directive} ${shownValue(hold)}${per}${where}` : hold.kind;
  const frees =
    hold.freesAt === null ? '' : `, frees in ${Math.max(0, Math.ceil((hold.freesAt - now) / 1000))} s`;
  // Of the other times it says which attempt this is, or how many wait.
  const current = hold.kind === 'rampup-interval' ? `${Math.floor(hold.current / 1000)} s` : hold.current;
  return `${limit}, now ${current}${frees}: ${hold.remedy}`;
}

/** Limits that are times are held in milliseconds; an operator wrote, and reads, seconds. */
function shownValue({ kind, limit }: HoldReason): string {
  const isTime = kind === 'queue-retry' || kind === 'recipient-retry' || kind === 'rampup-interval';
  return isTime ? `${limit!.value / 1000} s` : `${limit!.value}`;
}

/** What PowerMTA shows as the status of a queue whose rate binds (User's Guide 3.3.10.33); '' for other holds. */
export function rateLimitStatus(hold: HoldReason): string {
  if (hold.kind !== 'message-rate' && hold.kind !== 'data-volume-rate') return '';
  return `message rate limit reached (based on ${hold.limit!.directive} in configuration)`;
}

/** The longest lasting first: what only an event ends, then what ends last. Equal ones keep their order. */
export function longestFirst(holds: HoldReason[]): HoldReason[] {
  const end = (hold: HoldReason) => hold.freesAt ?? Number.POSITIVE_INFINITY;
  return holds.sort((a, b) => (end(a) === end(b) ? 0 : end(b) - end(a)));
}
