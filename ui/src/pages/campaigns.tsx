import type { ComponentChildren } from 'preact';
import { type GroupRow, metricsQuery, type Scope } from '../api.ts';
import { Outside } from '../components/outside.tsx';
import { Pager } from '../components/pager.tsx';
import { Empty, Loaded, Skeleton } from '../components/states.tsx';
import { type Column, Table } from '../components/table.tsx';
import { count, percent } from '../format.ts';
import {
  type CountKey,
  type Counts,
  isFew,
  type MetricKey,
  metric,
  metricValue,
  needed,
} from '../metrics.ts';
import { during, rangeName } from '../range.ts';
import { useResource } from '../resource.ts';
import { now } from '../router.ts';
import { api } from '../session.ts';
import type { ViewState } from '../use-view.ts';
import { campaignColumns, eventsHref, typeFilters } from '../views.ts';
import { words } from '../words.ts';

const keys = campaignColumns.filter((key) => key !== 'campaign');
/** Counts that the table is made of. */
export const campaignCounts = needed(keys);
const important: readonly string[] = ['campaign', 'count_injected', 'accepted_rate', 'open_rate'];

interface Row {
  readonly kind: 'all' | 'campaign' | 'rest';
  readonly name: string;
  readonly counts: Counts;
}

/** The same figures by campaign: a row for everything on top, and one for what no campaign holds. */
export function Campaigns({
  state,
  scope,
  whole,
}: {
  state: ViewState;
  scope: Scope;
  /** Counts of the whole range; missing while they are on their way. */
  whole: Counts | undefined;
}) {
  const key = JSON.stringify(metricsQuery(campaignCounts, scope));
  const groups = useResource<readonly GroupRow[]>(key, (signal) =>
    api.peek().byCampaign(campaignCounts, scope, signal),
  );
  return (
    <section class="panel" aria-labelledby="campaigns-title">
      <header>
        <h2 id="campaigns-title">{words.overview.campaigns}</h2>
      </header>
      <Loaded from={groups} grant="metrics/view" skeleton={<Skeleton kind="table" />}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title={words.overview.noCampaigns(during(state.view.t, state.view.tz, now.value))} />
          ) : (
            <CampaignTable state={state} whole={whole} groups={rows} />
          )
        }
      </Loaded>
    </section>
  );
}

function CampaignTable({
  state,
  whole,
  groups,
}: {
  state: ViewState;
  whole: Counts | undefined;
  groups: readonly GroupRow[];
}) {
  const { view, change } = state;
  const rows = sorted(groups, view.sort);
  const pages = Math.max(1, Math.ceil(rows.length / view.n));
  const page = Math.min(view.page, pages);
  const shown: Row[] = rows
    .slice((page - 1) * view.n, page * view.n)
    .map((row) => ({ kind: 'campaign', name: row.name, counts: row.counts }));
  const rest = whole ? remainder(whole, groups) : null;
  if (rest && page === pages) shown.push({ kind: 'rest', name: '', counts: rest });

  const link = (row: Row, types: readonly string[], text: ComponentChildren) => {
    if (row.kind === 'rest') return text;
    const campaign =
      row.kind === 'campaign' ? [{ facet: 'campaign', op: 'eq' as const, value: row.name }] : [];
    return (
      <a href={eventsHref({ t: view.t, tz: view.tz, f: [...view.f, ...campaign, ...typeFilters(types)] })}>
        {text}
      </a>
    );
  };
  const columns: Column<Row>[] = [
    {
      key: 'campaign',
      label: words.overview.campaign,
      cell: (row) => {
        if (row.kind === 'all') return words.overview.all;
        if (row.kind === 'rest')
          return <span title={words.overview.unattributedWhy}>{words.overview.unattributed}</span>;
        return link(row, [], <Outside text={row.name} most={80} />);
      },
    },
    ...keys.map(
      (key): Column<Row> => ({
        key,
        label: metric(key).label,
        number: true,
        minor: !important.includes(key),
        cell: (row) => <Figure row={row} metricKey={key} link={link} />,
      }),
    ),
  ];
  return (
    <>
      <Table
        id="campaigns"
        caption={`${words.overview.campaigns}, ${rangeName(view.t, view.tz, now.value)}`}
        columns={columns}
        rows={shown}
        rowKey={(row) => `${row.kind} ${row.name}`}
        total={{ kind: 'all', name: '', counts: whole ?? {} }}
        sort={view.sort}
        onSort={(sort) => change({ sort, page: 1 })}
      />
      {rows.length > 10 && (
        <Pager
          text={`${count((page - 1) * view.n + 1)} to ${count(Math.min(rows.length, page * view.n))} of ${count(rows.length)}`}
          n={view.n}
          onSize={(n) => change({ n, page: 1 })}
          back={page > 1 ? () => change({ page: page - 1 }) : null}
          on={page < pages ? () => change({ page: page + 1 }) : null}
        />
      )}
    </>
  );
}

function Figure({
  row,
  metricKey,
  link,
}: {
  row: Row;
  metricKey: MetricKey;
  link: (row: Row, types: readonly string[], text: ComponentChildren) => ComponentChildren;
}) {
  const of = metric(metricKey);
  const value = metricValue(of, row.counts);
  if (of.unit === 'percent') {
    const few = isFew(of, row.counts) && value !== null;
    return (
      <span class={few ? 'few' : undefined}>
        {percent(value)}
        {few && <span class="visually-hidden"> ({words.chart.few})</span>}
      </span>
    );
  }
  return <span>{value ? link(row, of.events, count(value)) : count(value)}</span>;
}

function sorted(groups: readonly GroupRow[], sort: string): GroupRow[] {
  const key = sort.replace(/^-/, '');
  const sign = sort.startsWith('-') ? -1 : 1;
  if (!key) return [...groups];
  if (key === 'campaign') return [...groups].sort((a, b) => sign * a.name.localeCompare(b.name, 'en'));
  const of = metric(key as MetricKey);
  return [...groups].sort((a, b) => {
    const left = metricValue(of, a.counts);
    const right = metricValue(of, b.counts);
    // What has no value stays at the end, whichever way the others go.
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return sign * (left - right) || a.name.localeCompare(b.name, 'en');
  });
}

/** What the groups do not hold of the whole; null when they hold everything. Distinct counts do not subtract. */
function remainder(whole: Counts, groups: readonly GroupRow[]): Counts | null {
  const rest: Partial<Record<CountKey, number>> = {};
  let any = false;
  for (const key of campaignCounts) {
    const of = metric(key);
    if (of.unit !== 'count' || of.kind !== 'sum') continue;
    const held = groups.reduce((sum, group) => sum + (group.counts[key] ?? 0), 0);
    // Mail that came in between the two answers must not be subtracted from nothing.
    const left = Math.max(0, (whole[key] ?? 0) - held);
    rest[key] = left;
    if (left > 0) any = true;
  }
  return any ? rest : null;
}
