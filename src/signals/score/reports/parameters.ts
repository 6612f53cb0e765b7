import { choice, integer, type Parameter, text, type WholeNumber } from '../../parameter.ts';
import { badParameter } from '../../request-error.ts';
import { integerOf, parseInstant, type Query } from '../../search/parameters.ts';
import { addDays, type Day, dayOf, startOf } from '../refresh/days.ts';

/** Days that one answer may cover; SparkPost's interface asks for 90 at most. */
const MOST_DAYS = 400;
const DAY = 86_400_000;

const rowLimit: WholeNumber = { default: 10, minimum: 1, maximum: 500 };
const rowOffset: WholeNumber = { default: 0, minimum: 0, maximum: 10_000_000 };

const window: readonly Parameter[] = [
  text('from', 'First day, UTC, `YYYY-MM-DD`. Default: six days before `to`.', '2024-03-01'),
  text('to', 'Last day, inclusive. Default: yesterday.', '2024-03-07'),
];

/** Of every report; `orders`: what the rows can be sorted by. */
export function reportParameters(orders: readonly string[], isFaceted: boolean): readonly Parameter[] {
  return [
    ...window,
    ...(isFaceted
      ? [text('filter', 'Text in the value, in any letter case; the exact value comes first.', 'example')]
      : []),
    integer('limit', 'Most rows.', rowLimit),
    integer('offset', 'Rows left out before the first.', rowOffset),
    choice('order', 'Direction; rows without a value come last either way.', ['asc', 'desc'], {
      default: 'asc',
    }),
    choice('order_by', `What the rows are sorted by. Default: \`${orders[0]}\`.`, orders),
  ];
}

export interface Asked {
  readonly from: Day;
  readonly to: Day;
  /** `null`: all values. */
  readonly filter: string | null;
  readonly limit: number;
  readonly offset: number;
  readonly descending: boolean;
  /** `null`: by key. */
  readonly orderBy: string | null;
}

/** A day: `YYYY-MM-DD`, or an instant on it. Throws `RequestError` 400. */
export function dayOfQuery(query: Query, name: string): Day | null {
  const given = query.get(name);
  if (given === undefined) return null;
  const at = parseInstant(given);
  if (at === null) throw badParameter(name, 'must be a day such as 2024-03-05');
  return dayOf(at);
}

/** What a request asks of a report. Throws `RequestError` 400. */
export function askedOf(query: Query, isFaceted: boolean, now: number): Asked {
  const to = dayOfQuery(query, 'to') ?? addDays(dayOf(now), -1);
  const from = dayOfQuery(query, 'from') ?? addDays(to, -6);
  if (from > to) throw badParameter('from', "must not be after 'to'");
  if (startOf(to) - startOf(from) >= MOST_DAYS * DAY) {
    throw badParameter('from', `must be less than ${MOST_DAYS} days before 'to'`);
  }
  return {
    from,
    to,
    filter: isFaceted ? (query.get('filter') ?? null) : null,
    limit: integerOf(query, 'limit', rowLimit),
    offset: integerOf(query, 'offset', rowOffset),
    descending: query.get('order') === 'desc',
    orderBy: query.get('order_by') ?? null,
  };
}
