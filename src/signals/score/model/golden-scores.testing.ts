import type { SumName } from '../sums.ts';
import data from './golden-scores.json' with { type: 'json' };

/** A day and the score it must have; for tests. */
export interface GoldenScore {
  readonly name: string;
  /** In place of the default model. */
  readonly model?: unknown;
  readonly day: Partial<Record<SumName, number>>;
  readonly before: readonly Partial<Record<SumName, number>>[];
  readonly suppresses: boolean;
  readonly expected: {
    readonly health_score: string;
    readonly weights: readonly (readonly [type: string, weight: string, rate: string | null])[];
  } | null;
}

export const golden = data.cases as unknown as readonly GoldenScore[];
