import type { Table } from '../ddl.ts';
import { type Dimension, dimensionColumns, dimensions, lowCardinality, sortedBy } from './dimensions.ts';
import { counters, engagement, metricsHour, metricsMinute, timesType, uniques } from './metrics.ts';

/**
 * A day that nothing is added to any more is sealed: its sums, and how many messages were opened and clicked in it, are
 * stored as plain numbers, over all dimensions and over each alone. All of it follows from the roll-ups of that day;
 * readers use it only while the day stands in `sealed_days`.
 */
const numbers = Object.fromEntries(
  [...Object.keys(counters), ...Object.keys(uniques)].map((name) => [name, 'Int64']),
);
const names = Object.keys(numbers);
const times = { delivery_times: timesType };
const time = { t: "DateTime('UTC') CODEC(Delta, ZSTD(1))" };
const kept = {
  engine: 'MergeTree',
  partitionBy: 'toYYYYMMDD(t)',
  ttl: { from: 't', keep: 'metrics' },
  settings: { ttl_only_drop_parts: 1, fsync_after_insert: 1, fsync_part_directory: 1 },
} as const;

const wholeTable = (name: string): Table => ({
  ...kept,
  name,
  columns: { ...time, ...dimensionColumns, ...numbers, ...times },
  ...sortedBy(['t']),
  shardingKey: 'cityHash64(t, recipient_domain)',
});
const dayTable = wholeTable('metrics_day');
const hourTable = wholeTable('metrics_sealed_hour');

/**
 * What the sums of a slice are by, as its column `dimension` says it: nothing (''), one dimension, or one and the
 * subaccount. Sums over all subaccounts are far fewer rows than those of each.
 */
export function sliceName(dimension: Dimension | null, bySubaccount: boolean): string {
  return [dimension, bySubaccount ? 'subaccount_id' : null].filter((name) => name !== null).join(' ');
}

/** Sums by at most one dimension and the subaccount; `subaccount_id` is 0 where they are not by subaccount. */
const sliceTable = (name: string): Table => ({
  ...kept,
  name,
  columns: {
    ...time,
    dimension: lowCardinality,
    value: lowCardinality,
    subaccount_id: 'UInt32',
    ...numbers,
    ...times,
  },
  orderBy: ['dimension', 't', 'value', 'subaccount_id'],
  shardingKey: 'cityHash64(value)',
});

const halfHourTable = sliceTable('slices_half_hour');
/** Clicks on links: the few rows of `engagement` that reports on links look at. */
export const linkClicksTable: Table = { ...engagement.table, name: 'link_clicks' };
/** Since version 3 of the schema. */
export const laterSealedTables: readonly Table[] = [hourTable, halfHourTable, linkClicksTable];

/**
 * Engagement of messages that stand under more than one set of dimensions in a day. They are in no unique count of
 * the sealed tables, so that all those counts may be added up, and are counted when asked for.
 */
export const straysTable: Table = { ...engagement.table, name: 'strays' };

/** The latest row of a day counts. */
export const sealedDaysTable: Table = {
  name: 'sealed_days',
  columns: { day: 'UInt32', sealed: 'UInt8', at: "DateTime64(6, 'UTC') DEFAULT now64(6)" },
  engine: 'ReplacingMergeTree(at)',
  orderBy: ['day'],
  settings: { fsync_after_insert: 1, fsync_part_directory: 1 },
  shardingKey: 'day',
};

/** A table of sealed days, and its rows of the day `{day:UInt32}`; `fresh` names the tables made for it before. */
export interface Sealed {
  readonly table: Table;
  select(fresh: (table: string) => string): string;
}

const ofDay = 'toYYYYMMDD(t) = {day:UInt32}';
const dimensionList = dimensions.join(', ');
const sumAll = [
  ...names.map((name) => `sum(${name}) AS ${name}`),
  'sumMap(delivery_times) AS delivery_times',
].join(', ');

/** Units of time that sums are stored by. */
interface Unit {
  /** The beginning of the unit that a time is in. */
  start(t: string): string;
  /** Where the counters come from. */
  readonly from: string;
  /** Which times of a day are in a unit of that day. */
  which(t: string): string;
}

const days: Unit = { start: (t) => `toStartOfDay(${t})`, from: metricsHour.table.name, which: () => '1' };
const hours: Unit = { start: (t) => `toStartOfHour(${t})`, from: metricsHour.table.name, which: () => '1' };
/** Hours that begin half past; of those that two days share there are no sums. */
const halfHours: Unit = {
  start: (t) => `toStartOfHour(${t} - 1800) + 1800`,
  from: metricsMinute.table.name,
  which: (t) => `toYYYYMMDD(${t} - 1800) = {day:UInt32} AND toYYYYMMDD(${t} + 1800) = {day:UInt32}`,
};

/** Counters and unique counts of the day by all dimensions and `t`, the beginning of a unit. */
function whole(unit: Unit, strays: string): string {
  const inUnit = (t: string) => `toDateTime(${unit.start(t)}, 'UTC')`;
  const sums = Object.keys(engagement.table.columns).filter(
    (name) => name.endsWith('rendered') || name.endsWith('clicked'),
  );
  return `SELECT t, ${dimensionList}, ${sumAll} FROM (
  SELECT ${inUnit('h.t')} AS t, ${dimensionList},
    ${Object.keys(counters).join(', ')}, ${Object.keys(uniques)
      .map((name) => `toInt64(0) AS ${name}`)
      .join(', ')}, CAST(delivery_times, '${timesType}') AS delivery_times
  FROM ${unit.from} AS h WHERE toYYYYMMDD(h.t) = {day:UInt32} AND ${unit.which('h.t')}
  UNION ALL
  SELECT u AS t, ${dimensionList}, ${Object.keys(counters)
    .map((name) => `toInt64(0) AS ${name}`)
    .join(', ')},
    ${Object.entries(uniques)
      .map(([name, which]) => `toInt64(countIf(${prefixed(which)})) AS ${name}`)
      .join(', ')}, CAST(map(), '${timesType}') AS delivery_times
  FROM (
    SELECT ${inUnit('e.t')} AS u, ${dimensionList}, message, ${sums.map((name) => `sum(e.${name}) AS sum_${name}`).join(', ')}
    FROM ${engagement.table.name} AS e
    WHERE toYYYYMMDD(e.t) = {day:UInt32} AND ${unit.which('e.t')} AND message GLOBAL NOT IN (SELECT message FROM ${strays})
    GROUP BY u, ${dimensionList}, message)
  GROUP BY t, ${dimensionList})
GROUP BY t, ${dimensionList}`;
}

/** A condition of `uniques` over columns of sums. */
function prefixed(condition: string): string {
  return condition.replace(/\b[a-z_]+(?= > 0)/g, (name) => `sum_${name}`);
}

/** Those by subaccount first; the rest follow from them. */
function sliced(from: string): string {
  const others = dimensions.filter((name) => name !== 'subaccount_id');
  const slices = others.map((name) => `('${sliceName(name, true)}', toString(${name}))`);
  const texts = (each: boolean) =>
    `[${[null, ...others].map((name) => `'${sliceName(name, each)}'`).join(', ')}]`;
  return `SELECT t, slice.1 AS dimension, value, slice.2 AS subaccount_id, ${sumAll}
FROM (
  SELECT t, slice.1 AS by_each, slice.2 AS value, subaccount_id AS subaccount, ${sumAll}
  FROM ${from} ARRAY JOIN [('${sliceName(null, true)}', ''), ${slices.join(', ')}] AS slice
  GROUP BY t, by_each, value, subaccount)
ARRAY JOIN [(by_each, subaccount), (transform(by_each, ${texts(true)}, ${texts(false)}, ''), toUInt32(0))] AS slice
GROUP BY t, dimension, value, subaccount_id`;
}

export const sealed: readonly Sealed[] = [
  {
    table: straysTable,
    select: () => `SELECT * FROM ${engagement.table.name} WHERE ${ofDay} AND message GLOBAL IN (
  SELECT message FROM (
    SELECT message FROM ${engagement.table.name} WHERE ${ofDay} GROUP BY message, ${dimensionList}
    HAVING sum(rendered) != 0 OR sum(initial_rendered) != 0 OR sum(clicked) != 0)
  GROUP BY message HAVING count() > 1)`,
  },
  {
    table: linkClicksTable,
    select: () => `SELECT * FROM ${engagement.table.name} WHERE ${ofDay} AND link_name != ''`,
  },
  { table: dayTable, select: (fresh) => whole(days, fresh(straysTable.name)) },
  { table: sliceTable('slices_day'), select: (fresh) => sliced(fresh(dayTable.name)) },
  { table: hourTable, select: (fresh) => whole(hours, fresh(straysTable.name)) },
  { table: sliceTable('slices_hour'), select: (fresh) => sliced(fresh(hourTable.name)) },
  {
    table: halfHourTable,
    select: (fresh) => sliced(`(${whole(halfHours, fresh(straysTable.name))})`),
  },
];

export const sealedTables: readonly Table[] = [...sealed.map((s) => s.table), sealedDaysTable];
