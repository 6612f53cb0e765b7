/**
 * How many different names all tallies of a run may keep together. Reasons and domains come from outside, and files
 * have no bound; what is over the limit is counted without its name.
 */
export class NameBudget {
  #left: number;
  #exhausted = false;

  constructor(names = 2_000_000) {
    this.#left = names;
  }

  take(): boolean {
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#exhausted = true;
    return false;
  }

  get exhausted(): boolean {
    return this.#exhausted;
  }
}

/** Under what names over the limit are counted. */
export const OTHERS = '(others)';

/** Values by name, made when a name is first seen. */
export class Named<T> {
  readonly #make: () => T;
  readonly #budget: NameBudget;
  readonly #byName = new Map<string, T>();

  constructor(budget: NameBudget, make: () => T) {
    this.#budget = budget;
    this.#make = make;
  }

  get(name: string): T {
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    const key = this.#budget.take() ? name : OTHERS;
    const value = this.#byName.get(key) ?? this.#make();
    this.#byName.set(key, value);
    return value;
  }

  entries(): [name: string, value: T][] {
    return [...this.#byName];
  }

  /** The first `n` by `size`, largest first; equal ones by name. */
  top(n: number, size: (value: T) => number): [name: string, value: T][] {
    return this.entries()
      .sort(([a, x], [b, y]) => size(y) - size(x) || (a < b ? -1 : 1))
      .slice(0, n);
  }
}

/** A count that a `Named` can keep. */
export class Count {
  n = 0;
}
