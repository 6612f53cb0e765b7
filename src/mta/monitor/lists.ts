/** What waits, summed up by queue, domain, VMTA and job (management guide, sections 4.3 to 4.5). */
import { addressToUnicode, domainToUnicode, queueToUnicode } from '../../mail/address.ts';
import { logTime } from '../../system/log.ts';
import { rateLimitStatus } from '../queue/hold.ts';
import type { Queue, QueueError } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { JsonOnly, Kb, Many, type Tree, XmlOnly } from './answer.ts';
import type { QueueEvents } from './queue-events.ts';

export type Sort = 'name' | 'rcpt' | 'size';

export interface Selection {
  readonly matches: (queue: Queue) => boolean;
  readonly sort: Sort;
  /** Infinity for all. */
  readonly maxItems: number;
  readonly show: Shown;
}

/** What is shown of each queue or domain beside its figures. */
export interface Shown {
  /** Errors in XML and DOM; JSON and the last column of the text have them in any case. */
  readonly errors: boolean;
  readonly modeEvents: boolean;
  /** Where they are tracked. */
  readonly recipientEvents: boolean;
}

interface Sums {
  readonly name: string;
  rcp: number;
  /** Looks at every recipient: for what is sorted by it, or shown. */
  bytes(): number;
  conn: number;
}

const BY: Readonly<Record<Sort, (a: Sums, b: Sums) => number>> = {
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  rcpt: (a, b) => b.rcp - a.rcp || BY.name(a, b),
  size: (a, b) => b.bytes() - a.bytes() || BY.name(a, b),
};

const SORTED_BY: Readonly<Record<Sort, string>> = {
  name: 'by name',
  rcpt: 'by number of recipients',
  size: 'by size',
};

interface Chosen<T> {
  readonly items: readonly T[];
  readonly matching: number;
}

function chosen<T extends Sums>(
  all: readonly T[],
  { sort, maxItems }: Pick<Selection, 'sort' | 'maxItems'>,
): Chosen<T> {
  return { items: [...all].sort(BY[sort]).slice(0, maxItems), matching: all.length };
}

/** Title and totals of a list as the web pages' JSON has them. */
function list(
  singular: string,
  plural: string,
  sort: Sort,
  trees: readonly Tree[],
  matching: number,
  rcp: number,
): Tree {
  const capital = plural[0]!.toUpperCase() + plural.slice(1);
  return {
    title: new JsonOnly(`Top ${trees.length} ${plural} ${SORTED_BY[sort]}`),
    [singular]: new Many(plural, trees),
    [`total${capital}WithRcp`]: new JsonOnly(matching),
    totalRcp: new JsonOnly(rcp),
  };
}

/** `limited`: what is the matter right now, before what was. */
function eventsOf(queues: readonly Queue[], shown: boolean, limited: readonly QueueError[] = []): Many {
  const errors = queues
    .flatMap((queue) => queue.errors)
    .sort((a, b) => b.at - a.at)
    // Of a domain as many as of the queue that keeps the most.
    .slice(0, Math.max(0, ...queues.map(({ limits }) => limits.mostErrors)));
  const events = [...limited, ...errors];
  return new Many(
    'errors',
    events.map(({ at, text }) => ({ time: logTime(at), type: new XmlOnly('error'), text })),
    { jsonOnly: !shown },
  );
}

/** D5.3: the rates that a queue waits for, for as long as it does. */
function rateEvents(scheduler: Scheduler, queue: Queue, now: number): QueueError[] {
  if (queue.waitingSize === 0) return [];
  const texts = scheduler.explain(queue, now).map(rateLimitStatus);
  return [...new Set(texts)].filter((text) => text !== '').map((text) => ({ at: now, text }));
}

function recipientEventsOf(events: QueueEvents, queue: Queue): { rcptEvent: Many } | null {
  const kept = events.recipients(queue);
  if (!kept) return null;
  const trees = kept.map(({ event, at, sourceIp, recipient, job, mta, diagnosis }) => ({
    event,
    time: logTime(at),
    sourceIp,
    rcpt: addressToUnicode(recipient),
    jobId: job,
    mta,
    diag: diagnosis,
  }));
  return { rcptEvent: new Many('rcptEvents', trees) };
}

function modeEventsOf(events: QueueEvents, queue: Queue): { modeEvent: Many } {
  const trees = events.modes(queue).map(({ at, mode, reason }) => ({ time: logTime(at), mode, reason }));
  return { modeEvent: new Many('modeEvents', trees) };
}

/** Queues that have recipients. */
export function queueList(
  scheduler: Scheduler,
  events: QueueEvents,
  selection: Selection,
  now: number,
): Tree {
  const all = [];
  for (const queue of scheduler.queues()) {
    if (queue.size === 0 || !selection.matches(queue)) continue;
    all.push({
      name: queueToUnicode(queue.name),
      rcp: queue.size,
      bytes: once(() => bytesOf(scheduler, queue)),
      conn: queue.connections,
      queue,
    });
  }
  const { items, matching } = chosen(all, selection);
  const trees = items.map(({ queue }) => queueTree(scheduler, events, queue, selection.show, now));
  return list('queue', 'queues', selection.sort, trees, matching, sum(all));
}

export function queueTree(
  scheduler: Scheduler,
  events: QueueEvents,
  queue: Queue,
  show: Shown,
  now: number,
): Tree {
  return {
    name: queueToUnicode(queue.name),
    rcp: queue.size,
    kb: new Kb(bytesOf(scheduler, queue)),
    conn: queue.connections,
    paused: queue.pausedBy !== null,
    mode: queue.mode,
    backoffReason: queue.mode === 'backoff' ? queue.modeReason : '',
    retryTime: queue.retryAt > now ? logTime(queue.retryAt) : '',
    event: eventsOf([queue], show.errors, rateEvents(scheduler, queue, now)),
    ...(show.modeEvents && modeEventsOf(events, queue)),
    ...(show.recipientEvents && recipientEventsOf(events, queue)),
  };
}

export function domainList(scheduler: Scheduler, selection: Selection): Tree {
  const domains = new Map<string, Sums & { queues: Queue[] }>();
  for (const queue of scheduler.queues()) {
    if (queue.size === 0 || !selection.matches(queue)) continue;
    const queues: Queue[] = domains.get(queue.domain)?.queues ?? [];
    const known = domains.get(queue.domain) ?? {
      name: domainToUnicode(queue.domain),
      rcp: 0,
      bytes: once(() => bytesOfAll(scheduler, queues)),
      conn: 0,
      queues,
    };
    domains.set(queue.domain, known);
    add(known, queue);
    queues.push(queue);
  }
  const all = [...domains.values()];
  const { items, matching } = chosen(all, selection);
  const trees = items.map(({ name, rcp, bytes, conn, queues }) => ({
    name,
    rcp,
    kb: new Kb(bytes()),
    conn,
    event: eventsOf(queues, selection.show.errors),
  }));
  return list('domain', 'domains', selection.sort, trees, matching, sum(all));
}

/** VMTAs with queued mail. */
export function vmtaList(scheduler: Scheduler, maxItems: number): Tree {
  const vmtas = new Map<string, Sums & { domains: Set<string>; queues: Queue[] }>();
  for (const queue of scheduler.queues()) {
    if (queue.size === 0) continue;
    const queues: Queue[] = vmtas.get(queue.vmta)?.queues ?? [];
    const known = vmtas.get(queue.vmta) ?? {
      name: queue.vmta,
      rcp: 0,
      bytes: once(() => bytesOfAll(scheduler, queues)),
      conn: 0,
      domains: new Set(),
      queues,
    };
    vmtas.set(queue.vmta, known);
    add(known, queue);
    queues.push(queue);
    known.domains.add(queue.domain);
  }
  const all = [...vmtas.values()];
  const total = sum(all);
  const { items, matching } = chosen(all, { sort: 'rcpt', maxItems });
  const trees = items.map(({ name, rcp, bytes, conn, domains }) => ({
    name,
    rcp,
    kb: new Kb(bytes()),
    pctOfTotal: Math.round((rcp / total) * 100),
    conn,
    dom: domains.size,
  }));
  return list('vmta', 'vmtas', 'rcpt', trees, matching, total);
}

/** Jobs with queued mail; looks at every queued recipient once. */
export function jobList(scheduler: Scheduler, maxItems: number, only: string | null): Tree {
  const jobs = new Map<
    string,
    Sums & { size: number; domains: Set<string>; starts: number; queues: Set<Queue> }
  >();
  for (const queue of scheduler.queues()) {
    for (const item of scheduler.items(queue)) {
      if (item.job === '' || (only !== null && item.job !== only)) continue;
      let known = jobs.get(item.job);
      if (!known) {
        known = {
          name: item.job,
          rcp: 0,
          size: 0,
          bytes() {
            return this.size;
          },
          conn: 0,
          domains: new Set(),
          starts: Number.POSITIVE_INFINITY,
          queues: new Set(),
        };
        jobs.set(item.job, known);
      }
      known.rcp++;
      known.size += item.size;
      known.domains.add(queue.domain);
      known.queues.add(queue);
      known.starts = Math.min(known.starts, item.windows?.[0]?.start ?? Number.POSITIVE_INFINITY);
    }
  }
  const all = [...jobs.values()];
  const { items, matching } = chosen(all, { sort: 'rcpt', maxItems });
  const trees = items.map(({ name, rcp, size, domains, starts, queues }) => ({
    name,
    rcp,
    kb: new Kb(size),
    conn: [...queues].reduce((conn, queue) => conn + queue.connections, 0),
    dom: domains.size,
    paused: scheduler.jobPausedBy(name) !== null,
    schedStartTime: Number.isFinite(starts) ? logTime(starts) : '',
  }));
  return list('job', 'jobs', 'rcpt', trees, matching, sum(all));
}

/** Bytes of what waits in a queue; each recipient counts its message. */
export function bytesOf(scheduler: Scheduler, queue: Queue): number {
  let bytes = 0;
  for (const item of scheduler.items(queue)) bytes += item.size;
  return bytes;
}

function bytesOfAll(scheduler: Scheduler, queues: readonly Queue[]): number {
  return queues.reduce((bytes, queue) => bytes + bytesOf(scheduler, queue), 0);
}

/** A figure that is worked out when it is asked for, and then known. */
function once(work: () => number): () => number {
  let known: number | null = null;
  return () => {
    known ??= work();
    return known;
  };
}

function add(sums: Sums, queue: Queue): void {
  sums.rcp += queue.size;
  sums.conn += queue.connections;
}

function sum(all: readonly Sums[]): number {
  return all.reduce((total, { rcp }) => total + rcp, 0);
}
