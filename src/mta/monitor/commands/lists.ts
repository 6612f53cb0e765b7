/** What waits, by queue, domain, VMTA, job; disabled addresses; one queue in detail (management guide, 4.3 to 4.6). */
import { queueToUnicode } from '../../../mail/address.ts';
import { logTime } from '../../../system/log.ts';
import type { Queue } from '../../queue/queue.ts';
import { JsonOnly, Many } from '../answer.ts';
import type { Command, CommandCall, CommandResult } from '../command.ts';
import type { Control } from '../control.ts';
import { domainList, jobList, queueList, queueTree, type Selection, type Sort, vmtaList } from '../lists.ts';
import { namedQueue, queuePattern } from '../queue-pattern.ts';
import { settingsText, settingsTree } from '../settings.ts';
import { domainsText, jobsText, queuesText, vmtasText } from '../text.ts';

/** Of `show queues` and `show domains`; jobs and VMTAs are shown all. */
const DEFAULT_MAX_ITEMS = 20;

const QUEUE_OPTIONS = {
  connected: 'value',
  paused: 'value',
  mode: 'value',
  'mode-events': 'flag',
  maxitems: 'value',
  errors: 'flag',
  'no-rcpt-events': 'flag',
} as const;
const QUEUE_USAGE =
  '[--connected={yes|no}] [--paused={yes|no}] [--mode={normal|backoff}] [--maxitems=N] [--errors] [--mode-events] [--no-rcpt-events] [--sort={name|rcpt|size}] [QUEUE]';
const DOMAIN_USAGE =
  '[--vmta=NAME] [--connected={yes|no}] [--maxitems=N] [--errors] [--sort={name|rcpt|size}] [DOMAIN]';

export const listCommands: readonly Command<Control>[] = [
  {
    words: ['show', 'queues'],
    arguments: [0, 1],
    options: { ...QUEUE_OPTIONS, sort: 'value' },
    usage: QUEUE_USAGE,
    summary: 'queues with mail, the fullest first',
    level: 'monitor',
    run: showQueues,
  },
  {
    words: ['show', 'topqueues'],
    arguments: [0, 1],
    options: QUEUE_OPTIONS,
    usage: QUEUE_USAGE.replace(' [--sort={name|rcpt|size}]', ''),
    summary: 'the same, always by recipients',
    level: 'monitor',
    run: showQueues,
  },
  {
    words: ['show', 'domains'],
    arguments: [0, 1],
    options: { vmta: 'value', connected: 'value', maxitems: 'value', errors: 'flag', sort: 'value' },
    usage: DOMAIN_USAGE,
    summary: 'domains with mail, all VMTAs together',
    level: 'monitor',
    run: showDomains,
  },
  {
    words: ['show', 'topdomains'],
    arguments: [0, 1],
    options: { vmta: 'value', connected: 'value', maxitems: 'value', errors: 'flag' },
    usage: DOMAIN_USAGE.replace(' [--sort={name|rcpt|size}]', ''),
    summary: 'the same, always by recipients',
    level: 'monitor',
    run: showDomains,
  },
  {
    words: ['show', 'vmtas'],
    arguments: [0, 0],
    options: { maxitems: 'value' },
    usage: '[--maxitems=N]',
    summary: 'VMTAs with mail',
    level: 'monitor',
    run({ scheduler }, { options }) {
      const maxItems = itemsOf(options, Number.POSITIVE_INFINITY);
      if (typeof maxItems !== 'number') return maxItems;
      const data = vmtaList(scheduler, maxItems);
      return { data, text: vmtasText(data) };
    },
  },
  {
    words: ['show', 'jobs'],
    arguments: [0, 1],
    options: { maxitems: 'value' },
    usage: '[--maxitems=N] [JOBID]',
    summary: 'jobs with mail',
    level: 'monitor',
    run({ scheduler }, { args, options }) {
      const maxItems = itemsOf(options, Number.POSITIVE_INFINITY);
      if (typeof maxItems !== 'number') return maxItems;
      const data = jobList(scheduler, maxItems, args[0] ?? null);
      return { data, text: jobsText(data) };
    },
  },
  {
    words: ['show', 'disabled', 'sources'],
    arguments: [0, 1],
    options: {},
    usage: '[QUEUE]',
    summary: 'source addresses that are not used for a queue',
    level: 'monitor',
    run({ scheduler }, { args: [pattern] }) {
      const matches = queuePattern(pattern ?? '*/*');
      const sources = [...scheduler.queues()]
        .filter(({ domain, vmta }) => matches(domain, vmta))
        .flatMap((queue) =>
          [...queue.sources.disabled].map(([ip, { until, why }]) => ({
            ip,
            queue: queueToUnicode(queue.name),
            reenableTime: until === null ? '' : logTime(until),
            reason: why,
          })),
        );
      const text = sources.map(
        ({ ip, queue, reenableTime, reason }) =>
          `${ip} ${queue} ${reenableTime === '' ? 'until enabled' : `until ${reenableTime}`} (${reason})\n`,
      );
      return {
        data: { source: new Many('sources', sources) },
        text: text.length === 0 ? 'No source is disabled.\n' : text.join(''),
      };
    },
  },
  {
    words: ['show', 'settings'],
    arguments: [1, 1],
    options: {},
    usage: 'DOMAIN[/VMTA]',
    summary: 'what applies to a queue',
    level: 'monitor',
    run({ config }, { args: [queue] }) {
      const data = settingsTree(config(), queue!);
      return typeof data === 'string' ? { failure: data } : { data, text: settingsText(data) };
    },
  },
  {
    words: ['inspect'],
    arguments: [1, 1],
    options: {},
    usage: 'DOMAIN/VMTA',
    summary: 'one queue with its errors, disabled addresses and settings',
    level: 'monitor',
    run: inspect,
  },
];

const EVERYTHING = { errors: true, modeEvents: true, recipientEvents: true };

function showQueues({ scheduler, events }: Control, { args, options, now }: CommandCall): CommandResult {
  const selection = selectionOf(options, queuePattern(args[0] ?? '*/*'));
  if ('failure' in selection) return selection;
  const data = queueList(scheduler, events, selection, now);
  return { data, text: queuesText(data, options.has('errors')) };
}

function showDomains({ scheduler }: Control, { args, options }: CommandCall): CommandResult {
  const selection = selectionOf(options, queuePattern(`${args[0] ?? '*'}/${options.get('vmta') ?? '*'}`));
  if ('failure' in selection) return selection;
  const data = domainList(scheduler, selection);
  return { data, text: domainsText(data, options.has('errors')) };
}

function inspect(control: Control, { args: [name], now }: CommandCall): CommandResult {
  const queue = namedQueue(control.scheduler, name!);
  if (!queue)
    return { failure: `there is no queue "${name!.slice(0, 200)}" with mail; write it as domain/vmta` };
  const data = {
    queue: queueTree(control.scheduler, control.events, queue, EVERYTHING, now),
    disabledSource: new Many(
      'disabledSources',
      [...queue.sources.disabled].map(([ip, { until, why }]) => ({
        ip,
        reenableTime: until === null ? '' : logTime(until),
        reason: why,
      })),
    ),
  };
  const settings = settingsTree(control.config(), name!);
  const all = typeof settings === 'string' ? data : { ...data, settings };
  const text = queuesText(
    { queue: new Many('queues', [data.queue]), totalQueuesWithRcp: new JsonOnly(1) },
    true,
  );
  return { data: all, text: typeof settings === 'string' ? text : `${text}\n${settingsText(settings)}` };
}

function selectionOf(
  options: ReadonlyMap<string, string>,
  inPattern: (domain: string, vmta: string) => boolean,
): Selection | { readonly failure: string } {
  const maxItems = itemsOf(options, DEFAULT_MAX_ITEMS);
  if (typeof maxItems !== 'number') return maxItems;
  const sort = options.get('sort')?.toLowerCase() ?? 'rcpt';
  if (sort !== 'name' && sort !== 'rcpt' && sort !== 'size')
    return { failure: '--sort is name, rcpt or size' };
  const mode = options.get('mode')?.toLowerCase();
  if (mode !== undefined && mode !== 'normal' && mode !== 'backoff')
    return { failure: '--mode is normal or backoff' };
  const [connected, paused] = ['connected', 'paused'].map((name) => yesOrNo(options.get(name)));
  if (connected === 'neither' || paused === 'neither')
    return { failure: '--connected and --paused are yes or no' };
  return {
    sort: sort satisfies Sort,
    maxItems,
    show: {
      errors: options.has('errors'),
      modeEvents: options.has('mode-events'),
      recipientEvents: !options.has('no-rcpt-events'),
    },
    matches: (queue: Queue) =>
      inPattern(queue.domain, queue.vmta) &&
      (connected === null || connected === queue.connections > 0) &&
      (paused === null || paused === (queue.pausedBy !== null)) &&
      (mode === undefined || mode === queue.mode),
  };
}

function yesOrNo(given: string | undefined): boolean | null | 'neither' {
  if (given === undefined) return null;
  const word = given.toLowerCase();
  return word === 'yes' ? true : word === 'no' ? false : 'neither';
}

function itemsOf(options: ReadonlyMap<string, string>, usual: number): number | { readonly failure: string } {
  const given = options.get('maxitems');
  if (given === undefined) return usual;
  return /^\d{1,9}$/.test(given)
    ? Number(given)
    : { failure: `--maxitems="${given.slice(0, 20)}" is no number` };
}
