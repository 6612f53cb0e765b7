/** What several pages are made of: tables, forms that restore their view from the address, notes, links. */
import { type Html, html, type Piece } from './html.ts';

export interface Column<T> {
  readonly head: string;
  readonly number?: boolean;
  readonly cell: (row: T) => Piece;
}

/** The first column names the row. A wide table scrolls by itself, also by keyboard. */
export function table<T>(
  caption: string,
  columns: readonly Column<T>[],
  rows: readonly T[],
  none: string,
): Html {
  const heads = columns.map(
    ({ head, number }) => html`<th scope="col"${number ? html` class="n"` : null}>${head}</th>`,
  );
  const body = rows.map(
    (row) =>
      html`<tr>${columns.map(({ cell, number }, i) => {
        const kind = number ? html` class="n"` : null;
        return i === 0 ? html`<th scope="row"${kind}>${cell(row)}</th>` : html`<td${kind}>${cell(row)}</td>`;
      })}</tr>`,
  );
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${caption}"><table>
<caption>${caption}</caption>
<thead><tr>${heads}</tr></thead>
<tbody>${rows.length === 0 ? html`<tr><td colspan="${columns.length}">${none}</td></tr>` : body}</tbody>
</table></div>`;
}

/** `3 of 12 matching queues.` */
export function footer(shown: number, matching: number, what: string): Html {
  return html`<p class="footer">${shown} of ${matching} ${what}.</p>`;
}

export function fold(id: string, summary: string, body: Html): Html {
  return html`<details id="${id}"><summary>${summary}</summary>${body}</details>`;
}

export function fault(text: string): Html {
  return html`<div class="note bad" role="alert" tabindex="-1" data-focus><p class="lines">${text}</p></div>`;
}

export function done(text: string): Html {
  return html`<div class="note good" role="status" tabindex="-1" data-focus><p class="lines">${text}</p></div>`;
}

export function kb(value: number): string {
  return value.toFixed(1);
}

export function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${Math.round((part / whole) * 100)} %`;
}

/** An address below `/ui`; the fields are those of its form. */
export function address(page: string, fields: Readonly<Record<string, string>> = {}): string {
  const entries = Object.entries(fields).map(([name, value]): [string, string] => [
    name,
    value.toWellFormed(),
  ]);
  const query = new URLSearchParams(entries).toString();
  return `/ui/${page}${query === '' ? '' : `?${query}`}`;
}

export function queueAddress(name: string): string {
  const slash = name.lastIndexOf('/');
  const parts = [name.slice(0, slash), name.slice(slash + 1)];
  return `/ui/queueDetail/${parts.map((part) => encodeURIComponent(part.toWellFormed())).join('/')}`;
}

export function link(to: string, text: string): Html {
  return html`<a href="${to}">${text}</a>`;
}

export interface Field {
  readonly name: string;
  readonly label: string;
  /** A choice; else a text. */
  readonly choices?: readonly (readonly [value: string, label: string])[];
  readonly number?: boolean;
  /** What it is when the address does not say. */
  readonly usual: string;
}

/** A form by GET, filled in from the address. */
export function searchForm(page: string, fields: readonly Field[], values: URLSearchParams): Html {
  return html`<form class="search" method="get" action="/ui/${page}" role="search" aria-label="What is shown">
${fields.map((field) => formField(field, values.get(field.name) || field.usual))}
<button type="submit">Show</button>
</form>`;
}

function formField({ name, label, choices, number }: Field, value: string): Html {
  const id = `f-${name}`;
  const input = choices
    ? html`<select id="${id}" name="${name}">${choices.map(
        ([of, text]) => html`<option value="${of}"${of === value ? html` selected` : null}>${text}</option>`,
      )}</select>`
    : html`<input id="${id}" name="${name}" value="${value}"${number ? html` inputmode="numeric" size="6"` : html` size="24"`} autocomplete="off" spellcheck="false">`;
  return html`<div><label for="${id}">${label}</label>${input}</div>`;
}

const EITHER = [
  ['', 'any'],
  ['yes', 'yes'],
  ['no', 'no'],
] as const;

export function yesNoField(name: string, label: string): Field {
  return { name, label, choices: EITHER, usual: '' };
}

export function rowsField(usual: number): Field {
  return { name: 'maxitems', label: 'Maximum rows', number: true, usual: String(usual) };
}

export function sortField(usual: string): Field {
  const choices = [
    ['rcpt', 'recipients'],
    ['size', 'size'],
    ['name', 'name'],
  ] as const;
  return { name: 'sort', label: 'Sort by', choices, usual };
}
