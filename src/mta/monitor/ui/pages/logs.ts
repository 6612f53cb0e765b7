import { logTime } from '../../../../system/log.ts';
import { listedFiles } from '../../log-files.ts';
import { html } from '../html.ts';
import { fault, footer, table } from '../parts.ts';
import type { View, Visit } from '../visit.ts';

/** Rows of the page; the data page has all. */
const MOST_SHOWN = 500;

/** The files that `/logs` lists, the newest first. */
export async function logsPage({ config, visitor }: Visit): Promise<View> {
  const title = 'Logs';
  if (visitor.access.denyLogs)
    return { code: 403, title, body: fault('http-access denies your address the logs') };
  const files = await listedFiles(config);
  const shown = files.slice(0, MOST_SHOWN);
  const body = html`${table(
    'Log and accounting files, the newest first',
    [
      { head: 'File', cell: ({ name }) => name },
      { head: 'Date', cell: ({ at }) => logTime(at) },
      { head: 'Size (bytes)', number: true, cell: ({ size }) => size },
      {
        head: 'Download',
        cell: ({ name }) =>
          html`<a href="/getFile?${new URLSearchParams({ file: name.toWellFormed() }).toString()}" download>Download<span class="unseen"> ${name}</span></a>`,
      },
    ],
    shown,
    'There are none.',
  )}
${footer(shown.length, files.length, 'files')}`;
  return { title, body, live: true };
}
