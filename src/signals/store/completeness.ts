import type { Log } from '../../system/log.ts';
import type { Engine } from './engine.ts';
import { refillDay } from './partitions.ts';
import { dayOf } from './seals.ts';
import type { Span } from './spans.ts';
import { resolvedDaysTable, unresolvedTable } from './tables/completeness.ts';
import { dimensions } from './tables/dimensions.ts';
import { recipientNumber } from './tables/events.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** What is remembered of injections and of their ends at a time: a set of some tens of MB. */
const INJECTIONS_PER_SLICE = 300_000;

export interface CompletenessOptions {
  /** After so many milliseconds an injection must have a delivery or a bounce. */
  readonly dueMs: number;
  /** Events that are older when they come are refused; milliseconds. */
  readonly eventAgeMs: number;
  /** Days that events are kept. */
  readonly eventDays: number;
  readonly now: () => number;
}

interface Made {
  /** Injections of the day before this were due when they were looked at; milliseconds. */
  readonly until: number;
  /** When that was. */
  readonly made: number;
}

/**
 * Which injected mail that is due has no final event (metrics `count_injected_due`, `count_unresolved`). It is found in
 * the background, day by day of injection, in the raw events: once an hour while something of the day becomes due or a
 * late event of it may still come, and never after that. Reports count as due what had been looked at, so they are right
 * as of that hour.
 */
export class Completeness {
  readonly #engine: Engine;
  readonly #options: CompletenessOptions;
  /** Beginning of a UTC day → what was made of it. */
  readonly #days: Map<number, Made>;
  #isClosed = false;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(engine: Engine, options: CompletenessOptions, days: Map<number, Made>) {
    this.#engine = engine;
    this.#options = options;
    this.#days = days;
  }

  static async load(engine: Engine, options: CompletenessOptions): Promise<Completeness> {
    const rows = await engine.readForWrite<{ day: number; until: number; made: number }>(
      `SELECT toUnixTimestamp(t) AS day, toUnixTimestamp(until) AS until, toUnixTimestamp64Milli(made) AS made
       FROM ${resolvedDaysTable.name} FINAL`,
    );
    const days = rows.map((row) => [row.day * 1000, { until: row.until * 1000, made: row.made }] as const);
    return new Completeness(engine, options, new Map(days));
  }

  /** The parts of a window whose injections are due and were looked at, in order. */
  due(window: Span): Span[] {
    const limit = Math.min(window.to, this.#dueBefore());
    const spans: Span[] = [];
    for (const day of [...this.#days.keys()].sort((a, b) => a - b)) {
      const from = Math.max(day, window.from);
      const to = Math.min(this.#days.get(day)!.until, limit);
      if (from >= to) continue;
      const last = spans.at(-1);
      if (last?.to === from) spans[spans.length - 1] = { from: last.from, to };
      else spans.push({ from, to });
    }
    return spans;
  }

  /** Brings it up to date; `again`: whatever was made this hour. Returns how many days were made. */
  refresh(log: Log, again = false): Promise<number> {
    const run = this.#engine.background.inTurn(() => this.#refresh(log, again));
    this.#running = run.catch(() => {});
    return run;
  }

  /** Ends after the day in hand. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  /** Hours, so that a day is made no more than once in each. */
  #dueBefore(): number {
    return floorTo(this.#options.now() - this.#options.dueMs, HOUR);
  }

  async #refresh(log: Log, again: boolean): Promise<number> {
    const { now, dueMs, eventAgeMs, eventDays } = this.#options;
    const limit = this.#dueBefore();
    // Of older days part of the events may be gone already, so nothing is made from them any more.
    const firstWhole = floorTo(now(), DAY) - (Math.max(2, eventDays) - 1) * DAY;
    const rows = await this.#engine.background.read<{ day: number }>(
      `SELECT DISTINCT toUnixTimestamp(toStartOfDay(t)) AS day FROM metrics_hour
       WHERE t >= toDateTime({from:UInt32}, 'UTC') AND t < toDateTime({to:UInt32}, 'UTC') AND injected > 0
       ORDER BY day DESC`,
      { from: Math.max(0, firstWhole / 1000), to: Math.max(0, limit / 1000) },
    );
    let count = 0;
    for (const day of rows.map((row) => row.day * 1000)) {
      if (this.#isClosed) break;
      const until = Math.min(day + DAY, limit);
      const last = this.#days.get(day);
      const isSettled = last !== undefined && last.made >= day + DAY + dueMs + eventAgeMs;
      const isRecent = last !== undefined && floorTo(last.made, HOUR) === floorTo(now(), HOUR);
      if (!again && last && last.until >= until && (isSettled || isRecent)) continue;
      await this.#make(day, until);
      count++;
    }
    if (count > 0) log.info('mail without a known end was looked for', { days: count });
    return count;
  }

  async #make(day: number, until: number): Promise<void> {
    const { background, cluster } = this.#engine;
    const made = this.#options.now();
    const scope = { start: day, end: day + DAY };
    const [row] = await background.read<{ n: number }>(
      `SELECT count() AS n FROM events WHERE ${OF_DAY} AND type = 'injection'`,
      scope,
    );
    const slices = Math.max(1, Math.ceil((row?.n ?? 0) / INJECTIONS_PER_SLICE));
    await refillDay(background, unresolvedTable, dayOf(day), 'unresolved_fresh', cluster, async (into) => {
      for (let slice = 0; slice < slices; slice++) {
        await background.write(`INSERT INTO ${into} ${UNRESOLVED}`, { ...scope, slice, slices });
      }
    });
    await background.write(
      `INSERT INTO ${resolvedDaysTable.name} (t, until, made)
       SELECT toDateTime({day:UInt32}, 'UTC'), toDateTime({until:UInt32}, 'UTC'), fromUnixTimestamp64Milli({made:Int64}, 'UTC')`,
      { day: day / 1000, until: until / 1000, made },
    );
    this.#days.set(day, { until, made });
  }
}

const floorTo = (ms: number, size: number) => Math.floor(ms / size) * size;

const START = "ts >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')";
const OF_DAY = `${START} AND ts < fromUnixTimestamp64Milli({end:Int64}, 'UTC')`;
/** By message, so that what belongs together is in one. */
const IN_SLICE = 'cityHash64(message_id) % {slices:UInt32} = {slice:UInt32}';
const MAIL = `cityHash64(message_id, subaccount_id, ${recipientNumber})`;

/** Of a day's injections, a slice of those that count differently from others; see `unresolvedTable`. */
const UNRESOLVED = `SELECT toDateTime(toStartOfMinute(ts), 'UTC') AS t, ${dimensions.join(', ')},
  sum(is_repeated) AS repeated, sum(NOT is_repeated AND is_open) AS unresolved
FROM (
  SELECT ts, ${dimensions.join(', ')},
    toInt64(row_number() OVER (PARTITION BY mail ORDER BY ts, event_id) > 1) AS is_repeated,
    mail GLOBAL NOT IN (
      SELECT ${MAIL} FROM events WHERE ${START} AND type IN ('delivery', 'bounce') AND ${IN_SLICE}) AS is_open
  FROM (
    SELECT ts, event_id, ${dimensions.join(', ')}, ${MAIL} AS mail
    FROM events WHERE ${OF_DAY} AND type = 'injection' AND ${IN_SLICE}))
WHERE is_repeated OR is_open
GROUP BY t, ${dimensions.join(', ')}`;
