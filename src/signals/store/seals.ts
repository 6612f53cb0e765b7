import type { Log } from '../../system/log.ts';
import type { Engine } from './engine.ts';
import { beside, drop, makeEmpty, replaceDay } from './partitions.ts';
import { metricsHour } from './tables/metrics.ts';
import { sealed, sealedDaysTable } from './tables/sealed.ts';

/** `YYYYMMDD` of the UTC day that an instant is in. */
export function dayOf(at: number): number {
  return Number(new Date(at).toISOString().slice(0, 10).replaceAll('-', ''));
}

/** A day stays open this long after the last insert into it: late events come in crowds. */
const QUIET_MS = 600_000;

/**
 * Knows which days are sealed (`tables/sealed.ts`). A day is opened, durably, before anything is added to it, and
 * sealed again some time after: whenever the program ends, a day that stands as sealed has nothing that its sums lack.
 */
export class Seals {
  readonly #engine: Engine;
  readonly #now: () => number;
  readonly #days: Set<number>;
  /** Day → number of the last change; a seal in the making that meets another is given up. */
  readonly #opened = new Map<number, number>();
  /** Day → when its last change began. */
  readonly #quietFrom = new Map<number, number>();
  /** Day → changes that have begun and not ended; what they add may come after a seal has read. */
  readonly #underWay = new Map<number, number>();
  /** Days that are open here and may stand on disk as sealed: the note that opens them is not there yet. */
  readonly #unnoted = new Set<number>();
  #changes = 0;
  #sealing: Promise<unknown> = Promise.resolve();

  private constructor(engine: Engine, now: () => number, days: Iterable<number>) {
    this.#engine = engine;
    this.#now = now;
    this.#days = new Set(days);
  }

  static async load(engine: Engine, now: () => number): Promise<Seals> {
    const rows = await engine.readForWrite<{ day: number }>(
      `SELECT day FROM ${sealedDaysTable.name} FINAL WHERE sealed = 1`,
    );
    return new Seals(
      engine,
      now,
      rows.map((row) => row.day),
    );
  }

  /** Whether sums of the UTC day of this instant may be taken from the sealed tables. */
  has(at: number): boolean {
    return this.#days.has(dayOf(at));
  }

  /** Does what changes rows of these days: they stand open, on disk too, from before it begins. */
  async changing<T>(days: Iterable<number>, work: () => Promise<T>): Promise<T> {
    const all = [...days];
    for (const day of all) {
      this.#opened.set(day, ++this.#changes);
      this.#quietFrom.set(day, this.#now());
      this.#underWay.set(day, (this.#underWay.get(day) ?? 0) + 1);
      if (this.#days.delete(day)) this.#unnoted.add(day);
    }
    try {
      // A day whose note failed is noted by the next change, and one that two changes meet by both.
      const closed = all.filter((day) => this.#unnoted.has(day));
      if (closed.length > 0) {
        await this.#note(closed, 0);
        for (const day of closed) this.#unnoted.delete(day);
      }
      return await work();
    } finally {
      for (const day of all) {
        this.#opened.set(day, ++this.#changes);
        const left = this.#underWay.get(day)! - 1;
        if (left > 0) this.#underWay.set(day, left);
        else this.#underWay.delete(day);
      }
    }
  }

  /**
   * Seals the days before today that nothing was added to for a while. Returns how many. A reader may go on while
   * this works, and so may inserts: the day that they touch is left open.
   */
  sealQuietDays(log: Log, quietMs = QUIET_MS): Promise<number> {
    const run = this.#engine.background.inTurn(() => this.#sealQuietDays(log, quietMs));
    this.#sealing = run.catch(() => {});
    return run;
  }

  /** Resolves when no seal is in the making. */
  async settled(): Promise<void> {
    await this.#sealing;
  }

  async #sealQuietDays(log: Log, quietMs: number): Promise<number> {
    const now = this.#now();
    const rows = await this.#engine.background.read<{ day: string }>(
      `SELECT DISTINCT _partition_id AS day FROM ${metricsHour.table.name}`,
    );
    const today = dayOf(now);
    let count = 0;
    for (const day of rows.map((row) => Number(row.day)).sort((a, b) => b - a)) {
      const changed = this.#quietFrom.get(day) ?? Number.NEGATIVE_INFINITY;
      if (day >= today || this.#days.has(day) || now - changed < quietMs) continue;
      if (this.#underWay.has(day)) continue;
      if (await this.#seal(day)) count++;
    }
    if (count > 0) log.info('days are closed, their sums stored', { days: count });
    return count;
  }

  async #seal(day: number): Promise<boolean> {
    const engine = this.#engine;
    const { cluster } = engine;
    const opened = this.#opened.get(day);
    const fresh = (name: string) => `${name}_fresh`;
    try {
      for (const { table, select } of sealed) {
        const to = beside(table, fresh(table.name));
        await makeEmpty(engine.background, to, cluster);
        await engine.background.write(
          `INSERT INTO ${to.name} (${Object.keys(table.columns).join(', ')}) ${select(fresh)}`,
          { day },
        );
      }
      for (const { table } of sealed) {
        await replaceDay(engine.background, table, day, beside(table, fresh(table.name)), cluster);
      }
      if (this.#opened.get(day) !== opened) return false;
      // In the table before in memory, and nothing between the check and the write: an insert that comes now waits
      // its turn behind this and opens the day again.
      this.#days.add(day);
      await this.#note([day], 1);
      return true;
    } finally {
      for (const { table } of sealed) {
        await drop(engine.background, beside(table, fresh(table.name)), cluster);
      }
    }
  }

  async #note(days: readonly number[], state: 0 | 1): Promise<void> {
    await this.#engine.write(
      `INSERT INTO ${sealedDaysTable.name} (day, sealed) SELECT arrayJoin({days:Array(UInt32)}), {state:UInt8}`,
      { days, state },
    );
  }
}
