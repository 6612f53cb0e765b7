import type { Engine } from '../../store/engine.ts';
import { components } from '../model/components.ts';
import type { ScoreModel } from '../model/score-model.ts';
import { textOf } from '../model/units.ts';
import type { Day } from '../refresh/days.ts';
import type { Facet } from '../sums.ts';
import { keysOf, type Row } from './envelope.ts';
import { ALL_SUBACCOUNTS, type Key } from './facts-query.ts';
import { scorerOf } from './health-report.ts';

/** The model in force, with what it takes to work a score out by hand. */
export function modelOf(model: ScoreModel): Row {
  return {
    version: model.version,
    base: textOf(model.base),
    minimum_tracked_injections: model.minimum,
    components: components.map(({ type, better }) => ({
      weight_type: type,
      better,
      anchors: model.curves.get(type)!.map(([rate, weight]) => [textOf(rate), textOf(weight)]),
    })),
  };
}

/** How one score came about: every count, rate and weight; `score` is `null` without enough data. */
export async function explain(
  engine: Engine,
  model: ScoreModel,
  facet: Facet | null,
  value: string,
  subaccount: number | null,
  day: Day,
): Promise<Row> {
  const key: Key = { sid: subaccount ?? ALL_SUBACCOUNTS, value: facet === null ? '' : value };
  const scope = { subaccount, facet, bySubaccount: true };
  const scorer = await scorerOf(engine, model, scope, [key], day, day);
  const score = scorer.score(key, day);
  return {
    ...keysOf(key, facet),
    dt: day,
    model: model.version,
    base: textOf(model.base),
    minimum_tracked_injections: model.minimum,
    total_injection_count: scorer.injections(key, day),
    health_score: score === null ? null : textOf(score.score),
    parts:
      score?.parts.map((part) => ({
        weight_type: part.type,
        numerator: part.rate === null ? null : part.numerator,
        denominator: part.rate === null ? null : part.denominator,
        weight_value: part.rate === null ? null : textOf(part.rate),
        curve_weight: part.rate === null ? '0' : textOf(part.curveWeight),
        weight: part.rate === null ? '0' : textOf(part.weight),
      })) ?? [],
  };
}
