/** `/metrics`: the server's figures in Prometheus' text format 0.0.4. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Control } from './control.ts';
import type { LabelledCounts, OutcomeCounts } from './destinations.ts';
import { bytesOf } from './lists.ts';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** Queues with series of their own; the others are added up. */
const MOST_QUEUES = 50;
const OUTCOMES = ['delivered', 'bounced', 'deferred'] as const satisfies readonly (keyof OutcomeCounts)[];

/** Measures how late the event loop runs, from now on until it is closed. */
export function eventLoopLag(): { readonly seconds: () => Readonly<Record<string, number>>; close(): void } {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  return {
    /** Since it was asked last. */
    seconds() {
      const figures = {
        '0.5': delay.percentile(50) / 1e9,
        '0.99': delay.percentile(99) / 1e9,
        '1': delay.count === 0 ? 0 : delay.max / 1e9,
      };
      delay.reset();
      return figures;
    },
    close: () => delay.disable(),
  };
}

export function metricsText(control: Control, lag: Readonly<Record<string, number>>, now: number): string {
  const { status, scheduler, destinations, counters } = control;
  const { traffic } = status;
  const { totals, backlog } = counters();
  const out = new Exposition();
  out.add('posthorn_info', 'gauge', 'Version of the server.', [[{ version: status.version }, 1]]);
  out.one('posthorn_start_time_seconds', 'gauge', 'When the server was started.', status.startedAt / 1000);
  out.add(
    'posthorn_outcomes_total',
    'counter',
    'Recipients by what became of them since the spool was made.',
    Object.entries(totals).map(([kind, value]) => [{ kind }, value]),
  );
  for (const [name, help, counts] of [
    ['vmta', 'Recipients by VMTA since the start; the 50 busiest, the rest as other.', destinations.vmtas],
    [
      'domain',
      'Recipients by queue domain since the start; the 50 busiest, the rest as other.',
      destinations.domains,
    ],
  ] as const) {
    out.add(`posthorn_${name}_outcomes_total`, 'counter', help, labelled(name, counts));
  }
  for (const [figure, help] of [
    ['rcp', 'Recipients in the last minute.'],
    ['msg', 'Messages (on the way out: transactions) in the last minute.'],
    ['bytes', 'Bytes in the last minute.'],
  ] as const) {
    out.add(
      `posthorn_last_minute_${figure === 'rcp' ? 'recipients' : figure === 'msg' ? 'messages' : 'bytes'}`,
      'gauge',
      help,
      (['in', 'out'] as const).map((direction) => [
        { direction },
        traffic.lastMinute(direction, now)[figure],
      ]),
    );
  }
  const connections = status.connections();
  const both = (of: 'cur' | 'max'): Sample[] =>
    (['in', 'out'] as const).map((direction) => [{ direction }, connections[direction][of]]);
  out.add('posthorn_connections', 'gauge', 'SMTP connections that are open.', both('cur'));
  out.add('posthorn_connections_limit', 'gauge', 'Most that may be open; 0: no limit.', both('max'));
  queues(out, scheduler);
  out.one('posthorn_spool_messages', 'gauge', 'Messages in the spool.', status.messagesStored());
  out.one(
    'posthorn_spool_read_ratio',
    'gauge',
    'How much of what waited at the start has been read.',
    status.spoolReadPercent() / 100,
  );
  out.one(
    'posthorn_backlog_outcomes',
    'gauge',
    'Outcomes not yet in every accounting and event file.',
    backlog.outcomes,
  );
  out.one('posthorn_backlog_event_files', 'gauge', 'Event files not yet uploaded.', backlog.eventFiles);
  const resolver = status.resolver();
  out.one('posthorn_dns_cached_answers', 'gauge', 'Answers in the DNS cache.', resolver.cached);
  out.one(
    'posthorn_dns_pending_queries',
    'gauge',
    'DNS questions without an answer yet.',
    resolver.queries.pending,
  );
  out.add(
    'posthorn_event_loop_lag_seconds',
    'gauge',
    'How late the event loop ran since the last scrape, by quantile.',
    Object.entries(lag).map(([quantile, value]) => [{ quantile }, value]),
  );
  const memory = process.memoryUsage();
  out.add('posthorn_memory_bytes', 'gauge', 'Memory of the process.', [
    [{ kind: 'rss' }, memory.rss],
    [{ kind: 'heap_used' }, memory.heapUsed],
    [{ kind: 'heap_total' }, memory.heapTotal],
    [{ kind: 'external' }, memory.external],
  ]);
  const cpu = process.cpuUsage();
  out.one('posthorn_cpu_seconds_total', 'counter', 'CPU time used.', (cpu.user + cpu.system) / 1e6);
  return out.text;
}

function queues(out: Exposition, scheduler: Control['scheduler']): void {
  const all = [...scheduler.queues()].filter(({ size }) => size > 0);
  out.one('posthorn_queues', 'gauge', 'Queues with recipients.', all.length);
  out.one('posthorn_queues_paused', 'gauge', 'Paused queues.', all.filter((q) => q.pausedBy !== null).length);
  out.one(
    'posthorn_queues_backoff',
    'gauge',
    'Queues in backoff mode.',
    all.filter((q) => q.mode === 'backoff').length,
  );
  const sizes = all.map((queue) => ({ queue, size: queue.size })).sort((a, b) => b.size - a.size);
  const rest = sizes.slice(MOST_QUEUES);
  const other: Sample[] =
    rest.length === 0
      ? []
      : [[{ domain: 'other', vmta: 'other' }, rest.reduce((sum, { size }) => sum + size, 0)]];
  out.add(
    'posthorn_queue_recipients',
    'gauge',
    'Recipients that wait, in the 50 fullest queues; the rest as other.',
    [
      ...sizes
        .slice(0, MOST_QUEUES)
        .map(({ queue, size }): Sample => [{ domain: queue.domain, vmta: queue.vmta }, size]),
      ...other,
    ],
  );
  out.one(
    'posthorn_queued_recipients',
    'gauge',
    'Recipients that wait.',
    sizes.reduce((sum, { size }) => sum + size, 0),
  );
  out.one(
    'posthorn_queued_bytes',
    'gauge',
    'Bytes that wait; each recipient counts its message.',
    all.reduce((sum, queue) => sum + bytesOf(scheduler, queue), 0),
  );
}

function labelled(label: string, counts: LabelledCounts): Sample[] {
  const samples: Sample[] = [];
  for (const [name, of] of counts.named) {
    for (const outcome of OUTCOMES) samples.push([{ [label]: name, outcome }, of[outcome]]);
  }
  for (const outcome of OUTCOMES) samples.push([{ [label]: 'other', outcome }, counts.other[outcome]]);
  return samples;
}

class Exposition {
  text = '';

  one(name: string, type: 'gauge' | 'counter', help: string, value: number): void {
    this.add(name, type, help, [[{}, value]]);
  }

  add(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): void {
    this.text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    for (const [labels, value] of samples) {
      const inside = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
      this.text += `${name}${inside.length === 0 ? '' : `{${inside.join(',')}}`} ${value}\n`;
    }
  }
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}
