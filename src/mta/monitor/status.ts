import { cpus, type as osType, version as osVersion, release, totalmem } from 'node:os';
import { logTime } from '../../system/log.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { Kb, type Tree } from './answer.ts';
import { bytesOf } from './lists.ts';
import type { Processed, Traffic, TrafficMeter } from './traffic.ts';

/** Where the status page takes its figures from. */
export interface StatusSources {
  readonly version: string;
  readonly hostName: string;
  readonly hostId: number;
  readonly startedAt: number;
  readonly traffic: TrafficMeter;
  readonly scheduler: Scheduler;
  readonly connections: () => {
    readonly in: { cur: number; max: number; top: number };
    readonly out: { cur: number; max: number; top: number };
  };
  readonly resolver: () => {
    readonly cached: number;
    readonly queries: { readonly pending: number; readonly active: number };
  };
  /** Recipients that the spool may hold; 0 for no limit of its own. */
  readonly maxRecipients: () => number;
  /** How much of what waited at the start has been read: 0 to 100. */
  readonly spoolReadPercent: () => number;
  /** When this version was built. */
  readonly builtAt: number;
  readonly messagesStored: () => number;
  /** `type` of a queue: smtp, pipe, file, discard, http-delivery. */
  readonly queueType: (domain: string, vmta: string) => string;
  readonly shuttingDown: () => boolean;
}

/** What stands where PowerMTA names the state of its sources: a release of ours is known by its version. */
export function revisionOf({ version }: Pick<StatusSources, 'version'>): string {
  return `release@${version}`;
}

/** `show status` and `/status`: the elements and their order are what readers of PowerMTA expect (section 4.2). */
export function statusTree(sources: StatusSources, now: number): Tree {
  const { traffic } = sources;
  const waiting = waitingByType(sources);
  const recipients = [...waiting.values()].reduce((sum, { rcp }) => sum + rcp, 0);
  const queueTree = (type: string): Tree => {
    const { rcp, domains, bytes } = waiting.get(type) ?? NOTHING_WAITS;
    return { rcp, dom: domains.size, kb: new Kb(bytes) };
  };
  const connections = sources.connections();
  const resolver = sources.resolver();
  const { processed } = traffic;
  const window = (out: Traffic, inbound: Traffic, { bounces, complaints }: Processed): Tree => ({
    out: trafficTree(out),
    in: trafficTree(inbound),
    bounceProcessed: bounces,
    feedbackLoopProcessed: complaints,
  });
  const timed = traffic.timings.lastMinute(now);
  const average = (sum: number) => (timed.count === 0 ? 0 : Math.round(sum / timed.count));
  return {
    mta: {
      product: {
        name: 'Posthorn',
        version: sources.version,
        buildDate: logTime(sources.builtAt),
        revision: revisionOf(sources),
        bits: 64,
      },
      lak: { serial: '0', instances: 1 },
      os: { name: osType(), version: release(), build: osVersion() },
      cpu: { type: process.arch === 'x64' ? 'x86_64' : process.arch, count: cpus().length },
      ram: { real: Math.round(totalmem() / 1024) },
      fullHostName: sources.hostName,
      userString: '',
      hostId: sources.hostId,
    },
    status: {
      timeNow: logTime(now),
      startupTime: logTime(sources.startedAt),
      shuttingDown: sources.shuttingDown(),
      traffic: {
        total: window(traffic.total.out, traffic.total.in, processed.total),
        lastHr: window(traffic.lastHour('out', now), traffic.lastHour('in', now), processed.lastHour(now)),
        lastMin: window(
          traffic.lastMinute('out', now),
          traffic.lastMinute('in', now),
          processed.lastMinute(now),
        ),
        topPerHr: window(traffic.topPerHour.out, traffic.topPerHour.in, processed.topPerHour),
        topPerMin: window(traffic.topPerMinute.out, traffic.topPerMinute.in, processed.topPerMinute),
        perf: {
          lastMin: {
            // Milliseconds, on average.
            in: {
              count: timed.count,
              mailFromTime: average(timed.mailFrom),
              dataTime: average(timed.data),
              totalTime: average(timed.total),
            },
          },
        },
      },
      conn: { smtpIn: connections.in, smtpOut: connections.out },
      resolver: {
        namesCached: resolver.cached,
        queriesPending: resolver.queries.pending,
        queriesActive: resolver.queries.active,
      },
      queue: {
        smtp: queueTree('smtp'),
        pipe: queueTree('pipe'),
        discard: queueTree('discard'),
        file: queueTree('file'),
        // Done before mail is queued.
        alias: queueTree('alias'),
        bounceProcessor: queueTree('bounceProcessor'),
        feedbackLoopProcessor: queueTree('feedbackLoopProcessor'),
        httpDelivery: queueTree('http-delivery'),
      },
      spool: {
        initPct: sources.spoolReadPercent(),
        dirs: 1,
        files: {
          inUse: sources.messagesStored(),
          recycled: 0,
          total: sources.messagesStored(),
        },
        totalRcp: recipients,
        maxRcp: sources.maxRecipients() || NO_LIMIT,
      },
      status: sources.shuttingDown() ? 'stopping' : 'running',
    },
  };
}

/** Monitors work out how full the spool is by dividing by its limit: where there is none, the largest that they read. */
const NO_LIMIT = 2 ** 31 - 1;

interface Waiting {
  rcp: number;
  bytes: number;
  readonly domains: Set<string>;
}

const NOTHING_WAITS: Waiting = { rcp: 0, bytes: 0, domains: new Set() };

function waitingByType({ scheduler, queueType }: StatusSources): Map<string, Waiting> {
  const types = new Map<string, Waiting>();
  for (const queue of scheduler.queues()) {
    if (queue.size === 0) continue;
    const type = queueType(queue.domain, queue.vmta);
    const known = types.get(type) ?? { rcp: 0, bytes: 0, domains: new Set() };
    types.set(type, known);
    known.rcp += queue.size;
    known.bytes += bytesOf(scheduler, queue);
    known.domains.add(queue.domain);
  }
  return types;
}

function trafficTree(traffic: Traffic): Tree {
  return { rcp: traffic.rcp, msg: traffic.msg, kb: new Kb(traffic.bytes) };
}
