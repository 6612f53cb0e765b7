import { useSignal } from '@preact/signals';
import { useId } from 'preact/hooks';
import { sameFilter, type View, type ViewSpec, writeView } from '../address.ts';
import { announce } from '../announce.ts';
import { copyText } from '../copy.ts';
import { metricFacets } from '../facets.ts';
import { useKeys } from '../keys.ts';
import {
  allowedSteps,
  autoStep,
  presets,
  resolveRange,
  type StepChoice,
  shiftRange,
  stepName,
  typedMoment,
  writeMoment,
} from '../range.ts';
import { now, refresh } from '../router.ts';
import { isSmall } from '../screen.ts';
import type { ViewState } from '../use-view.ts';
import { overviewSpec } from '../views.ts';
import { words } from '../words.ts';
import { isoMinutes, knownZone } from '../zone.ts';
import { Icon } from './icon.tsx';
import { Popover } from './popover.tsx';
import { QueryBox } from './query-box.tsx';

const SHOWN = ['1h', '24h', '7d', '30d'] as const;

/** Range, comparison, step, zone and refresh of a page: one row, the same everywhere. */
export function ScopeBar({ state, spec }: { state: ViewState; spec: ViewSpec }) {
  const { view, change } = state;
  const moveOn = { page: 1, cursor: '' };
  const setRange = (t: string) => change({ t, step: 'auto', ...moveOn });
  const shift = (direction: -1 | 1) => setRange(shiftRange(view.t, view.tz, now.peek(), direction));

  useKeys([
    { keys: '[', does: words.range.earlier, run: () => shift(-1) },
    { keys: ']', does: words.range.later, run: () => shift(1) },
    { keys: 'r', does: words.range.refresh, run: refresh },
    { keys: 'y', does: words.range.copyLink, run: () => void copyFrozen(view, spec) },
    {
      keys: 'l',
      does: words.range.live,
      run: () => change({ live: view.live === 'off' ? '60s' : 'off' }, { replace: true }),
    },
  ]);

  const rest = <ScopeRest state={state} spec={spec} />;
  return (
    // biome-ignore lint/a11y/useSemanticElements: these controls act at once; they are no form to hand in.
    <div class="scope" role="group" aria-label={words.range.label}>
      <div class="segments">
        {SHOWN.map((t) => (
          <button
            key={t}
            type="button"
            class="segment"
            aria-pressed={view.t === t}
            onClick={() => setRange(t)}
          >
            {t}
          </button>
        ))}
        <Popover
          button={
            <>
              {SHOWN.some((t) => t === view.t) || !presets.includes(view.t) ? words.range.custom : view.t}
              <Icon name="down" />
            </>
          }
          buttonClass="segment"
          pressed={!SHOWN.some((t) => t === view.t)}
          label={words.range.custom}
        >
          {(close) => (
            <CustomRange
              view={view}
              apply={(t) => {
                close();
                setRange(t);
              }}
            />
          )}
        </Popover>
      </div>
      {!isSmall.value && (
        <>
          <span class="shift">
            <button
              type="button"
              class="button quiet icon-only"
              aria-label={words.range.earlier}
              onClick={() => shift(-1)}
            >
              <Icon name="earlier" />
            </button>
            <button
              type="button"
              class="button quiet icon-only"
              aria-label={words.range.later}
              disabled={resolveRange(view.t, view.tz, now.value).to >= now.value}
              onClick={() => shift(1)}
            >
              <Icon name="later" />
            </button>
          </span>
          {rest}
        </>
      )}
      {isSmall.value && (
        <details class="fold">
          <summary>{words.range.more}</summary>
          <div>{rest}</div>
        </details>
      )}
    </div>
  );
}

/** Copies the address with its range made absolute, so that it shows the same figures to whoever opens it. */
async function copyFrozen(view: View, spec: ViewSpec): Promise<void> {
  const { from, to } = resolveRange(view.t, view.tz, now.peek());
  const t = `${writeMoment(minute(from))}..${writeMoment(minute(to, true))}`;
  const done = await copyText(location.origin + location.pathname + writeView({ ...view, t }, spec));
  announce(done ? words.events.copied : words.events.notCopied);
}

function ScopeRest({ state, spec }: { state: ViewState; spec: ViewSpec }) {
  const { view, change } = state;
  const range = resolveRange(view.t, view.tz, now.value);
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set(['UTC', own, view.tz])].filter(knownZone);
  return (
    <>
      {spec.keys.includes('vs') && (
        <Pick
          label={words.range.compare}
          value={view.vs}
          options={Object.entries(words.range.versus)}
          onPick={(vs) => change({ vs: vs as View['vs'] })}
        />
      )}
      {spec.keys.includes('step') && (
        <Pick
          label={words.range.step}
          value={view.step}
          options={[
            ['auto', `${words.range.auto} (${stepName(autoStep(range))})`],
            ...allowedSteps(range).map((step): [string, string] => [step, stepName(step)]),
          ]}
          onPick={(step) => change({ step: step as StepChoice })}
        />
      )}
      <Pick
        label={words.range.zone}
        value={view.tz}
        options={zones.map((zone) => [zone, zone])}
        onPick={(tz) => change({ tz })}
      />
      {spec === overviewSpec && <AddFilter state={state} />}
      <span class="spring" />
      {spec.keys.includes('live') && (
        <Pick
          label={words.range.live}
          value={view.live}
          options={[
            ['off', words.range.liveOff],
            ...['5s', '10s', '30s', '60s'].map((s): [string, string] => [s, s.replace('s', ' s')]),
          ]}
          onPick={(live) => change({ live: live as View['live'] }, { replace: true })}
        />
      )}
      <button type="button" class="button quiet icon-only" aria-label={words.range.refresh} onClick={refresh}>
        <Icon name="refresh" />
      </button>
    </>
  );
}

/** The way to a filter on report pages; event pages have their query box. */
function AddFilter({ state }: { state: ViewState }) {
  const { view, change } = state;
  return (
    <Popover
      button={
        <>
          <Icon name="filter" />
          {words.events.add}
        </>
      }
      buttonClass="button quiet"
      label={words.events.add}
    >
      {(close) => (
        <div class="add-filter">
          <QueryBox
            facets={metricFacets}
            seen={new Map()}
            tz={view.tz}
            onFilters={(filters) => {
              close();
              const fresh = filters.filter((next) => !view.f.some((have) => sameFilter(have, next)));
              change({ f: [...view.f, ...fresh].slice(0, 10), page: 1 });
            }}
          />
        </div>
      )}
    </Popover>
  );
}

/** A labelled choice of few. */
export function Pick({
  label,
  value,
  options,
  onPick,
}: {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onPick: (value: string) => void;
}) {
  const id = useId();
  return (
    <span class="inline-label">
      <label for={id}>{label}</label>
      <select id={id} class="select" value={value} onChange={(event) => onPick(event.currentTarget.value)}>
        {options.map(([key, name]) => (
          <option key={key} value={key} selected={key === value}>
            {name}
          </option>
        ))}
      </select>
    </span>
  );
}

function CustomRange({ view, apply }: { view: View; apply: (t: string) => void }) {
  const id = useId();
  const range = resolveRange(view.t, view.tz, now.peek());
  const from = useSignal(isoMinutes(range.from, view.tz));
  const to = useSignal(range.endsNow ? 'now' : isoMinutes(range.to, view.tz));
  const fault = useSignal<'' | 'from' | 'to' | 'order'>('');

  const submit = (event: Event) => {
    event.preventDefault();
    const first = typedMoment(from.value, view.tz, now.peek());
    const end = typedMoment(to.value, view.tz, now.peek());
    if (first === null) fault.value = 'from';
    else if (end === null) fault.value = 'to';
    else if (first >= end) fault.value = 'order';
    else apply(`${writeMoment(minute(first))}..${writeMoment(minute(end, true))}`);
  };

  const field = (name: 'from' | 'to', label: string, value: typeof from) => (
    <span class="labelled">
      <label for={`${id}-${name}`}>{label}</label>
      <input
        id={`${id}-${name}`}
        class="field"
        value={value.value}
        spellcheck={false}
        autocomplete="off"
        aria-invalid={fault.value === name || (fault.value === 'order' && name === 'to')}
        aria-describedby={`${id}-hint ${fault.value ? `${id}-fault` : ''}`}
        onInput={(event) => {
          value.value = event.currentTarget.value;
          fault.value = '';
        }}
      />
    </span>
  );

  return (
    <form onSubmit={submit} noValidate>
      {field('from', words.range.from, from)}
      {field('to', words.range.to, to)}
      <p id={`${id}-hint`} class="muted">
        {words.range.hint} {view.tz}
      </p>
      {fault.value && (
        <p id={`${id}-fault`} class="error-text" role="alert">
          {fault.value === 'order' ? words.range.order : `${words.range[fault.value]}: ${words.range.bad}`}
        </p>
      )}
      <div class="chips">
        {['today', 'yesterday', 'week', 'month', '14d', '90d'].map((t) => (
          <button key={t} type="button" class="button small" onClick={() => apply(t)}>
            {t}
          </button>
        ))}
      </div>
      <button type="submit" class="button primary">
        {words.range.apply}
      </button>
    </form>
  );
}

function minute(ms: number, up = false): number {
  return (up ? Math.ceil(ms / 60_000) : Math.floor(ms / 60_000)) * 60_000;
}
