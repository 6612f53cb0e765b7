/** Commands about queues: pause, resume, schedule, mode, source addresses (management guide, sections 4.1 and 5). */
import { isIP } from 'node:net';
import { parseInterval } from '../../../config/index.ts';
import type { Queue } from '../../queue/queue.ts';
import type { Command, CommandResult } from '../command.ts';
import type { Control } from '../control.ts';
import { queuePattern } from '../queue-pattern.ts';

function matching({ scheduler }: Control, pattern: string): Queue[] {
  const matches = queuePattern(pattern);
  return [...scheduler.queues()].filter(({ domain, vmta }) => matches(domain, vmta));
}

/** How many queues there are beside those that match, for people who mistyped. */
function noneMatch(pattern: string): CommandResult {
  return {
    failure: `no queue matches "${pattern.slice(0, 200)}"; write it as DOMAIN or DOMAIN/VMTA, * for any text`,
  };
}

const BY = 'pmta pause queue';

export const queueCommands: readonly Command<Control>[] = [
  {
    words: ['pause', 'queue'],
    arguments: [1, 1],
    options: {},
    usage: 'DOMAIN[/VMTA]',
    summary: 'starts no new deliveries from these queues; mail is still accepted. Holds across a restart',
    level: 'admin',
    async run(control, { args: [pattern] }) {
      // Written down first: what is answered holds after a kill.
      if (!(await control.pauses.queue(pattern!, true)))
        return { failure: 'too many queues are paused by name' };
      for (const queue of matching(control, pattern!)) control.scheduler.pause(queue, BY);
      return { data: '', message: 'Queue(s) paused.' };
    },
  },
  {
    words: ['resume', 'queue'],
    arguments: [1, 1],
    options: {},
    usage: 'DOMAIN[/VMTA]',
    summary: 'ends the pause of these queues',
    level: 'admin',
    async run(control, { args: [pattern], now }) {
      if (!(await control.pauses.queue(pattern!, false)))
        return { failure: 'too many queues are paused by name' };
      for (const queue of matching(control, pattern!)) control.scheduler.resume(queue, now);
      control.kick();
      return { data: '', message: 'Queue(s) resumed.' };
    },
  },
  {
    words: ['schedule'],
    arguments: [1, 1],
    options: { 'retry-recipients': 'flag' },
    usage: '[--retry-recipients] DOMAIN[/VMTA]',
    summary: 'tries now what waits; with --retry-recipients also recipients that wait for themselves',
    level: 'admin',
    run(control, { args: [pattern], options, now }) {
      const queues = matching(control, pattern!).filter(({ size }) => size > 0);
      for (const queue of queues) control.scheduler.schedule(queue, options.has('retry-recipients'), now);
      control.kick();
      return { data: '', message: `${queues.length} of ${queues.length} matching queues scheduled.` };
    },
  },
  {
    words: ['set', 'queue'],
    arguments: [1, 1],
    options: { mode: 'value' },
    usage: '--mode={normal|backoff} DOMAIN[/VMTA]',
    summary: 'puts queues into a mode',
    level: 'admin',
    run(control, { args: [pattern], options, now }) {
      const mode = options.get('mode')?.toLowerCase();
      if (mode !== 'normal' && mode !== 'backoff')
        return { failure: 'set queue needs --mode=normal or --mode=backoff' };
      const queues = matching(control, pattern!);
      if (queues.length === 0) return noneMatch(pattern!);
      for (const queue of queues) control.scheduler.setMode(queue, mode, 'pmta set queue', now);
      control.kick();
      return { data: '', message: `${queues.length} queue(s) set to ${mode} mode.` };
    },
  },
  {
    words: ['disable', 'source'],
    arguments: [2, 2],
    options: { 'reenable-after': 'value' },
    usage: '[--reenable-after=TIME] IP DOMAIN[/VMTA]',
    summary: 'sends nothing more from this address for these queues',
    level: 'admin',
    run(control, { args: [address, pattern], options, now }) {
      if (isIP(address!) === 0) return { failure: `"${address!.slice(0, 100)}" is no IP address` };
      const given = options.get('reenable-after');
      const after = given === undefined ? null : parseInterval(given);
      if (given !== undefined && after === null) {
        return { failure: `"${given.slice(0, 100)}" is no time; write for example 30m or 1d12h` };
      }
      const queues = matching(control, pattern!);
      if (queues.length === 0) return noneMatch(pattern!);
      const until = after === null ? null : now + after;
      for (const queue of queues)
        control.scheduler.disableSource(queue, address!, until, 'pmta disable source', now);
      return { data: '', message: `Source ${address} disabled for ${queues.length} queue(s).` };
    },
  },
  {
    words: ['enable', 'source'],
    arguments: [2, 2],
    options: {},
    usage: 'IP DOMAIN[/VMTA]',
    summary: 'ends what "disable source" or a reply pattern did',
    level: 'admin',
    run(control, { args: [address, pattern], now }) {
      if (isIP(address!) === 0) return { failure: `"${address!.slice(0, 100)}" is no IP address` };
      const queues = matching(control, pattern!).filter(({ sources }) => sources.disabled.has(address!));
      if (queues.length === 0) return { failure: `${address} is disabled for no queue that matches` };
      for (const queue of queues) control.scheduler.enableSource(queue, address!, 'pmta enable source', now);
      control.kick();
      return { data: '', message: `Source ${address} enabled for ${queues.length} queue(s).` };
    },
  },
];
