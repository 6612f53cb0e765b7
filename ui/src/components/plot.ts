/** The drawing of a time series: uPlot behind a small face. It draws and reports the pointer; it knows no page. */
import uPlot from 'uplot';
import { tick } from '../format.ts';
import type { Step } from '../range.ts';
import { kept, type Line } from '../series.ts';
import { clockMinutes, dayName, dayOfMonth, monthName, wallAt } from '../zone.ts';

/** Dash patterns that go with the colours 1 to 8, so that a line is known without its colour. */
export const DASHES: readonly (readonly number[])[] = [
  [],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [10, 4],
  [4, 2, 1, 2],
  [1, 3],
  [12, 3],
];

/** More points than this are thinned; each column keeps its peaks. */
const MOST_POINTS = 2000;
const UNFINISHED_DASH = [3, 4];

export interface PlotLine extends Line {
  readonly shown: boolean;
}

export interface PlotData {
  /** First instant of every bucket, milliseconds. */
  readonly starts: readonly number[];
  readonly lines: readonly PlotLine[];
  /** Buckets from here on are still filling. */
  readonly finished: number;
  readonly step: Step;
  readonly zone: string;
  readonly log: boolean;
}

export interface PlotEvents {
  /** The pointer is over a bucket, or left (null). */
  onPoint(index: number | null): void;
  onClick(index: number): void;
  onDoubleClick(index: number): void;
  /** A stretch was drawn with the pointer: first and last bucket. */
  onStretch(first: number, last: number): void;
  /** Drawn anew: positions of labels may have changed. */
  onDrawn(): void;
}

export class Plot {
  readonly #host: HTMLElement;
  readonly #events: PlotEvents;
  #chart: uPlot | null = null;
  #data: PlotData | null = null;
  /** Which bucket each drawn point is. */
  #kept: number[] = [];

  constructor(host: HTMLElement, events: PlotEvents) {
    this.#host = host;
    this.#events = events;
  }

  /** Draws anew: other data, other size, other theme. */
  draw(data: PlotData): void {
    this.destroy();
    const width = this.#host.clientWidth;
    const height = this.#host.clientHeight;
    if (width < 40 || height < 40 || data.starts.length === 0) return;
    this.#data = data;
    this.#kept = kept(
      data.lines.map((line) => line.values),
      data.starts.length,
      MOST_POINTS,
    );
    this.#chart = new uPlot(this.#options(data, width, height), this.#aligned(data), this.#host);
  }

  destroy(): void {
    this.#chart?.destroy();
    this.#chart = null;
  }

  /** Puts the crosshair on a bucket (keyboard), or takes it away. */
  point(index: number | null): void {
    const chart = this.#chart;
    const data = this.#data;
    if (!chart || !data) return;
    const left = index === null ? -10 : chart.valToPos(data.starts[index]! / 1000, 'x');
    chart.setCursor({ left, top: index === null ? -10 : 0 }, false);
  }

  /** Left edge of a bucket's point and of the plot area, in pixels of the host. */
  xOf(index: number): number {
    const chart = this.#chart;
    if (!chart || !this.#data) return 0;
    return chart.over.offsetLeft + chart.valToPos(this.#data.starts[index]! / 1000, 'x');
  }

  yOf(value: number): number {
    return this.#chart ? this.#chart.over.offsetTop + this.#chart.valToPos(value, 'y') : 0;
  }

  /** Plot area in pixels of the host. */
  get area(): { left: number; right: number; top: number; bottom: number } {
    const over = this.#chart?.over;
    if (!over) return { left: 0, right: 0, top: 0, bottom: 0 };
    return {
      left: over.offsetLeft,
      right: over.offsetLeft + over.clientWidth,
      top: over.offsetTop,
      bottom: over.offsetTop + over.clientHeight,
    };
  }

  #aligned(data: PlotData): uPlot.AlignedData {
    const xs = this.#kept.map((i) => data.starts[i]! / 1000);
    const columns: (number | null)[][] = [];
    for (const line of data.lines) {
      columns.push(this.#kept.map((i) => (i < data.finished ? line.values[i]! : null)));
      // The unfinished part is a line of its own, dashed, from the last finished point on.
      columns.push(this.#kept.map((i) => (i >= data.finished - 1 ? line.values[i]! : null)));
    }
    return [xs, ...columns] as uPlot.AlignedData;
  }

  #options(data: PlotData, width: number, height: number): uPlot.Options {
    const style = getComputedStyle(this.#host);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const font = `12px ${style.fontFamily}`;
    const roomForLabels = width >= 560;
    const index = (drawn: number | null | undefined) =>
      drawn === null || drawn === undefined ? null : (this.#kept[drawn] ?? null);
    const last = data.starts.at(-1)! / 1000;
    const first = data.starts[0]! / 1000;
    const pad = data.starts.length === 1 ? 1800 : 0;
    return {
      width,
      height,
      padding: [14, roomForLabels ? 92 : 30, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: true, range: [first - pad, last + pad] },
        y: {
          distr: data.log ? 4 : 1,
          range: (_u, _low, high) => [0, high > 0 ? niceTop(high) : 1],
        },
      },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        bind: { dblclick: () => null },
      },
      series: [
        {},
        ...data.lines.flatMap((line): uPlot.Series[] => {
          const stroke = colour(`--s${line.style}`);
          const common = { show: line.shown, stroke, width: 1.75, points: { show: false } };
          return [
            { ...common, dash: [...DASHES[line.style - 1]!] },
            { ...common, dash: UNFINISHED_DASH },
          ];
        }),
      ],
      axes: [
        {
          stroke: colour('--muted'),
          font,
          grid: { show: false },
          ticks: { stroke: colour('--line'), size: 5, width: 1 },
          border: { show: true, stroke: colour('--line-strong'), width: 1 },
          space: 72,
          size: 32,
          splits: (_u, _axis, low, high, step) => timeSplits(low, high, step, data),
          values: (_u, splits) => splits.map((s, i) => axisLabel(s * 1000, i, splits, data)),
        },
        {
          stroke: colour('--muted'),
          font,
          size: 52,
          space: 42,
          gap: 6,
          grid: { stroke: colour('--line'), width: 1 },
          ticks: { show: false },
          ...(data.log ? { splits: (_u, _axis, _low, high) => decades(high) } : {}),
          values: (_u, splits) => splits.map((s) => (Number.isInteger(s) ? tick(s) : '')),
        },
      ],
      hooks: {
        drawAxes: [(u) => this.#shadeUnfinished(u, data, colour('--line'))],
        draw: [
          (u) => {
            this.#drawPoints(u, data, colour);
            this.#events.onDrawn();
          },
        ],
        setCursor: [
          (u) =>
            this.#events.onPoint(
              u.cursor.left === undefined || u.cursor.left < 0 ? null : index(u.cursor.idx),
            ),
        ],
        setSelect: [
          (u) => {
            if (u.select.width < 6) return;
            const from = index(u.posToIdx(u.select.left));
            const to = index(u.posToIdx(u.select.left + u.select.width));
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (from !== null && to !== null && to > from) this.#events.onStretch(from, to);
          },
        ],
        init: [
          (u) => {
            const at = () => index(u.cursor.idx);
            u.over.addEventListener('click', () => {
              const i = at();
              if (i !== null) this.#events.onClick(i);
            });
            u.over.addEventListener('dblclick', () => {
              const i = at();
              if (i !== null) this.#events.onDoubleClick(i);
            });
          },
        ],
      },
    };
  }

  /** A hatched band behind the bucket that is still filling. */
  #shadeUnfinished(u: uPlot, data: PlotData, stroke: string): void {
    if (data.finished >= data.starts.length || data.finished === 0) return;
    const { ctx, bbox } = u;
    const from = u.valToPos(data.starts[data.finished - 1]! / 1000, 'x', true);
    const to = Math.min(bbox.left + bbox.width, u.valToPos(data.starts.at(-1)! / 1000, 'x', true));
    if (to <= from) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(from, bbox.top, to - from, bbox.height);
    ctx.clip();
    ctx.strokeStyle = stroke;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    const gap = 7 * devicePixelRatio;
    for (let x = from - bbox.height; x < to; x += gap) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }

  /** Hollow points for what is unfinished; filled ones where a value stands alone between gaps. */
  #drawPoints(u: uPlot, data: PlotData, colour: (name: string) => string): void {
    const { ctx } = u;
    ctx.save();
    for (const line of data.lines) {
      if (!line.shown) continue;
      for (const i of this.#kept) {
        const value = line.values[i];
        if (value === null || value === undefined) continue;
        const unfinished = i >= data.finished;
        const alone = (line.values[i - 1] ?? null) === null && (line.values[i + 1] ?? null) === null;
        if (!unfinished && !alone) continue;
        ctx.beginPath();
        const radius = 3.2 * devicePixelRatio;
        ctx.arc(
          u.valToPos(data.starts[i]! / 1000, 'x', true),
          u.valToPos(value, 'y', true),
          radius,
          0,
          2 * Math.PI,
        );
        ctx.fillStyle = unfinished ? colour('--page') : colour(`--s${line.style}`);
        ctx.strokeStyle = colour(`--s${line.style}`);
        ctx.lineWidth = 1.6 * devicePixelRatio;
        ctx.fill();
        ctx.stroke();
      }
    }
    ctx.restore();
  }
}

/** The next round number above the highest value, with a little air. */
function niceTop(high: number): number {
  const rough = high * 1.06;
  const unit = 10 ** Math.floor(Math.log10(rough));
  for (const factor of [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) {
    if (factor * unit >= rough) return Math.max(factor * unit, 1);
  }
  return rough;
}

/** Ticks of a logarithmic axis that begins at zero. */
function decades(high: number): number[] {
  const out = [0];
  for (let value = 1; value <= high; value *= 10) out.push(value);
  return out;
}

/** Steps of the time axis, in seconds, that read well. */
const TIME_STEPS = [
  60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000,
];

/** Ticks on round readings of the clock in the chart's zone. */
function timeSplits(low: number, high: number, wanted: number, data: PlotData): number[] {
  const step = TIME_STEPS.find((s) => s >= wanted) ?? TIME_STEPS.at(-1)!;
  const w = wallAt(low * 1000, data.zone);
  const offset = Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute, w.second) / 1000 - Math.floor(low);
  const out: number[] = [];
  for (let s = Math.ceil((low + offset) / step) * step - offset; s <= high; s += step) out.push(s);
  return out;
}

function axisLabel(ms: number, i: number, splits: readonly number[], data: PlotData): string {
  const { zone } = data;
  const apart = splits.length > 1 ? splits[1]! - splits[0]! : 0;
  if (data.step === 'month') return monthName(ms, zone);
  if (apart >= 86_400) return i === 0 || apart < 172_800 ? dayName(ms, zone) : dayOfMonth(ms, zone);
  const w = wallAt(ms, zone);
  return w.hour === 0 && w.minute === 0 ? dayName(ms, zone) : clockMinutes(ms, zone);
}
