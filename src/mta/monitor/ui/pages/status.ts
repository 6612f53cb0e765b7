import type { StatusData } from '../data.ts';
import { type Html, html } from '../html.ts';
import { fault, kb, table } from '../parts.ts';
import { askPage, type View, type Visit } from '../visit.ts';

type Status = StatusData['status'];
type WindowName = keyof Status['traffic'];

const WINDOWS: Readonly<Record<WindowName, string>> = {
  total: 'Total',
  lastHr: 'Last hour',
  topPerHr: 'Top/hour',
  lastMin: 'Last minute',
  topPerMin: 'Top/minute',
};

/** Queue types as people name them; in the order of the data. */
const TYPES: Readonly<Record<string, string>> = {
  smtp: 'SMTP',
  pipe: 'Pipe',
  discard: 'Discard',
  file: 'File',
  alias: 'Alias',
  bounceProcessor: 'Bounce processor',
  feedbackLoopProcessor: 'Feedback loop processor',
  httpDelivery: 'HTTP delivery',
};

/** What `/status` answers. */
export async function statusPage(visit: Visit): Promise<View> {
  const asked = await askPage<StatusData>(visit, '/status', new URLSearchParams());
  if ('fault' in asked) return { code: asked.code, title: 'Status', body: fault(asked.fault) };
  const { mta, status } = asked.data;
  const { resolver, spool } = status;
  const facts: [string, string][] = [
    ['Host', mta.fullHostName],
    ['Version', `${mta.product.name} ${mta.product.version}`],
    ['Status', status.status],
    ['Started', status.startupTime],
    ['Now', status.timeNow],
    ['Uptime', uptime(status.startupTime, status.timeNow)],
    ['Domain names cached', String(resolver.namesCached)],
    ['Domain names pending', String(resolver.queriesPending)],
    ['Spool files in use', String(spool.files.inUse)],
    ['Spool files recycled', String(spool.files.recycled)],
    ['Spool initialization', spool.initPct === 100 ? 'complete' : `${spool.initPct} %`],
  ];
  const body = html`${trafficTable(status, Object.keys(WINDOWS) as WindowName[])}
<div class="side">
${connectionsTable(status)}
${table(
  'Queues',
  [
    { head: 'Type', cell: ([type]) => TYPES[type] ?? type },
    { head: '#Rcpt', number: true, cell: ([, { rcp }]) => rcp },
    { head: 'Domains', number: true, cell: ([, { dom }]) => dom },
    { head: '#KBytes', number: true, cell: ([, queue]) => kb(queue.kb) },
  ],
  Object.entries(status.queue),
  '',
)}
</div>
<h2>Server, domain names, spool</h2>
<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
  return { title: 'Status', body, live: true };
}

export function trafficTable(status: Status, windows: readonly WindowName[]): Html {
  const one = (way: 'in' | 'out', figure: 'rcp' | 'msg') => (window: WindowName) =>
    status.traffic[window][way][figure];
  const size = (way: 'in' | 'out') => (window: WindowName) => kb(status.traffic[window][way].kb);
  return table<WindowName>(
    'Traffic',
    [
      { head: 'Period', cell: (window) => WINDOWS[window] },
      { head: 'In: #Rcpt', number: true, cell: one('in', 'rcp') },
      { head: 'In: #Msg', number: true, cell: one('in', 'msg') },
      { head: 'In: #KBytes', number: true, cell: size('in') },
      { head: 'Out: #Rcpt', number: true, cell: one('out', 'rcp') },
      { head: 'Out: #Msg', number: true, cell: one('out', 'msg') },
      { head: 'Out: #KBytes', number: true, cell: size('out') },
    ],
    windows,
    '',
  );
}

export function connectionsTable({ conn }: Status): Html {
  return table(
    'Connections',
    [
      { head: 'Direction', cell: ([name]) => name },
      { head: 'Active', number: true, cell: ([, { cur }]) => cur },
      { head: 'Top', number: true, cell: ([, { top }]) => top },
      { head: 'Maximum', number: true, cell: ([, { max }]) => max },
    ],
    [
      ['Inbound', conn.smtpIn],
      ['Outbound', conn.smtpOut],
    ] as const,
    '',
  );
}

/** Between two local times as the data have them. */
function uptime(from: string, to: string): string {
  const at = (time: string) => Date.parse(time.replace(' ', 'T'));
  const seconds = Math.max(0, Math.round((at(to) - at(from)) / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const clock = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 86_400)} d ${clock}`;
}
