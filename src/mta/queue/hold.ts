import type { Origin } from '../../config/index.ts';

/** A number from the configuration together with the line that set it, so that a hold can name its cause. */
export interface Limit {
  readonly directive: string;
  /** Infinity: no limit. */
  readonly value: number;
  /** null: the directive's default. */
  readonly origin: Origin | null;
}

/**
 * Why something waits: which limit binds, where it stands, when it may free, what would change it.
 * Everything that keeps a message waiting is one of these; `pmta explain` and the web interface print them.
 */
export interface HoldReason {
  readonly kind:
    | 'queue-connections'
    | 'vmta-connections'
    | 'server-connections'
    | 'queue-retry'
    | 'recipient-retry'
    | 'message-rate'
    | 'paused'
    | 'opening-connection'
    | 'in-delivery'
    | 'shutting-down';
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
  const limit = hold.limit ? `${hold.limit.directive} ${hold.limit.value}${where}` : hold.kind;
  const frees =
    hold.freesAt === null ? '' : `, frees in ${Math.max(0, Math.ceil((hold.freesAt - now) / 1000))} s`;
  return `${limit}, now ${hold.current}${frees}: ${hold.remedy}`;
}
