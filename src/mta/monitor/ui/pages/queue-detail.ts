import { atLeast } from '../../access.ts';
import { quoteWord } from '../../command-line.ts';
import type { QueueDetailData } from '../data.ts';
import { type Html, html } from '../html.ts';
import { address, fault, fold, kb, link, table } from '../parts.ts';
import { askPage, type View, type Visit } from '../visit.ts';

/** What `/queueDetail` answers about one queue, `domain/vmta`. */
export async function queueDetailPage(visit: Visit, name: string): Promise<View> {
  const title = `Queue ${name}`;
  const back = html`<p><a href="/ui/queues">All queues</a></p>`;
  const asked = await askPage<QueueDetailData>(visit, '/queueDetail', new URLSearchParams({ queue: name }));
  if ('fault' in asked) {
    const code = asked.code === 409 ? 404 : asked.code;
    return { code, title, body: html`${fault(asked.fault)}${back}` };
  }
  const { queue, disabledSources, settings } = asked.data;
  const body = html`${table(
    'Now',
    [
      { head: 'Name', cell: (row) => row.name },
      { head: '#Rcpt', number: true, cell: ({ rcp }) => rcp },
      { head: '#KBytes', number: true, cell: (row) => kb(row.kb) },
      { head: '#Conn', number: true, cell: ({ conn }) => conn },
      { head: 'Paused', cell: ({ paused }) => (paused ? 'yes' : 'no') },
      { head: 'Mode', cell: ({ mode }) => mode },
      { head: 'Backoff Reason', cell: ({ backoffReason }) => backoffReason },
      { head: 'Next Retry', cell: ({ retryTime }) => retryTime },
    ],
    [queue],
    '',
  )}
${atLeast(visit.visitor.access.level, 'operator') ? commands(queue.name) : null}
${table(
  'Last errors',
  [
    { head: 'Time', cell: ({ time }) => time },
    { head: 'Error', cell: ({ text }) => html`<span class="lines">${text}</span>` },
  ],
  queue.errors,
  'None.',
)}
${
  disabledSources.length === 0
    ? null
    : table(
        'Disabled source IPs',
        [
          { head: 'Address', cell: ({ ip }) => ip },
          { head: 'Until', cell: ({ reenableTime }) => reenableTime || 'enabled by hand' },
          { head: 'Reason', cell: ({ reason }) => reason },
        ],
        disabledSources,
        '',
      )
}
${fold(
  'mode-changes',
  `Mode changes (${queue.modeEvents.length})`,
  table(
    'Mode changes',
    [
      { head: 'Time', cell: ({ time }) => time },
      { head: 'Mode', cell: ({ mode }) => mode },
      { head: 'Reason', cell: ({ reason }) => reason },
    ],
    queue.modeEvents,
    'None.',
  ),
)}
${fold('recipient-events', recipientTitle(queue.rcptEvents), recipientEvents(queue.rcptEvents))}
${settings ? fold('vmta-settings', 'VMTA settings', settingsTable('VMTA settings', settings.vmta)) : null}
${settings ? fold('queue-settings', 'Queue settings', settingsTable('Queue settings', settings.queue)) : null}
${back}`;
  return { title, body, live: true };
}

/** Filled in on the command page, where they are given by a button. */
function commands(name: string): Html {
  const queue = quoteWord(name);
  const offered = ['explain', 'schedule', 'trace', 'pause queue', 'resume queue'].map(
    (words) => html`<li>${link(address('command', { command: `${words} ${queue}` }), `${words} …`)}</li>`,
  );
  return html`<ul class="row" aria-label="Commands for this queue">${offered}</ul>`;
}

function recipientTitle(events: QueueDetailData['queue']['rcptEvents']): string {
  if (!events) return 'Recipient events (not tracked)';
  const count = (kind: string) => events.filter(({ event }) => event === kind).length;
  return `Recipient events (deliveries: ${count('delivered')}, bounces: ${count('bounced')}, deferrals: ${count('deferred')})`;
}

function recipientEvents(events: QueueDetailData['queue']['rcptEvents']): Html {
  if (!events) return html`<p>Set <code>track-recipient-events yes</code> for this queue to have them.</p>`;
  return table(
    'Recipient events',
    [
      { head: 'Event', cell: ({ event }) => event },
      { head: 'Time', cell: ({ time }) => time },
      { head: 'Source IP', cell: ({ sourceIp }) => sourceIp },
      { head: 'Recipient', cell: ({ rcpt }) => rcpt },
      { head: 'Job', cell: ({ jobId }) => jobId },
      { head: 'MTA', cell: ({ mta }) => mta },
      { head: 'Diagnosis', cell: ({ diag }) => html`<span class="lines">${diag}</span>` },
    ],
    events,
    'None.',
  );
}

function settingsTable(caption: string, settings: Readonly<Record<string, string>>): Html {
  return table(
    caption,
    [
      { head: 'Directive', cell: ([name]) => name },
      { head: 'Value', cell: ([, value]) => (value === '' ? '""' : value) },
    ],
    Object.entries(settings),
    '',
  );
}
