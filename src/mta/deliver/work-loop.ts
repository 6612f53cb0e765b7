/**
 * What every transport but SMTP does with a grant: takes work until there is none, prepares each message, hands it
 * over and records what became of it. How it is handed over is the transport's.
 */
import type { Config, Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { TrafficMeter } from '../monitor/traffic.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { ConnectionGrant, Scheduler } from '../queue/scheduler.ts';
import type { ConnectionAttempt } from './attempt.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import type { QueueFate } from './queue-fate.ts';
import type { Copy, Renderer, Rendering } from './render.ts';
import { localStatus } from './status.ts';
import type { TriedRecipient } from './transaction.ts';
import type { Waits } from './waits.ts';

export interface WorkLoopDeps {
  /** Of grants that a rate makes wait. */
  readonly waits: Waits;
  readonly scheduler: Scheduler;
  readonly spool: Spool;
  readonly outcomes: OutcomeWriter;
  readonly fate: QueueFate;
  readonly renderer: Renderer;
  readonly traffic: TrafficMeter;
  readonly clock: Clock;
  readonly log: Log;
}

/** One message, ready to go to these recipients. */
export interface Job {
  readonly queue: Queue;
  readonly settings: Settings<'domain'>;
  readonly config: Config;
  readonly envelope: Envelope;
  readonly items: readonly QueuedRecipient[];
  readonly content: Buffer;
}

export interface Handover {
  readonly attempt: ConnectionAttempt;
  /** Recipients that have an answer; the others of the job were not tried and are next again. */
  readonly tried: readonly TriedRecipient[];
  /** Why the queue as a whole can get no further now. It waits; with `unrecorded` without a record of its own. */
  readonly queueFailure?: {
    readonly status: StatusFacts;
    readonly error: string;
    readonly unrecorded?: boolean;
  };
  /** Called when the outcomes are on disk. */
  readonly recorded?: () => void;
}

export interface WorkOptions {
  /** Facts of an attempt that reaches nobody. */
  readonly attempt: ConnectionAttempt;
  /** Recipients of one message that go together. */
  readonly atMost: number;
  /** Whether delivery ends here or another host carries on. */
  readonly action: 'delivered' | 'relayed';
  readonly handOver: (job: Job) => Promise<Handover>;
}

/** Resolves when the scheduler has no more work for this grant, or the queue failed. */
export async function workThrough(
  deps: WorkLoopDeps,
  grant: ConnectionGrant,
  config: Config,
  options: WorkOptions,
): Promise<void> {
  const { scheduler, clock, fate } = deps;
  const { queue } = grant;
  scheduler.opened(grant.id, clock.now());
  for (;;) {
    const work = scheduler.take(grant.id, clock.now(), options.atMost);
    if (work.kind === 'expired') {
      fate.expire(queue, work.items, config);
      continue;
    }
    if (work.kind === 'wait') {
      await deps.waits.until(grant.id, work.until);
      continue;
    }
    // There is no connection to keep: when new work comes, a new grant does too.
    if (work.kind !== 'deliver') return;
    const open = new Set(work.items);
    try {
      if (!(await oneMessage(deps, grant, open, config, options))) return;
    } finally {
      // Whatever happened: none of them may stay "in delivery" for ever.
      if (open.size > 0) scheduler.putBack(queue, [...open], clock.now());
    }
  }
}

/** Takes out of `open` who has an outcome. False when the queue can get no further now. */
async function oneMessage(
  deps: WorkLoopDeps,
  { id, queue }: ConnectionGrant,
  open: Set<QueuedRecipient>,
  config: Config,
  options: WorkOptions,
): Promise<boolean> {
  const { spool, outcomes, fate, scheduler, clock, log } = deps;
  const items = [...open];
  const close = (some: readonly QueuedRecipient[]) => {
    for (const item of some) open.delete(item);
    return some;
  };
  const spoolId = items[0]!.spoolId;
  const envelope = spool.envelope(spoolId);
  const stored = spool.content(spoolId);
  if (!envelope || !stored) {
    log.error('a queued message is not in the spool; its recipients are dropped', { id: spoolId });
    outcomes.bounced(queue, close(items), null, localStatus('5.3.0', 'mail system-related failure', config));
    return true;
  }
  const settings = config.queue(queue.domain, queue.vmta);
  let rendering: Rendering | null = null;
  let groups = items.map((item) => [item]);
  for (let i = 0; i < groups.length; i++) {
    let copy: Copy;
    try {
      if (!rendering) {
        rendering = await deps.renderer.open({ envelope, content: stored, queue, settings, config });
        if (!rendering.perRecipient && !envelope.verp) groups = [items];
      }
      copy = await rendering.copy(groups[i]![0]!.index);
    } catch (error) {
      // The message stays; a fault of ours is no reason to lose it.
      log.error(`message ${spoolId} could not be prepared: ${(error as Error).stack ?? error}`);
      const status = localStatus('4.3.0', 'mail system-related failure', config);
      fate.deferItems(queue, envelope, close(groups[i]!), options.attempt, status);
      continue;
    }
    const group = groups[i]!;
    if (copy.kind === 'impossible') {
      const status = localStatus(copy.status, copy.text, config);
      outcomes.bounced(queue, close(group), options.attempt, status);
      continue;
    }
    const { content, facts } = copy;
    const rendered = { ...envelope, facts };
    const job = { queue, settings, config, envelope: rendered, items: group, content };
    const { attempt, tried, queueFailure, recorded } = await options.handOver(job);
    if (tried.length > 0) {
      close(tried.map(({ item }) => item));
      const written = outcomes.attempted(queue, rendered, tried, attempt, content.length, options.action);
      if (recorded) void written.then(recorded);
      const taken = tried.filter((one) => one.result.kind === 'delivered').length;
      if (taken > 0) {
        deps.traffic.add('out', taken, content.length, clock.now());
        scheduler.transferred(id, content.length, clock.now());
      }
    }
    if (queueFailure) {
      log.warn(`${queue.name}: ${queueFailure.error}`);
      if (open.size > 0) scheduler.putBack(queue, [...open], clock.now());
      open.clear();
      if (queueFailure.unrecorded) scheduler.failed(queue, clock.now(), queueFailure.error, { id });
      else fate.defer(queue, attempt, queueFailure.status, queueFailure.error, config, { id });
      return false;
    }
  }
  return true;
}
