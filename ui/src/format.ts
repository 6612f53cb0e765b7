/** Numbers, times and sizes as the pages print them. Pure; everything takes its zone and its now. */

const groups = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const NARROW = '\u202f';

/** What stands where there is no value: never a zero that nobody counted. */
export const NONE = '–';

/** A whole number with its thousands grouped: `48,213`. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? NONE : groups.format(value);
}

/** For tiles and axes: above 9,999 four significant digits, `12.35k`, `1.234M`. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size < 10_000) return groups.format(value);
  const units: readonly [number, string][] = [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  for (const [i, [unit, letter]] of units.entries()) {
    if (size < unit) continue;
    const rounded = Number((value / unit).toPrecision(4));
    // 999,960 would read "1000k".
    const above = units[i - 1];
    if (Math.abs(rounded) >= 1000 && above) return `${(value / above[0]).toPrecision(4)}${above[1]}`;
    return `${(value / unit).toPrecision(4)}${letter}`;
  }
  return groups.format(value);
}

/** A count on an axis, without needless digits: `0`, `500`, `1k`, `2.5k`. */
export function tick(value: number): string {
  const size = Math.abs(value);
  for (const [unit, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (size >= unit) return `${Number((value / unit).toFixed(2))}${letter}`;
  }
  return String(Number(value.toFixed(2)));
}

/** A share, 0 to 100, with its sign of per cent: `97.40 %`, and `<0.01 %` for what would round to nothing. */
export function percent(value: number | null | undefined, decimals = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const least = 10 ** -decimals;
  if (value > 0 && value < least / 2) return `<${least.toFixed(decimals)}${NARROW}%`;
  return `${value.toFixed(decimals)}${NARROW}%`;
}

/** A difference of two shares: `+1.90 points`. */
export function points(value: number): string {
  return `${sign(value)}${Math.abs(value).toFixed(2)} points`;
}

/** A relative change: `+12.4 %`, without decimals from a hundred on. */
export function change(value: number): string {
  const size = Math.abs(value);
  return `${sign(value)}${size >= 100 ? groups.format(size) : size.toFixed(1)}${NARROW}%`;
}

function sign(value: number): string {
  return value > 0 ? '+' : value < 0 ? '−' : '±';
}

/** A time span in milliseconds: `850 ms`, `4.2 s`, `3 m 10 s`, `2 h 05 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return NONE;
  const size = Math.max(0, ms);
  if (size < 1000) return `${Math.round(size)} ms`;
  if (size < 59_950) return `${Number((size / 1000).toFixed(1))} s`;
  const seconds = Math.round(size / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.round(size / 60_000);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  const hours = Math.round(size / 3_600_000);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Bytes in steps of 1024: `512 B`, `18.4 KiB`. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  let size = value;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (Math.abs(size) < 1024) return `${Number(size.toFixed(unit === 'B' ? 0 : 1))} ${unit}`;
    size /= 1024;
  }
  return `${Number(size.toFixed(1))} TiB`;
}

/** `1 event`, `2 events`. */
export function plural(n: number, one: string, many: string): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function two(n: number): string {
  return String(n).padStart(2, '0');
}

/** A name from a list that reads as a sentence part: `a, b and c`. */
export function listed(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join('');
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}
