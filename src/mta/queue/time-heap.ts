/** A binary heap of things by the time they are due; equal times in the order they came. */
export class TimeHeap<T> {
  #entries: { at: number; order: number; item: T }[] = [];
  #order = 0;

  get size(): number {
    return this.#entries.length;
  }

  /** When the earliest is due; Infinity when there is none. */
  get earliest(): number {
    return this.#entries[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** What is due first. */
  get first(): T | undefined {
    return this.#entries[0]?.item;
  }

  push(at: number, item: T): void {
    const entries = this.#entries;
    entries.push({ at, order: this.#order++, item });
    for (let i = entries.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#before(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** Takes out the earliest if it is due at `now`. */
  popDue(now: number): T | undefined {
    const entries = this.#entries;
    const first = entries[0];
    if (!first || first.at > now) return undefined;
    const last = entries.pop()!;
    if (entries.length > 0) {
      entries[0] = last;
      for (let i = 0; ; ) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2]) {
          if (child < entries.length && this.#before(child, least)) least = child;
        }
        if (least === i) break;
        this.#swap(i, least);
        i = least;
      }
    }
    return first.item;
  }

  /** Takes out what is chosen. Looks at all. */
  extract(chosen: (item: T) => boolean): T[] {
    const taken: T[] = [];
    const kept = this.#entries.filter(({ item }) => {
      if (!chosen(item)) return true;
      taken.push(item);
      return false;
    });
    if (taken.length === 0) return taken;
    this.#entries = [];
    for (const entry of kept.sort((a, b) => a.order - b.order)) this.push(entry.at, entry.item);
    return taken;
  }

  /** Everything inside, in no order. */
  *[Symbol.iterator](): Generator<T> {
    for (const { item } of this.#entries) yield item;
  }

  #before(a: number, b: number): boolean {
    const x = this.#entries[a]!;
    const y = this.#entries[b]!;
    return x.at < y.at || (x.at === y.at && x.order < y.order);
  }

  #swap(a: number, b: number): void {
    const entries = this.#entries;
    const kept = entries[a]!;
    entries[a] = entries[b]!;
    entries[b] = kept;
  }
}
