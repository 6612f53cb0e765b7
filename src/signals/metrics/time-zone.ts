import { badParameter } from '../request-error.ts';

const MINUTE = 60_000;

/** Wall clocks of an IANA time zone. */
export class TimeZone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat | null;
  /** Offsets by quarter of an hour, because no zone changes at any other time. */
  readonly #offsets = new Map<number, number>();

  /** Throws `RequestError` if there is no such zone. */
  constructor(name: string) {
    this.name = name;
    if (name === 'UTC') {
      this.#format = null;
      return;
    }
    if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name))
      throw badParameter('timezone', 'is no known time zone');
    try {
      this.#format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
      });
    } catch {
      throw badParameter('timezone', 'is no known time zone');
    }
  }

  /** Milliseconds that the wall clock is ahead of UTC at an instant. */
  offsetAt(instant: number): number {
    if (!this.#format) return 0;
    const quarter = Math.floor(instant / (15 * MINUTE));
    const known = this.#offsets.get(quarter);
    if (known !== undefined) return known;
    const at = quarter * 15 * MINUTE;
    const parts = new Map(this.#format.formatToParts(at).map((p) => [p.type, Number(p.value)]));
    const wall = Date.UTC(
      parts.get('year')!,
      parts.get('month')! - 1,
      parts.get('day')!,
      parts.get('hour')!,
      parts.get('minute')!,
      parts.get('second')!,
    );
    const offset = wall - at;
    this.#offsets.set(quarter, offset);
    return offset;
  }

  /** Wall clock (as if it were UTC, milliseconds) of an instant. */
  wallOf(instant: number): number {
    return instant + this.offsetAt(instant);
  }

  /**
   * The first instant at which the wall clock shows this time; for a time that is left out when clocks go forward,
   * the instant of the change.
   */
  instantOf(wall: number): number {
    const candidates = [
      ...new Set([this.offsetAt(wall - 86_400_000), this.offsetAt(wall + 86_400_000), this.offsetAt(wall)]),
    ]
      .map((offset) => wall - offset)
      .sort((a, b) => a - b);
    for (const instant of candidates) if (this.wallOf(instant) === wall) return instant;
    let [low, high] = [candidates[0]!, candidates.at(-1)!];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.wallOf(middle) < wall) low = middle;
      else high = middle;
    }
    return high;
  }

  /** `YYYY-MM-DDTHH:MM:SS±HH:MM`, the form of `ts` in metrics. */
  format(instant: number): string {
    const offset = this.offsetAt(instant);
    const minutes = Math.abs(Math.round(offset / MINUTE));
    const two = (n: number) => String(n).padStart(2, '0');
    const sign = offset < 0 ? '-' : '+';
    return `${new Date(instant + offset).toISOString().slice(0, 19)}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  }
}
