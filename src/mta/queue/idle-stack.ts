/**
 * Open connections of a queue that have no work, the one that ran out of it last first in turn. Work that comes at a
 * low rate then goes over few connections that stay, and the others end; in turn from the longest idle, each would wait
 * nearly as long as it may, and many would end just before they are needed.
 */
export class IdleStack {
  readonly #ids: number[] = [];

  get size(): number {
    return this.#ids.length;
  }

  has(id: number): boolean {
    return this.#ids.includes(id);
  }

  /** `id` is not in it. */
  push(id: number): void {
    this.#ids.push(id);
  }

  /** Takes the one that has been idle for the shortest time. */
  pop(): number | undefined {
    return this.#ids.pop();
  }

  /** Those that end are the longest idle, which stand first. */
  delete(id: number): void {
    const at = this.#ids.indexOf(id);
    if (at !== -1) this.#ids.splice(at, 1);
  }

  [Symbol.iterator](): IterableIterator<number> {
    return this.#ids[Symbol.iterator]();
  }
}
