/** What the commands of the management interface work on. */
import type { Config, ReplacedFile } from '../../config/index.ts';
import type { PrecachedDomain } from '../../dns/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { TraceOptions } from '../deliver/trace.ts';
import type { Queue } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { CommandResult } from './command.ts';
import type { Destinations } from './destinations.ts';
import type { Pauses } from './pauses.ts';
import type { QueueEvents } from './queue-events.ts';
import type { RecipientActions } from './recipients.ts';
import type { StatusSources } from './status.ts';

/** The running server as an operator may look at and change it. */
export interface Control {
  readonly config: () => Config;
  readonly scheduler: Scheduler;
  /** Something may be delivered now that could not before. */
  readonly kick: () => void;
  readonly pauses: Pauses;
  readonly events: QueueEvents;
  readonly destinations: Destinations;
  readonly recipients: RecipientActions;
  readonly status: StatusSources;
  /** Figures of our own for supervising programs. */
  readonly counters: () => {
    readonly totals: Readonly<Record<string, number>>;
    readonly backlog: { readonly outcomes: number; readonly eventFiles: number };
  };
  /** Domains whose routing data are kept fresh. */
  readonly precached: () => readonly PrecachedDomain[];
  /** Brings the configuration's files into force, one of them replaced for good when that is given. */
  readonly reload: (replaced?: ReplacedFile) => Promise<CommandResult>;
  /** Forgets what DNS said about a domain; `*` for all. */
  readonly clearDns: (domain: string) => void;
  /** Begins new accounting files, or one; the paths that were rotated. */
  readonly rotateAccounting: (file: string | undefined) => Promise<readonly string[]>;
  readonly rotateLog: () => Promise<void>;
  readonly resetCounters: () => void;
  readonly clock: Clock;
  /**
   * Tries a queue now and takes its next connection down. Null when there was none in time, 'busy' when somebody else
   * traces this queue.
   */
  readonly trace: (
    queue: Queue,
    retryRecipients: boolean,
    options: TraceOptions,
  ) => Promise<readonly string[] | 'busy' | null>;
  readonly logTrace: (lines: readonly string[]) => void;
}
