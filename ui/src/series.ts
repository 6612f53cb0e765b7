/** What a chart does with its numbers before it draws them. Pure. */
import { count, listed, NONE } from './format.ts';
import { bucketName, nextBucket, type Step, stepName } from './range.ts';

export interface Line {
  readonly key: string;
  readonly label: string;
  /** 1 to 8: colour and dash, the same for one metric on all charts. */
  readonly style: number;
  /** One per bucket; null is a gap, zero is a zero. */
  readonly values: readonly (number | null)[];
}

/** Index of the first bucket that is still filling at `now`; the number of buckets when all are finished. */
export function unfinishedFrom(starts: readonly number[], step: Step, zone: string, now: number): number {
  for (let i = starts.length - 1; i >= 0; i--) {
    if (nextBucket(starts[i]!, step, zone) <= now) return i + 1;
  }
  return 0;
}

/** Buckets that have not begun are a gap, whatever the API fills them with. */
export function withGaps(
  starts: readonly number[],
  values: readonly (number | null)[],
  now: number,
): (number | null)[] {
  return values.map((value, i) => (starts[i]! > now ? null : value));
}

/**
 * Indices to draw when there are more points than `most`: of every column of neighbours the first, the last, and
 * each line's least and greatest, so that no peak disappears. All indices when there is room.
 */
export function kept(lines: readonly (readonly (number | null)[])[], length: number, most: number): number[] {
  if (length <= most) return Array.from({ length }, (_, i) => i);
  const perColumn = 2 + 2 * lines.length;
  const columns = Math.max(1, Math.floor(most / perColumn));
  const out = new Set<number>();
  for (let c = 0; c < columns; c++) {
    const from = Math.floor((c * length) / columns);
    const to = Math.floor(((c + 1) * length) / columns);
    out.add(from).add(to - 1);
    for (const values of lines) {
      let least = -1;
      let greatest = -1;
      for (let i = from; i < to; i++) {
        const v = values[i];
        if (v === null || v === undefined) continue;
        if (least < 0 || v < values[least]!) least = i;
        if (greatest < 0 || v > values[greatest]!) greatest = i;
      }
      if (least >= 0) out.add(least).add(greatest);
    }
  }
  return [...out].sort((a, b) => a - b);
}

/**
 * The chart in one sentence, for those who do not see it: totals of every line, and where the first one is highest
 * and lowest among the finished buckets.
 */
export function summary(
  lines: readonly Line[],
  starts: readonly number[],
  step: Step,
  zone: string,
  finished: number,
  range: string,
): string {
  const lead = lines[0];
  if (!lead || starts.length === 0) return `Nothing was counted: ${range}.`;
  const totals = lines.map((line) => `${line.label.toLowerCase()} ${count(total(line.values))}`);
  const done = lead.values.slice(0, finished);
  let text = `${capital(range)}: ${listed(totals)}.`;
  const high = indexOfBest(done, (a, b) => a > b);
  const low = indexOfBest(done, (a, b) => a < b);
  if (high >= 0 && low >= 0 && done[high] !== done[low]) {
    text += ` ${lead.label} between ${count(done[low])} and ${count(done[high])} per ${stepName(step)}, most in ${bucketName(starts[high]!, step, zone)}.`;
  }
  if (finished < starts.length) text += ' The last bucket is still filling.';
  return text;
}

/** Sum of what there is; null when there is nothing. */
export function total(values: readonly (number | null)[]): number | null {
  let sum: number | null = null;
  for (const v of values) if (v !== null) sum = (sum ?? 0) + v;
  return sum;
}

function indexOfBest(values: readonly (number | null)[], better: (a: number, b: number) => boolean): number {
  let best = -1;
  for (const [i, v] of values.entries()) {
    if (v !== null && (best < 0 || better(v, values[best]!))) best = i;
  }
  return best;
}

/** The point under the cursor, as it is read out. */
export function spoken(
  line: Line,
  index: number,
  starts: readonly number[],
  step: Step,
  zone: string,
  finished: number,
): string {
  const value = line.values[index];
  const amount = value === null || value === undefined ? 'no data' : count(value);
  return `${line.label}, ${bucketName(starts[index]!, step, zone)}: ${amount}${index >= finished ? ', so far' : ''}`;
}

/** Moves labels apart so that neighbours keep `gap` pixels, inside 0 to `height`. Order is kept. */
export function spread(wanted: readonly number[], gap: number, height: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  const at = new Array<number>(wanted.length).fill(0);
  let floor = Number.NEGATIVE_INFINITY;
  for (const i of order) {
    at[i] = Math.max(wanted[i]!, floor);
    floor = at[i]! + gap;
  }
  let ceiling = height;
  for (const i of order.toReversed()) {
    at[i] = Math.min(at[i]!, ceiling);
    ceiling = at[i]! - gap;
  }
  return at;
}

/** Points of an SVG path for a strip, broken at gaps. `top` is the value at the upper edge. */
export function stripPath(
  values: readonly (number | null)[],
  width: number,
  height: number,
  low: number,
  top: number,
): string {
  const span = top - low || 1;
  const stepX = values.length > 1 ? width / (values.length - 1) : 0;
  let path = '';
  let pen = false;
  for (const [i, v] of values.entries()) {
    if (v === null) {
      pen = false;
      continue;
    }
    const x = (values.length > 1 ? i * stepX : width / 2).toFixed(1);
    const y = (height - ((v - low) / span) * height).toFixed(1);
    const alone = !pen && (values[i + 1] === null || values[i + 1] === undefined);
    path += alone ? `M${x} ${y}h.01` : `${pen ? 'L' : 'M'}${x} ${y}`;
    pen = true;
  }
  return path;
}

/** `n of N (rate)`, what stands under every rate. */
export function ofWhat(n: number | undefined, of: number | undefined, what: string): string {
  return n === undefined || of === undefined ? NONE : `${count(n)} of ${count(of)} ${what}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
