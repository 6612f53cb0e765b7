import { components, type DayOfRow } from './components.ts';
import { type ScoreModel, weightAt } from './score-model.ts';
import { ONE, rateOf, type Units } from './units.ts';

/** What one component did to a score. */
export interface Part {
  readonly type: string;
  /** Counts that the rate is made of; 0 and 0 when it cannot be measured. */
  readonly numerator: number;
  readonly denominator: number;
  /** `null`: it cannot be measured, and its weight is 0. */
  readonly rate: Units | null;
  /** What the curve says. */
  readonly curveWeight: Units;
  /** What it did: the curve's weight, shortened if the score was held to 0 or 1. */
  readonly weight: Units;
}

export interface HealthScore {
  /** base + the sum of the parts' weights, exactly; from 0 to 1. */
  readonly score: Units;
  readonly parts: readonly Part[];
}

/** The score of a day; `null` when too little mail was tracked to tell. */
export function healthScore(row: DayOfRow, model: ScoreModel): HealthScore | null {
  if (row.day.tracked < model.minimum) return null;
  const measured = components.map((component) => {
    const denominator = component.denominator(row);
    if (denominator <= 0 || !component.isMeasured(row)) {
      return { type: component.type, numerator: 0, denominator: 0, rate: null, curveWeight: 0n };
    }
    // Late corrections can take more away than there is; a rate is never below 0.
    const numerator = Math.max(0, component.numerator(row));
    const rate = rateOf(numerator, denominator);
    const curveWeight = weightAt(model.curves.get(component.type)!, rate);
    return { type: component.type, numerator, denominator, rate, curveWeight };
  });
  const weights = held(
    measured.map((m) => m.curveWeight),
    model.base,
  );
  const parts = measured.map((m, i) => ({ ...m, weight: weights[i]! }));
  return { score: parts.reduce((sum, part) => sum + part.weight, model.base), parts };
}

/**
 * Weights that lead from the base to no more than 1 and no less than 0. Where they would lead beyond, those that
 * pushed there are shortened in proportion, so that the weights still add up to the score: nobody is told of points
 * that were not to be had.
 */
function held(weights: readonly Units[], base: Units): Units[] {
  const sum = weights.reduce((a, b) => a + b, base);
  if (sum >= 0n && sum <= ONE) return [...weights];
  const pushes = (w: Units) => (sum > ONE ? w > 0n : w < 0n);
  const pushed = weights.filter(pushes).reduce((a, b) => a + b, 0n);
  const target = pushed - (sum > ONE ? sum - ONE : sum);
  const shortened = weights.map((w) => (pushes(w) ? (w * target) / pushed : w));
  // Division cut the remainders off; the largest get a unit back until the sum is right.
  const byRemainder = weights
    .map((w, i) => ({ i, remainder: pushes(w) ? abs((w * target) % pushed) : -1n }))
    .sort((a, b) => (a.remainder === b.remainder ? a.i - b.i : a.remainder < b.remainder ? 1 : -1));
  let missing = target - shortened.filter((_, i) => pushes(weights[i]!)).reduce((a, b) => a + b, 0n);
  const step = missing < 0n ? -1n : 1n;
  for (const { i } of byRemainder) {
    if (missing === 0n) break;
    shortened[i]! += step;
    missing -= step;
  }
  return shortened;
}

function abs(n: bigint): bigint {
  return n < 0n ? -n : n;
}
