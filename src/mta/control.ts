/** What an operator's commands do to the running server: the parts of the MTA behind the management interface. */
import type { Config, ReplacedFile } from '../config/index.ts';
import type { Resolver } from '../dns/index.ts';
import type { Spool } from '../spool/spool.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import type { OutcomeWriter } from './deliver/outcome-writer.ts';
import { localStatus } from './deliver/status.ts';
import { Trace, type Traces } from './deliver/trace.ts';
import type { Control } from './monitor/control.ts';
import type { CountersView } from './monitor/counters.ts';
import type { Destinations } from './monitor/destinations.ts';
import type { Pauses } from './monitor/pauses.ts';
import type { QueueEvents } from './monitor/queue-events.ts';
import { queuePattern } from './monitor/queue-pattern.ts';
import { envelopeMatches, findRecipients, type RecipientFilter } from './monitor/recipients.ts';
import type { StatusSources } from './monitor/status.ts';
import type { PrecachedDomains } from './precached-domains.ts';
import type { Scheduler, RecipientFilter as SchedulerFilter } from './queue/scheduler.ts';
import type { Records } from './records.ts';

/** How long a traced queue may take to get its connection, and then to be done with it. */
const TRACE_BEGINS_MS = 20_000;
const TRACE_ENDS_MS = 240_000;

export interface ControlDeps {
  readonly config: () => Config;
  readonly scheduler: Scheduler;
  readonly spool: Spool;
  readonly outcomes: OutcomeWriter;
  readonly records: Records;
  readonly counters: CountersView;
  readonly pauses: Pauses;
  readonly events: QueueEvents;
  readonly destinations: Destinations;
  readonly status: StatusSources;
  readonly resolver: () => Resolver;
  readonly precached: PrecachedDomains;
  readonly kick: () => void;
  readonly reload: (replaced?: ReplacedFile) => Promise<string[]>;
  readonly rotateLog: () => Promise<void>;
  readonly traces: Traces;
  readonly clock: Clock;
  readonly log: Log;
  readonly onReloadFailed: (error: UserError) => void;
}

export function createControl(deps: ControlDeps): Control {
  const { config, scheduler, spool, outcomes, records, counters, pauses, status, precached, kick } = deps;
  const { clock } = deps;
  let traced = 0;
  const envelopeOf = (spoolId: string) => spool.envelope(spoolId);

  /** The same question to the scheduler, which knows no envelopes. */
  const chosen = (filter: RecipientFilter, now: number): SchedulerFilter => ({
    queue: queuePattern(filter.queue ?? '*/*'),
    recipient: (item) => {
      if (filter.jobId !== null && item.job !== filter.jobId) return false;
      if (filter.olderThan !== null && now - item.receivedAt < filter.olderThan) return false;
      if (filter.orig === null && filter.rcpt === null && filter.envId === null) return true;
      const envelope = envelopeOf(item.spoolId);
      return envelope !== undefined && envelopeMatches(envelope, item, filter);
    },
  });

  return {
    config,
    scheduler,
    kick,
    pauses,
    events: deps.events,
    destinations: deps.destinations,
    status,
    recipients: {
      find: (filter, now) => findRecipients(scheduler, envelopeOf, filter, now),
      delete(filter, { report, account }, now) {
        const deleted = {
          ...localStatus('5.0.0', 'undefined status', config()),
          diagnostic: 'smtp;550 deleted by administrator',
        };
        let count = 0;
        for (const { queue, items } of scheduler.remove(chosen(filter, now), now)) {
          count += items.length;
          if (account) outcomes.bounced(queue, items, null, deleted, { silent: !report });
          else outcomes.dropped(queue, items);
        }
        return count;
      },
      setPriority(filter, priority, now) {
        const changed = scheduler.setPriority(chosen(filter, now), priority);
        // Written down, so that the order is the same after a restart.
        for (const { queue, items } of changed) outcomes.moved(queue, items);
        return changed.reduce((count, { items }) => count + items.length, 0);
      },
    },
    counters: () => ({ totals: { ...counters.totals }, backlog: records.backlog }),
    async reload(replaced) {
      try {
        const notes = await deps.reload(replaced);
        return { data: '', message: ['Configuration reloaded.', ...notes].join('\n') };
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        deps.onReloadFailed(error);
        return { failure: error.message };
      }
    },
    precached: () => precached.list(),
    clearDns: (domain) => {
      deps.resolver().clear(domain === '*' ? undefined : domain);
    },
    rotateAccounting: (file) => records.rotate(file),
    rotateLog: deps.rotateLog,
    resetCounters: () => status.traffic.reset(),
    clock,
    trace: (queue, retryRecipients, options) =>
      new Promise((resolve) => {
        let cancel = () => {};
        const trace = new Trace(options, clock, () => {
          cancel();
          resolve(trace.lines);
        });
        if (!deps.traces.ask(queue, trace)) return resolve('busy');
        cancel = clock.after(TRACE_BEGINS_MS, () => {
          if (!trace.begun) {
            deps.traces.withdraw(queue, trace);
            return resolve(null);
          }
          // What is there so far is better than nothing.
          cancel = clock.after(TRACE_ENDS_MS, () => resolve([...trace.lines, '(not over yet)']));
        });
        scheduler.schedule(queue, retryRecipients, clock.now());
        kick();
      }),
    logTrace(lines) {
      const number = String(++traced).padStart(3);
      for (const line of lines) deps.log.info(`(${number})${line}`);
    },
  };
}
