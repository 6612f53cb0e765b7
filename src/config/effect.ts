import type { Block } from './block.ts';
import type { Effect } from './declaration.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { Loaded } from './load.ts';
import { allLines } from './walk.ts';

/** What became of one line of a configuration. */
export interface EffectLine {
  readonly file: string;
  readonly line: number;
  /** As written. */
  readonly directive: string;
  /** Tag it stands in, `global` for none. */
  readonly scope: string;
  readonly effect: 'honoured' | 'honoured differently' | 'no effect yet' | 'unknown';
  /** How, why, or the nearest name. */
  readonly note: string | null;
}

export interface EffectReport {
  readonly lines: readonly EffectLine[];
  readonly counts: Readonly<Record<EffectLine['effect'], number>>;
}

function inWords(effect: Effect): Pick<EffectLine, 'effect' | 'note'> {
  if (effect === 'honoured') return { effect, note: null };
  if ('differs' in effect) return { effect: 'honoured differently', note: effect.differs };
  return { effect: 'no effect yet', note: effect.none };
}

const UNKNOWN = /^unknown (?:directive|tag)|is not known in </;

/**
 * Every directive of the files that were read with what it does here, in file order. It works for a configuration with
 * errors too; what has a wrong value is left to the diagnostics.
 */
export function effectReport(loaded: Loaded): EffectReport {
  const lines: EffectLine[] = [];
  const from = (block: Block) => {
    for (const { block: at, declaration, line } of allLines(block)) {
      if (!loaded.trees.has(line.origin.file)) continue;
      const { file, line: number } = line.origin;
      lines.push({
        file,
        line: number,
        directive: line.written,
        scope: at.scope,
        ...inWords(declaration.effect),
      });
    }
  };
  from(loaded.root);
  for (const d of loaded.diagnostics.filter((d: Diagnostic) => UNKNOWN.test(d.message))) {
    const { file, line, text, hint } = d;
    lines.push({ file, line, directive: text, scope: '', effect: 'unknown', note: hint ?? null });
  }
  const files = [...loaded.trees.keys()];
  lines.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line);
  const counts = { honoured: 0, 'honoured differently': 0, 'no effect yet': 0, unknown: 0 };
  for (const line of lines) counts[line.effect]++;
  return { lines, counts };
}

/** The report as text, one line per directive, and the counts. */
export function formatEffect(report: EffectReport): string {
  const out = report.lines.map((l) => {
    const note = l.note ? ` (${l.note})` : '';
    return `${l.file}:${l.line}: ${l.directive}: ${l.effect}${note}`;
  });
  const counts = Object.entries(report.counts).map(([effect, n]) => `${n} ${effect}`);
  return `${[...out, '', counts.join(', ')].join('\n')}\n`;
}
