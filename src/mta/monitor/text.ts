/** The management interface's answers as people read them in a terminal (management guide, sections 4.2 and 4.4). */
import type { Kb, Tree } from './answer.ts';

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
    `${'other'.padStart(11)}${'0'.padStart(11)}${'0'.padStart(10)}${'0.0'.padStart(12)}    Init.${'complete'.padStart(24)}`,
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

/** `pmta show queues`. */
export function queuesText(tree: Tree): string {
  const queues = tree.queues as readonly Tree[];
  const rows = queues.map((queue) => ({
    name: String(queue.name),
    rcp: String(queue.rcp),
    kb: (queue.kb as Kb).value.toFixed(1),
    conn: String(queue.conn),
    st: queue.paused ? 'P' : queue.mode === 'backoff' ? 'B' : '',
    retry: String(queue.retryTime).slice(11),
    error: String((queue.errors as readonly Tree[])[0]?.text ?? ''),
  }));
  const width = Math.max(20, ...rows.map(({ name }) => name.length));
  return [
    `${'queue'.padEnd(width)}   #rcpt    kbytes  conn st retry    last error`,
    `${'-'.repeat(width)} ------- --------- ----- -- -------- --------------------`,
    ...rows.map(({ name, rcp, kb, conn, st, retry, error }) =>
      `${name.padEnd(width)} ${rcp.padStart(7)} ${kb.padStart(9)} ${conn.padStart(5)} ${st.padEnd(2)} ${retry.padEnd(8)} ${error}`.trimEnd(),
    ),
    '',
    `${queues.length} of ${tree.totalQueuesWithRcp} matching queues.`,
    '',
  ].join('\n');
}

/** `pmta explain QUEUE`. */
export function explainText(tree: Tree): string {
  const holds = tree.holds as readonly Tree[];
  return [
    `${tree.queue}: ${tree.rcp} recipients`,
    ...(holds.length === 0 ? ['  nothing holds it'] : holds.map((hold) => `  ${hold.text}`)),
    '',
  ].join('\n');
}
