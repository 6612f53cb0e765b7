/** The lists of what waits: queues, domains, VMTAs, jobs. Their forms are by GET, so an address is a view. */
import { pageDefaults } from '../../pages.ts';
import type { DomainRow, ErrorData, JobRow, QueueRow, VmtaRow } from '../data.ts';
import { type Html, html, type Piece } from '../html.ts';
import {
  address,
  type Column,
  type Field,
  fault,
  footer,
  kb,
  link,
  queueAddress,
  rowsField,
  searchForm,
  sortField,
  table,
  yesNoField,
} from '../parts.ts';
import { askPage, type View, type Visit } from '../visit.ts';

/** Characters of an error in a list; the queue's own page has all of it. */
const LONGEST_ERROR = 200;

interface List<T> {
  readonly title: string;
  /** The data page that is shown. */
  readonly data: string;
  readonly page: string;
  readonly fields: readonly Field[];
  readonly rows: (data: Record<string, unknown>) => readonly T[];
  readonly matching: (data: Record<string, unknown>) => number;
  readonly columns: readonly Column<T>[];
  readonly none: string;
  /** `matching queues` */
  readonly counted: string;
}

async function listPage<T>(visit: Visit, list: List<T>): Promise<View> {
  const { title, data, page, fields, columns, none, counted } = list;
  const form = searchForm(page, fields, visit.fields);
  const asked = await askPage<Record<string, unknown>>(visit, data, visit.fields);
  if ('fault' in asked) return { code: asked.code, title, body: html`${form}${fault(asked.fault)}` };
  const rows = list.rows(asked.data);
  const body = html`${form}
${table(String(asked.data.title ?? title), columns, rows, none)}
${footer(rows.length, list.matching(asked.data), counted)}`;
  return { title, body, live: true };
}

export function queuesPage(visit: Visit): Promise<View> {
  const { rows, order } = pageDefaults(visit.config);
  return listPage<QueueRow>(visit, {
    title: 'Queues',
    data: '/queues',
    page: 'queues',
    fields: [
      { name: 'queue', label: 'Name', usual: '*/*' },
      rowsField(rows),
      sortField(order),
      yesNoField('connected', 'Connections'),
      yesNoField('paused', 'Paused'),
      {
        name: 'mode',
        label: 'Mode',
        usual: '',
        choices: [
          ['', 'any'],
          ['normal', 'normal'],
          ['backoff', 'backoff'],
        ],
      },
    ],
    rows: (data) => data.queues as QueueRow[],
    matching: (data) => data.totalQueuesWithRcp as number,
    columns: [
      { head: 'Name', cell: ({ name }) => link(queueAddress(name), name) },
      ...figures<QueueRow>(),
      { head: 'Paused', cell: ({ paused }) => yesOrNo(paused) },
      { head: 'Mode', cell: ({ mode }) => mode },
      { head: 'Last Error', cell: ({ errors }) => lastError(errors) },
    ],
    none: 'No queue with mail matches.',
    counted: 'matching queues',
  });
}

export function domainsPage(visit: Visit): Promise<View> {
  const { rows, order } = pageDefaults(visit.config);
  return listPage<DomainRow>(visit, {
    title: 'Domains',
    data: '/domains',
    page: 'domains',
    fields: [
      { name: 'domain', label: 'Name', usual: '*' },
      { name: 'vmta', label: 'VMTA', usual: '*' },
      rowsField(rows),
      sortField(order),
      yesNoField('connected', 'Connections'),
    ],
    rows: (data) => data.domains as DomainRow[],
    matching: (data) => data.totalDomainsWithRcp as number,
    columns: [
      { head: 'Name', cell: ({ name }) => link(address('queues', { queue: `${name}/*` }), name) },
      ...figures<DomainRow>(),
      { head: 'Last Error', cell: ({ errors }) => lastError(errors) },
    ],
    none: 'No domain with mail matches.',
    counted: 'matching domains',
  });
}

export function vmtasPage(visit: Visit): Promise<View> {
  return listPage<VmtaRow>(visit, {
    title: 'VMTAs',
    data: '/vmtas',
    page: 'vmtas',
    fields: [rowsField(pageDefaults(visit.config).rows)],
    rows: (data) => data.vmtas as VmtaRow[],
    matching: (data) => data.totalVmtasWithRcp as number,
    columns: [
      { head: 'Name', cell: ({ name }) => link(address('queues', { queue: `*/${name}` }), name) },
      { head: 'Domains', number: true, cell: ({ dom }) => dom },
      { head: '#Rcpt', number: true, cell: ({ rcp }) => rcp },
      { head: '%Total', number: true, cell: ({ pctOfTotal }) => pctOfTotal },
      { head: '#KBytes', number: true, cell: (row) => kb(row.kb) },
      { head: '#Conn', number: true, cell: ({ conn }) => conn },
    ],
    none: 'No virtual MTA has mail.',
    counted: 'virtual MTAs',
  });
}

export function jobsPage(visit: Visit): Promise<View> {
  const only = visit.fields.get('jobid') ?? '';
  return listPage<JobRow>(visit, {
    title: 'Jobs',
    data: only === '' ? '/jobs' : '/jobDetail',
    page: 'jobs',
    fields: [{ name: 'jobid', label: 'Job', usual: '' }, rowsField(pageDefaults(visit.config).rows)],
    rows: (data) => data.jobs as JobRow[],
    matching: (data) => data.totalJobsWithRcp as number,
    columns: [
      { head: 'Name', cell: ({ name }) => link(address('jobs', { jobid: name }), name) },
      { head: 'Domains', number: true, cell: ({ dom }) => dom },
      { head: '#Rcpt', number: true, cell: ({ rcp }) => rcp },
      { head: '#KBytes', number: true, cell: (row) => kb(row.kb) },
      { head: 'Paused', cell: ({ paused }) => yesOrNo(paused) },
      { head: 'Scheduled Start Time', cell: ({ schedStartTime }) => schedStartTime },
    ],
    none: 'No job with mail matches.',
    counted: 'jobs',
  });
}

function figures<T extends QueueRow | DomainRow>(): Column<T>[] {
  return [
    { head: '#Rcpt', number: true, cell: ({ rcp }) => rcp },
    { head: '#KBytes', number: true, cell: (row) => kb(row.kb) },
    { head: '#Conn', number: true, cell: ({ conn }) => conn },
  ];
}

function yesOrNo(is: boolean): Piece {
  return is ? html`<strong class="warn">yes</strong>` : 'no';
}

function lastError([last]: readonly ErrorData[]): Html | null {
  if (!last) return null;
  const { time, text } = last;
  const shown = text.length > LONGEST_ERROR ? `${text.slice(0, LONGEST_ERROR)}…` : text;
  return html`<span class="error"><time>${time}</time> ${shown}</span>`;
}
