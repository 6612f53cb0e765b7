/**
 * How late a value is kept to: a tenth of a second up to 100 seconds, three digits above, so that a batch has few
 * different ones however many events it has. Milliseconds in, tenths of a second out; what came early is not late.
 */
export function lagOf(ms: number): number {
  const tenths = Math.max(0, Math.round(ms / 100));
  const step = 10 ** Math.max(0, String(tenths).length - 3);
  return Math.round(tenths / step) * step;
}

/** Lags of events, counted. Of several of these the sums tell exact quantiles of all their events. */
export class Lags {
  readonly #counts = new Map<number, number>();

  /** `ms`: arrival less the event's own time. */
  add(ms: number): void {
    const lag = lagOf(ms);
    this.#counts.set(lag, (this.#counts.get(lag) ?? 0) + 1);
  }

  /** Tenths of a second → number of events, ascending. */
  get counts(): readonly (readonly [lag: number, events: number])[] {
    return [...this.#counts].sort(([a], [b]) => a - b);
  }
}
