import { createHash, randomUUID } from 'node:crypto';
import { Completeness } from './completeness.ts';
import type { Table } from './ddl.ts';
import type { Engine, Parameters } from './engine.ts';
import { nativeBlock } from './native-block.ts';
import { refillDay } from './partitions.ts';
import { defaultRetention, type Retention } from './retention.ts';
import { dayOf, Seals } from './seals.ts';
import { halfHourSpansOf, type Span, type Spans, spansOf } from './spans.ts';
import { type EventColumn, eventColumns, eventColumnTypes } from './tables/events.ts';
import { lookupSelects } from './tables/lookups.ts';
import { type Rollup, rollups } from './tables/metrics.ts';

/** A row of `events`. Text is '' and numbers are 0 where there is nothing; `ts` is milliseconds since the epoch. */
export type EventRow = {
  ts: number;
  subaccount_id: number;
  sign: 1 | -1;
  version: number;
  orphan: 0 | 1;
  bounce_class: number;
  num_retries: number;
  queue_time: number;
  msg_size: number;
  prefetched: 0 | 1;
  outbound_tls: 0 | 1;
  /** Bits for the scores (`score/marks.ts`). */
  marks: number;
} & {
  [C in Exclude<
    EventColumn,
    | 'ts'
    | 'subaccount_id'
    | 'sign'
    | 'version'
    | 'orphan'
    | 'bounce_class'
    | 'num_retries'
    | 'queue_time'
    | 'msg_size'
    | 'prefetched'
    | 'outbound_tls'
    | 'marks'
  >]: string;
};

/** What is known about a message from its injection or delivery. */
export interface MessageRow {
  readonly message_id: string;
  readonly subaccount_id: number;
  /** 1 when this is the injection. */
  readonly injection: number;
  /** Milliseconds since the epoch. */
  readonly ts: number;
  readonly vmta: string;
  readonly node: string;
  /** The event as search shows it, JSON. */
  readonly data: string;
}

/** Four days and 13 hours: what mail may stay undelivered by default, and an hour. */
export const DUE_HOURS = 109;

export interface EventStoreOptions {
  /** How long the tables keep what is in them. */
  readonly kept?: Retention;
  readonly now?: () => number;
  /** Hours after which events are refused. */
  readonly eventAgeHours?: number;
  /** Hours after which injected mail must have a delivery or a bounce. */
  readonly dueAfterHours?: number;
}

/** Keys per lookup: as parameters they travel in a request line of bounded length. */
const KEYS_PER_LOOKUP = 4000;

function* slices<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < all.length; i += size) yield all.slice(i, i + size);
}

/** The tables of events and what hangs on them; all writing goes through one caller at a time. */
export class EventStore {
  readonly engine: Engine;
  readonly seals: Seals;
  readonly completeness: Completeness;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #eventDays: number;
  /** Whether each day that has events has its sums too. */
  readonly hasSumsOfAllEvents: boolean;
  /** Differs between runs of the program: see `token`. */
  readonly #run = randomUUID();
  #attempt = 0;

  private constructor(
    engine: Engine,
    seals: Seals,
    completeness: Completeness,
    kept: Pick<Retention, 'events' | 'metrics'>,
  ) {
    this.engine = engine;
    this.seals = seals;
    this.completeness = completeness;
    this.#eventDays = kept.events;
    this.hasSumsOfAllEvents = kept.metrics > kept.events + 1;
  }

  /** Opens a store whose tables are there. */
  static async open(engine: Engine, options: EventStoreOptions = {}): Promise<EventStore> {
    const {
      kept = defaultRetention,
      now = Date.now,
      eventAgeHours = 24,
      dueAfterHours = DUE_HOURS,
    } = options;
    const seals = await Seals.load(engine, now);
    const completeness = await Completeness.load(engine, {
      dueMs: dueAfterHours * 3_600_000,
      eventAgeMs: eventAgeHours * 3_600_000,
      eventDays: kept.events,
      now,
    });
    return new EventStore(engine, seals, completeness, kept);
  }

  /** SELECT for a report. */
  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]> {
    return this.engine.read<Row>(sql, parameters);
  }

  /** The roll-ups that together tell of a window; see `spansOf`. */
  spans(window: Span, finest: 'minute' | 'hour' | 'day'): Spans {
    return spansOf(window, finest, (day) => this.seals.has(day));
  }

  /** The same for units that are hours half past UTC's. */
  halfHourSpans(window: Span): Spans {
    return halfHourSpansOf(window, (day) => this.seals.has(day));
  }

  /** Of these event ids, those stored within the time of remembrance (at least 48 h) → the batch that brought them. */
  async knownIds(ids: readonly string[]): Promise<Map<string, string>> {
    const known = new Map<string, string>();
    for (const some of slices(ids, KEYS_PER_LOOKUP)) {
      const rows = await this.engine.readForWrite<{ event_id: string; batch_id: string }>(
        `SELECT event_id, batch_id FROM event_ids
         WHERE h IN (SELECT cityHash64(arrayJoin({ids:Array(String)}))) AND event_id IN {ids:Array(String)}`,
        { ids: some },
      );
      for (const row of rows) known.set(row.event_id, row.batch_id);
    }
    return known;
  }

  /** Ids of events of these batches that stand in `events`; times bound the search (milliseconds, inclusive). */
  async storedOf(batches: readonly string[], from: number, to: number): Promise<Map<string, string>> {
    const rows = await this.engine.readForWrite<{ event_id: string; batch_id: string }>(
      `SELECT event_id, batch_id FROM events
       WHERE ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
         AND batch_id IN {batches:Array(String)} AND sign = 1 AND version = 1`,
      { batches, from, to },
    );
    return new Map(rows.map((row) => [row.event_id, row.batch_id]));
  }

  /** What is stored about these messages, one row per subaccount: the injection, else the delivery. */
  async messages(ids: readonly string[]): Promise<Map<string, MessageRow[]>> {
    const found = new Map<string, MessageRow[]>();
    for (const some of slices(ids, KEYS_PER_LOOKUP)) {
      const rows = await this.engine.readForWrite<MessageRow>(
        `SELECT message_id, subaccount_id, injection, toUnixTimestamp64Milli(ts) AS ts, vmta, node, data FROM messages
         WHERE h IN (SELECT cityHash64(arrayJoin({ids:Array(String)}))) AND message_id IN {ids:Array(String)}
         ORDER BY injection DESC LIMIT 1 BY message_id, subaccount_id`,
        { ids: some },
      );
      for (const row of rows) {
        const others = found.get(row.message_id);
        if (others) others.push(row);
        else found.set(row.message_id, [row]);
      }
    }
    return found;
  }

  /** Stored events of these messages that came before anything was known about the message, in their latest version. */
  async orphansOf(messageIds: readonly string[]): Promise<EventRow[]> {
    const orphans: EventRow[] = [];
    for (const some of slices(messageIds, KEYS_PER_LOOKUP)) {
      const keys = await this.engine.readForWrite<{ ts: number; event_id: string }>(
        `SELECT DISTINCT toUnixTimestamp64Milli(ts) AS ts, event_id FROM orphans
         WHERE h IN (SELECT cityHash64(arrayJoin({ids:Array(String)}))) AND message_id IN {ids:Array(String)}`,
        { ids: some },
      );
      for (const part of slices(keys, KEYS_PER_LOOKUP)) {
        const rows = await this.engine.readForWrite<EventRow>(
          `SELECT * REPLACE (toUnixTimestamp64Milli(ts) AS ts) FROM (
             SELECT ${eventColumns.join(', ')} FROM events
             WHERE events.ts IN (SELECT fromUnixTimestamp64Milli(arrayJoin({times:Array(Int64)}), 'UTC'))
               AND event_id IN {ids:Array(String)} AND sign = 1
             ORDER BY version DESC LIMIT 1 BY event_id)
           WHERE orphan = 1`,
          { times: [...new Set(part.map((k) => k.ts))], ids: part.map((k) => k.event_id) },
        );
        orphans.push(...rows);
      }
    }
    return orphans;
  }

  /** Stores rows in `events`; the views carry them into the roll-ups and lookups. May have been done in part if it throws. */
  async insert(given: readonly EventRow[]): Promise<void> {
    await this.#exclusive(async () => {
      const rows = this.beforeInsert(given);
      const block = nativeBlock(eventColumnTypes, rows);
      await this.seals.changing(daysOf(rows), () =>
        this.engine.insertBlock('events', eventColumns, block, this.#token(block)),
      );
    });
  }

  /** Whatever is inserted goes through this: hashes or removes recipients. */
  beforeInsert: (rows: readonly EventRow[]) => readonly EventRow[] = (rows) => rows;

  /** Inserts and what rewrites a day of a roll-up, one after the other. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => {});
    return run;
  }

  /** Resolves when the inserts that had begun before have ended. */
  async turn(): Promise<void> {
    await this.#exclusive(async () => {});
  }

  /** Writes a day of a roll-up anew from itself; `columns` is what to select of each row. Readers see old or new. */
  async rewriteDay(table: Table, day: number, columns: string): Promise<void> {
    const { engine } = this;
    await this.#exclusive(() =>
      this.seals.changing([day], () =>
        this.#refill(table, day, `${table.name}_rewrite`, (into) =>
          engine.write(
            `INSERT INTO ${into} SELECT ${columns} FROM ${table.name} WHERE toYYYYMMDD(t) = {day:UInt32}`,
            { day },
          ),
        ),
      ),
    );
  }

  /** In turn with the inserts. */
  #refill(table: Table, day: number, name: string, fill: (into: string) => Promise<void>): Promise<void> {
    const { engine } = this;
    const on = { read: engine.readForWrite.bind(engine), write: engine.write.bind(engine) };
    return refillDay(on, table, day, name, engine.cluster, fill);
  }

  /**
   * On a server, an insert whose answer got lost may still be running when it is tried again; the same token for the
   * same rows makes the server drop the second. Embedded there is no such doubt, and the engine notes a token a moment
   * before it keeps the rows: killed in that moment it would refuse them for ever, so there no token comes twice.
   */
  #token(block: Buffer): string {
    if (this.engine.embedded) return `${this.#run}-${this.#attempt++}`;
    return createHash('sha256').update(block).digest('hex');
  }

  /**
   * After a write that broke off: makes the lookups know all that stands in `events` of these batches. They are sets,
   * so it is simply added again.
   */
  async repairLookups(batches: readonly string[]): Promise<void> {
    const span = await this.#spanOf(batches);
    if (!span) return;
    const where = ` AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND batch_id IN {batches:Array(String)}`;
    for (const [table, select] of Object.entries(lookupSelects)) {
      await this.engine.write(`INSERT INTO ${table} ${select('events', where)}`, { batches, ...span });
    }
  }

  /**
   * After a write that broke off, once these batches stand in `events` as a whole: a roll-up that has not exactly the
   * rows of a day of theirs is made anew for that day.
   */
  async repairRollups(batches: readonly string[], log: (message: string) => void): Promise<void> {
    const span = await this.#spanOf(batches);
    if (!span) return;
    for (const rollup of rollups) {
      for (const day of await this.#incompleteDays(rollup, span.from, span.to)) {
        log(`roll-up ${rollup.table.name} of ${day} is incomplete after a break; making it anew`);
        await this.#exclusive(() => this.seals.changing([day], () => this.#rebuild(rollup, day)));
      }
    }
  }

  /** From the first to the last event of these batches, milliseconds since the epoch. */
  async #spanOf(batches: readonly string[]): Promise<{ from: number; to: number } | null> {
    const [span] = await this.engine.readForWrite<{ n: number; from: number; to: number }>(
      `SELECT count() AS n, toUnixTimestamp64Milli(min(ts)) AS from, toUnixTimestamp64Milli(max(ts)) AS to
       FROM events WHERE batch_id IN {batches:Array(String)}`,
      { batches },
    );
    return span && span.n > 0 ? { from: span.from, to: span.to } : null;
  }

  async #incompleteDays(rollup: Rollup, from: number, to: number): Promise<number[]> {
    // Days that begin to expire can no longer be made anew, and are too old to have been written to.
    const oldest = Date.now() - (this.#eventDays - 2) * 86_400_000;
    const days = { first: Math.max(from, oldest), last: to };
    const range = (column: string) =>
      `${column} >= toStartOfDay(fromUnixTimestamp64Milli({first:Int64}, 'UTC'))
       AND ${column} < toStartOfDay(fromUnixTimestamp64Milli({last:Int64}, 'UTC')) + INTERVAL 1 DAY`;
    const rows = await this.engine.readForWrite<{ day: number }>(
      `SELECT day FROM (
         SELECT toYYYYMMDD(ts) AS day, toInt64(count()) AS n FROM events WHERE ${range('ts')} AND ${rollup.which} GROUP BY day
         UNION ALL
         SELECT toYYYYMMDD(t) AS day, -toInt64(sum(row_count)) AS n FROM ${rollup.table.name} WHERE ${range('t')} GROUP BY day)
       GROUP BY day HAVING sum(n) != 0 ORDER BY day`,
      days,
    );
    return rows.map((row) => row.day);
  }

  #rebuild({ table, from, time, select }: Rollup, day: number): Promise<void> {
    const rows = select(from, `toYYYYMMDD(${time}) = {day:UInt32}`);
    return this.#refill(table, day, `${table.name}_rebuild`, (into) =>
      this.engine.write(`INSERT INTO ${into} ${rows}`, { day }),
    );
  }

  /** Events stored, each once. */
  async count(): Promise<number> {
    // All rows are counted from what the table knows of itself; those that take one back are few, and an index has them.
    const [row] = await this.engine.read<{ n: number }>(
      `SELECT toInt64(count()) - 2 * (SELECT toInt64(count()) FROM events WHERE sign = -1) AS n FROM events`,
    );
    return row?.n ?? 0;
  }
}

/** The UTC days that rows are of. */
function daysOf(rows: readonly EventRow[]): Set<number> {
  const days = new Set(rows.map((row) => Math.floor(row.ts / 86_400_000)));
  return new Set([...days].map((day) => dayOf(day * 86_400_000)));
}
