import type { ConnectionCounter } from './connection-limits.ts';
import type { DataVolume } from './data-volume.ts';
import type { HoldReason } from './hold.ts';
import type { Queue } from './queue.ts';
import type { QueuedRecipient } from './queued-recipient.ts';
import type { SourceUse } from './source-pool.ts';

/** Leave to hold one connection to one queue's destination until `closed`. */
export interface ConnectionGrant {
  readonly id: number;
  readonly queue: Queue;
}

/** What a connection is told when it asks for work. */
export type Work =
  /** Send these recipients, all of one message, in one transaction. */
  | { readonly kind: 'deliver'; readonly items: readonly QueuedRecipient[] }
  /** These have outlived their time (`bounce-after`, the last X-Schedule window): bounce them, then ask again. */
  | { readonly kind: 'expired'; readonly items: readonly QueuedRecipient[] }
  /** Nothing for now; more may come before `until` (`resume` is called), then close. */
  | { readonly kind: 'idle'; readonly until: number }
  /** A rate binds. Ask again at `until`, or when `resume` is called; close when that is too long to wait. */
  | { readonly kind: 'wait'; readonly until: number; readonly hold: HoldReason }
  | { readonly kind: 'close' };

/** Something that kept a host from being reserved. */
export interface Blocker {
  readonly hold: HoldReason;
  /** In whose line to wait; null when the queue's own connections, the time or an operator end it. */
  readonly counter: ConnectionCounter | null;
  readonly still: (now: number) => boolean;
}

/** What the scheduler knows of a connection that it granted. */
export interface Connection {
  readonly grant: ConnectionGrant;
  /** The queue's run that it belongs to. */
  readonly run: number;
  readonly priority: number;
  opened: boolean;
  /** When it was: it has its turn from then on. */
  openedAt: number;
  messages: number;
  /** Local address in use; null: not reserved yet. */
  source: SourceUse | null;
  /** Counters that this connection is counted in beside those of queue, VMTA and server. */
  readonly counted: ConnectionCounter[];
  /** The counter that keeps room for it until it reserved. */
  ticket: ConnectionCounter | null;
  blockers: Blocker[];
  /** Its turn among the local addresses, by family: one for all hosts it tries. */
  readonly turn: { 4: number | null; 6: number | null };
  /** It took its turn in the lines of the VMTA's rates when it was granted. */
  owed: boolean;
  /** Volumes that a transaction under way is counted in. */
  transfer: DataVolume[];
  connectCounted: boolean;
  /** It ends after the transaction in hand, for this queue. */
  endsFor: Queue | null;
}

export function newConnection(grant: ConnectionGrant): Connection {
  return {
    grant,
    run: grant.queue.retry.run,
    priority: grant.queue.limits.priority,
    opened: false,
    openedAt: Number.POSITIVE_INFINITY,
    messages: 0,
    source: null,
    counted: [],
    ticket: null,
    blockers: [],
    turn: { 4: null, 6: null },
    owed: false,
    transfer: [],
    connectCounted: false,
    endsFor: null,
  };
}
