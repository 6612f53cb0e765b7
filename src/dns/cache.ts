interface Entry<V> {
  readonly value: V;
  readonly until: number;
  readonly weight: number;
}

/** Answers until their time is over, the longest unused dropped first when they weigh too much together. */
export class TtlCache<V> {
  readonly #entries = new Map<string, Entry<V>>();
  readonly #most: number;
  #weight = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string, now: number): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (entry.until <= now) {
      this.#weight -= entry.weight;
      return undefined;
    }
    // A Map keeps the order of insertion: put back, it is the most recently used.
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: V, until: number, weight = 1): void {
    this.clear(key);
    this.#entries.set(key, { value, until, weight });
    this.#weight += weight;
    while (this.#weight > this.#most && this.#entries.size > 1)
      this.clear(this.#entries.keys().next().value!);
  }

  /** Everything that is kept, the most recently used last. */
  *entries(): Generator<[string, V]> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  /** Drops one key, or all of them; says whether there was something to drop. */
  clear(key?: string): boolean {
    if (key === undefined) {
      const any = this.#entries.size > 0;
      this.#entries.clear();
      this.#weight = 0;
      return any;
    }
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    return this.#entries.delete(key);
  }
}
