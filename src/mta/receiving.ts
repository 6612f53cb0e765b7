/** The receiving half of the MTA, put together: every way in, up to a message in the spool. */
import { availableParallelism } from 'node:os';
import type { Config } from '../config/index.ts';
import type { Resolver } from '../dns/index.ts';
import type { Spool } from '../spool/spool.ts';
import type { PendingRecipient } from '../spool/stored-message.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { Tracking } from './deliver/tracking.ts';
import type { ReferenceSigner } from './inbound/reference.ts';
import { ReportReader } from './inbound/report-reader.ts';
import type { TrafficMeter } from './monitor/traffic.ts';
import { InboundChecks } from './receive/checks/inbound-checks.ts';
import { createIntake } from './receive/intake.ts';
import { Listeners } from './receive/listeners.ts';
import { Pickup } from './receive/pickup/pickup.ts';
import { Reception } from './receive/reception.ts';
import { ThreadedReception, type ThreadedReceptionDeps } from './receive/thread/threaded-reception.ts';
import { TransmissionsApi } from './receive/transmissions/transmissions-api.ts';
import { TransmissionsListeners } from './receive/transmissions/transmissions-listeners.ts';
import { TransmissionsLog } from './receive/transmissions/transmissions-log.ts';
import { type SmtpWay, WaysIn } from './receive/ways-in.ts';
import { OwnMailMaker } from './reports/own-mail.ts';
import type { ColdCounts } from './route/cold-counts.ts';
import { Placements } from './route/placement.ts';
import { PoolRotation } from './route/pool-rotation.ts';
import type { RollupRoutes } from './route/rollup-routes.ts';

export interface ReceivingDeps {
  /** What a reload replaces. */
  readonly inForce: () => {
    readonly config: Config;
    readonly tracking: Tracking;
    readonly headersWanted: ReadonlySet<string>;
    readonly resolver: Resolver;
  };
  readonly spool: Spool;
  readonly newSpoolId: () => string;
  readonly references: ReferenceSigner;
  readonly cold: ColdCounts;
  readonly rollup: RollupRoutes;
  readonly traffic: TrafficMeter;
  /** Why no message can be taken now; null when all is well. */
  readonly spoolRefusal: () => string | null;
  /** The message is stored: its recipients may be delivered. There may be none, and outcomes all the same. */
  readonly enqueue: (recipients: readonly PendingRecipient[]) => void;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Receiving {
  readonly waysIn: WaysIn;
  readonly smtp: SmtpReception;
}

/** SMTP's way in, with what is told about it. */
export interface SmtpReception extends SmtpWay {
  /** Sessions open now, all listeners together. */
  readonly openSessions: number;
  /** The most that were open at one time. */
  readonly mostSessions: number;
}

export function createReceiving(deps: ReceivingDeps): Receiving {
  const { inForce, spool, references, rollup, traffic, spoolRefusal, hostName, clock } = deps;
  const log = deps.log.named('receive');
  const config = () => inForce().config;
  const takeMessage = createIntake({
    spool,
    newSpoolId: deps.newSpoolId,
    references,
    reports: new ReportReader(references, spool),
    mail: new OwnMailMaker({ config, newSpoolId: deps.newSpoolId, hostName, clock }),
    pools: new PoolRotation(),
    placements: new Placements({ cold: deps.cold, rollup: (...of) => rollup.known(...of), clock }),
    tracking: () => inForce().tracking,
    headersWanted: () => inForce().headersWanted,
    enqueue: deps.enqueue,
    onReceived: (count, bytes) => traffic.add('in', count, bytes, clock.now()),
    hostName,
    clock,
    log,
  });
  const smtp = smtpReception({
    ...{ config, takeMessage, spoolRefusal, hostName, clock, log },
    resolver: () => inForce().resolver,
    onTimed: (sums) => traffic.timings.add(sums, clock.now()),
  });
  const apiLog = new TransmissionsLog(config, deps.log.named('transmissions'));
  const transmissions = new TransmissionsApi({ config, takeMessage, spoolRefusal, log: apiLog });
  const waysIn = new WaysIn(
    smtp,
    new TransmissionsListeners((request, response) => transmissions.handle(request, response), apiLog),
    new Pickup({ takeMessage, spool, spoolRefusal, clock, log: deps.log.named('pickup') }),
  );
  return { waysIn, smtp };
}

/** With fewer processors a thread of reception costs what it spares, or more (docs/performance.md). */
const ENOUGH_PROCESSORS = 4;

/** Here, or in a thread of its own. */
function smtpReception(deps: ThreadedReceptionDeps & { readonly config: () => Config }): SmtpReception {
  const { config, clock, log, onTimed } = deps;
  const threaded = config().global.get('reception-thread') ?? availableParallelism() >= ENOUGH_PROCESSORS;
  if (threaded) return new ThreadedReception(deps);
  const reception = new Reception({
    ...deps,
    checks: [new InboundChecks(deps)],
    onTimed: (took) => onTimed({ count: 1, ...took }),
  });
  return new Listeners(reception, clock, log);
}
