/** A line in which higher priorities stand before lower ones, and equal ones in the order they came. */
export class PriorityLine<T> {
  readonly #levels = new Map<number, Set<T>>();
  readonly #levelOf = new Map<T, number>();

  get size(): number {
    return this.#levelOf.size;
  }

  /** Who stands in the line already keeps its place, unless its priority changed. */
  add(one: T, priority: number): void {
    const before = this.#levelOf.get(one);
    if (before === priority) return;
    if (before !== undefined) this.delete(one);
    let level = this.#levels.get(priority);
    if (!level) {
      level = new Set();
      this.#levels.set(priority, level);
    }
    level.add(one);
    this.#levelOf.set(one, priority);
  }

  delete(one: T): void {
    const priority = this.#levelOf.get(one);
    if (priority === undefined) return;
    this.#levelOf.delete(one);
    const level = this.#levels.get(priority)!;
    level.delete(one);
    if (level.size === 0) this.#levels.delete(priority);
  }

  has(one: T): boolean {
    return this.#levelOf.has(one);
  }

  first(): T | undefined {
    let highest = Number.NEGATIVE_INFINITY;
    for (const priority of this.#levels.keys()) highest = Math.max(highest, priority);
    const [first] = this.#levels.get(highest) ?? [];
    return first;
  }

  /** From the highest priority down, those not below `priority`. */
  *notBelow(priority: number): Generator<T> {
    const higher = [...this.#levels.keys()].filter((one) => one >= priority).sort((a, b) => b - a);
    for (const one of higher) yield* this.#levels.get(one)!;
  }

  /** From the lowest priority up, those below `priority`. */
  *below(priority: number): Generator<T> {
    const lower = [...this.#levels.keys()].filter((one) => one < priority).sort((a, b) => a - b);
    for (const one of lower) yield* this.#levels.get(one)!;
  }
}
