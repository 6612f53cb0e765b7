import type { Engine } from '../../store/engine.ts';
import { type HealthScore, healthScore } from '../model/health-score.ts';
import type { ScoreModel } from '../model/score-model.ts';
import { nearest, ONE, textOf, type Units } from '../model/units.ts';
import { addDays, type Day, daysFrom } from '../refresh/days.ts';
import type { Facet } from '../sums.ts';
import { change, keysOf, type Report, type Row } from './envelope.ts';
import {
  ALL_SUBACCOUNTS,
  type Days,
  daysWithSuppression,
  figuresOf,
  type Key,
  nameOf,
  pageOfKeys,
  type Scope,
  weekBefore,
} from './facts-query.ts';
import type { Asked } from './parameters.ts';

/** Days before a day that its score looks at. */
const HISTORY_DAYS = 3;

/** Values travel as a parameter, which is of bounded length. */
const KEYS_AT_ONCE = 1000;

const EMPTY: Days = new Map();

/** Scores of rows by day. */
export class Scorer {
  readonly #model: ScoreModel;
  readonly #figures: ReadonlyMap<string, Days>;
  readonly #suppresses: (sid: number, day: Day) => boolean;

  constructor(
    model: ScoreModel,
    figures: ReadonlyMap<string, Days>,
    suppresses: (sid: number, day: Day) => boolean,
  ) {
    this.#model = model;
    this.#figures = figures;
    this.#suppresses = suppresses;
  }

  injections(key: Key, day: Day): number | null {
    return this.#days(key).get(day)?.injections || null;
  }

  /** `null` without enough data. */
  score(key: Key, day: Day): HealthScore | null {
    const days = this.#days(key);
    const sums = days.get(day);
    if (!sums) return null;
    const before = [1, 2, 3].flatMap((n) => days.get(addDays(day, -n)) ?? []);
    return healthScore({ day: sums, before, suppresses: this.#suppresses(key.sid, day) }, this.#model);
  }

  #days(key: Key): Days {
    return this.#figures.get(nameOf(key)) ?? EMPTY;
  }
}

/** Reads what the scores of these rows need, from `first` to `last`. */
export async function scorerOf(
  engine: Engine,
  model: ScoreModel,
  scope: Scope,
  keys: readonly Key[],
  first: Day,
  last: Day,
): Promise<Scorer> {
  const from = addDays(first, -HISTORY_DAYS);
  const [figures, account, suppresses] = await Promise.all([
    figuresOf(
      engine,
      scope,
      keys.filter((key) => !isWhole(key)),
      from,
      last,
    ),
    figuresOf(engine, { ...scope, bySubaccount: false }, keys.filter(isWhole), from, last),
    daysWithSuppression(engine, scope.subaccount, from, last),
  ]);
  return new Scorer(model, new Map([...figures, ...account]), suppresses);
}

const isWhole = (key: Key) => key.sid === ALL_SUBACCOUNTS;

/**
 * `GET /v1/signals/health-score/…`: a row per subaccount or per subaccount and value. Without a facet and subaccount
 * there is also the row of the account as a whole, which comes first in ascending order, whatever is sorted by.
 */
export async function healthReport(
  engine: Engine,
  model: ScoreModel,
  facet: Facet | null,
  subaccount: number | null,
  asked: Asked,
): Promise<Report> {
  const scope: Scope = { subaccount, facet, bySubaccount: true };
  const withWhole = facet === null && subaccount === null;
  const { total, keys } =
    asked.orderBy === 'health_score'
      ? await pageByScore(engine, model, scope, asked, withWhole)
      : await pageBySums(engine, scope, asked, withWhole);
  const scorer = await scorerOf(engine, model, scope, keys, weekBefore(asked.from), asked.to);
  return { total_count: total, data: keys.map((key) => rowOf(key, facet, scorer, asked)) };
}

interface Page {
  readonly total: number;
  readonly keys: Key[];
}

async function pageBySums(engine: Engine, scope: Scope, asked: Asked, withWhole: boolean): Promise<Page> {
  const orderSql = asked.orderBy === 'total_injection_count' ? 'injections' : null;
  const whole: Key = { sid: ALL_SUBACCOUNTS, value: '' };
  if (!withWhole) return pageOfKeys(engine, scope, { ...asked, orderSql, sidFirst: asked.orderBy === 'sid' });
  // The whole account is one row more: the first, or in descending order by its own sums (the most) or id (the least).
  const last = asked.descending && orderSql === null;
  const before = last ? 0 : 1;
  const offset = Math.max(0, asked.offset - before);
  const limit = asked.limit - (asked.offset === 0 ? before : 0);
  const page = await pageOfKeys(engine, scope, { ...asked, orderSql, offset, limit });
  if (page.total === 0) return page;
  const keys: Key[] = [...page.keys];
  if (!last && asked.offset === 0) keys.unshift(whole);
  if (last && keys.length < asked.limit && asked.offset <= page.total) keys.push(whole);
  return { total: page.total + 1, keys };
}

/** A score is no sum, so it is worked out for every row that can have one before they are sorted. */
async function pageByScore(
  engine: Engine,
  model: ScoreModel,
  scope: Scope,
  asked: Asked,
  withWhole: boolean,
): Promise<Page> {
  const all = await pageOfKeys(engine, scope, {
    ...asked,
    orderSql: null,
    descending: false,
    limit: 2 ** 31,
    offset: 0,
  });
  const keys: Key[] = [...all.keys];
  const able: Key[] = all.keys.filter((key) => key.tracked >= model.minimum);
  if (withWhole && keys.length > 0) {
    const whole = { sid: ALL_SUBACCOUNTS, value: '' };
    keys.unshift(whole);
    able.unshift(whole);
  }
  const scores = new Map<Key, Units | null>(keys.map((key) => [key, null]));
  for (let i = 0; i < able.length; i += KEYS_AT_ONCE) {
    const some = able.slice(i, i + KEYS_AT_ONCE);
    const scorer = await scorerOf(engine, model, scope, some, asked.to, asked.to);
    for (const key of some) scores.set(key, scorer.score(key, asked.to)?.score ?? null);
  }
  const rank = (key: Key) => {
    if (asked.filter !== null && key.value === asked.filter) return 0;
    if (isWhole(key) && !asked.descending) return 0;
    return scores.get(key) === null ? 2 : 1;
  };
  const sorted = keys
    .map((key, place) => ({ key, place, rank: rank(key), score: scores.get(key) ?? 0n }))
    .sort((a, b) => {
      if (a.rank !== b.rank) return a.rank - b.rank;
      if (a.score === b.score) return a.place - b.place;
      return a.score < b.score !== asked.descending ? -1 : 1;
    });
  const page = sorted.slice(asked.offset, asked.offset + asked.limit).map(({ key }) => key);
  return { total: keys.length, keys: page };
}

function rowOf(key: Key, facet: Facet | null, scorer: Scorer, { from, to }: Asked): Row {
  const current = scorer.score(key, to);
  const changeSince = (day: Day, before: Day) =>
    change(fraction(scorer.score(key, day)), fraction(scorer.score(key, before)));
  const scores: Units[] = [];
  const history = daysFrom(from, to).flatMap((dt) => {
    const score = scorer.score(key, dt);
    if (score === null) return [];
    scores.push(score.score);
    return {
      dt,
      health_score: textOf(score.score),
      health_score_dod: changeSince(dt, addDays(dt, -1)),
      health_score_wow: changeSince(dt, weekBefore(dt)),
      total_injection_count: scorer.injections(key, dt),
      weights: weightsOf(score),
    };
  });
  return {
    ...keysOf(key, facet),
    WoW: changeSince(to, weekBefore(to)),
    ...overRange(scores),
    current_health_score: current === null ? null : textOf(current.score),
    current_total_injection_count: scorer.injections(key, to),
    current_weights: current === null ? [] : weightsOf(current),
    history,
  };
}

/** Mean, highest and lowest of the days that have a score; `null` where none has. */
function overRange(scores: readonly Units[]): Row {
  const sorted = [...scores].sort((a, b) => (a < b ? -1 : 1));
  const [low] = sorted;
  const high = sorted.at(-1);
  const sum = scores.reduce((a, b) => a + b, 0n);
  return {
    health_score_average: low === undefined ? null : textOf(nearest(sum, BigInt(scores.length))),
    health_score_high: high === undefined ? null : textOf(high),
    health_score_low: low === undefined ? null : textOf(low),
  };
}

function fraction(score: HealthScore | null): number | null {
  return score === null ? null : Number(score.score) / Number(ONE);
}

/** The parts as SparkPost's interface reads them. */
export function weightsOf(score: HealthScore): Row[] {
  return score.parts.map(({ type, weight, rate }) => ({
    weight_type: type,
    weight: rate === null ? '0' : textOf(weight),
    weight_value: rate === null ? null : textOf(rate),
  }));
}
