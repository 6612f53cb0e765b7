/** `pmta trace`: one connection of a queue and one message over it, line by line (management guide, 4.10). */
import { isIP } from 'node:net';
import { describeHold } from '../../queue/hold.ts';
import type { Command, CommandCall, CommandResult } from '../command.ts';
import type { Control } from '../control.ts';
import { queuePattern } from '../queue-pattern.ts';

export const traceCommand: Command<Control> = {
  words: ['trace'],
  arguments: [1, 1],
  options: {
    'log-data': 'flag',
    'log-resolution': 'flag',
    'to-log': 'flag',
    'retry-recipients': 'flag',
    'source-ip': 'value',
    // As older scripts spell them.
    logdata: 'flag',
    logresolution: 'flag',
  },
  usage: '[--log-data] [--log-resolution] [--to-log] [--retry-recipients] [--source-ip=IP] DOMAIN[/VMTA]',
  summary: 'opens one connection for a queue, sends one message and shows the conversation',
  level: 'admin',
  run: trace,
};

async function trace(control: Control, call: CommandCall): Promise<CommandResult> {
  const {
    args: [pattern],
    options,
    now,
  } = call;
  const sourceIp = options.get('source-ip') ?? null;
  if (sourceIp !== null && isIP(sourceIp) === 0) {
    return { failure: `"${sourceIp.slice(0, 100)}" is no IP address` };
  }
  const matches = queuePattern(pattern!);
  const [queue] = [...control.scheduler.queues()]
    .filter(({ domain, vmta, size }) => size > 0 && matches(domain, vmta))
    .sort((a, b) => b.size - a.size);
  if (!queue) return { failure: `no queue with mail matches "${pattern!.slice(0, 200)}"` };
  const type = control.status.queueType(queue.domain, queue.vmta);
  if (type !== 'smtp') return { failure: `${queue.name} is of type ${type}; only SMTP can be traced` };
  const retryRecipients = options.has('retry-recipients');
  const lines = await control.trace(queue, retryRecipients, {
    data: options.has('log-data') || options.has('logdata'),
    resolution: options.has('log-resolution') || options.has('logresolution'),
    sourceIp,
  });
  if (lines === 'busy') return { failure: `${queue.name} is being traced already` };
  if (lines === null) {
    const why = control.scheduler.explain(queue, now).map((hold) => `  ${describeHold(hold, now)}`);
    const hint = retryRecipients ? '' : '; recipients in their own wait are tried with --retry-recipients';
    return { failure: [`${queue.name} opened no connection in time${hint}`, ...why].join('\n') };
  }
  const text = lines.map((line) => `${line}\n`).join('');
  if (!options.has('to-log')) return { data: '', text };
  control.logTrace(lines);
  return { data: '', message: `Trace of ${queue.name} written to the log.` };
}
