import type { Engine } from '../../store/engine.ts';
import type { Day } from './days.ts';
import { ledgerTable } from './tables.ts';

/**
 * What the note of a day says: `gathered`: events of the day were gathered when so many rows of it were stored;
 * `facts`: the day's figures were made from these days, gathered at so many rows; `closing`, `closed`: it is being, it
 * has been added to what is known of recipients, and is never made anew.
 */
export type Note = 'gathered' | 'facts' | 'closing' | 'closed';

/** Rows stored of each day. */
export type Inputs = Readonly<Record<Day, number>>;

/** The durable memory of the refreshes: what was noted is done, and what is not noted is done again. */
export class Ledger {
  readonly #engine: Engine;
  readonly #notes: Map<string, Inputs>;
  #n: number;

  private constructor(engine: Engine, notes: Map<string, Inputs>, n: number) {
    this.#engine = engine;
    this.#notes = notes;
    this.#n = n;
  }

  static async open(engine: Engine): Promise<Ledger> {
    const rows = await engine.background.read<{ kind: string; day: Day; latest: string; most: number }>(
      `SELECT kind, toString(day) AS day, argMax(inputs, n) AS latest, max(n) AS most FROM ${ledgerTable.name} GROUP BY kind, day`,
    );
    const notes = new Map(rows.map((row) => [`${row.kind} ${row.day}`, JSON.parse(row.latest) as Inputs]));
    return new Ledger(
      engine,
      notes,
      rows.reduce((most, row) => Math.max(most, row.most), 0),
    );
  }

  get(kind: Note, day: Day): Inputs | undefined {
    return this.#notes.get(`${kind} ${day}`);
  }

  /** The first and the last day of a kind; `null` if there is none. */
  first(kind: Note): Day | null {
    return this.#days(kind)[0] ?? null;
  }
  last(kind: Note): Day | null {
    return this.#days(kind).at(-1) ?? null;
  }

  #days(kind: Note): Day[] {
    const prefix = `${kind} `;
    return [...this.#notes.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length))
      .sort();
  }

  async note(kind: Note, day: Day, inputs: Inputs = {}): Promise<void> {
    this.#n++;
    await this.#engine.background.write(
      `INSERT INTO ${ledgerTable.name} (kind, day, n, inputs)
       SELECT {kind:String}, {day:Date}, {n:UInt64}, {inputs:String}`,
      { kind, day, n: this.#n, inputs: JSON.stringify(inputs) },
    );
    this.#notes.set(`${kind} ${day}`, inputs);
  }
}
