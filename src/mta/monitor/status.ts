import { cpus, type as osType, version as osVersion, release, totalmem } from 'node:os';
import { logTime } from '../../system/log.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { Kb, type Tree } from './answer.ts';
import type { Traffic, TrafficMeter } from './traffic.ts';

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
  readonly namesCached: () => number;
  readonly messagesStored: () => number;
  readonly shuttingDown: () => boolean;
}

/** `show status` and `/status`: the elements and their order are what readers of PowerMTA expect (section 4.2). */
export function statusTree(sources: StatusSources, now: number): Tree {
  const { traffic, scheduler } = sources;
  let recipients = 0;
  const domains = new Set<string>();
  for (const queue of scheduler.queues()) {
    if (queue.size === 0) continue;
    recipients += queue.size;
    domains.add(queue.domain);
  }
  const none = { rcp: 0, dom: 0, kb: new Kb(0) };
  const connections = sources.connections();
  const window = (out: Traffic, inbound: Traffic): Tree => ({
    out: trafficTree(out),
    in: trafficTree(inbound),
    bounceProcessed: 0,
    feedbackLoopProcessed: 0,
  });
  return {
    mta: {
      product: {
        name: 'Posthorn',
        version: sources.version,
        buildDate: logTime(sources.startedAt),
        revision: '',
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
        total: window(traffic.total.out, traffic.total.in),
        lastHr: window(traffic.lastHour('out', now), traffic.lastHour('in', now)),
        lastMin: window(traffic.lastMinute('out', now), traffic.lastMinute('in', now)),
        topPerHr: window(traffic.topPerHour.out, traffic.topPerHour.in),
        topPerMin: window(traffic.topPerMinute.out, traffic.topPerMinute.in),
        perf: {
          lastMin: {
            in: { count: traffic.lastMinute('in', now).msg, mailFromTime: 0, dataTime: 0, totalTime: 0 },
          },
        },
      },
      conn: { smtpIn: connections.in, smtpOut: connections.out },
      resolver: { namesCached: sources.namesCached(), queriesPending: 0, queriesActive: 0 },
      queue: {
        smtp: { rcp: recipients, dom: domains.size, kb: new Kb(0) },
        pipe: none,
        discard: none,
        file: none,
        alias: none,
        bounceProcessor: none,
        feedbackLoopProcessor: none,
      },
      spool: {
        initPct: 100,
        dirs: 1,
        files: {
          inUse: sources.messagesStored(),
          recycled: 0,
          total: sources.messagesStored(),
        },
        totalRcp: recipients,
        maxRcp: 0,
      },
      status: sources.shuttingDown() ? 'stopping' : 'running',
    },
  };
}

/** `show queues`: those with recipients, the fullest first. */
export function queuesTree(scheduler: Scheduler, now: number, maxItems: number): Tree {
  const queues = [...scheduler.queues()].filter((queue) => queue.size > 0).sort((a, b) => b.size - a.size);
  const shown = queues.slice(0, maxItems);
  return {
    title: `Top ${shown.length} queues by number of recipients`,
    queues: shown.map((queue) => ({
      name: queue.name,
      rcp: queue.size,
      kb: new Kb(0),
      conn: queue.connections,
      paused: queue.pausedBy !== null,
      mode: 'normal',
      backoffReason: '',
      retryTime: queue.retryAt > now ? logTime(queue.retryAt) : '',
      errors: queue.lastError === '' ? [] : [{ time: logTime(queue.lastErrorAt), text: queue.lastError }],
    })),
    totalQueuesWithRcp: queues.length,
    totalRcp: queues.reduce((sum, queue) => sum + queue.size, 0),
  };
}

function trafficTree(traffic: Traffic): Tree {
  return { rcp: traffic.rcp, msg: traffic.msg, kb: new Kb(traffic.bytes) };
}
