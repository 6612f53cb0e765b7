import { trafficChart } from '../chart.ts';
import type { SummaryData } from '../data.ts';
import { html } from '../html.ts';
import { address, fault, fold, kb, link, percent, table } from '../parts.ts';
import { askPage, type View, type Visit } from '../visit.ts';
import { connectionsTable, trafficTable } from './status.ts';

/** What `/` answers: the last hour, traffic, connections, what waits, the fullest domains. */
export async function homePage(visit: Visit): Promise<View> {
  const asked = await askPage<SummaryData>(visit, '/', new URLSearchParams());
  if ('fault' in asked) return { code: asked.code, title: 'Home', body: fault(asked.fault) };
  const { status, domains, chart } = asked.data;
  const { totalRcp, maxRcp } = status.spool;
  const unlimited = maxRcp === 2 ** 31 - 1;
  const kbytes = Object.values(status.queue).reduce((sum, queue) => sum + queue.kb, 0);
  const body = html`<h2>Last hour</h2>
${trafficChart(chart)}
${fold(
  'chart-figures',
  'Figures of the chart',
  table(
    'Recipients by minute',
    [
      { head: 'Time', cell: ({ time }) => time },
      { head: 'smtpIn', number: true, cell: ({ smtpIn }) => smtpIn },
      { head: 'smtpOut', number: true, cell: ({ smtpOut }) => smtpOut },
    ],
    chart,
    '',
  ),
)}
${trafficTable(status, ['total', 'lastHr', 'lastMin'])}
<div class="side">
${connectionsTable(status)}
${table(
  'Queues',
  [
    { head: 'Queues', cell: () => 'All' },
    { head: '#Rcpt', number: true, cell: () => totalRcp },
    { head: 'Max.', number: true, cell: () => (unlimited ? 'no limit' : maxRcp) },
    { head: '%Max.', number: true, cell: () => (unlimited ? '–' : percent(totalRcp, maxRcp)) },
    { head: '#KBytes', number: true, cell: () => kb(kbytes) },
  ],
  [status.spool],
  '',
)}
</div>
${table(
  'Top domains',
  [
    { head: 'Name', cell: ({ name }) => link(address('queues', { queue: `${name}/*` }), name) },
    { head: '#Rcpt', number: true, cell: ({ rcp }) => rcp },
    { head: '%Total', number: true, cell: ({ rcp }) => percent(rcp, totalRcp) },
    { head: '#KBytes', number: true, cell: (row) => kb(row.kb) },
    { head: '#Conn', number: true, cell: ({ conn }) => conn },
  ],
  domains,
  'No mail waits.',
)}
<p><a href="/ui/domains">All domains</a></p>`;
  return { title: 'Home', body, live: true };
}
