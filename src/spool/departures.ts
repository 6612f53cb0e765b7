/**
 * Knows when the last recipient of a message is settled, so that the message leaves with it. How many wait is counted
 * on disk when a message's first recipient is settled, so nothing has to be kept for messages that wait.
 */
export interface Departing {
  readonly spoolId: string;
  readonly index: number;
}

interface Open {
  /** Recipients that wait and are not being removed. */
  left: number;
  /** Recipients whose removal is being written. */
  readonly removing: Set<number>;
  /** For those who wait for the end of one of those writes. */
  ended: PromiseWithResolvers<void> | null;
}

/** A message with more recipients than this is not counted anew for each of them. */
const CHEAP_TO_COUNT = 32;

export class Departures {
  readonly #countOf: (spoolId: string) => number;
  readonly #waits: (spoolId: string, index: number) => boolean;
  readonly #open = new Map<string, Open>();

  constructor(countOf: (spoolId: string) => number, waits: (spoolId: string, index: number) => boolean) {
    this.#countOf = countOf;
    this.#waits = waits;
  }

  /**
   * What must be awaited before it is asked again whether these can be removed, null when they can. The message may go
   * only when all other recipients are gone for certain: another transaction that is on its way can still fail.
   */
  busy(done: readonly Departing[]): Promise<void> | null {
    if (this.#open.size === 0) return null;
    const leaving = new Map<string, number>();
    for (const { spoolId } of done) leaving.set(spoolId, (leaving.get(spoolId) ?? 0) + 1);
    for (const [spoolId, count] of leaving) {
      const open = this.#open.get(spoolId);
      if (open && open.removing.size > 0 && open.left <= count) {
        open.ended ??= Promise.withResolvers();
        return open.ended.promise;
      }
    }
    return null;
  }

  /** Whether the removal of this one is being written. */
  isLeaving(spoolId: string, index: number): boolean {
    return this.#open.get(spoolId)?.removing.has(index) ?? false;
  }

  /** These are being removed in one transaction. Answers which messages it empties; `end` is to be told how it ended. */
  begin(done: readonly Departing[]): { readonly emptied: string[]; end(written: boolean): void } {
    const touched = new Map<string, { open: Open; indexes: number[] }>();
    for (const { spoolId, index } of done) {
      let open = this.#open.get(spoolId);
      if (!open) {
        open = { left: this.#countOf(spoolId), removing: new Set(), ended: null };
        this.#open.set(spoolId, open);
      }
      const indexes: number[] = touched.get(spoolId)?.indexes ?? [];
      touched.set(spoolId, { open, indexes });
      // Told twice, or not there: nothing that waits becomes less.
      if (open.removing.has(index) || !this.#waits(spoolId, index)) continue;
      open.removing.add(index);
      open.left--;
      indexes.push(index);
    }
    const end = (written: boolean) => {
      for (const [spoolId, { open, indexes }] of touched) {
        for (const index of indexes) open.removing.delete(index);
        if (!written) open.left += indexes.length;
        if (open.removing.size === 0 && open.left <= CHEAP_TO_COUNT) this.#open.delete(spoolId);
        open.ended?.resolve();
        open.ended = null;
      }
    };
    return {
      emptied: [...touched].filter(([, { open }]) => open.left <= 0).map(([spoolId]) => spoolId),
      end,
    };
  }
}
