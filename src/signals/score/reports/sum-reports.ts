import type { Engine } from '../../store/engine.ts';
import { daysFrom, earliest } from '../refresh/days.ts';
import {
  type Cohort,
  cohorts,
  type Facet,
  type Response,
  type Sums,
  sums,
  totalOfCohorts,
  trapHits,
} from '../sums.ts';
import { change, keysOf, type Report, type Row, share } from './envelope.ts';
import { figuresOf, nameOf, pageOfKeys, type Scope, weekBefore } from './facts-query.ts';
import type { Asked } from './parameters.ts';

/** A report whose rows are sums over days, and shares of them. */
export interface SumReport {
  /** What rows can be sorted by, beside their key → SQL of the day's value, of sums. */
  readonly orders: Readonly<Record<string, string>>;
  /** Names of the fields that are repeated as `current_…`. */
  readonly current: readonly string[];
  /** The figure whose change over a week is told. */
  readonly mainFigure: string;
  /** A day's entry. */
  readonly entry: (day: Sums) => Readonly<Record<string, number | null>>;
}

const cohortNames = [...cohorts, 'total'] as const;

/** `GET /v1/signals/spam-hits/…` */
const spamHits: SumReport = {
  orders: {
    trap_hits: 'trap_recycled + trap_typo + trap_parked',
    perc: '(trap_recycled + trap_typo + trap_parked) / injections',
  },
  current: ['trap_hits', 'relative_trap_hits'],
  mainFigure: 'relative_trap_hits',
  entry: (day) => {
    const hits = trapHits(day);
    const part = (n: number) => (hits === 0 ? 0 : n / hits);
    return {
      injections: day.injections,
      trap_hits: hits,
      relative_trap_hits: hits / day.injections,
      trap_hits_typo: day.trap_typo,
      trap_hits_parked: day.trap_parked,
      trap_hits_recycled: day.trap_recycled,
      perc_trap_hits_typo: part(day.trap_typo),
      perc_trap_hits_parked: part(day.trap_parked),
      perc_trap_hits_recycled: part(day.trap_recycled),
      relative_trap_hits_typo: day.trap_typo / day.injections,
      relative_trap_hits_parked: day.trap_parked / day.injections,
      relative_trap_hits_recycled: day.trap_recycled / day.injections,
    };
  },
};

const ALL_COHORTS = `(${cohorts.map((c) => `c_${c}`).join(' + ')})`;

/** `GET /v1/signals/cohort-engagement/…` */
const cohortEngagement: SumReport = {
  orders: { c_14d: 'c_14d', perc: `if(${ALL_COHORTS} = 0, NULL, c_14d / ${ALL_COHORTS})` },
  current: [...cohortNames.map((c) => `c_${c}`), ...cohorts.map((c) => `relative_c_${c}`)],
  mainFigure: 'relative_c_14d',
  entry: (day) => ({
    ...Object.fromEntries(cohorts.map((c) => [`c_${c}`, day[`c_${c}`]])),
    c_total: totalOfCohorts(day),
    ...Object.fromEntries(cohorts.map((c) => [`relative_c_${c}`, share(day[`c_${c}`], totalOfCohorts(day))])),
  }),
};

/** `GET /v1/signals/{eng,unsub,fbl}-cohort/…`: what the mails of each cohort drew. */
function responseReport(response: Response): SumReport {
  const drew = `(${cohorts.map((c) => `c_${c}_${response}`).join(' + ')})`;
  const mails = (day: Sums, c: Cohort | 'total') => (c === 'total' ? totalOfCohorts(day) : day[`c_${c}`]);
  const responses = (day: Sums, c: Cohort | 'total') =>
    c === 'total' ? totalOfCohorts(day, response) : day[`c_${c}_${response}`];
  return {
    orders: {
      [`c_total_${response}`]: drew,
      [`p_total_${response}`]: `if(${ALL_COHORTS} = 0, NULL, ${drew} / ${ALL_COHORTS})`,
    },
    current: cohortNames.flatMap((c) => [`c_${c}_${response}`, `p_${c}_${response}`]),
    mainFigure: `p_total_${response}`,
    entry: (day) =>
      Object.fromEntries(
        cohortNames.flatMap((c) => [
          [`c_${c}_${response}`, responses(day, c)],
          [`p_${c}_${response}`, share(responses(day, c), mails(day, c))],
        ]),
      ),
  };
}

/** Names of the figures of a day. */
export const entryNames = (report: SumReport): string[] =>
  Object.keys(report.entry(Object.fromEntries(sums.map((name) => [name, 0])) as Sums));

/** By the name of the dimension in the path. */
export const sumReports: ReadonlyMap<string, SumReport> = new Map([
  ['spam-hits', spamHits],
  ['cohort-engagement', cohortEngagement],
  ['eng-cohort', responseReport('eng')],
  ['unsub-cohort', responseReport('unsub')],
  ['fbl-cohort', responseReport('fbl')],
]);

/** A page of rows: per subaccount without a facet; per value, summed over the subaccounts in scope, with one. */
export async function sumReport(
  engine: Engine,
  report: SumReport,
  facet: Facet | null,
  subaccount: number | null,
  asked: Asked,
): Promise<Report> {
  const scope: Scope = { subaccount, facet, bySubaccount: facet === null };
  const orderSql = asked.orderBy === null ? null : (report.orders[asked.orderBy] ?? null);
  const { total, keys } = await pageOfKeys(engine, scope, { ...asked, orderSql });
  const week = weekBefore(asked.to);
  const figures = await figuresOf(engine, scope, keys, earliest(week, asked.from), asked.to);
  const data = keys.map((key): Row => {
    const days = figures.get(nameOf(key));
    const entryOf = (day: string) => {
      const sums = days?.get(day);
      return sums && sums.injections > 0 ? report.entry(sums) : null;
    };
    const current = entryOf(asked.to);
    return {
      ...keysOf(key, facet),
      WoW: change(current?.[report.mainFigure] ?? null, entryOf(week)?.[report.mainFigure] ?? null),
      ...Object.fromEntries(report.current.map((name) => [`current_${name}`, current?.[name] ?? null])),
      history: daysFrom(asked.from, asked.to).flatMap((dt) => {
        const entry = entryOf(dt);
        return entry === null ? [] : { dt, ...entry };
      }),
    };
  });
  return { total_count: total, data };
}
