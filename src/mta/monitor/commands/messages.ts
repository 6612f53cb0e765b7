/** Commands about single recipients: list, delete, set priority, explain (management guide, 4.7, 4.8 and section 5). */
import { parseInterval } from '../../../config/index.ts';
import { addressToUnicode, queueToUnicode } from '../../../mail/address.ts';
import { logTime, printable } from '../../../system/log.ts';
import { describeHold, type HoldReason } from '../../queue/hold.ts';
import type { Queue, QueuedRecipient } from '../../queue/queue.ts';
import { Many, type Tree } from '../answer.ts';
import type { Command, CommandResult } from '../command.ts';
import type { Control } from '../control.ts';
import { namedQueue, queuePattern } from '../queue-pattern.ts';
import type { RecipientFilter } from '../recipients.ts';

const FILTER_OPTIONS = {
  queue: 'value',
  orig: 'value',
  rcpt: 'value',
  jobId: 'value',
  envId: 'value',
} as const;
const FILTER_USAGE = '[--queue=Q] [--orig=ADDRESS] [--rcpt=ADDRESS] [--jobId=ID] [--envId=ID]';

const DEFAULT_LIST = 100;
const LONGEST_LIST = 100_000;
/** Recipients of one message, queues of one domain, that are explained one by one. */
const MOST_EXPLAINED = 100;

function filterOf(options: ReadonlyMap<string, string>): RecipientFilter | { readonly failure: string } {
  const age = options.get('older-than');
  const olderThan = age === undefined ? null : parseInterval(age);
  if (age !== undefined && olderThan === null) {
    return { failure: `"${age.slice(0, 100)}" is no time; write for example 30m or 1d12h` };
  }
  const of = (name: string) => options.get(name) ?? null;
  return {
    spoolId: null,
    queue: of('queue'),
    orig: of('orig'),
    rcpt: of('rcpt'),
    jobId: of('jobId'),
    envId: of('envId'),
    olderThan,
  };
}

export const messageCommands: readonly Command<Control>[] = [
  {
    words: ['list'],
    arguments: [0, 0],
    options: {
      ...FILTER_OPTIONS,
      maxitems: 'value',
      'older-than': 'value',
      pause: 'flag',
      priority: 'flag',
      schedule: 'flag',
    },
    usage: `${FILTER_USAGE} [--older-than=TIME] [--maxitems=N] [--pause] [--priority] [--schedule]`,
    summary: 'recipients that wait',
    level: 'monitor',
    run: listRecipients,
  },
  {
    words: ['delete'],
    arguments: [0, 0],
    options: {
      ...FILTER_OPTIONS,
      'older-than': 'value',
      dsn: 'flag',
      'no-accounting': 'flag',
      // Named in the guide's text, and doing nothing: accounting is the rule.
      accounting: 'flag',
    },
    usage: `${FILTER_USAGE} [--older-than=TIME] [--dsn] [--no-accounting]`,
    summary: 'removes recipients; --queue or --jobId must be given',
    level: 'admin',
    run(control, { options, now }) {
      const filter = filterOf(options);
      if ('failure' in filter) return filter;
      if (filter.queue === null && filter.jobId === null) {
        return { failure: 'delete needs --queue or --jobId, so that no slip empties the spool' };
      }
      const how = { report: options.has('dsn'), account: !options.has('no-accounting') };
      const count = control.recipients.delete(filter, how, now);
      return { data: '', message: `${count} recipient(s) deleted.` };
    },
  },
  {
    words: ['set', 'priority'],
    arguments: [1, 1],
    options: FILTER_OPTIONS,
    usage: `${FILTER_USAGE} NUMBER`,
    summary: 'order of recipients inside their queue, 1 to 100; 50 is usual',
    level: 'admin',
    run(control, { args: [number], options, now }) {
      const filter = filterOf(options);
      if ('failure' in filter) return filter;
      const priority = Number(number);
      if (!Number.isInteger(priority) || priority < 1 || priority > 100) {
        return { failure: `"${number!.slice(0, 20)}" is no priority; it is a whole number from 1 to 100` };
      }
      const count = control.recipients.setPriority(filter, priority, now);
      return { data: '', message: `Priority of ${count} recipient(s) set to ${priority}.` };
    },
  },
  {
    words: ['explain'],
    // The kind may stand before the name, as in `pause queue`.
    arguments: [0, 2],
    options: { job: 'value', message: 'value' },
    usage: '[queue | message | job] {QUEUE | MESSAGE | JOB} | --job=JOB | --message=ID',
    summary:
      'why mail waits: the limit that binds, its value now, file and line, when it frees, what would change it',
    level: 'monitor',
    run: explain,
  },
];

function listRecipients(
  control: Control,
  call: { options: ReadonlyMap<string, string>; now: number },
): CommandResult {
  const { options, now } = call;
  const filter = filterOf(options);
  if ('failure' in filter) return filter;
  const asked = Number(options.get('maxitems') ?? DEFAULT_LIST);
  const most = Number.isInteger(asked) && asked > 0 ? Math.min(asked, LONGEST_LIST) : DEFAULT_LIST;
  const messages: Tree[] = [];
  for (const { queue, item, envelope } of control.recipients.find(filter, now)) {
    if (messages.length >= most) break;
    messages.push({
      queue: queueToUnicode(queue.name),
      orig: addressToUnicode(envelope.facts.sender),
      rcpt: addressToUnicode(envelope.recipients[item.index]!.address),
      file: `${item.spoolId}/${item.index}`,
      timeQueued: logTime(item.receivedAt),
      header_subject: envelope.facts.subject,
      priority: item.priority,
      jobId: item.job,
      envId: envelope.facts.envId,
      schedule: (item.windows ?? [])
        .map(({ start, end }) => `${logTime(start)} / ${logTime(end)}`)
        .join(', '),
    });
  }
  const columns = ['queue', 'orig', 'rcpt', 'timeQueued'];
  if (options.has('priority')) columns.push('priority');
  if (options.has('schedule')) columns.push('schedule');
  return {
    data: { msg: new Many('msgs', messages) },
    text: messages
      .map((message) => `${columns.map((name) => printable(String(message[name] ?? '') || '-')).join(' ')}\n`)
      .join(''),
  };
}

/** What was meant: a queue has a slash, a message's id is known, a job is known, anything else is a domain. */
function explain(
  control: Control,
  call: { args: readonly string[]; options: ReadonlyMap<string, string>; now: number },
): CommandResult {
  const { args, options, now } = call;
  const kind = args.length === 2 ? args[0]! : null;
  const queue = kind === 'queue' ? args[1]! : undefined;
  const job = kind === 'job' ? args[1]! : options.get('job');
  const message = kind === 'message' ? args[1]! : options.get('message');
  const named = kind === null ? args[0] : queue;
  if ([named, job, message].filter((given) => given !== undefined).length !== 1) {
    return { failure: 'explain needs one of: a queue (domain/vmta), the id of a message, a job' };
  }
  if (job !== undefined) return explainJob(control, job, now);
  if (message !== undefined) return explainMessage(control, message, now) ?? unknown(message);
  if (named!.includes('/')) {
    const answer = explainQueue(control, named!, now);
    if (answer) return answer;
  }
  if (queue !== undefined) return explainDomain(control, queue, now) ?? unknown(queue);
  return (
    explainMessage(control, named!, now) ??
    (hasJob(control, named!)
      ? explainJob(control, named!, now)
      : (explainDomain(control, named!, now) ?? unknown(named!)))
  );
}

/** A domain alone means its queues under every VMTA, as in the commands that change something. */
function explainDomain(control: Control, domain: string, now: number): CommandResult | null {
  const isMeant = queuePattern(`${domain}/*`);
  const trees: Tree[] = [];
  let text = '';
  for (const queue of control.scheduler.queues()) {
    if (!isMeant(queue.domain, queue.vmta)) continue;
    const answer = queueAnswer(control, queue, now);
    trees.push(answer.data);
    text += answer.text;
    if (trees.length === MOST_EXPLAINED) break;
  }
  if (trees.length === 0) return null;
  return { data: trees.length === 1 ? trees[0]! : { queue: new Many('queues', trees) }, text };
}

function unknown(name: string): CommandResult {
  return {
    failure: `"${name.slice(0, 200)}" is no queue (domain/vmta), message or job that has mail waiting`,
  };
}

function explainQueue({ scheduler }: Control, name: string, now: number): CommandResult | null {
  const queue = namedQueue(scheduler, name);
  if (!queue) return null;
  return queueAnswer({ scheduler }, queue, now);
}

function queueAnswer({ scheduler }: Pick<Control, 'scheduler'>, queue: Queue, now: number) {
  const holds = scheduler.explain(queue, now);
  const data: Tree = {
    queue: queue.name,
    rcp: queue.size,
    hold: new Many(
      'holds',
      holds.map((hold) => holdTree(hold, now)),
    ),
  };
  return { data, text: explained(`${queue.name}: ${queue.size} recipients`, holds, now) };
}

function explainMessage({ scheduler, recipients }: Control, id: string, now: number): CommandResult | null {
  const trees: Tree[] = [];
  let text = '';
  for (const { queue, item, envelope } of recipients.find({ ...anything, spoolId: id }, now)) {
    const { address } = envelope.recipients[item.index]!;
    const holds = scheduler.explainRecipient(queue, item, now);
    trees.push({
      rcpt: address,
      queue: queue.name,
      attempts: item.attempts,
      hold: new Many(
        'holds',
        holds.map((hold) => holdTree(hold, now)),
      ),
    });
    text += explained(`${address} in ${queue.name}, tried ${item.attempts} times`, holds, now);
    if (trees.length >= MOST_EXPLAINED) break;
  }
  return trees.length === 0
    ? null
    : { data: { message: id, recipient: new Many('recipients', trees) }, text };
}

/** What keeps the recipients of a job, queue by queue; those of one queue wait for the same but for their own times. */
function explainJob({ scheduler }: Control, job: string, now: number): CommandResult {
  const trees: Tree[] = [];
  let text = '';
  for (const queue of scheduler.queues()) {
    let count = 0;
    let first: QueuedRecipient | null = null;
    for (const item of scheduler.items(queue)) {
      if (item.job !== job) continue;
      count++;
      first ??= item;
    }
    if (!first) continue;
    const holds = scheduler.explainRecipient(queue, first, now);
    if (trees.length < MOST_EXPLAINED) {
      trees.push({
        queue: queue.name,
        rcp: count,
        hold: new Many(
          'holds',
          holds.map((hold) => holdTree(hold, now)),
        ),
      });
      text += explained(`${job} in ${queue.name}: ${count} recipients`, holds, now);
    }
  }
  return { data: { job, queue: new Many('queues', trees) }, text: text || `${job}: nothing waits\n` };
}

function hasJob({ recipients }: Control, job: string): boolean {
  for (const _ of recipients.find({ ...anything, jobId: job }, 0)) return true;
  return false;
}

const anything: RecipientFilter = {
  spoolId: null,
  queue: null,
  orig: null,
  rcpt: null,
  jobId: null,
  envId: null,
  olderThan: null,
};

function explained(title: string, holds: readonly HoldReason[], now: number): string {
  const lines = holds.length === 0 ? ['nothing holds it'] : holds.map((hold) => describeHold(hold, now));
  return [title, ...lines.map((line) => `  ${line}`), ''].join('\n');
}

function holdTree(hold: HoldReason, now: number): Tree {
  return {
    kind: hold.kind,
    directive: hold.limit?.directive ?? '',
    value: hold.limit && Number.isFinite(hold.limit.value) ? hold.limit.value : '',
    file: hold.limit?.origin?.file ?? '',
    line: hold.limit?.origin?.line ?? '',
    current: hold.current,
    freesAt: hold.freesAt ?? '',
    remedy: hold.remedy,
    text: describeHold(hold, now),
  };
}
