/** How a benchmark tells what it found: lines for people, and one JSON file so that runs can be compared. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import path from 'node:path';

export interface Figure {
  /** What was measured, `relay, 20 kept sessions`. */
  readonly what: string;
  /** Whom it was measured on: `posthorn`, `postfix`, `haraka`, `clickhouse`. */
  readonly who: string;
  readonly unit: string;
  /** One value for each repetition. */
  readonly values: readonly number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least this share of the values does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export class Report {
  readonly #name: string;
  readonly #conditions: Readonly<Record<string, unknown>>;
  readonly #figures: Figure[] = [];
  readonly #ratios: { what: string; ratio: number; target: string }[] = [];

  /** `conditions`: sizes, durability, TLS, versions: all that a reader needs to judge the figures. */
  constructor(name: string, conditions: Readonly<Record<string, unknown>>) {
    this.#name = name;
    this.#conditions = {
      node: process.version,
      system: `Linux ${release()}`,
      cores: availableParallelism(),
      processor: cpus()[0]?.model ?? 'unknown',
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      loadBefore: Number(loadavg()[0]!.toFixed(2)),
      ...conditions,
    };
    for (const [key, value] of Object.entries(this.#conditions)) console.log(`${key}: ${value}`);
  }

  /** Tells one figure; its median is what counts. */
  figure(what: string, who: string, unit: string, values: readonly number[]): number {
    this.#figures.push({ what, who, unit, values });
    const middle = median(values);
    const shown = values.length > 1 ? ` (${values.map(plain).join(', ')})` : '';
    console.log(`${what.padEnd(44)} ${who.padEnd(10)} ${plain(middle).padStart(9)} ${unit}${shown}`);
    return middle;
  }

  /** Milliseconds of a process by kind of thread, of each repetition. */
  threads(who: string, runs: readonly ReadonlyMap<string, number>[]): void {
    for (const kind of new Set(runs.flatMap((run) => [...run.keys()]))) {
      const values = runs.map((run) => run.get(kind) ?? 0);
      if (median(values) >= 0.001) this.figure(`    of that, ${kind}`, who, 'ms', values);
    }
  }

  /** Tells how one median stands to another's, or to a bound. */
  ratio(what: string, ratio: number, target: string): void {
    this.#ratios.push({ what, ratio, target });
    console.log(`${what.padEnd(44)} ${'ratio'.padEnd(10)} ${plain(ratio).padStart(9)} (target: ${target})`);
  }

  /** Writes all of it as JSON below `folder`. */
  save(folder: string): void {
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `${this.#name}-${new Date().toISOString().replaceAll(':', '-')}.json`);
    const { conditions, figures, ratios } = {
      conditions: this.#conditions,
      figures: this.#figures.map((f) => ({ ...f, median: median(f.values) })),
      ratios: this.#ratios,
    };
    writeFileSync(
      file,
      `${JSON.stringify({ benchmark: this.#name, conditions, figures, ratios }, null, 2)}\n`,
    );
    console.log(`saved: ${file}`);
  }
}

function plain(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return value.toPrecision(3);
}
