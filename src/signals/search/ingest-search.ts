import { badParameter } from '../request-error.ts';
import type { Engine } from '../store/engine.ts';
import { Conditions } from './conditions.ts';
import type { Page } from './message-search.ts';
import {
  altered,
  cursorOf,
  eventWindow,
  integerOf,
  listOf,
  nextLink,
  numbersOf,
  type Query,
} from './parameters.ts';
import { outcomeErrors, outcomeTypes, perPage as perPageBounds } from './search-parameters.ts';

const outcomes = new Set(outcomeTypes);
const errorTypes = new Set(outcomeErrors);

function known(query: Query, name: string, values: ReadonlySet<string>): string[] | null {
  const list = listOf(query, name);
  const unknown = list?.find((v) => !values.has(v));
  if (unknown !== undefined)
    throw badParameter(name, `has a value that does not exist: ${unknown.slice(0, 64)}`);
  return list;
}

function conditionsOf(query: Query, onlySubaccount: number): Conditions {
  const conditions = new Conditions();
  if (onlySubaccount > 0) conditions.numberIn('subaccount_id', [onlySubaccount]);
  const events = known(query, 'events', outcomes);
  const errors = known(query, 'error_types', errorTypes);
  // Who names batches wants those, whatever became of them: SparkPost's interface counts on it.
  if (!listOf(query, 'batch_ids')) {
    if (events) conditions.in('type', events);
    if (errors) conditions.in('error_type', errors);
  }
  for (const [parameter, column] of [
    ['batch_ids', 'batch_id'],
    ['event_ids', 'event_id'],
  ] as const) {
    const values = listOf(query, parameter);
    if (values) conditions.in(column, values);
  }
  const subaccounts = numbersOf(query, 'subaccounts');
  if (subaccounts) conditions.numberIn('subaccount_id', subaccounts);
  const retryable = query.get('retryable');
  if (retryable !== undefined) {
    if (retryable !== 'true' && retryable !== 'false')
      throw badParameter('retryable', 'must be true or false');
    conditions.add(`type = 'error' AND retryable = ${retryable === 'true' ? 1 : 0}`);
  }
  return conditions;
}

/**
 * `GET /v1/events/ingest`: what became of batches, newest first. `origin` (`https://host`) completes their
 * `href`; a key of a subaccount sees only what belongs to that, as `onlySubaccount`.
 */
export async function searchOutcomes(
  engine: Engine,
  path: string,
  query: Query,
  now: number,
  origin: string,
  onlySubaccount = 0,
): Promise<Page> {
  const perPage = integerOf(query, 'per_page', perPageBounds);
  const cursor = cursorOf(query);
  // A batch is processed at once, so the last minute is part of the default window here.
  const window = eventWindow(query.has('to') ? query : altered(query, 'to', iso(now + 1000)), now);
  const counting = conditionsOf(query, onlySubaccount);
  counting.within('ts', window.from, window.to);
  const paging = conditionsOf(query, onlySubaccount);
  paging.within('ts', window.from, window.to);
  if (cursor) {
    paging.add(
      `(ts, event_id) < (fromUnixTimestamp64Milli(${paging.bind('Int64', cursor.ts)}, 'UTC'), ${paging.bind('String', cursor.id)})`,
    );
  }
  const [counted, rows] = await Promise.all([
    cursor?.total === undefined
      ? engine.read<{ n: number }>(
          `SELECT count() AS n FROM ingest_events FINAL ${counting.where}`,
          counting.parameters,
        )
      : [{ n: cursor.total }],
    engine.read<{ ms: number; event_id: string; batch_id: string; failed: number; data: string }>(
      `SELECT toUnixTimestamp64Milli(ts) AS ms, event_id, batch_id, number_failed AS failed, data
       FROM ingest_events FINAL ${paging.where} ORDER BY ts DESC, event_id DESC LIMIT ${perPage + 1}`,
      paging.parameters,
    ),
  ]);
  const total = counted[0]?.n ?? 0;
  const shown = rows.slice(0, perPage);
  const last = shown.at(-1);
  return {
    events: shown.map((row) => {
      if (row.failed === 0) return row.data;
      const href = `${origin}/api/v1/ingest/events/failures/${row.batch_id}`;
      return JSON.stringify({ ...(JSON.parse(row.data) as object), href });
    }),
    totalCount: total,
    next:
      rows.length > perPage && last
        ? nextLink(path, query, perPage, { ts: last.ms, id: last.event_id, total }, window)
        : null,
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
