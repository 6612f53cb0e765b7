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
