import { RequestError } from '../request-error.ts';
import type { Conditions } from '../search/conditions.ts';
import { asStored, filterColumns } from './filter-columns.ts';

const comparators = ['eq', 'notEq', 'like', 'notLike'] as const;
type Comparator = (typeof comparators)[number];

const MOST_VALUES = 1000;
const MOST_GROUPINGS = 50;
const LONGEST_VALUE = 1024;
/** Of `like` and `notLike`. */
const SHORTEST_PART = 3;

function invalid(path: string, why: string): RequestError {
  return new RequestError(400, 'query_filters does not match its schema', {
    code: '1200',
    details: { param: 'query_filters', validationErrors: [{ path, message: why }] },
  });
}

function objectAt(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(path, 'must be an object');
  return Object.entries(value);
}

/**
 * Adds SparkPost's advanced filters: `{"groupings":[{"AND"|"OR":{filter:{comparator:[values]}}}]}`, groupings joined
 * by AND. Throws `RequestError` with `validationErrors`.
 */
export function addQueryFilters(conditions: Conditions, text: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid('', 'must be JSON');
  }
  const top = objectAt(parsed, '');
  if (top.length !== 1 || top[0]![0] !== 'groupings')
    throw invalid('', "must have 'groupings' and nothing else");
  const groupings = top[0]![1];
  if (!Array.isArray(groupings) || groupings.length > MOST_GROUPINGS) {
    throw invalid('/groupings', `must be an array of at most ${MOST_GROUPINGS}`);
  }
  for (const [i, grouping] of groupings.entries()) {
    const path = `/groupings/${i}`;
    const entries = objectAt(grouping, path);
    const [join, filters] = entries[0] ?? [];
    if (entries.length !== 1 || (join !== 'AND' && join !== 'OR')) {
      throw invalid(path, "must have exactly one of 'AND' and 'OR'");
    }
    const parts = objectAt(filters, `${path}/${join}`).flatMap(([filter, comparisons]) => {
      const at = `${path}/${join}/${filter}`;
      const compared = objectAt(comparisons, at);
      if (compared.length === 0) throw invalid(at, 'must not be empty');
      return compared.map(([comparator, values]) =>
        comparison(conditions, filter, comparator, values, `${at}/${comparator}`),
      );
    });
    if (parts.length === 0) throw invalid(`${path}/${join}`, 'must not be empty');
    conditions.add(`(${parts.join(` ${join} `)})`);
  }
}

function comparison(
  conditions: Conditions,
  filter: string,
  comparator: string,
  values: unknown,
  path: string,
): string {
  if (!comparators.includes(comparator as Comparator)) {
    throw invalid(path, `the comparator must be one of ${comparators.join(', ')}`);
  }
  if (!Array.isArray(values) || values.length === 0 || values.length > MOST_VALUES) {
    throw invalid(path, `must be an array of 1 to ${MOST_VALUES} values`);
  }
  const not = comparator === 'notEq' || comparator === 'notLike' ? 'NOT ' : '';
  const alike = comparator === 'like' || comparator === 'notLike';
  if (filter === 'subaccounts') {
    if (alike) throw invalid(path, 'subaccounts are compared by eq and notEq only');
    const ids = values.map((v) => {
      const isId = (typeof v === 'number' || typeof v === 'string') && /^\d{1,10}$/.test(String(v));
      const number = isId ? Number(v) : Number.NaN;
      if (!(number < 2 ** 32)) throw invalid(path, 'must be numbers');
      return number;
    });
    conditions.uses('subaccount_id');
    return `${not}(subaccount_id IN ${conditions.bind('Array(UInt32)', ids)})`;
  }
  const column = filterColumns.get(filter);
  if (!column && filter !== 'subject_campaigns') throw invalid(path, 'is no known filter');
  const given = values.map((v) => {
    if (typeof v !== 'string') throw invalid(path, 'must be texts');
    const { length } = [...v];
    if (length > LONGEST_VALUE) throw invalid(path, `values must have at most ${LONGEST_VALUE} characters`);
    if (alike && length < SHORTEST_PART) {
      throw invalid(path, `values must have at least ${SHORTEST_PART} characters`);
    }
    return v;
  });
  // There are no subject campaigns, so nothing belongs to one.
  if (!column) return not ? '1' : '0';
  conditions.uses(column);
  const texts = given.map((v) => asStored(column, v));
  if (!alike) return `${not}(${column} IN ${conditions.bind('Array(String)', texts)})`;
  return `${not}(multiSearchAnyCaseInsensitiveUTF8(${column}, ${conditions.bind('Array(String)', texts)}))`;
}

/** JSON Schema of `query_filters`, as `GET …/query-filters-schema` answers it. */
export function queryFiltersSchema(): object {
  const valuesOf = (items: object) => ({ type: 'array', minItems: 1, maxItems: MOST_VALUES, items });
  // An empty text is what has no value.
  const whole = valuesOf({ type: 'string', maxLength: LONGEST_VALUE });
  const part = valuesOf({ type: 'string', minLength: SHORTEST_PART, maxLength: LONGEST_VALUE });
  const text = {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    properties: { eq: whole, notEq: whole, like: part, notLike: part },
  };
  const ids = valuesOf({
    oneOf: [
      { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 },
      { type: 'string', pattern: '^\\d{1,10}$' },
    ],
  });
  const conditions = {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    properties: {
      ...Object.fromEntries(
        [...filterColumns.keys(), 'subject_campaigns'].map((name) => [name, { $ref: '#/$defs/text' }]),
      ),
      subaccounts: { $ref: '#/$defs/ids' },
    },
  };
  const one = (key: string) => ({
    type: 'object',
    required: [key],
    additionalProperties: false,
    properties: { [key]: { $ref: '#/$defs/conditions' } },
  });
  return {
    $schema: 'http://json-schema.org/draft-07/schema',
    type: 'object',
    required: ['groupings'],
    additionalProperties: false,
    properties: {
      groupings: { type: 'array', maxItems: MOST_GROUPINGS, items: { oneOf: [one('AND'), one('OR')] } },
    },
    $defs: {
      text,
      ids: {
        type: 'object',
        additionalProperties: false,
        minProperties: 1,
        properties: { eq: ids, notEq: ids },
      },
      conditions,
    },
  };
}
