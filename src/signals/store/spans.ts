/** Milliseconds since the epoch; `from` inclusive, `to` exclusive. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Which roll-ups together cover a window, each instant once. */
export interface Spans {
  readonly minutes: readonly Span[];
  readonly hours: readonly Span[];
  /** Whole UTC days whose sums are stored, or the part of them that is in the window. */
  readonly sealed: readonly Span[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** How far after a full hour of UTC the hours begin whose sums are stored beside those of full hours: India's. */
export const HALF_HOUR = HOUR / 2;

/**
 * The same for hours that begin half past those of UTC. Sums of such hours are stored of sealed days only, of those
 * hours that begin and end within the day; the rest are minutes.
 */
export function halfHourSpansOf(window: Span, isSealed: (day: number) => boolean): Spans {
  const minutes: Span[] = [];
  const sealed: Span[] = [];
  for (let at = window.from; at < window.to; ) {
    const day = Math.floor(at / DAY) * DAY;
    const end = Math.min(day + DAY, window.to);
    const from = Math.max(Math.ceil((at - HALF_HOUR) / HOUR) * HOUR, day) + HALF_HOUR;
    const to = Math.min(Math.floor((end - HALF_HOUR) / HOUR) * HOUR, day + DAY - HOUR) + HALF_HOUR;
    if (from < to && isSealed(day)) {
      sealed.push({ from, to });
      minutes.push({ from: at, to: from }, { from: to, to: end });
    } else minutes.push({ from: at, to: end });
    at = end;
  }
  return { minutes: joined(minutes), hours: [], sealed };
}

/** Spans in order, those that touch made one. */
function joined(spans: readonly Span[]): Span[] {
  const all: Span[] = [];
  for (const span of nonEmpty(spans)) {
    const last = all.at(-1);
    if (last?.to === span.from) all[all.length - 1] = { from: last.from, to: span.to };
    else all.push(span);
  }
  return all;
}

/**
 * Divides a window among the roll-ups. `finest` is the shortest unit that results are asked in: with 'minute' only the
 * minutes can tell; else whole UTC hours come from coarser sums, and the rest at both ends from the minutes.
 */
export function spansOf(
  window: Span,
  finest: 'minute' | 'hour' | 'day',
  isSealed: (day: number) => boolean,
): Spans {
  if (finest === 'minute') return { minutes: nonEmpty([window]), hours: [], sealed: [] };
  const from = Math.ceil(window.from / HOUR) * HOUR;
  const to = Math.floor(window.to / HOUR) * HOUR;
  if (from >= to) return { minutes: nonEmpty([window]), hours: [], sealed: [] };
  const minutes = nonEmpty([
    { from: window.from, to: from },
    { from: to, to: window.to },
  ]);
  const hours: Span[] = [];
  const sealed: Span[] = [];
  for (let at = from; at < to; ) {
    const next = Math.min((Math.floor(at / DAY) + 1) * DAY, to);
    const into = isSealed(at) ? sealed : hours;
    const last = into.at(-1);
    if (last?.to === at) into[into.length - 1] = { from: last.from, to: next };
    else into.push({ from: at, to: next });
    at = next;
  }
  return { minutes, hours, sealed };
}

function nonEmpty(spans: readonly Span[]): Span[] {
  return spans.filter((span) => span.from < span.to);
}
