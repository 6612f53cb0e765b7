/** How a benchmark tells what it found: lines for people, and one JSON file so that runs can be compared. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { root } from '../../test/program.ts';
import { optionsOfThisRun } from './given.ts';

export interface Figure {
  /** What was measured, `relay, 20 kept sessions`. */
  readonly what: string;
  /** Whom it was measured on: `posthorn`, `postfix`, `haraka`, `clickhouse`. */
  readonly who: string;
  readonly unit: string;
  /** One value for each repetition. */
  readonly values: readonly number[];
}

/** What `save` writes. */
export interface Result {
  readonly benchmark: string;
  readonly conditions: Readonly<Record<string, unknown>>;
  readonly figures: readonly (Figure & { readonly median: number })[];
  readonly ratios: readonly { readonly what: string; readonly ratio: number; readonly target: string }[];
}

const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs'],
]);

export function fileSystemOf(folder: string): string {
  const { type } = statfsSync(folder);
  return FILE_SYSTEMS.get(type) ?? `file system 0x${type.toString(16)}`;
}

/** Our own version, by its commit: the number of a release says little about what was measured. */
function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const git = (...args: string[]) =>
    spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' }).stdout?.trim();
  const commit = git('rev-parse', '--short', 'HEAD');
  if (!commit) return version;
  return `${version}, commit ${commit}${git('status', '--porcelain', '--', 'src', 'bin') ? ' and changes' : ''}`;
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
  readonly #conditions: Record<string, unknown>;
  /** What the figures whose names begin with a space are about. */
  #heading = '';
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
      'load before': Number(loadavg()[0]!.toFixed(2)),
      'files are on': `${fileSystemOf(tmpdir())} (${tmpdir()})`,
      version: ownVersion(),
      options: optionsOfThisRun() || 'none',
      ...conditions,
    };
    for (const [key, value] of Object.entries(this.#conditions)) console.log(`${key}: ${value}`);
    if (conditions.durability !== undefined && fileSystemOf(tmpdir()) === 'tmpfs')
      console.log('NOT DURABLE: these files are in memory; set TMPDIR to a folder on a disk');
  }

  /** Tells one figure; its median is what counts. */
  figure(what: string, who: string, unit: string, values: readonly number[]): number {
    this.#figures.push({ what: this.#full(what), who, unit, values });
    const middle = median(values);
    const shown = values.length > 1 ? ` (${values.map(plain).join(', ')})` : '';
    console.log(`${what.padEnd(44)} ${who.padEnd(10)} ${plain(middle).padStart(9)} ${unit}${shown}`);
    return middle;
  }

  /** The name of a figure in the result, where it has to be told from the others without those before it. */
  #full(what: string): string {
    if (what.startsWith(' ')) return `${this.#heading}: ${what.trim()}`;
    this.#heading = what;
    return what;
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
    this.#ratios.push({ what: this.#full(what), ratio, target });
    console.log(`${what.padEnd(44)} ${'ratio'.padEnd(10)} ${plain(ratio).padStart(9)} (target: ${target})`);
  }

  /** Writes all of it as one file of JSON, where `npm run bench -- --results` says. */
  save(): void {
    const folder = process.env.BENCH_RESULTS ?? path.join(root, 'var', 'bench');
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `${this.#name}-${new Date().toISOString().replaceAll(':', '-')}.json`);
    const result: Result = {
      benchmark: this.#name,
      conditions: this.#conditions,
      figures: this.#figures.map((f) => ({ ...f, median: median(f.values) })),
      ratios: this.#ratios,
    };
    writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
    console.log(`saved: ${file}`);
  }
}

function plain(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return value.toPrecision(3);
}
