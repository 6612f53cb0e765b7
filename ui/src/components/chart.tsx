import { useSignal } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks';
import { announce } from '../announce.ts';
import { saveFile } from '../copy.ts';
import { csv } from '../csv.ts';
import { count } from '../format.ts';
import { useKeys } from '../keys.ts';
import { bucketCell, bucketName, type Step } from '../range.ts';
import { navigate } from '../router.ts';
import { isSmall } from '../screen.ts';
import { type Line, spoken, spread, summary, total } from '../series.ts';
import { theme } from '../theme.ts';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';
import { DASHES, Plot, type PlotLine } from './plot.ts';

const MOST_TABLE_ROWS = 400;
const LABEL_GAP = 15;

export interface ChartProps {
  readonly id: string;
  readonly title: string;
  /** The range in words. */
  readonly range: string;
  readonly starts: readonly number[];
  readonly lines: readonly Line[];
  /** Buckets from here on are still filling. */
  readonly finished: number;
  readonly step: Step;
  readonly zone: string;
  readonly hidden: readonly string[];
  readonly log: boolean;
  onHidden(keys: readonly string[]): void;
  onLog(log: boolean): void;
  /** Narrows the page's range to these buckets (first and last). */
  onStretch(first: number, last: number): void;
  /** Address of the events behind a bucket of a line; of all lines when no key is given. */
  eventsOf(index: number, key?: string): string;
}

/**
 * A time series that everyone can read: drawn for the eye, and for the rest a sentence, a cursor that speaks, and
 * a table of the same numbers. One unit, one panel.
 */
export function Chart(props: ChartProps) {
  const { starts, lines, finished, step, zone, hidden } = props;
  const ids = useId();
  const host = useRef<HTMLDivElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const asTable = useSignal(false);
  const at = useSignal<number | null>(null);
  const lead = useSignal(0);
  const pinned = useSignal(false);
  const drawn = useSignal(0);
  const latest = useRef(props);
  latest.current = props;

  const styled: PlotLine[] = lines.map((line) => ({
    ...line,
    shown: !hidden.includes(line.key),
  }));
  const visible = styled.filter((line) => line.shown);
  const shape = JSON.stringify([starts[0], starts.length, finished, zone, step, hidden, props.log]);
  const dark = theme.value;
  const small = isSmall.value;

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const made = new Plot(element, {
      onPoint: (index) => {
        if (!pinned.peek() && !(index === null && document.activeElement === frame.current)) at.value = index;
      },
      onClick: (index) => {
        pinned.value = !(pinned.peek() && at.peek() === index);
        at.value = index;
      },
      onDoubleClick: (index) => latest.current.onStretch(index, index),
      onStretch: (first, last) => latest.current.onStretch(first, last),
      onDrawn: () => {
        drawn.value++;
      },
    });
    plot.current = made;
    return () => made.destroy();
  }, []);

  useLayoutEffect(() => {
    const draw = () => plot.current?.draw({ starts, lines: styled, finished, step, zone, log: props.log });
    draw();
    if (!host.current) return;
    let width = host.current.clientWidth;
    const observer = new ResizeObserver(() => {
      if (!host.current || host.current.clientWidth === width) return;
      width = host.current.clientWidth;
      draw();
    });
    observer.observe(host.current);
    return () => observer.disconnect();
  }, [shape, lines, dark, small, asTable.value]);

  useEffect(() => {
    if (at.value !== null && at.value >= starts.length) at.value = null;
  }, [starts.length]);

  const toggleTable = () => {
    asTable.value = !asTable.value;
  };
  useKeys([{ keys: 'd', does: words.chart.table, run: toggleTable }]);

  const say = (index: number) => {
    const line = visible[Math.min(lead.value, visible.length - 1)];
    if (line) announce(spoken(line, index, starts, step, zone, finished));
  };
  const move = (index: number) => {
    const bounded = Math.max(0, Math.min(starts.length - 1, index));
    at.value = bounded;
    plot.current?.point(bounded);
    say(bounded);
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || starts.length === 0) return;
    const here = at.value ?? starts.length;
    const moves: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => move(at.value === null ? starts.length - 1 : here - 1),
      ArrowRight: () => move(at.value === null ? 0 : here + 1),
      PageUp: () => move(here - 10),
      PageDown: () => move(here + 10),
      Home: () => move(0),
      End: () => move(starts.length - 1),
      ArrowUp: () => changeLead(-1),
      ArrowDown: () => changeLead(1),
      ' ': () => {
        if (at.value !== null) pinned.value = !pinned.value;
      },
      Enter: () => {
        if (at.value !== null) navigate(props.eventsOf(at.value, visible[lead.value]?.key));
      },
      Escape: () => leave(),
    };
    const run = moves[event.key];
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  };
  const changeLead = (by: number) => {
    if (visible.length === 0) return;
    lead.value = (lead.value + by + visible.length) % visible.length;
    if (at.value === null) move(starts.length - 1);
    else say(at.value);
  };
  const leave = () => {
    pinned.value = false;
    at.value = null;
    plot.current?.point(null);
  };
  const toggle = (line: PlotLine, alone: boolean) => {
    if (alone) {
      const others = lines.filter((l) => l.key !== line.key).map((l) => l.key);
      props.onHidden(hidden.length === others.length && !hidden.includes(line.key) ? [] : others);
    } else props.onHidden(line.shown ? [...hidden, line.key] : hidden.filter((k) => k !== line.key));
  };
  const download = () => {
    const rows = starts.map((start, i) => [
      new Date(start).toISOString(),
      ...lines.map((l) => l.values[i] ?? null),
    ]);
    saveFile(`${props.id}.csv`, 'text/csv;charset=utf-8', csv(['ts', ...lines.map((l) => l.key)], rows));
  };

  const sentence = summary(visible, starts, step, zone, finished, props.range);
  const hidePlot = asTable.value;
  return (
    <figure class="panel" aria-labelledby={`${ids}-title`}>
      <header>
        <h2 id={`${ids}-title`}>{props.title}</h2>
        <span class="spring" />
        <button
          type="button"
          class="button quiet small"
          aria-pressed={props.log}
          onClick={() => props.onLog(!props.log)}
        >
          {words.chart.log}
        </button>
        <button type="button" class="button quiet small" onClick={toggleTable}>
          <Icon name={asTable.value ? 'chart' : 'table'} />
          <span class="on-wide">{asTable.value ? words.chart.chart : words.chart.table}</span>
        </button>
        <button
          type="button"
          class="button quiet small icon-only"
          aria-label={words.chart.csv}
          onClick={download}
        >
          <Icon name="download" />
        </button>
      </header>
      <div class="chart">
        <p class="visually-hidden" id={`${ids}-sum`}>
          {sentence} {words.chart.help}
        </p>
        <div class="legend">
          {styled.map((line) => (
            <button
              key={line.key}
              type="button"
              aria-pressed={line.shown}
              title={words.chart.hide(line.label)}
              onClick={(event) => toggle(line, event.altKey)}
            >
              <Swatch style={line.style} />
              {line.label}
              <span class="num">{count(total(line.values))}</span>
            </button>
          ))}
        </div>
        <div
          ref={frame}
          class="plot"
          hidden={hidePlot}
          role="application"
          aria-roledescription="chart"
          aria-label={props.title}
          aria-describedby={`${ids}-sum`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: the plot has keys of its own, as an application has.
          tabIndex={0}
          onKeyDown={key}
          onBlur={() => {
            if (!pinned.value) leave();
          }}
        >
          <div ref={host} class="canvas" aria-hidden="true" />
          {!hidePlot && drawn.value > 0 && (
            <Labels plot={plot.current} lines={visible} finished={finished} count={starts.length} />
          )}
        </div>
        {!hidePlot && at.value !== null && at.value < starts.length && plot.current && (
          <Card
            plot={plot.current}
            index={at.value}
            lines={visible}
            lead={visible[lead.value]?.key ?? ''}
            pinned={pinned.value}
            props={props}
          />
        )}
        <TwinTable props={props} lines={lines} shown={asTable.value} id={`${ids}-table`} />
      </div>
    </figure>
  );
}

export function Swatch({ style }: { style: number }) {
  return (
    <svg class="swatch" viewBox="0 0 24 10" aria-hidden="true">
      <line
        class={`c${style}`}
        x1="0"
        y1="5"
        x2="24"
        y2="5"
        stroke-dasharray={DASHES[style - 1]!.join(' ') || undefined}
      />
    </svg>
  );
}

/** The name of each line at its right end, moved apart where lines end close to each other. */
function Labels({
  plot,
  lines,
  finished,
  count: length,
}: {
  plot: Plot | null;
  lines: readonly PlotLine[];
  finished: number;
  count: number;
}) {
  if (!plot || length === 0) return null;
  const area = plot.area;
  const ends = lines.flatMap((line) => {
    const i = line.values.findLastIndex((v) => v !== null);
    return i < 0 ? [] : [{ line, y: plot.yOf(line.values[i]!) }];
  });
  const host = area.right + 92;
  const ys = spread(
    ends.map((e) => e.y),
    LABEL_GAP,
    area.bottom,
  );
  const x = finished > 0 && finished < length ? (plot.xOf(finished - 1) + plot.xOf(length - 1)) / 2 : null;
  return (
    <div aria-hidden="true">
      {area.right - area.left > 420 &&
        ends.map(({ line }, i) => (
          <span
            key={line.key}
            class="end-label"
            style={{
              left: `${Math.min(area.right + 7, host)}px`,
              top: `${ys[i]}px`,
              color: `var(--s${line.style})`,
            }}
          >
            {line.label}
          </span>
        ))}
      {x !== null && area.right - area.left > 420 && (
        <span class="so-far-label" style={{ left: `${x}px` }}>
          {words.chart.soFar}
        </span>
      )}
    </div>
  );
}

/** The numbers under the cursor. Stays inside the panel; a pinned one can be read at leisure and its links used. */
function Card({
  plot,
  index,
  lines,
  lead,
  pinned,
  props,
}: {
  plot: Plot;
  index: number;
  lines: readonly PlotLine[];
  lead: string;
  pinned: boolean;
  props: ChartProps;
}) {
  const area = plot.area;
  const x = plot.xOf(index);
  const right = x < (area.left + area.right) / 2;
  const place = isSmall.value ? {} : right ? { left: `${x + 28}px` } : { right: `calc(100% - ${x}px)` };
  const sorted = [...lines].sort((a, b) => (b.values[index] ?? -1) - (a.values[index] ?? -1));
  return (
    <div class={`card ${pinned ? 'pinned' : ''}`} style={{ ...place, top: '48px' }}>
      <h3>
        {bucketName(props.starts[index]!, props.step, props.zone)}
        {index >= props.finished && <span class="muted"> · {words.chart.soFar}</span>}
      </h3>
      {sorted.map((line) => (
        <div key={line.key} class={`row ${line.key === lead ? 'active' : ''}`}>
          <Swatch style={line.style} />
          <span>{line.label}</span>
          <span class="num">{count(line.values[index])}</span>
        </div>
      ))}
      {pinned && (
        <div class="links">
          <a href={props.eventsOf(index)}>{words.chart.events}</a>
        </div>
      )}
    </div>
  );
}

/** The same numbers as a table: shown by `d`, and always there for assistive technology. */
function TwinTable({
  props,
  lines,
  shown,
  id,
}: {
  props: ChartProps;
  lines: readonly Line[];
  shown: boolean;
  id: string;
}) {
  const { starts, step, zone, finished } = props;
  const rows = starts.slice(-MOST_TABLE_ROWS);
  const skipped = starts.length - rows.length;
  return (
    <div
      class={shown ? 'scroll' : 'visually-hidden'}
      {...(shown ? { tabIndex: 0, role: 'region', 'aria-labelledby': id } : {})}
    >
      <table class="grid twin" data-chart={props.id}>
        <caption class="visually-hidden" id={id}>
          {props.title}, {props.range}, {zone}
        </caption>
        <thead>
          <tr>
            <th scope="col">
              {words.chart.time} ({zone})
            </th>
            {lines.map((line) => (
              <th key={line.key} scope="col" class="n">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr class="total">
            <th scope="row">{words.chart.total}</th>
            {lines.map((line) => (
              <td key={line.key} class="n">
                {count(total(line.values))}
              </td>
            ))}
          </tr>
          {rows.map((start, i) => (
            <tr key={start}>
              <th scope="row">
                {bucketCell(start, step, zone)}
                {skipped + i >= finished && <span class="muted"> {words.chart.soFar}</span>}
              </th>
              {lines.map((line) => (
                <td key={line.key} class="n">
                  {count(line.values[skipped + i])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {skipped > 0 && <p class="muted">{words.chart.moreRows(starts.length)}</p>}
    </div>
  );
}
