/** The sending half of the MTA, put together: from what waits in the spool to the outcome of each recipient. */
import path from 'node:path';
import type { Config } from '../config/index.ts';
import { createStsPolicies, type Resolver, type StsOptions } from '../dns/index.ts';
import type { Spool } from '../spool/spool.ts';
import type { PendingRecipient } from '../spool/stored-message.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { ContentWork } from './content/index.ts';
import { Delivery } from './deliver/delivery.ts';
import { DiscardDelivery } from './deliver/discard-delivery.ts';
import { Dispatcher } from './deliver/dispatcher.ts';
import type { DkimSigner } from './deliver/dkim-choice.ts';
import { FileDelivery } from './deliver/file-delivery.ts';
import { HttpDelivery } from './deliver/http-delivery.ts';
import { OutcomeWriter } from './deliver/outcome-writer.ts';
import { PipeDelivery } from './deliver/pipe-delivery.ts';
import { QueueFate } from './deliver/queue-fate.ts';
import { Renderer } from './deliver/render.ts';
import { SmtpDelivery } from './deliver/smtp-delivery.ts';
import { Traces } from './deliver/trace.ts';
import type { Tracking } from './deliver/tracking.ts';
import { Waits } from './deliver/waits.ts';
import { limitsFromConfig } from './limits-from-config.ts';
import type { Destinations } from './monitor/destinations.ts';
import type { Pauses } from './monitor/pauses.ts';
import { QueueEvents } from './monitor/queue-events.ts';
import type { TrafficMeter } from './monitor/traffic.ts';
import { queuedRecipient } from './queue/queued-recipient.ts';
import { Scheduler } from './queue/scheduler.ts';
import { copiesOf } from './reports/copies.ts';
import { DelayNotices } from './reports/delay-notices.ts';
import { OperatorNotices } from './reports/operator-notices.ts';
import { OwnMailMaker, together } from './reports/own-mail.ts';
import { SenderReports } from './reports/sender-reports.ts';
import { RollupRoutes } from './route/rollup-routes.ts';

export interface SendingDeps {
  /** What a reload replaces. */
  readonly inForce: () => {
    readonly config: Config;
    readonly dkim: DkimSigner;
    readonly tracking: Tracking;
    readonly resolver: Resolver;
  };
  /** Tracks and signs. */
  readonly content: ContentWork;
  readonly spool: Spool;
  readonly newSpoolId: () => string;
  /** What an operator has paused; null for nothing. */
  readonly pauses: Pauses | null;
  readonly traffic: TrafficMeter;
  /** Counts outcomes by destination, for supervising programs. */
  readonly destinations?: Destinations;
  readonly stateDir: string;
  readonly hostName: string;
  /** How long a connection stays at least that has nothing to do, milliseconds; default 0. */
  readonly lingerMs?: number;
  /** There are outcomes on disk that were not there before. */
  readonly onOutcomes: () => void;
  /** Reports to senders and copies after delivery are made. */
  readonly reports: boolean;
  /** Whom HTTP delivery trusts besides the system's authorities. */
  readonly ca?: string;
  /** Where MTA-STS policies come from, when not from their usual place. */
  readonly sts?: Pick<StsOptions, 'port' | 'ca'>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Sending {
  readonly scheduler: Scheduler;
  readonly outcomes: OutcomeWriter;
  readonly dispatcher: Dispatcher;
  readonly rollup: RollupRoutes;
  readonly events: QueueEvents;
  readonly traces: Traces;
  readonly delayNotices: DelayNotices;
  readonly notices: OperatorNotices;
  /** Puts recipients that the spool holds into their queues. */
  enqueue(recipients: readonly PendingRecipient[]): void;
  /** No new work; processes of ours are ended when `drained` is over. */
  stop(drained: (done: Promise<void>) => Promise<void>): Promise<void>;
}

const PAUSED_BY_COMMAND = 'pmta pause';

export function createSending(deps: SendingDeps): Sending {
  const { inForce, spool, newSpoolId, pauses, traffic, stateDir, hostName, clock } = deps;
  const log = deps.log.named('delivery');
  const config = () => inForce().config;
  const resolver = () => inForce().resolver;

  const scheduler: Scheduler = new Scheduler(limitsFromConfig(config, deps.lingerMs), {
    resume(id) {
      smtp.resume(id);
      waits.resume(id);
    },
    interrupt: (id) => smtp.interrupt(id),
    wake: () => dispatcher.kick(),
    pausedBy: (domain, vmta) => (pauses?.isQueuePaused(domain, vmta) ? PAUSED_BY_COMMAND : null),
    onMode(queue, mode, why) {
      log.info(`${queue.name} is in ${mode} mode: ${why}`);
      events.mode(queue, mode, why, clock.now());
      notices.mode(queue, mode, why);
    },
    onSource(queue, address, disabled, why, until) {
      if (config().queue(queue.domain, queue.vmta).get('log-disabled-ips')) {
        log.info(`source ${address} is ${disabled ? 'disabled' : 'enabled'} for ${queue.name}: ${why}`);
      }
      notices.source(queue, address, disabled, why, until);
    },
    onMoved: (items, queue) => outcomes.moved(queue, items),
    onRerouteLoop: (queues) =>
      log.error(`reroutes lead in a circle, mail rests in its last queue: ${queues.join(', ')}`),
  });
  const events = new QueueEvents(({ domain, vmta }) =>
    config().queue(domain, vmta).get('track-recipient-events'),
  );
  for (const job of pauses?.jobs ?? []) scheduler.pauseJob(job, PAUSED_BY_COMMAND);

  const enqueue = (recipients: readonly PendingRecipient[]) => {
    const now = clock.now();
    for (const item of recipients) scheduler.add(item.domain, item.vmta, queuedRecipient(item), now);
    dispatcher.kick();
  };
  const enqueueOwn = (recipients: readonly PendingRecipient[]) => {
    deps.onOutcomes();
    enqueue(recipients);
  };

  const mail = new OwnMailMaker({ config, newSpoolId, hostName, clock });
  const reports = new SenderReports(config, spool, mail, clock);
  const notices = new OperatorNotices({ config, spool, mail, enqueue: enqueueOwn, clock, log });
  const delayNotices = new DelayNotices({ spool, reports, config, enqueue: enqueueOwn, clock, log });
  const outcomes = new OutcomeWriter({
    spool,
    scheduler,
    clock,
    log,
    onWritten() {
      deps.onOutcomes();
      dispatcher.kick();
    },
    observe(queue, written) {
      events.outcomes(queue, written);
      deps.destinations?.outcomes(queue, written);
    },
    ...(deps.reports && {
      consequences: (queue, told) =>
        together([
          ...reports.about(queue, told),
          ...copiesOf(queue, told, { config: config(), spool, mail }),
        ]),
      enqueue,
    }),
  });

  const fate = new QueueFate(scheduler, outcomes, clock);
  const rollup = new RollupRoutes({ resolver, spool, scheduler, clock, log });
  const renderer = new Renderer(inForce, deps.content, clock, log);
  const waits = new Waits(clock);
  const local = { waits, scheduler, spool, outcomes, fate, renderer, traffic, clock, log };
  const stsPolicies = createStsPolicies({
    ...{ resolver, clock, log, file: path.join(stateDir, 'mta-sts.json') },
    ...deps.sts,
  });
  const traces = new Traces();
  const smtp = new SmtpDelivery({ ...local, traces, resolver, rollup, stsPolicies, hostName });
  const pipe = new PipeDelivery(local);
  const delivery = new Delivery({
    config,
    transports: {
      smtp,
      pipe,
      file: new FileDelivery({ ...local, stateDir }),
      'http-delivery': new HttpDelivery({ ...local, ca: deps.ca }),
      discard: new DiscardDelivery(scheduler, outcomes, clock),
    },
    fate,
    rollup,
    clock,
  });
  const dispatcher: Dispatcher = new Dispatcher(
    scheduler,
    (grant) => delivery.run(grant),
    ({ queue, items }) => fate.expire(queue, items, config()),
    clock,
    log,
  );

  return {
    scheduler,
    outcomes,
    dispatcher,
    rollup,
    events,
    traces,
    delayNotices,
    notices,
    enqueue,
    async stop(drained) {
      scheduler.stop();
      await drained(dispatcher.drained());
      pipe.stop();
      await stsPolicies.close();
      await drained(outcomes.settled());
    },
  };
}
