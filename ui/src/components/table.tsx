// biome-ignore-all lint/a11y/noRedundantRoles: below 640 px tables are laid out as blocks and would lose their roles.
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

export interface Column<R> {
  readonly key: string;
  readonly label: string;
  /** Right-aligned, tabular. */
  readonly number?: boolean;
  /** Left out of the cards of small screens until *All columns* is pressed. */
  readonly minor?: boolean;
  cell(row: R): ComponentChildren;
}

/**
 * A real table: caption, heads with scope, sorting by button. The first column heads its row. Below 640 px each row
 * is a card; the roles are written out because a table that is laid out as blocks loses its own.
 */
export function Table<R>({
  id,
  caption,
  columns,
  rows,
  rowKey,
  total,
  sort,
  onSort,
}: {
  id: string;
  caption: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  /** Row on top that the others add up to. */
  total?: R;
  /** Key of the sorted column, `-` before it when falling. */
  sort: string;
  onSort: (sort: string) => void;
}) {
  const all = useSignal(false);
  const line = (row: R, kind: string) => (
    <tr key={kind + rowKey(row)} class={kind} role="row">
      {columns.map((column, i) => {
        const classes = `${column.number ? 'n ' : ''}${column.minor ? 'minor' : ''}`;
        return i === 0 ? (
          <th key={column.key} scope="row" role="rowheader" class={classes}>
            {column.cell(row)}
          </th>
        ) : (
          <td key={column.key} role="cell" class={classes} data-label={column.label} data-key={column.key}>
            {column.cell(row)}
          </td>
        );
      })}
    </tr>
  );
  return (
    <>
      <div class="sheet">
        <table id={id} class={`grid cards ${all.value ? 'all' : ''}`} role="table">
          <caption class="visually-hidden">{caption}</caption>
          <thead role="rowgroup">
            <tr role="row">
              {columns.map((column) => (
                <Head key={column.key} column={column} sort={sort} onSort={onSort} />
              ))}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {total !== undefined && line(total, 'total')}
            {rows.map((row) => line(row, ''))}
          </tbody>
        </table>
      </div>
      {columns.some((column) => column.minor) && (
        <button
          type="button"
          class="button quiet all-columns"
          aria-pressed={all.value}
          onClick={() => {
            all.value = !all.value;
          }}
        >
          {all.value ? words.overview.fewerColumns : words.overview.allColumns}
        </button>
      )}
    </>
  );
}

function Head<R>({
  column,
  sort,
  onSort,
}: {
  column: Column<R>;
  sort: string;
  onSort: (sort: string) => void;
}) {
  const falling = sort === `-${column.key}`;
  const rising = sort === column.key;
  // Numbers fall first; the third press takes the order away.
  const first = column.number ? `-${column.key}` : column.key;
  const second = column.number ? column.key : `-${column.key}`;
  const next = sort === first ? second : sort === second ? '' : first;
  return (
    <th
      scope="col"
      role="columnheader"
      class={column.number ? 'n' : undefined}
      aria-sort={falling ? 'descending' : rising ? 'ascending' : undefined}
    >
      <button type="button" onClick={() => onSort(next)}>
        {column.label}
        {(falling || rising) && <Icon name={falling ? 'down' : 'up'} />}
      </button>
    </th>
  );
}
