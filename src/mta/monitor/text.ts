/** The management interface's answers as people read them in a terminal (management guide, sections 4.2 and 4.4). */
import { printable } from '../../system/log.ts';
import type { JsonOnly, Kb, Many, Tree } from './answer.ts';

/** `pmta show status`: 77 columns; labels and figures stand where scripts look for them. */
export function statusText(tree: Tree): string {
  const at = (path: string): unknown =>
    path.split('.').reduce((node, key) => (node as Tree)[key], tree as unknown);
  const text = (path: string) => String(at(path));
  const kb = (path: string) => (at(path) as Kb).value.toFixed(1);
  const row = (label: string, window: string) =>
    [
      label.padStart(11),
      text(`status.traffic.${window}.in.rcp`).padStart(11),
      text(`status.traffic.${window}.in.msg`).padStart(10),
      kb(`status.traffic.${window}.in.kb`).padStart(12),
      text(`status.traffic.${window}.out.rcp`).padStart(11),
      text(`status.traffic.${window}.out.msg`).padStart(10),
      kb(`status.traffic.${window}.out.kb`).padStart(12),
    ].join('');
  const connections = (label: string, which: string) =>
    `${label.padStart(11)}${['cur', 'top', 'max'].map((key, i) => text(`status.conn.${which}.${key}`).padStart([11, 10, 12][i]!)).join('')}`;
  /** Everything that does not go out over SMTP, together. */
  const others = (figure: string) =>
    Object.entries(at('status.queue') as Tree)
      .filter(([type]) => type !== 'smtp')
      .reduce((sum, [, of]) => {
        const value = (of as Tree)[figure];
        return sum + (typeof value === 'number' ? value : (value as Kb).value);
      }, 0);
  return [
    `Posthorn v${text('mta.product.version')} status on ${text('mta.fullHostName')} on ${text('status.timeNow')}`,
    '',
    '  Traffic    ------------inbound------------  ------------outbound-----------',
    '                 rcpts      msgs      kbytes      rcpts      msgs      kbytes',
    row('Total', 'total'),
    row('Last Hour', 'lastHr'),
    row('Top/Hour', 'topPerHr'),
    row('Last Min.', 'lastMin'),
    row('Top/Min.', 'topPerMin'),
    '',
    ' Connections    active       top     maximum  Domain       cached     pending',
    `${connections('Inbound', 'smtpIn')}    Names${text('status.resolver.namesCached').padStart(12)}${text('status.resolver.queriesPending').padStart(12)}`,
    connections('Outbound', 'smtpOut'),
    '',
    '     Queues      rcpts   domains      kbytes  Spool        in use    recycled',
    `${'SMTP'.padStart(11)}${text('status.queue.smtp.rcp').padStart(11)}${text('status.queue.smtp.dom').padStart(10)}${kb('status.queue.smtp.kb').padStart(12)}    Files${text('status.spool.files.inUse').padStart(12)}${text('status.spool.files.recycled').padStart(12)}`,
    `${'other'.padStart(11)}${others('rcp').toString().padStart(11)}${others('dom').toString().padStart(10)}${others('kb').toFixed(1).padStart(12)}    Init.${(at('status.spool.initPct') === 100 ? 'complete' : `${text('status.spool.initPct')}%`).padStart(24)}`,
    '',
    `     Status${text('status.status').padStart(11)}    Started  ${text('status.startupTime')}    Uptime${uptime(text('status.startupTime'), text('status.timeNow'))}`,
    '',
  ].join('\n');
}

/** Days, then `h:mm:ss`, between two times as the tree has them. */
function uptime(from: string, to: string): string {
  const at = (time: string) => Date.parse(time.replace(' ', 'T'));
  const seconds = Math.max(0, Math.round((at(to) - at(from)) / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const clock = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${String(Math.floor(seconds / 86_400)).padStart(4)}${clock.padStart(9)}`;
}

/** Queues as `pmta show queues` prints them: names left, figures right, and the last error of each. */
export function queuesText(tree: Tree, errors: boolean): string {
  const rows = items(tree.queue).map((queue) => {
    const events = items(queue.event);
    return {
      name: String(queue.name),
      cells: [
        String(queue.rcp),
        (queue.kb as Kb).value.toFixed(1),
        String(queue.conn),
        queue.paused ? 'P' : queue.mode === 'backoff' ? 'B' : '',
        String(queue.retryTime).slice(11),
      ],
      last: onOneLine(events[0]?.text),
      events,
      more: [...modeEventLines(queue), ...recipientEventLines(queue)],
    };
  });
  const widths = [7, 9, 5, 2, 8];
  const nameWidth = Math.max(5, ...rows.map(({ name }) => name.length));
  const line = (name: string, cells: readonly string[], last: string) =>
    [name.padEnd(nameWidth), ...cells.map((cell, i) => cell.padStart(widths[i]!)), last].join(' ').trimEnd();
  return [
    line('queue', ['#rcpt', 'kbytes', 'conn', 'st', 'retry'], 'last error'),
    line(
      '-'.repeat(nameWidth),
      widths.map((width) => '-'.repeat(width)),
      '-'.repeat(20),
    ),
    ...rows.flatMap(({ name, cells, last, events, more }) => [
      line(name, cells, last),
      ...(errors ? eventLines(events) : []),
      ...more,
    ]),
    '',
    `${rows.length} of ${total(tree, 'totalQueuesWithRcp')} matching queues.`,
    '',
  ].join('\n');
}

function eventLines(events: readonly Tree[]): string[] {
  return ['', ...events.map(({ time, text }) => `${time} ${onOneLine(text)}`)];
}

/** Texts of other hosts stand here: none may forge a line or speak to the terminal. */
function onOneLine(text: unknown): string {
  return printable(String(text ?? '').replace(/[\r\n]+/g, ' '));
}

function titled(title: string, lines: readonly string[]): string[] {
  return ['', title, '-'.repeat(title.length), ...lines];
}

/** The last recipients of a queue (section 4.4): seven fields, and how many of each kind above. */
function recipientEventLines(queue: Tree): string[] {
  if (queue.rcptEvent === undefined) return [];
  const events = items(queue.rcptEvent);
  const count = (kind: string) => events.filter(({ event }) => event === kind).length;
  const title = `Recipient Events (deliveries:${count('delivered')}, bounces:${count('bounced')}, deferrals:${count('deferred')})`;
  const fields = ['event', 'time', 'sourceIp', 'rcpt', 'jobId', 'mta', 'diag'];
  return titled(
    title,
    events.map((event) => fields.map((name) => onOneLine(event[name])).join(' | ')),
  );
}

function modeEventLines(queue: Tree): string[] {
  if (queue.modeEvent === undefined) return [];
  const lines = items(queue.modeEvent).map(
    ({ time, mode, reason }) => `${time} | ${mode} | ${onOneLine(reason)}`,
  );
  return titled('Mode Events', lines);
}

/** `pmta show domains`: 35, 7, 9, 4 and 20 characters wide. */
export function domainsText(tree: Tree, errors: boolean): string {
  const rows = items(tree.domain);
  return [
    `${'domain '.padStart(36, '-')}--#rcpt ---kbytes conn last error----------`,
    ...rows.flatMap((domain) => {
      const events = items(domain.event);
      const last = onOneLine(events[0]?.text);
      const short = last.length > 20 ? `${last.slice(0, 17)}...` : last;
      const figures = `${String(domain.rcp).padStart(7)} ${(domain.kb as Kb).value.toFixed(1).padStart(9)} ${String(domain.conn).padStart(4)}`;
      return [
        `${String(domain.name).padStart(35)} ${figures} ${short}`.trimEnd(),
        ...(errors ? eventLines(events) : []),
      ];
    }),
    '',
    `${rows.length} of ${total(tree, 'totalDomainsWithRcp')} domains shown.`,
    '',
  ].join('\n');
}

/** `pmta show vmtas`: two title lines, a line each, a blank and a footer; scripts cut them off. */
export function vmtasText(tree: Tree): string {
  const head = ['name', 'domains', '#rcpt', '% total', 'kbytes', 'conn'];
  const rows = items(tree.vmta).map((vmta) => [
    String(vmta.name),
    String(vmta.dom),
    String(vmta.rcp),
    String(vmta.pctOfTotal),
    (vmta.kb as Kb).value.toFixed(1),
    String(vmta.conn),
  ]);
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join(' ')
      .trimEnd();
  return [
    line(head),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    '',
    `${rows.length} of ${total(tree, 'totalVmtasWithRcp')} virtual MTAs.`,
    '',
  ].join('\n');
}

/** `pmta show jobs`: 35, 9 and 9 characters wide. */
export function jobsText(tree: Tree): string {
  const rows = items(tree.job);
  return [
    `${'job-id '.padStart(36, '-')}----#rcpt ---kbytes`,
    ...rows.map(
      (job) =>
        `${String(job.name).padStart(35)} ${String(job.rcp).padStart(9)} ${(job.kb as Kb).value.toFixed(1).padStart(9)}`,
    ),
    '',
    `Total of ${total(tree, 'totalJobsWithRcp')} job(s).`,
    '',
  ].join('\n');
}

function items(value: unknown): readonly Tree[] {
  return (value as Many).items as readonly Tree[];
}

function total(tree: Tree, name: string): string {
  return String((tree[name] as JsonOnly).value);
}
