import type { Engine } from '../../store/engine.ts';
import { addDays, type Day } from '../refresh/days.ts';
import { factsTable } from '../refresh/tables.ts';
import { type Facet, type Sums, sums } from '../sums.ts';

/** The row of the account as a whole. */
export const ALL_SUBACCOUNTS = -1;

/** Whose rows: what a report's rows are about. */
export interface Scope {
  /** `null`: every subaccount. */
  readonly subaccount: number | null;
  readonly facet: Facet | null;
  /** Whether a row is one subaccount's; else it is the sum over those in scope. */
  readonly bySubaccount: boolean;
}

/** Names a row. */
export interface Key {
  readonly sid: number;
  /** '' where there is no facet. */
  readonly value: string;
}

/** The figures of one row by day; a day on which nothing was injected or happened is not there. */
export type Days = ReadonlyMap<Day, Sums>;

export const nameOf = ({ sid, value }: Key): string => `${sid} ${value}`;

interface Selection {
  readonly columns: string;
  readonly where: string;
  readonly parameters: Record<string, unknown>;
}

function select(scope: Scope, first: Day, last: Day, filter: string | null = null): Selection {
  const conditions = ['day >= {first:Date}', 'day <= {last:Date}'];
  const parameters: Record<string, unknown> = { first, last };
  if (scope.subaccount !== null) {
    conditions.push('sid = {subaccount:UInt32}');
    parameters.subaccount = scope.subaccount;
  }
  if (scope.facet !== null) conditions.push(`${scope.facet} != ''`);
  if (scope.facet !== null && filter !== null) {
    conditions.push(`positionCaseInsensitiveUTF8(${scope.facet}, {filter:String}) > 0`);
    parameters.filter = filter;
  }
  const whole = scope.subaccount ?? ALL_SUBACCOUNTS;
  return {
    columns: `${scope.bySubaccount ? 'toInt64(sid)' : `toInt64(${whole})`} AS row_sid, ${scope.facet === null ? `''` : `toString(${scope.facet})`} AS row_value`,
    where: `WHERE ${conditions.join(' AND ')}`,
    parameters,
  };
}

export interface KeysAsked {
  readonly from: Day;
  readonly to: Day;
  readonly filter: string | null;
  readonly descending: boolean;
  readonly limit: number;
  readonly offset: number;
  /** Sorted by subaccount before value, where rows have both. */
  readonly sidFirst?: boolean;
  /** SQL of the value that rows are sorted by, of sums named as in `Sums` of the day `to`; `null`: by key. */
  readonly orderSql: string | null;
}

/**
 * One page of the rows that had mail in the window, each with its tracked injections of the day `to`, and how many rows
 * there are. An exact match of the filter is first;
 * rows without mail on the day `to` are last when it is that day's value that they are sorted by.
 */
export async function pageOfKeys(
  engine: Engine,
  scope: Scope,
  asked: KeysAsked,
): Promise<{ total: number; keys: (Key & { readonly tracked: number })[] }> {
  const { columns, where, parameters } = select(scope, asked.from, asked.to, asked.filter);
  const direction = asked.descending ? 'DESC' : 'ASC';
  const order = [
    ...(asked.filter === null || scope.facet === null ? [] : ['row_value = {filter:String} DESC']),
    ...(asked.orderSql === null ? [] : [`${onDay(asked.orderSql)} ${direction} NULLS LAST`]),
    ...keyOrder(scope, asked.sidFirst === true, asked.orderSql === null ? direction : 'ASC'),
  ];
  const rows = `FROM ${factsTable.name} ${where} GROUP BY row_sid, row_value HAVING sum(injections) > 0`;
  const [counted, keys] = await Promise.all([
    engine.read<{ n: number }>(`SELECT count() AS n FROM (SELECT ${columns} ${rows})`, parameters),
    engine.read<{ row_sid: number; row_value: string; n: number }>(
      `SELECT ${columns}, sumIf(tracked, day = {on:Date}) AS n ${rows} ORDER BY ${order.join(', ')} LIMIT {limit:UInt32} OFFSET {offset:UInt32}`,
      { ...parameters, limit: asked.limit, offset: asked.offset, on: asked.to },
    ),
  ]);
  return {
    total: counted[0]?.n ?? 0,
    keys: keys.map(({ row_sid: sid, row_value: value, n: tracked }) => ({ sid, value, tracked })),
  };
}

function keyOrder(scope: Scope, sidFirst: boolean, direction: string): string[] {
  const columns = scope.facet === null ? ['row_sid'] : ['row_value', 'row_sid'];
  return (sidFirst ? columns.reverse() : columns).map((column) => `${column} ${direction}`);
}

/** The value of the day `{on}`, null without mail on it. */
function onDay(sql: string): string {
  const value = sql.replace(/\b[a-z]\w*\b/g, (word) =>
    (sums as readonly string[]).includes(word) ? `sumIf(${word}, day = {on:Date})` : word,
  );
  return `if(sumIf(injections, day = {on:Date}) = 0, NULL, ${value})`;
}

/** Figures of these rows by row and day. */
export async function figuresOf(
  engine: Engine,
  scope: Scope,
  keys: readonly Key[],
  first: Day,
  last: Day,
): Promise<Map<string, Days>> {
  const found = new Map<string, Map<Day, Sums>>();
  if (keys.length === 0) return found;
  const { columns, where, parameters } = select(scope, first, last);
  const named = scope.facet === null ? '' : ` AND ${scope.facet} IN {values:Array(String)}`;
  const bySid = !scope.bySubaccount ? '' : ' AND sid IN {sids:Array(UInt32)}';
  const rows = await engine.read<Sums & { of_day: Day; row_sid: number; row_value: string }>(
    `SELECT toString(day) AS of_day, ${columns}, ${sums.map((s) => `sum(${factsTable.name}.${s}) AS ${s}`).join(', ')}
     FROM ${factsTable.name} ${where}${named}${bySid} GROUP BY of_day, row_sid, row_value`,
    {
      ...parameters,
      values: [...new Set(keys.map((k) => k.value))],
      sids: [...new Set(keys.map((k) => k.sid))],
    },
  );
  for (const { of_day: day, row_sid: sid, row_value: value, ...figures } of rows) {
    const name = nameOf({ sid, value });
    const days = found.get(name);
    if (days) days.set(day, figures as unknown as Sums);
    else found.set(name, new Map([[day, figures as unknown as Sums]]));
  }
  return found;
}

/** Days on which something of a subaccount was stopped by a suppression list. */
export async function daysWithSuppression(
  engine: Engine,
  subaccount: number | null,
  first: Day,
  last: Day,
): Promise<(sid: number, day: Day) => boolean> {
  const { where, parameters } = select({ subaccount, facet: null, bySubaccount: true }, first, last);
  const rows = await engine.read<{ of_day: Day; sid: number }>(
    `SELECT DISTINCT toString(day) AS of_day, sid FROM ${factsTable.name} ${where} AND suppressed > 0`,
    parameters,
  );
  const days = new Set(rows.map((row) => `${row.sid} ${row.of_day}`));
  for (const row of rows) days.add(`${ALL_SUBACCOUNTS} ${row.of_day}`);
  return (sid, day) => days.has(`${sid} ${day}`);
}

/** The day that a change over a week is against. */
export const weekBefore = (day: Day): Day => addDays(day, -7);
