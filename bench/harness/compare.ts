/** Two results of one benchmark side by side: what differed between the runs, then each figure's medians. */
import { readFileSync } from 'node:fs';
import type { Result } from './report.ts';

/** Lines for people; `fail` is told of files that are no results, or not of the same benchmark. */
export function compareResults(older: string, newer: string, fail: (message: string) => never): string {
  const [old, now] = [older, newer].map((file) => read(file, fail)) as [Result, Result];
  if (old.benchmark !== now.benchmark) {
    fail(`these are of different benchmarks: ${older} of "${old.benchmark}", ${newer} of "${now.benchmark}"`);
  }
  const lines = [`== ${old.benchmark}`];
  for (const key of new Set([...Object.keys(old.conditions), ...Object.keys(now.conditions)])) {
    const [before, after] = [old, now].map(({ conditions }) => String(conditions[key] ?? '-'));
    if (before !== after) lines.push(`differs: ${key}: ${before} -> ${after}`);
  }
  const row = (what: string, cells: readonly string[]) =>
    `${what.padEnd(64)} ${cells.map((cell) => cell.padStart(10)).join(' ')}`;
  lines.push(row('median', ['old', 'new', 'new/old', 'spread']));
  const keyOf = ({ what, who, unit }: Result['figures'][number]) => `${what}, ${who}, ${unit}`;
  const earlier = new Map(old.figures.map((figure) => [keyOf(figure), figure]));
  for (const figure of now.figures) {
    const before = earlier.get(keyOf(figure));
    earlier.delete(keyOf(figure));
    const ratio = before ? (figure.median / before.median).toFixed(2) : '-';
    const spread = before ? spreadOf([before.values, figure.values]) : '-';
    lines.push(row(keyOf(figure), [short(before?.median), short(figure.median), ratio, spread]));
  }
  for (const [key, figure] of earlier) lines.push(row(key, [short(figure.median), '-', '-', '-']));
  return `${lines.join('\n')}\n`;
}

/** How far apart the repetitions of one run lie, the wider of the two: a smaller difference of medians says nothing. */
function spreadOf(runs: readonly (readonly number[])[]): string {
  if (runs.some((values) => values.length < 2)) return '-';
  const widest = Math.max(...runs.map((values) => Math.max(...values) / Math.min(...values)));
  return `x${widest.toFixed(2)}`;
}

const short = (value: number | null | undefined) =>
  typeof value === 'number' ? String(Number(value.toPrecision(4))) : '-';

function read(file: string, fail: (message: string) => never): Result {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8')) as Partial<Result>;
    if (result.benchmark && result.conditions && Array.isArray(result.figures)) return result as Result;
  } catch (error) {
    fail(`${file} cannot be read: ${(error as Error).message}`);
  }
  fail(`${file} is no result of a benchmark; those are saved in var/bench`);
}
