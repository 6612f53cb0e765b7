import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { type Filter, sameFilter, type View } from '../address.ts';
import type { EventPage, EventRow } from '../api.ts';
import { Chips, TypePicker } from '../components/chips.tsx';
import { EventDetail } from '../components/event-detail.tsx';
import { EventTable } from '../components/event-table.tsx';
import { DroppedNotice, Notice } from '../components/notices.tsx';
import { Pager } from '../components/pager.tsx';
import { QueryBox } from '../components/query-box.tsx';
import { ScopeBar } from '../components/scope-bar.tsx';
import { Empty, Loaded, Skeleton } from '../components/states.tsx';
import { eventFacets, filterName } from '../facets.ts';
import { listed } from '../format.ts';
import { useKeys } from '../keys.ts';
import { useLive } from '../live.ts';
import { visible } from '../outside-text.ts';
import { during, resolveRange } from '../range.ts';
import { useResource } from '../resource.ts';
import { now, refresh } from '../router.ts';
import { api } from '../session.ts';
import { textOf } from '../story.ts';
import { useView } from '../use-view.ts';
import { eventsSpec, messageHref } from '../views.ts';
import { words } from '../words.ts';

/** Finds events: newest first, by filters that stand in the address. */
export function Events() {
  const state = useView(eventsSpec);
  const { view, change } = state;
  const range = resolveRange(view.t, view.tz, now.value);
  const fresh = useSignal<{ key: string; count: number; more: boolean } | null>(null);

  const key = JSON.stringify([view.t, view.tz, view.f, view.n, view.cursor]);
  const page = useResource<EventPage>(key, (signal) =>
    api.peek().events(view.f, range.from, range.to, view.n, view.cursor, signal),
  );
  const rows = page.value?.events ?? [];
  const newest = rows[0] ? textOf(rows[0], 'event_id') : '';

  // A tick only counts what is new: rows must not move under the eye.
  useLive(view.cursor === '' && range.endsNow ? view.live : 'off', async () => {
    const moment = Date.now();
    const { from, to } = resolveRange(view.t, view.tz, moment);
    const answer = await api.peek().events(view.f, from, to, view.n, '');
    if (!answer.ok) return;
    const at = answer.value.events.findIndex((event) => textOf(event, 'event_id') === newest);
    const found = at < 0 ? answer.value.events.length : at;
    fresh.value = found > 0 ? { key, count: found, more: at < 0 && newest !== '' } : null;
  });

  const filter = (f: readonly Filter[]) => change({ f: f.slice(0, 10), cursor: '', sel: '' });
  const add = (filters: readonly Filter[]) =>
    filter([...view.f, ...filters.filter((next) => !view.f.some((have) => sameFilter(have, next)))]);
  const selected = rows.find((event) => textOf(event, 'event_id') === view.sel);
  const news = fresh.value?.key === key ? fresh.value : null;

  return (
    <>
      <ScopeBar state={state} spec={eventsSpec} />
      <DroppedNotice dropped={state.dropped} />
      <div class="filters">
        <TypePicker filters={view.f} onChange={filter} />
        <QueryBox facets={eventFacets} seen={valuesOf(rows)} tz={view.tz} onFilters={add} />
      </div>
      {view.f.length > 0 && (
        <div class="filters">
          <Chips filters={view.f} onChange={filter} />
        </div>
      )}
      {news && (
        <Notice info>
          {words.events.fresh(news.count, news.more)}
          <button
            type="button"
            class="button small"
            onClick={() => {
              fresh.value = null;
              refresh();
            }}
          >
            {words.events.show}
          </button>
        </Notice>
      )}
      <Loaded from={page} grant="message_events/view" skeleton={<Skeleton kind="table" />}>
        {(value) =>
          value.events.length === 0 ? (
            <NoEvents view={view} change={change} />
          ) : (
            <Listing value={value} stale={page.stale} state={state} selected={selected} onFilter={add} />
          )
        }
      </Loaded>
    </>
  );
}

function Listing({
  value,
  stale,
  state,
  selected,
  onFilter,
}: {
  value: EventPage;
  stale: boolean;
  state: ReturnType<typeof useView>;
  selected: EventRow | undefined;
  onFilter: (filters: readonly Filter[]) => void;
}) {
  const { view, change } = state;
  const table = useRef<HTMLDivElement>(null);
  const ids = value.events.map((event) => textOf(event, 'event_id'));
  const opener = (index: number) =>
    table.current?.querySelectorAll<HTMLElement>('tbody tr .opener')[index] ?? null;
  const here = () => {
    const row = document.activeElement?.closest('tbody tr');
    const all = [...(table.current?.querySelectorAll('tbody tr') ?? [])];
    const at = row ? all.indexOf(row) : -1;
    return at >= 0 ? at : ids.indexOf(view.sel);
  };
  const go = (by: number) => {
    const to = Math.max(0, Math.min(ids.length - 1, here() + by));
    opener(to)?.focus();
    if (view.sel && ids[to]) change({ sel: ids[to] }, { replace: true });
  };
  const close = () => {
    const at = ids.indexOf(view.sel);
    change({ sel: '', raw: '0' });
    opener(at)?.focus();
  };
  useKeys([
    { keys: 'j', does: 'Next row', run: () => go(1) },
    { keys: 'k', does: 'Previous row', run: () => go(here() < 0 ? 1 : -1) },
    {
      keys: 'o',
      does: 'Open the message in a new tab',
      run: () => {
        const event = value.events[here()];
        const id = event ? textOf(event, 'message_id') : '';
        if (id) open(messageHref(id, view.tz), '_blank', 'noopener');
      },
    },
    {
      keys: '.',
      does: words.events.raw,
      run: () => {
        if (selected) change({ raw: view.raw === '1' ? '0' : '1' }, { replace: true });
      },
    },
    { keys: 'Escape', does: 'Close the event', run: () => view.sel && close() },
  ]);

  return (
    <div class={`events-layout ${view.sel ? 'open' : ''}`}>
      <section class="panel" ref={table} aria-label={words.events.caption}>
        {/* Rows of the page before answer no more: what they would open is not on the page that is coming. */}
        <div inert={stale}>
          <EventTable
            events={value.events}
            tz={view.tz}
            selected={view.sel}
            onOpen={(id) => change({ sel: id === view.sel ? '' : id })}
          />
        </div>
        <Pager
          text={words.events.total(value.total)}
          n={view.n}
          onSize={(n) => change({ n, cursor: '', sel: '' })}
          back={view.cursor ? () => change({ cursor: '', sel: '' }) : null}
          backLabel={words.events.newest}
          on={value.next ? () => change({ cursor: value.next ?? '', sel: '' }) : null}
          onLabel={words.events.older}
        />
      </section>
      {selected ? (
        <EventDetail
          event={selected}
          tz={view.tz}
          raw={view.raw === '1'}
          onRaw={(isOpen) => {
            if (isOpen !== (view.raw === '1')) change({ raw: isOpen ? '1' : '0' }, { replace: true });
          }}
          onClose={close}
          onFilter={(filter) => onFilter([filter])}
        />
      ) : (
        view.sel && (
          <aside class="panel">
            <Empty title={words.events.gone}>
              <button type="button" class="button" onClick={close}>
                {words.events.close}
              </button>
            </Empty>
          </aside>
        )
      )}
    </div>
  );
}

function NoEvents({ view, change }: { view: View; change: (part: Partial<View>) => void }) {
  const filters = listed(view.f.map((filter) => visible(filterName(filter))));
  return (
    <section class="panel">
      <Empty title={words.events.none(during(view.t, view.tz, now.value), filters)}>
        <p>{words.events.noneText}</p>
        <div class="actions">
          {view.f.slice(0, 4).map((filter) => (
            <button
              key={`${filter.facet}.${filter.value}`}
              type="button"
              class="button"
              onClick={() => change({ f: view.f.filter((f) => f !== filter), cursor: '', sel: '' })}
            >
              {words.events.remove(visible(filterName(filter)))}
            </button>
          ))}
          {view.t !== '7d' && (
            <button type="button" class="button" onClick={() => change({ t: '7d', cursor: '', sel: '' })}>
              Last 7 days
            </button>
          )}
        </div>
      </Empty>
    </section>
  );
}

function valuesOf(rows: readonly EventRow[]): Map<string, Set<string>> {
  const seen = new Map<string, Set<string>>();
  for (const facet of eventFacets) {
    const values = new Set<string>();
    for (const row of rows) {
      const text = textOf(row, facet.field);
      if (text && text.length <= 200) values.add(text);
    }
    seen.set(facet.key, values);
  }
  return seen;
}
