import { escapeMarkup, htmlPage } from './escape.ts';
import type { Cell, Column, Kind, Report, Table } from './report.ts';
import { localTime } from './times.ts';

export type ReportFormat = 'text' | 'html' | 'json';

export function printReports(reports: readonly Report[], format: ReportFormat): string {
  if (format === 'json') return `${JSON.stringify(reports.map(plain), null, 2)}\n`;
  if (format === 'html') return html(reports);
  return reports.map(text).join('\n');
}

function grouped(n: number, decimals: number): string {
  const [whole, fraction] = Math.abs(n).toFixed(decimals).split('.') as [string, string?];
  const sign = n < 0 ? '-' : '';
  return `${sign}${whole.replace(/\B(?=(?:\d{3})+$)/g, ',')}${fraction === undefined ? '' : `.${fraction}`}`;
}

/** `h:mm:ss`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

const shown: Readonly<Record<Exclude<Kind, 'text'>, (n: number) => string>> = {
  count: (n) => grouped(n, 0),
  percent: (n) => `${n.toFixed(1)}%`,
  duration,
  kb: (n) => grouped(n / 1024, 1),
  rate: (n) => grouped(n, 1),
  moment: localTime,
};

function cellText(cell: Cell, kind: Kind): string {
  if (cell === null) return 'n/a';
  if (typeof cell === 'string' || kind === 'text') {
    return String(cell).replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  }
  return shown[kind](cell);
}

function text({ about, timeFrame, sections }: Report): string {
  const head = about === '' ? '' : `${'='.repeat(78)}\n${about}\n${'='.repeat(78)}\n\n`;
  const parts = sections.map(({ name, tables }) => {
    const line = `${name}\n${'-'.repeat(name.length)}\n\n`;
    return line + tables.map(textTable).join('\n');
  });
  return `${head}${[textTable(timeFrame), ...parts].join('\n')}`;
}

function textTable({ title, columns, rows, note }: Table): string {
  const cells = rows.map((row) => columns.map(({ kind }, i) => cellText(row[i] ?? null, kind)));
  const widths = columns.map(({ name }, i) => Math.max(name.length, ...cells.map((row) => row[i]!.length)));
  // Numbers stand under each other; the last text needs no blanks behind it.
  const line = (values: readonly string[], of: readonly Column[]) =>
    values
      .map((value, i) => (of[i]!.kind === 'text' ? value.padEnd(widths[i]!) : value.padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  const lines = [
    line(
      columns.map((c) => c.name),
      columns,
    ),
    widths.map((w) => '-'.repeat(w)).join('  '),
    ...cells.map((row) => line(row, columns)),
  ];
  if (rows.length === 0) lines.push('(none)');
  if (note) lines.push(note);
  return `${title}:\n\n${lines.map((l) => `  ${l}`.trimEnd()).join('\n')}\n`;
}

function html(reports: readonly Report[]): string {
  const page = htmlPage('Accounting statistics');
  const body = reports.map(({ about, timeFrame, sections }) => {
    const head = about === '' ? '' : `<h1>${escapeMarkup(about)}</h1>\n`;
    const parts = sections.map(
      ({ name, tables }) => `<h2>${escapeMarkup(name)}</h2>\n${tables.map(htmlTable).join('')}`,
    );
    return head + htmlTable(timeFrame) + parts.join('');
  });
  return page.head + body.join('') + page.end;
}

function htmlTable({ title, columns, rows, note }: Table): string {
  const head = columns.map((c) => `<th>${escapeMarkup(c.name)}</th>`).join('');
  const body = rows.map((row) => {
    const cells = columns.map(({ kind }, i) => {
      const start = kind === 'text' ? '<td>' : '<td class="number">';
      return `${start}${escapeMarkup(cellText(row[i] ?? null, kind))}</td>`;
    });
    return `<tr>${cells.join('')}</tr>\n`;
  });
  const below = note ? `<p>${escapeMarkup(note)}</p>\n` : '';
  return `<table>\n<caption>${escapeMarkup(title)}</caption>\n<thead><tr>${head}</tr></thead>\n<tbody>\n${body.join('')}</tbody>\n</table>\n${below}`;
}

/** Numbers as they are, for programs; `kb` in bytes, times in seconds. */
function plain({ about, timeFrame, sections }: Report): unknown {
  const table = ({ title, columns, rows, note }: Table) => ({
    title,
    columns: columns.map((c) => c.name),
    kinds: columns.map((c) => c.kind),
    rows,
    ...(note ? { note } : {}),
  });
  return {
    about,
    timeFrame: table(timeFrame),
    statistics: sections.map(({ name, tables }) => ({ name, tables: tables.map(table) })),
  };
}
